"""Which records of known topics stand in `.orphaned` alone: for `logctl segments verify`."""

from collections import deque
from collections.abc import Iterator, Sequence

from logd.model.errors import InvalidConfig
from logd.model.ids import Offset, PartitionId
from logd.model.record_batch import BatchHeader
from logd.model.seams import FileSystem
from logd.model.topic import Topic
from logd_partitions.directory.partition_directories import PartitionDirectories
from logd_partitions.directory.partition_testimony import hear
from logd_partitions.offline.directory_check import CheckFinding
from logd_partitions.offline.segment_tools import find_partitions
from logd_partitions.segment.segment_scan import ScannedBatch, SegmentScan


def check_orphans(fs: FileSystem, root: str, topics: Sequence[Topic]) -> list[CheckFinding]:
    """An error for each directory that was set aside with records of a topic which are not in the
    topic's partition. Reads batch headers. Blocking. Raises OSError."""
    directories = PartitionDirectories(fs, root)
    by_id = {topic.topic_id: topic for topic in topics}
    by_path = {
        directories.path_of(topic.name, PartitionId(number)): (topic, PartitionId(number))
        for topic in topics
        for number in range(len(topic.partitions))
    }
    findings = []
    for path in directories.orphaned():
        in_place = f"{root}/{path.rpartition('/')[2].partition('-')[2]}"
        try:
            heard = hear(fs, path)
        except NotADirectoryError:
            continue
        owner = heard.owner
        if owner is not None and owner.topic_id in by_id:
            in_place = directories.path_of(by_id[owner.topic_id].name, owner.partition)
        elif owner is not None:
            continue  # of a topic that is gone
        if in_place not in by_path or not heard.has_records:
            continue
        last = _last_batch(fs, path)
        if last is not None and not _holds(fs, in_place, last):
            topic, partition = by_path[in_place]
            message = (
                f"records of topic '{topic.name}', partition {partition}, up to offset "
                f"{last.last_offset} stand here and not in {in_place}: 'logctl segments adopt' "
                "puts them back"
            )
            findings.append(CheckFinding("error", "ORPHANED", path, message))
    return findings


def _last_batch(fs: FileSystem, path: str) -> BatchHeader | None:
    [files] = find_partitions(fs, path)
    for base_offset in reversed(files.bases):
        headers = deque(_headers(fs, files.segment_path(base_offset), base_offset), maxlen=1)
        if headers:
            return headers[0]
    return None


def _holds(fs: FileSystem, path: str, batch: BatchHeader) -> bool:
    """Whether the very same batch stands there, or did before the log's start moved over it."""
    try:
        [files] = find_partitions(fs, path)
    except InvalidConfig:
        return False
    bases = [base for base in files.bases if base <= batch.base_offset]
    if not bases:
        return bool(files.bases)
    return batch in _headers(fs, files.segment_path(bases[-1]), bases[-1])


def _headers(fs: FileSystem, path: str, base_offset: Offset) -> Iterator[BatchHeader]:
    file = fs.open(path, "read")
    try:
        for item in SegmentScan(file, file.size(), bodies=False).items(0, base_offset):
            if isinstance(item, ScannedBatch):
                yield item.header
    finally:
        file.close()
