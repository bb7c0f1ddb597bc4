import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from crc32c import crc32c

from harness.partition_files import TOPIC, stored_batch, write_partition, write_segment
from logd.model.ids import BrokerId, LeaderEpoch, Offset, PartitionId, TopicPartition
from logd.system.os_file_system import OsFile, OsFileSystem
from logd_partitions.core.offset_index import OffsetIndex
from logd_partitions.core.producer_state import ProducerState
from logd_partitions.directory.directory_format import DirectoryFormat, write_format
from logd_partitions.leader_epochs import EpochEntry, encode_epochs
from logd_partitions.offline.directory_check import CheckReport, check_directory
from logd_partitions.recovery.recovery_points import RecoveryPoint, RecoveryPoints
from logd_partitions.segment.segment_manifest import SegmentManifest


class ReadOnly(OsFileSystem):
    """Fails a test that writes."""

    def open(self, path: str, mode: str) -> OsFile:
        assert mode == "read"
        return super().open(path, "read")

    def rename(self, source: str, target: str) -> None:
        raise AssertionError

    unlink = make_directory = remove_directory = lambda self, path: pytest.fail(path)
    lock = lambda self, path, content: pytest.fail(path)  # noqa: E731


def healthy(root: Path, next_offset: int = 9) -> Path:
    """A cleanly stopped directory: one partition of two segments, offsets 0 to 8."""
    fs = OsFileSystem()
    write_format(fs, str(root), DirectoryFormat("c", BrokerId(0)))
    path = write_partition(root, 0)
    first = [stored_batch(0, 3), stored_batch(3, 2)]
    write_segment(path, 0, first)
    last = write_segment(path, 5, [stored_batch(5, 2), stored_batch(7, 2)], reserved_bytes=640)
    (path / "leader-epochs").write_bytes(
        encode_epochs(OWNER, [EpochEntry(LeaderEpoch(1), Offset(0))])
    )
    (path / "producers.snapshot").write_bytes(ProducerState().to_bytes(OWNER, Offset(5)))
    index = OffsetIndex(Offset(0)).to_bytes(sum(map(len, first)), Offset(5))
    (path / "00000000000000000000.index").write_bytes(index)
    points = RecoveryPoints(fs, f"{root}/recovery-points")
    points.put(
        RecoveryPoint(
            TOPIC.topic_id,
            PartitionId(0),
            Offset(5),
            last.stat().st_size,
            Offset(next_offset),
            Offset(0),
            True,
        )
    )
    points.write()
    return path


def check(root: Path) -> CheckReport:
    return check_directory(ReadOnly(), str(root))


def reasons(root: Path) -> list[tuple[str, str, str, int | None]]:
    return [
        (f.severity, f.reason, f.path.removeprefix(f"{root}/"), f.offset)
        for f in check(root).findings
    ]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


OWNER = TopicPartition(TOPIC.topic_id, PartitionId(0))
FIRST, LAST = "orders-0/00000000000000000000.log", "orders-0/00000000000000000005.log"
CORRUPT = "STORED_DATA_CORRUPT"
MANIFEST = SegmentManifest(
    TOPIC.topic_id, PartitionId(0), Offset(0), Offset(5), 0, "crc32c:00000000", 0, 0, 0, ()
)


def test_a_healthy_directory_has_no_findings(tmp_path: Path) -> None:
    healthy(tmp_path)
    report = check(tmp_path)
    assert report.findings == []
    assert not report.is_damaged
    assert (report.partitions, report.segments, report.batches) == (1, 2, 4)
    assert check(tmp_path / "orders-0").findings == []


def test_damage_in_a_sealed_segment(tmp_path: Path) -> None:
    flip(healthy(tmp_path) / "00000000000000000000.log", 100)
    report = check(tmp_path)
    assert report.is_damaged
    [finding] = report.findings
    assert (finding.offset, finding.position) == (0, 0)
    assert finding.path == f"{tmp_path}/{FIRST}"
    assert "offsets 0 up to 3" in finding.message


def test_damage_at_the_end_of_a_sealed_segment(tmp_path: Path) -> None:
    path = healthy(tmp_path) / "00000000000000000000.log"
    flip(path, path.stat().st_size - 1)
    assert reasons(tmp_path) == [("error", CORRUPT, FIRST, 3), ("error", CORRUPT, LAST, 3)]


def test_a_torn_tail_is_a_warning_and_below_the_recovery_point_an_error(tmp_path: Path) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "lost").mkdir()
    for name, next_offset in (("torn", 7), ("lost", 9)):
        path = healthy(tmp_path / name, next_offset) / "00000000000000000005.log"
        flip(path, len(stored_batch(5, 2)) + 100)
    assert reasons(tmp_path / "torn") == [("warning", "TORN_TAIL", LAST, 7)]
    assert not check(tmp_path / "torn").is_damaged
    lost = reasons(tmp_path / "lost")
    assert lost == [("error", CORRUPT, LAST, 7), ("error", CORRUPT, LAST, 7)]


def test_missing_and_truncated_segments(tmp_path: Path) -> None:
    path = healthy(tmp_path)
    (path / "00000000000000000000.log").unlink()
    assert ("error", CORRUPT, LAST, 0) in reasons(tmp_path)
    (path / "00000000000000000005.log").write_bytes(b"")
    assert ("error", CORRUPT, LAST, 5) in reasons(tmp_path)
    (path / "00000000000000000005.log").unlink()
    assert ("error", CORRUPT, "orders-0", 0) in reasons(tmp_path)


def test_what_is_missing_at_the_beginning_is_told_of_the_first_segment_that_is_left(
    tmp_path: Path,
) -> None:
    path = healthy(tmp_path, 11)
    write_segment(path, 9, [stored_batch(9, 2)])
    (path / "00000000000000000000.log").unlink()
    assert ("error", CORRUPT, LAST, 0) in reasons(tmp_path)


def test_offsets_that_stand_twice(tmp_path: Path) -> None:
    write_segment(healthy(tmp_path), 6, [stored_batch(6, 3)])
    assert ("error", CORRUPT, "orders-0/00000000000000000006.log", 6) in reasons(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "recovery-points",
        "orders-0/leader-epochs",
        "orders-0/producers.snapshot",
        "orders-0/00000000000000000000.index",
    ],
)
def test_what_the_broker_makes_again_is_a_warning(tmp_path: Path, name: str) -> None:
    healthy(tmp_path)
    flip(tmp_path / name, 10)
    assert reasons(tmp_path) == [("warning", CORRUPT, name, None)]


@pytest.mark.parametrize(
    "checksum_of",
    [
        lambda data: f"crc32c:{crc32c(data):08x}",
        lambda data: f"sha256:{hashlib.sha256(data).hexdigest()}",
    ],
)
def test_a_manifest_that_is_damaged_or_tells_of_other_bytes(
    tmp_path: Path, checksum_of: Callable[[bytes], str]
) -> None:
    segment = healthy(tmp_path) / "00000000000000000000.log"
    manifest = replace(
        MANIFEST,
        size_bytes=segment.stat().st_size,
        checksum=checksum_of(segment.read_bytes()),
    )
    path = segment.with_suffix(".manifest")
    path.write_bytes(manifest.to_bytes())
    assert reasons(tmp_path) == []
    flip(path, 40)
    name = "orders-0/00000000000000000000.manifest"
    assert reasons(tmp_path) == [("warning", CORRUPT, name, None)]
    path.write_bytes(manifest.to_bytes())
    segment.write_bytes(stored_batch(0, 3) + stored_batch(3, 2, at_ms=1))  # each batch is intact
    assert reasons(tmp_path) == [("error", CORRUPT, FIRST, 0)]


@pytest.mark.parametrize("name", ["format.json", "orders-0/partition.json"])
def test_identities_are_not_made_again(tmp_path: Path, name: str) -> None:
    healthy(tmp_path)
    (tmp_path / name).write_bytes(b"{}")
    assert ("error", CORRUPT, name, None) in reasons(tmp_path)


def test_a_missing_format_is_an_error(tmp_path: Path) -> None:
    healthy(tmp_path)
    (tmp_path / "format.json").unlink()
    assert reasons(tmp_path) == [("error", CORRUPT, "format.json", None)]


def test_files_of_other_partitions_are_made_again(tmp_path: Path) -> None:
    """Each is whole, but in the wrong place."""
    path = healthy(tmp_path)
    other = OWNER._replace(partition=PartitionId(1))
    (path / "leader-epochs").write_bytes(encode_epochs(other))
    (path / "producers.snapshot").write_bytes(ProducerState().to_bytes(other, Offset(5)))
    manifest = path / "00000000000000000000.manifest"
    manifest.write_bytes(replace(MANIFEST, partition=PartitionId(1)).to_bytes())
    assert not check(tmp_path).is_damaged
    assert sorted(name for _, _, name, _ in reasons(tmp_path)) == [
        "orders-0/00000000000000000000.manifest",
        "orders-0/leader-epochs",
        "orders-0/producers.snapshot",
    ]


def test_renamed_orphaned_and_cut(tmp_path: Path) -> None:
    path = healthy(tmp_path)
    (path / "00000000000000000005.900.cut").write_bytes(b"x")
    path.rename(tmp_path / "moved-0")
    (tmp_path / ".orphaned" / "1-a-0").mkdir(parents=True)
    assert [(severity, reason) for severity, reason, _, _ in reasons(tmp_path)] == [
        ("warning", "ORPHANED"),
        ("error", "ORPHANED"),
        ("warning", "POSSIBLE_LOSS"),
    ]


def test_every_flipped_byte_of_a_batch_is_found(tmp_path: Path) -> None:
    path = healthy(tmp_path) / "00000000000000000000.log"
    for at in range(0, path.stat().st_size, 7):
        flip(path, at)
        assert check(tmp_path).is_damaged, at
        flip(path, at)
    assert not check(tmp_path).is_damaged
