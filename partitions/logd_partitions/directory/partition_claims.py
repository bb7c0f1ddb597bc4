"""Which directories may be used as a partition's: what `LogDirectory` asks before it opens a log.

See `partition_testimony` for the rule. What a start could not tell is refused by the next ones too:
the directory stays where it is, and `RecoveryPoints.knows_all` stays false as long as there is any.
"""

import contextlib
from collections.abc import Callable

from logd.model.errors import StoredDataCorrupt
from logd.model.ids import PartitionId, TopicPartition
from logd.model.seams import FileSystem
from logd.model.topic import Topic
from logd_partitions.directory.partition_descriptor import FILE_NAME as PARTITION_FILE
from logd_partitions.directory.partition_descriptor import TopicMembers
from logd_partitions.directory.partition_directories import ORPHANED, PartitionDirectories
from logd_partitions.directory.partition_testimony import hear
from logd_partitions.recovery.recovery_points import RecoveryPoints

Report = Callable[[str, str, str], None]
"""Told of a problem that is a warning: its reason, the directory, a message."""


class PartitionClaims:
    """All methods block; all raise OSError."""

    def __init__(
        self,
        fs: FileSystem,
        directories: PartitionDirectories,
        points: RecoveryPoints,
        report: Report,
    ) -> None:
        self._fs = fs
        self._directories = directories
        self._points = points
        self._report = report
        self._aside: dict[TopicPartition, str] = {}
        self.in_doubt: list[tuple[str, PartitionId]] = []
        """Topic names and numbers of directories that a start without all points found, and that do
        not say that they are what they are called."""

    def load_orphans(self) -> None:
        """Tell of what was set aside, and note whose records it is."""
        for path in self._directories.orphaned():
            message = (
                f"{path} was set aside: it was not what its name says; put it back with "
                "'logctl segments adopt', or remove it"
            )
            self._report("ORPHANED", path, message)
            with contextlib.suppress(NotADirectoryError):
                heard = hear(self._fs, path)
                if heard.owner is not None and heard.has_records:
                    self._aside[heard.owner] = path

    def load_doubts(self) -> None:
        """Once the recovery points are loaded."""
        if not self._points.knows_all:
            self.in_doubt = self._directories.in_doubt()
            self._points.knows_all = not self.in_doubt

    def check(
        self, path: str, topic: Topic, members: TopicMembers, topic_partition: TopicPartition
    ) -> None:
        """On return `path` is this partition's directory, or does not exist and need not.

        Raises StoredDataCorrupt where it is missing, or nothing tells whose it is.
        """
        point = self._points.get(topic_partition)
        if self._fs.exists(path) and self._is_its_own(path, topic, members, topic_partition):
            return
        aside = self._aside.get(topic_partition)
        if point is not None and point.next_offset > 0:
            missing = f"{path} is missing, and with it offsets up to {point.next_offset}"
        elif point is None and aside is not None:
            missing = f"{path} is missing, and its records stand in {aside}"
        else:
            return
        raise StoredDataCorrupt(
            f"the directory {missing}: restore it (with the broker stopped, what stands in "
            f"{ORPHANED} by 'logctl segments adopt'), or delete the topic",
            segment=path,
            next_offset=point.next_offset if point is not None else None,
        )

    def set_aside(self, path: str, why: str) -> None:
        moved = self._directories.set_aside(path)
        self._report("ORPHANED", moved, f"{path} {why}: it was moved to {moved}")

    def _is_its_own(
        self, path: str, topic: Topic, members: TopicMembers, topic_partition: TopicPartition
    ) -> bool:
        """Whether the directory at `path` is this partition's. Sets aside any other."""
        try:
            found = self._directories.read(path)
            if found.topic_partition == topic_partition and found.topic_name == topic.name:
                if found.revision < topic.revision:
                    self._directories.rewrite(path, members, topic_partition.partition)
                return True
            why = f"{path}/{PARTITION_FILE} names another partition"
        except (FileNotFoundError, StoredDataCorrupt) as error:
            why = str(error)
        verdict = hear(self._fs, path).judge(
            topic_partition,
            has_point=self._points.get(topic_partition) is not None,
            all_have_points=self._points.knows_all,
        )
        if verdict == "foreign":
            self.set_aside(path, f"is not that of topic '{topic.name}' ({why})")
            return False
        if verdict == "unclear":
            raise StoredDataCorrupt(
                f"{path} holds records, but nothing tells for sure that they are those of topic "
                f"'{topic.name}', partition {topic_partition.partition} ({why}): it is neither "
                "read nor written. If they are, stop the broker and run 'logctl segments adopt "
                f"{path}'; else move the directory away, or delete the topic",
                segment=path,
            )
        self._directories.rewrite(path, members, topic_partition.partition)
        self._report("PARTITION_FILE_REWRITTEN", path, f"{why}; written anew")
        return True
