"""Checks a stopped broker's `metadata.sqlite`, and makes it again."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from logd.broker.wiring import METADATA_FILE
from logd.model.errors import InvalidConfig, LogdError, StoredDataCorrupt
from logd.model.seams import Clock, FileSystem
from logd.model.topic import Topic, TopicState
from logd_partitions.atomic_file import read_file, write_atomically
from logd_partitions.directory.directory_lock import lock_directory
from logd_partitions.offline.directory_check import CheckFinding
from logd_partitions.offline.directory_survey import DirectorySurvey, survey_directory
from logd_partitions.offline.orphaned_records import check_orphans
from logd_replication.metadata_schema import TOPICS_PREFIX, ClusterValue, decode_topic
from logd_replication.rebuilt_metadata import RebuiltMetadata, rebuild_metadata
from logd_replication.sqlite_database import SqliteDatabase

COMPANIONS = ("", "-journal", "-wal", "-shm")
"""What SQLite may have left beside the file: it must not be taken for the new one's."""


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """What would be made. `aside`: (file, the name under which it is kept)."""

    directory: str
    survey: DirectorySurvey
    metadata: RebuiltMetadata
    aside: tuple[tuple[str, str], ...]


@contextlib.contextmanager
def planned_rebuild(
    fs: FileSystem, clock: Clock, directory: str, *, leave_out: bool = False
) -> Iterator[RebuildPlan]:
    """The plan, under the directory's lock. Reads the headers of all batches; changes nothing.

    Raises DataDirectoryLocked while a broker runs, InvalidConfig, StoredDataCorrupt (but for
    `leave_out` also where nothing tells of which topic a directory's records are),
    UnsupportedVersion, OSError.
    """
    directory = directory.rstrip("/") or "/"
    if not fs.exists(f"{directory}/format.json"):
        raise InvalidConfig(f"{directory} is no data directory: it has no format.json", field="DIR")
    lock = lock_directory(fs, directory, os.getpid())
    try:
        survey = survey_directory(fs, directory)
        if survey.unknown and not leave_out:
            raise StoredDataCorrupt(
                f"nothing tells of which topic the records in {', '.join(survey.unknown)} are: "
                "restore partition.json there from a backup, or say --leave-out to make the "
                "metadata without their topics",
                segment=survey.unknown[0],
            )
        topics = sorted(survey.topics.values(), key=lambda topic: topic.name)
        created_ms = min((topic.created_ms for topic in topics), default=clock.wall_ms())
        metadata = rebuild_metadata(
            ClusterValue(survey.identity.cluster_id, created_ms),
            survey.identity.broker_id,
            topics,
            highest_leader_epoch=survey.highest_leader_epoch,
        )
        yield RebuildPlan(directory, survey, metadata, tuple(_aside(fs, directory)))
    finally:
        lock.release()


def check_metadata(fs: FileSystem, directory: str) -> list[CheckFinding]:
    """What is wrong with a data directory's metadata file, and which records of its topics were set
    aside; nothing in a partition's directory. Blocking. Raises OSError."""
    directory = directory.rstrip("/") or "/"
    if not fs.exists(f"{directory}/format.json"):
        return []
    try:
        topics = read_topics(fs, directory)
    except LogdError as error:
        path = f"{directory}/{METADATA_FILE}"
        return [CheckFinding("error", error.reason, path, error.message)]
    return check_orphans(fs, directory, topics)


def read_topics(fs: FileSystem, directory: str) -> list[Topic]:
    """The topics that a data directory's metadata knows, but for those being deleted.

    A copy is opened, with what SQLite left beside it: nothing of the directory changes. Blocking.
    Raises StoredDataCorrupt, UnsupportedVersion, OSError.
    """
    path = f"{directory}/{METADATA_FILE}"
    with tempfile.TemporaryDirectory(prefix="logd-verify-") as folder:
        for suffix in COMPANIONS[:3]:
            if fs.exists(path + suffix):
                Path(folder, METADATA_FILE + suffix).write_bytes(read_file(fs, path + suffix))
        try:
            database = SqliteDatabase(f"{folder}/{METADATA_FILE}", must_exist=True)
            try:
                entries, _ = database.range(TOPICS_PREFIX)
                topics = map(decode_topic, entries)
                return [topic for topic in topics if topic.state is TopicState.READY]
            finally:
                database.close()
        except LogdError as error:
            message = error.message.replace(folder, directory)
            raise type(error)(message, **error.details) from None


def carry_out(fs: FileSystem, plan: RebuildPlan) -> None:
    """Keep the old files under other names, and put the new one in their place by one rename.

    A crash on the way leaves the old file or the new one; it is done again then. Raises OSError,
    StorageFull.
    """
    path = f"{plan.directory}/{METADATA_FILE}"
    fresh = f"{path}.rebuilt"
    for suffix in COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            fs.unlink(fresh + suffix)
    database = SqliteDatabase(fresh)
    try:
        database.fill(plan.metadata.revision, plan.metadata.entries)
    finally:
        database.close()
    with contextlib.suppress(FileNotFoundError):
        fs.unlink(f"{fresh}-journal")
    for old, kept in plan.aside:
        write_atomically(fs, kept, read_file(fs, old))
    for suffix in COMPANIONS[1:]:
        with contextlib.suppress(FileNotFoundError):
            fs.unlink(path + suffix)
    fs.sync_directory(plan.directory)
    fs.rename(fresh, path)
    fs.sync_directory(plan.directory)


def _aside(fs: FileSystem, directory: str) -> Iterator[tuple[str, str]]:
    path = f"{directory}/{METADATA_FILE}"
    number = 1
    while any(fs.exists(f"{path}{suffix}.aside-{number}") for suffix in COMPANIONS):
        number += 1
    for suffix in COMPANIONS:
        if fs.exists(path + suffix) and fs.size(path + suffix):
            yield path + suffix, f"{path}{suffix}.aside-{number}"
