"""Whose a partition's directory is, where its `partition.json` does not say so.

`leader-epochs`, `producers.snapshot` and the manifests of sealed segments name their partition too,
each under a checksum. Offsets must not be given twice, and no records served as another's, so:

    the others name this partition alone        it is its own: partition.json is made again
    nobody names any, and it has a point        so is this
    it holds no records, or all partitions that
    have any have a point, and this has none    nothing of this partition was ever acknowledged in
                                                it: it is set aside
    anything else                               nobody can tell: the partition is refused
"""

import re
from dataclasses import dataclass
from typing import Literal

from logd.model.errors import LogdError
from logd.model.ids import Offset, TopicPartition
from logd.model.seams import FileSystem
from logd_partitions.atomic_file import read_file
from logd_partitions.core.disk_errors import passes
from logd_partitions.core.producer_state import SNAPSHOT_FILE, snapshot_owner
from logd_partitions.directory.partition_descriptor import FILE_NAME as PARTITION_FILE
from logd_partitions.directory.partition_descriptor import decode_descriptor
from logd_partitions.leader_epochs import EPOCHS_FILE, decode_epochs
from logd_partitions.segment.segment_manifest import SegmentManifest
from logd_partitions.segment.segment_scan import Damage, SegmentScan

SEGMENT_NAME = re.compile(r"(\d{20})\.log")

Verdict = Literal["own", "foreign", "unclear"]


@dataclass(frozen=True, slots=True)
class PartitionTestimony:
    """`named` by partition.json, if it can be read; `owners` are named by other files.
    `has_records`: a segment holds something, or says by its name that offsets were given."""

    named: TopicPartition | None
    owners: frozenset[TopicPartition]
    has_records: bool

    @property
    def owner(self) -> TopicPartition | None:
        """Whose it is, if all that say anything say the same."""
        all_named = self.owners | ({self.named} if self.named is not None else set())
        return next(iter(all_named)) if len(all_named) == 1 else None

    def judge(self, expected: TopicPartition, *, has_point: bool, all_have_points: bool) -> Verdict:
        """Whether it is `expected`'s, which partition.json does not say."""
        if self.owners == {expected}:
            return "own"
        if not self.owners and self.named is None and has_point:
            return "own"
        if not self.has_records or (all_have_points and not has_point):
            return "foreign"
        return "unclear"


def hear(fs: FileSystem, path: str) -> PartitionTestimony:
    """What the directory's files say. Blocking. Raises OSError."""
    named, owners = None, set()
    names = fs.list(path)
    for name in names:
        try:
            if name == PARTITION_FILE:
                named = decode_descriptor(read_file(fs, f"{path}/{name}"), name).topic_partition
            elif (owner := _owner_named_by(fs, path, name)) is not None:
                owners.add(owner)
        except LogdError:
            continue
        except OSError as error:
            if passes(error):  # what cannot be read now may tell later
                raise
    return PartitionTestimony(named, frozenset(owners), _has_records(fs, path, names))


def _owner_named_by(fs: FileSystem, path: str, name: str) -> TopicPartition | None:
    """Raises LogdError where the file is damaged."""
    file_path = f"{path}/{name}"
    if name == EPOCHS_FILE:
        return decode_epochs(read_file(fs, file_path), file_path)[0]
    if name == SNAPSHOT_FILE:
        return snapshot_owner(read_file(fs, file_path))
    if name.endswith(".manifest"):
        return SegmentManifest.from_bytes(read_file(fs, file_path), file_path).topic_partition
    return None


def _has_records(fs: FileSystem, path: str, names: list[str]) -> bool:
    for match in filter(None, map(SEGMENT_NAME.fullmatch, names)):
        if int(match[1]) > 0:
            return True
        file = fs.open(f"{path}/{match[0]}", "read")
        try:
            items = SegmentScan(file, file.size(), bodies=False).items(0, Offset(0))
            if any(not (isinstance(item, Damage) and item.zeros) for item in items):
                return True
        finally:
            file.close()
    return False
