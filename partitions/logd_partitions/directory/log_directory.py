"""One data directory of one broker: its lock, its identity, its partitions and what is wrong.

    lock              held by the running broker (directory_lock)
    format.json       whose directory this is (directory_format)
    recovery-points   from where a start reads each partition (recovery_points)
    <topic>-<partition>/, .orphaned/, .deleted/   (partition_directories)

A start reads format.json and recovery-points, and of partitions only those that were open. What an
append needs on disk before it may be acknowledged (the partition's directory, its mark `open`) is
noted by `before_first_append` and made durable by `sync`, which the flusher runs in the same round
as the append's own sync: so 10,000 first appends share a few rewrites of one file.
"""

import os
import threading
from functools import partial

import structlog

from logd.model.cluster import HealthProblem, Severity
from logd.model.errors import LogdError, LogReadOnly, StoredDataCorrupt
from logd.model.ids import BrokerId, PartitionId, TopicId, TopicPartition
from logd.model.seams import Clock, FileLock, FileSystem
from logd.model.topic import Topic
from logd_partitions.core.disk_errors import write_error
from logd_partitions.core.producer_identities import ANY_IDENTITY, ProducerIdentities
from logd_partitions.directory.directory_format import DirectoryFormat, read_format, write_format
from logd_partitions.directory.directory_lock import lock_directory
from logd_partitions.directory.directory_port import Recoverable
from logd_partitions.directory.partition_claims import PartitionClaims
from logd_partitions.directory.partition_descriptor import FILE_NAME as PARTITION_FILE
from logd_partitions.directory.partition_descriptor import TopicMembers, topic_members
from logd_partitions.directory.partition_directories import PartitionDirectories, make_directories
from logd_partitions.open_files import OpenFiles
from logd_partitions.partition_log import PartitionLog
from logd_partitions.partition_storage import PartitionStorage, reserve_bytes
from logd_partitions.recovery.recovery_points import RecoveryPoint, RecoveryPoints

logger = structlog.get_logger()

POINTS_FILE = "recovery-points"
SYNCFS_UNCLEAN_MIN = 16
"""From so many unclean partitions on, a start syncs the file system once, not each of them: 10,000
took 13 s."""
POINTS_COLLECTED_MAX = 2000
"""Logs whose points are noted in one go on the loop: some 10 ms."""


class LogDirectory:
    """Implements DirectoryPort for its logs, FlushDirectory for the flusher.

    `open`, `open_log`, `remove_topic`, `sync`, `sync_file_system`,
    `write_points` and `close` block: in a pool, or
    before and after the loop. The rest is for the loop.
    """

    def __init__(
        self, fs: FileSystem, clock: Clock, path: str, lock: FileLock, identity: DirectoryFormat
    ) -> None:
        """Only `open` calls it."""
        self.path = path
        self._fs = fs
        self._clock = clock
        self._lock: FileLock | None = lock
        self._identity = identity
        self._points = RecoveryPoints(fs, f"{path}/{POINTS_FILE}")
        self._directories = PartitionDirectories(fs, path)
        report = partial(self._report, "warning")
        self._claims = PartitionClaims(fs, self._directories, self._points, report)
        self._open_files = OpenFiles(fs)
        self.reserve_bytes = reserve_bytes(fs.total_bytes(path))
        self._logs: dict[TopicPartition, PartitionLog] = {}
        self._topics: dict[TopicId, tuple[Topic, TopicMembers]] = {}
        self._unclean: dict[TopicPartition, None] = {}
        self._synced_at_start: frozenset[TopicPartition] = frozenset()
        self._problems: list[HealthProblem] = []
        self.identities: ProducerIdentities = ANY_IDENTITY  # the cluster's, before any `open_log`
        self._failed: LogReadOnly | None = None
        self._open_marks: set[TopicPartition] = set()
        self._synced_logs: dict[TopicPartition, PartitionLog] = {}
        self._syncing = threading.Lock()
        self._noting = threading.Lock()  # guards the next two; never held over I/O
        self._unsynced_logs: list[tuple[str, Recoverable]] = []
        self._unsynced_marks: dict[TopicPartition, None] = {}

    @staticmethod
    def open(
        fs: FileSystem,
        clock: Clock,
        path: str,
        *,
        broker_id: BrokerId,
        cluster_id: str | None = None,
        process_id: int | None = None,
    ) -> "LogDirectory":
        """Lock the directory, making it if need be, and read what an earlier run left.

        Raises DataDirectoryLocked, UnsupportedVersion (a newer layout), InvalidConfig (another
        broker's or cluster's), StoredDataCorrupt, OSError. `process_id` stands in the lock file.
        """
        path = path.rstrip("/") or "/"
        make_directories(fs, path)
        lock = lock_directory(fs, path, os.getpid() if process_id is None else process_id)
        try:
            # A kill may have come between a rename and its sync: what is read here and acted on
            # must not be undone by a power failure any more.
            fs.sync_directory(path)
            identity = _identify(fs, path, broker_id, cluster_id)
            directory = LogDirectory(fs, clock, path, lock, identity)
            directory._load()
        except BaseException:
            lock.release()
            raise
        return directory

    @property
    def cluster_id(self) -> str:
        """Empty until `bind_cluster` in a new directory."""
        return self._identity.cluster_id

    def bind_cluster(self, cluster_id: str) -> None:
        """Tie a new directory to its cluster; check any other. Raises InvalidConfig, OSError."""
        broker_id = self._identity.broker_id
        self._identity.check(self.path, broker_id=broker_id, cluster_id=cluster_id)
        if not self._identity.cluster_id:
            self._identity = DirectoryFormat(cluster_id, broker_id)
            write_format(self._fs, self.path, self._identity)

    def unclean(self) -> list[TopicPartition]:
        """Partitions that the last run left open and that were not opened since: `open_log` scans
        them."""
        return list(self._unclean)

    def in_doubt(self) -> list[tuple[str, PartitionId]]:
        """Topic names and numbers of directories that a start without recovery points found, and
        that do not say that they are what they are called: `open_log` judges them."""
        return list(self._claims.in_doubt)

    def with_data(self) -> list[TopicPartition]:
        """Partitions that have ever been appended to, in the order in which that began."""
        return self._points.known()

    def point(self, topic_partition: TopicPartition) -> tuple[bool, RecoveryPoint | None]:
        """The partition's recovery point, and whether it is sure that one without a point holds
        nothing."""
        return self._points.knows_all, self._points.get(topic_partition)

    def problems(self) -> list[HealthProblem]:
        """What operators should know of, until the next start."""
        return [*self._problems, *(p for log in list(self._logs.values()) for p in log.problems())]

    def open_log(
        self, topic: Topic, partition: PartitionId, *, replicated: bool = False
    ) -> PartitionLog:
        """The partition's log; scans what a crash left. Makes nothing on disk where nothing is.

        `replicated`: see `PartitionLog.open`. One call a partition at a time. Raises
        StoredDataCorrupt where its directory is gone, or it can't be told whose it is.
        """
        topic_partition = TopicPartition(topic.topic_id, partition)
        found = self._logs.get(topic_partition)
        if found is not None:
            return found
        path = self._directories.path_of(topic.name, partition)
        known = self._topics.get(topic.topic_id)
        if known is None or known[0] is not topic:
            self._topics[topic.topic_id] = topic, topic_members(topic)
        point = self._points.get(topic_partition)
        try:
            self._claims.check(path, topic, self._topics[topic.topic_id][1], topic_partition)
            has_no_point = point is None and self._fs.exists(path)
            if has_no_point:
                # A crash came before the round that makes the directory durable, or its points were
                # lost. What is found in it will be served, so it must not vanish any more.
                self._directories.sync_created([path])
        except OSError as error:
            raise write_error(error, path) from error
        storage = PartitionStorage(
            self._fs,
            self._clock,
            self._open_files,
            self,
            path,
            reserve_bytes=0 if topic.internal else self.reserve_bytes,
            is_synced=topic_partition in self._synced_at_start,
            identities=self.identities,
        )
        log = PartitionLog.open(
            storage, topic_partition, topic.config, point, replicated=replicated
        )
        self._logs[topic_partition] = log
        if topic_partition in self._unclean or has_no_point:
            self._recovered(log)
        return log

    def remove_topic(self, topic: Topic) -> None:
        """Remove all files of a topic; its logs are discarded. Raises OSError; call it again then.

        After a crash in it the topic's directories are whole or gone, and the next start removes
        what was moved away already. What stands in their place and does not say that it is the
        topic's is set aside, so that a topic of the same name does not meet it.
        """
        topic_id, numbers = topic.topic_id, map(PartitionId, range(len(topic.partitions)))
        partitions = [TopicPartition(topic_id, number) for number in numbers]
        for topic_partition in partitions:
            log = self._logs.get(topic_partition)
            if log is not None:
                log.discard()
        paths = [self._directories.path_of(topic.name, tp.partition) for tp in partitions]
        there = [path for path in paths if self._fs.exists(path)]
        own = [path for path in there if self._directories.is_of(path, topic_id)]
        for path in set(there) - set(own):
            self._claims.set_aside(path, f"stood where topic '{topic.name}' was deleted")
        self._directories.delete(own)
        for topic_partition in partitions:
            self._logs.pop(topic_partition, None)
            self._synced_logs.pop(topic_partition, None)
            self._unclean.pop(topic_partition, None)
            self._open_marks.discard(topic_partition)
            self._points.remove(topic_partition)
        self._topics.pop(topic_id, None)
        self._points.write()

    def before_first_append(self, log: Recoverable) -> None:
        """Implements DirectoryPort."""
        self._refuse_if_failed()
        topic_partition = log.topic_partition
        if topic_partition in self._open_marks:
            return
        topic, members = self._topics[topic_partition.topic_id]
        path = self._directories.path_of(topic.name, topic_partition.partition)
        try:
            is_new = not self._fs.exists(f"{path}/{PARTITION_FILE}")
            if is_new:
                self._open_files.give_way(
                    partial(self._directories.create, path, members, topic_partition)
                )
        except OSError as error:
            raise write_error(error, path) from error
        self._points.put(log.recovery_point(open=True))
        self._open_marks.add(topic_partition)
        with self._noting:
            self._unsynced_marks[topic_partition] = None
            if is_new:
                self._unsynced_logs.append((path, log))

    def bounds_changed(self, log: Recoverable) -> None:
        """Implements DirectoryPort."""
        self._refuse_if_failed()
        self._points.put(log.recovery_point(open=log.topic_partition in self._open_marks))
        self.sync()

    @property
    def needs_sync(self) -> bool:
        """Whether appends wait for `sync`."""
        return bool(self._unsynced_marks)

    def is_unsynced(self, log: Recoverable) -> bool:
        """Whether this log's appends wait for `sync`."""
        return log.topic_partition in self._unsynced_marks

    def sync(self) -> None:
        """Make what was noted durable. Raises OSError: then it is still noted."""
        with self._syncing:  # what one has taken to sync, another must not take for synced
            self._sync()

    def _sync(self) -> None:
        with self._noting:
            live = [(path, log) for path, log in self._unsynced_logs if not log.closed]
            marks, self._unsynced_logs = list(self._unsynced_marks), []
        try:
            paths = [path for path, _ in live]
            self._open_files.give_way(partial(self._directories.sync_created, paths))
            self._open_files.give_way(self._points.write)
        except OSError:
            with self._noting:
                self._unsynced_logs = live + self._unsynced_logs
            if not any(log.closed for _, log in live):
                raise
            self._sync()  # without those whose topic was deleted meanwhile
            return
        with self._noting:
            for topic_partition in marks:
                self._unsynced_marks.pop(topic_partition, None)

    def sync_file_system(self) -> None:
        """Sync all that is dirty on the directory's file system. Raises OSError."""
        self._fs.sync_file_system(self.path)

    def note_synced(self, log: PartitionLog) -> None:
        """The log's synced end has moved: its recovery point follows with the next rewrite."""
        self._synced_logs[log.topic_partition] = log

    def collect_points(self) -> bool:
        """Note the points of synced logs for `write_points`; whether there were any."""
        collected = list(self._synced_logs.values())[:POINTS_COLLECTED_MAX]
        for log in collected:
            del self._synced_logs[log.topic_partition]
            self._points.put(log.recovery_point(open=True))
        return bool(collected)

    def write_points(self) -> None:
        """Rewrite the recovery points if any changed. Raises OSError, which loses nothing."""
        self._points.write()

    def mark_failed(self, error: Exception) -> None:
        """A sync failed: no log here takes an append any more. Repeated calls do nothing.

        The failed pages may count as clean now, so nothing is retried; recovery points stay as
        they are, below all that is in doubt.
        """
        if self._failed is not None:
            return
        message = (
            f"a sync failed in {self.path} ({error}): it takes no more appends; replace the disk, "
            "or restart the broker to scan it"
        )
        self._failed = LogReadOnly(message, directory=self.path)
        logger.error("data directory turned read-only", directory=self.path, error=str(error))
        self._report("error", "LOG_READ_ONLY", self.path, message)
        for log in self._logs.values():
            log.sync_failed(error)

    def close(self) -> None:
        """A clean stop: close the logs, note them as closed, release the lock.

        A log that cannot be closed stays open in recovery-points, and is scanned by the next start.
        """
        if self._lock is None:
            return
        for topic_partition, log in self._logs.items():
            try:
                log.close()
            except (OSError, LogdError) as error:
                logger.error("a log did not close", partition=str(topic_partition), error=error)
                continue
            if self._points.get(topic_partition) is not None:
                self._points.put(log.recovery_point(open=False))
        if self._failed is None:
            try:
                self._points.write()
            except OSError as error:
                logger.error("recovery points not written; the next start scans", error=error)
        self._open_files.close()
        self._lock.release()
        self._lock = None

    def _load(self) -> None:
        self._directories.finish_deletions()
        self._claims.load_orphans()
        try:
            self._points.load()
            self._unclean = {p.topic_partition: None for p in self._points.all() if p.open}
        except (FileNotFoundError, StoredDataCorrupt) as error:
            if not self.cluster_id and not self._directories.any():
                self._points.write()  # none yet: from now on, that they are not there is damage
            else:
                self._lost_points(error)
        self._claims.load_doubts()
        if len(self._unclean) >= SYNCFS_UNCLEAN_MIN:
            self._fs.sync_file_system(self.path)
            self._synced_at_start = frozenset(self._unclean)

    def _lost_points(self, error: Exception) -> None:
        self._points.knows_all = False
        found = self._directories.all()
        self._unclean = {descriptor.topic_partition: None for descriptor in found}
        if self._directories.any():
            message = f"{error}; all partitions are read from their start"
            self._report("warning", "RECOVERY_POINTS_LOST", self.path, message)

    def _recovered(self, log: PartitionLog) -> None:
        topic_partition = log.topic_partition
        if self._points.get(topic_partition) is not None:
            self._open_marks.add(topic_partition)  # on disk since the last run
        self._points.put(log.recovery_point(open=True))
        self._unclean.pop(topic_partition, None)

    def _refuse_if_failed(self) -> None:
        if self._failed is not None:
            raise LogReadOnly(self._failed.message, directory=self.path)

    def _report(self, severity: Severity, reason: str, resource: str, message: str) -> None:
        logger.warning("storage problem", reason=reason, resource=resource, message=message)
        now_ms = self._clock.wall_ms()
        self._problems.append(HealthProblem(severity, reason, resource, message, now_ms))


def _identify(
    fs: FileSystem, path: str, broker_id: BrokerId, cluster_id: str | None
) -> DirectoryFormat:
    """Read format.json, or write it in a directory that is new."""
    try:
        identity = read_format(fs, path)
    except FileNotFoundError:
        if fs.exists(f"{path}/{POINTS_FILE}") or PartitionDirectories(fs, path).any():
            raise StoredDataCorrupt(
                f"{path} holds partitions but no format.json: restore it from a backup, "
                "or set data_dir right",
                segment=f"{path}/format.json",
            ) from None
        identity = DirectoryFormat(cluster_id or "", broker_id)
        write_format(fs, path, identity)
    identity.check(path, broker_id=broker_id, cluster_id=cluster_id)
    return identity
