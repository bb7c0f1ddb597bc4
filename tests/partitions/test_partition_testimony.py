import errno
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault, FaultyFileSystem
from harness.partition_files import TOPIC, stored_batch, write_partition, write_segment
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd.system.os_file_system import OsFileSystem
from logd_partitions.core.producer_state import ProducerState
from logd_partitions.directory.partition_testimony import PartitionTestimony, Verdict, hear
from logd_partitions.leader_epochs import encode_epochs
from logd_partitions.segment.segment_manifest import SegmentManifest

OWN = TopicPartition(TOPIC.topic_id, PartitionId(0))
SIBLING = TopicPartition(TOPIC.topic_id, PartitionId(1))
OTHER = TopicPartition(TopicId(b"o" * 16), PartitionId(0))
NOBODY: frozenset[TopicPartition] = frozenset()
FS = OsFileSystem()


def manifest(owner: TopicPartition) -> bytes:
    checksum = "crc32c:00000000"
    made = SegmentManifest(*owner, Offset(0), Offset(3), 0, checksum, 0, 0, 0, ())
    return made.to_bytes()


def test_every_kind_of_file_names_its_partition(tmp_path: Path) -> None:
    path = write_partition(tmp_path, 1)
    assert hear(FS, str(path)) == PartitionTestimony(SIBLING, NOBODY, has_records=False)
    (path / "leader-epochs").write_bytes(encode_epochs(OWN))
    assert hear(FS, str(path)).owners == {OWN}
    (path / "producers.snapshot").write_bytes(ProducerState().to_bytes(OTHER, Offset(3)))
    (path / "00000000000000000000.manifest").write_bytes(manifest(SIBLING))
    assert hear(FS, str(path)).owners == {OWN, OTHER, SIBLING}
    for name in ("leader-epochs", "producers.snapshot", "00000000000000000000.manifest"):
        (path / name).write_bytes((path / name).read_bytes()[:-1] + b"?")
    (path / "partition.json").write_bytes(b"{}")
    assert hear(FS, str(path)) == PartitionTestimony(None, NOBODY, has_records=False)


def test_a_file_that_cannot_be_read_tells_nothing_unless_it_may_later(tmp_path: Path) -> None:
    path, fs = write_partition(tmp_path, 0), FaultyFileSystem()
    (path / "leader-epochs").write_bytes(encode_epochs(OWN))
    fs.faults.append(Fault("open", "leader-epochs", errno.EIO))
    assert hear(fs, str(path)).owners == NOBODY
    fs.faults.append(Fault("open", "leader-epochs", errno.EMFILE))
    with pytest.raises(OSError, match="Too many open files"):
        hear(fs, str(path))
    assert hear(fs, str(path)).owners == {OWN}


@pytest.mark.parametrize(
    ("base_offset", "records", "reserved_bytes", "has_records"),
    [(0, 0, 0, False), (0, 0, 4096, False), (0, 2, 0, True), (7, 0, 0, True)],
)
def test_what_counts_as_records(
    tmp_path: Path, base_offset: int, records: int, reserved_bytes: int, has_records: bool
) -> None:
    """An empty segment's name says too that offsets were given."""
    path = write_partition(tmp_path, 0)
    batches = [stored_batch(base_offset, records)] if records else []
    write_segment(path, base_offset, batches, reserved_bytes)
    assert hear(FS, str(path)).has_records is has_records


@pytest.mark.parametrize(
    ("named", "owners", "has_records", "has_point", "all_have_points", "verdict"),
    [
        (None, {OWN}, True, False, False, "own"),
        (OTHER, {OWN}, True, False, True, "own"),
        (None, set(), True, True, True, "own"),
        (None, set(), True, False, False, "unclear"),
        (None, set(), True, False, True, "foreign"),
        (None, {OWN, OTHER}, True, False, False, "unclear"),
        (None, {OTHER}, True, True, True, "unclear"),
        (OTHER, set(), True, True, True, "unclear"),
        (OTHER, {OTHER}, True, False, False, "unclear"),
        (OTHER, {OTHER}, True, False, True, "foreign"),
        (OTHER, set(), False, True, False, "foreign"),
        (None, set(), False, False, False, "foreign"),
    ],
)
def test_verdicts(
    named: TopicPartition | None,
    owners: set[TopicPartition],
    has_records: bool,
    has_point: bool,
    all_have_points: bool,
    verdict: Verdict,
) -> None:
    testimony = PartitionTestimony(named, frozenset(owners), has_records)
    judged = testimony.judge(OWN, has_point=has_point, all_have_points=all_have_points)
    assert judged == verdict


def test_an_owner_is_whom_all_name() -> None:
    assert PartitionTestimony(OWN, NOBODY, True).owner == OWN
    assert PartitionTestimony(None, frozenset({OWN}), True).owner == OWN
    assert PartitionTestimony(OWN, frozenset({OTHER}), True).owner is None
    assert PartitionTestimony(None, NOBODY, True).owner is None
