"""`logctl segments adopt`: a directory is a partition's because an operator says so."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from logd.broker.metadata_repair import read_topics
from logd.model.errors import InvalidConfig
from logd.model.ids import PartitionId, TopicPartition
from logd.model.seams import FileSystem
from logd.model.topic import Topic
from logd_partitions.atomic_file import parent_directory
from logd_partitions.directory.directory_lock import lock_directory
from logd_partitions.offline.directory_adoption import adopt, check_adoptable
from logd_partitions.offline.segment_tools import data_directory_of

_NAME = re.compile(r"(?P<number>[0-9]+-)?(?P<topic>.+)-(?P<partition>[0-9]+)")


@dataclass(frozen=True, slots=True)
class AdoptionPlan:
    """`source` is to be `partition` of `topic`, in its place `target`. `in_the_way`: something
    else stands there."""

    directory: str
    source: str
    target: str
    topic: Topic
    partition: PartitionId
    in_the_way: bool


@contextlib.contextmanager
def planned_adoption(fs: FileSystem, source: str) -> Iterator[AdoptionPlan]:
    """The plan, under the data directory's lock; changes nothing. By its name `source` is a
    partition of a topic that the metadata knows.

    Raises DataDirectoryLocked while a broker runs, InvalidConfig, StoredDataCorrupt (metadata),
    OSError.
    """
    source = source.rstrip("/")
    directory = data_directory_of(fs, parent_directory(source))
    match = _NAME.fullmatch(source.rpartition("/")[2])
    if directory is None or match is None:
        raise InvalidConfig(f"{source} is no partition's directory in a data directory")
    lock = lock_directory(fs, directory, os.getpid())
    try:
        is_aside = parent_directory(source) != directory
        name = match["topic"] if is_aside else (match["number"] or "") + match["topic"]
        topic, partition = _find(fs, directory, name), PartitionId(int(match["partition"]))
        if partition >= len(topic.partitions):
            raise InvalidConfig(f"topic '{name}' has no partition {partition}")
        check_adoptable(fs, source, TopicPartition(topic.topic_id, partition))
        target = f"{directory}/{name}-{partition}"
        in_the_way = source != target and fs.exists(target)
        yield AdoptionPlan(directory, source, target, topic, partition, in_the_way)
    finally:
        lock.release()


def carry_out_adoption(fs: FileSystem, plan: AdoptionPlan) -> str | None:
    """Where that stands now which was in the way. Raises OSError, StoredDataCorrupt."""
    where = TopicPartition(plan.topic.topic_id, plan.partition)
    return adopt(fs, plan.directory, plan.source, plan.topic, where)


def _find(fs: FileSystem, directory: str, name: str) -> Topic:
    for topic in read_topics(fs, directory):
        if topic.name == name:
            return topic
    raise InvalidConfig(f"the metadata of {directory} knows no topic '{name}'")
