import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from harness.log_bench import SMALL_SEGMENTS, TOPIC_PARTITION, LogBench
from logd.model.errors import StoredDataCorrupt
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId
from logd_partitions.leader_epochs import EpochEntry
from logd_partitions.segment_manifest import SegmentManifest

MANIFEST = SegmentManifest(
    TopicId(bytes(range(16))),
    PartitionId(3),
    Offset(100),
    Offset(260),
    4096,
    "ab" * 32,
    1000,
    2000,
    1500,
    (EpochEntry(LeaderEpoch(1), Offset(90)), EpochEntry(LeaderEpoch(4), Offset(200))),
)


def test_golden_bytes() -> None:
    assert MANIFEST.to_bytes().decode() == (
        '{\n "version": 1,\n "topic_id": "000102030405060708090a0b0c0d0e0f",\n "partition": 3,\n'
        ' "base_offset": 100,\n "next_offset": 260,\n "size_bytes": 4096,\n'
        f' "sha256": "{"ab" * 32}",\n "first_append_ms": 1000,\n "last_append_ms": 2000,\n'
        ' "max_record_ms": 1500,\n "leader_epochs": [\n  [\n   1,\n   90\n  ],\n  [\n   4,\n'
        '   200\n  ]\n ],\n "crc32c": "612b9021"\n}\n'
    )


def test_it_reads_back_and_any_change_is_found() -> None:
    data = MANIFEST.to_bytes()
    assert SegmentManifest.from_bytes(data, "x.manifest") == MANIFEST
    for changed in (data.replace(b"4096", b"4097"), data[:-9], b"", b"[]"):
        with pytest.raises(StoredDataCorrupt, match=r"x\.manifest"):
            SegmentManifest.from_bytes(changed, "x.manifest")


def test_maintenance_writes_what_a_sealed_segment_holds(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, replace(SMALL_SEGMENTS, segment_bytes=1 << 20))
    start_ms = bench.clock.wall_ms()
    for epoch in (2, 2, 5, 7):
        bench.append(epoch=epoch, timestamps_ms=5)
        bench.clock.advance(10)
    bench.log.roll()
    bench.append(epoch=9)
    bench.sync()
    bench.log.apply_retention(None)
    path = bench.segment_paths()[0]
    manifest_path = path.with_suffix(".manifest")
    manifest = SegmentManifest.from_bytes(manifest_path.read_bytes(), str(manifest_path))
    data = path.read_bytes()
    assert (manifest.topic_id, manifest.partition) == TOPIC_PARTITION
    assert (manifest.base_offset, manifest.next_offset) == (0, 12)
    assert manifest.size_bytes == len(data)
    assert manifest.sha256 == hashlib.sha256(data).hexdigest()
    assert (manifest.first_append_ms, manifest.last_append_ms) == (start_ms, start_ms + 30)
    assert manifest.max_record_ms == 5
    assert manifest.leader_epochs == ((2, 0), (5, 6), (7, 9))
