"""Puts a directory in a partition's place because somebody says that it is that partition's.

For what a start refused, or set aside (`logctl segments adopt`), with the broker stopped. Order:
`partition.json` says whose it is; `recovery-points` has it read from its start; what stands in its
place is set aside; it is moved there. After a crash on the way it is done again.
"""

from logd.model.errors import InvalidConfig
from logd.model.ids import TopicPartition
from logd.model.seams import FileSystem
from logd.model.topic import Topic
from logd_partitions.atomic_file import parent_directory
from logd_partitions.directory.log_directory import POINTS_FILE
from logd_partitions.directory.partition_descriptor import topic_members
from logd_partitions.directory.partition_directories import PartitionDirectories
from logd_partitions.directory.partition_testimony import hear
from logd_partitions.offline.segment_tools import find_partitions
from logd_partitions.recovery.recovery_points import RecoveryPoint, RecoveryPoints


def check_adoptable(fs: FileSystem, source: str, topic_partition: TopicPartition) -> None:
    """Raises InvalidConfig where `source` holds no records or its files name others, OSError."""
    heard = hear(fs, source)
    if heard.owners and topic_partition not in heard.owners:
        others = " and ".join(sorted(map(str, heard.owners)))
        raise InvalidConfig(f"{source} is another partition's: its files name {others}")
    if not heard.has_records:
        raise InvalidConfig(f"{source} holds no records")


def adopt(
    fs: FileSystem, root: str, source: str, topic: Topic, topic_partition: TopicPartition
) -> str | None:
    """`source` is the partition's from now on, in its place; where that stands now which was there.

    Under the lock of the data directory `root`. Raises OSError, StoredDataCorrupt (recovery points
    that a start would find lost: start the broker once before).
    """
    directories = PartitionDirectories(fs, root)
    target = directories.path_of(topic.name, topic_partition.partition)
    directories.rewrite(source, topic_members(topic), topic_partition.partition)
    points = RecoveryPoints(fs, f"{root}/{POINTS_FILE}")
    if fs.exists(f"{root}/{POINTS_FILE}"):
        points.load()
        if source != target or points.get(topic_partition) is None:
            [files] = find_partitions(fs, source)
            first = files.bases[0]
            points.put(RecoveryPoint(*topic_partition, first, 0, first, first, open=True))
            points.write()
    if source == target:
        return None
    aside = directories.set_aside(target) if fs.exists(target) else None
    fs.rename(source, target)
    fs.sync_directory(root)
    fs.sync_directory(parent_directory(source))
    return aside
