import hashlib
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c

from harness.log_bench import SMALL_SEGMENTS, TOPIC_PARTITION, LogBench
from logd.model.errors import StoredDataCorrupt
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId
from logd.system.os_file_system import OsFileSystem
from logd_partitions.core.checked_json import decode_checked, encode_checked
from logd_partitions.leader_epochs import EpochEntry
from logd_partitions.segment.segment_manifest import (
    SegmentManifest,
    find_sealed_offset,
    matches_file,
)

MANIFEST = SegmentManifest(
    TopicId(bytes(range(16))),
    PartitionId(3),
    Offset(100),
    Offset(260),
    4096,
    "crc32c:0badcafe",
    1000,
    2000,
    1500,
    (EpochEntry(LeaderEpoch(1), Offset(90)), EpochEntry(LeaderEpoch(4), Offset(200))),
)


GOLDEN = (
    '{\n "version": 2,\n "topic_id": "000102030405060708090a0b0c0d0e0f",\n "partition": 3,\n'
    ' "base_offset": 100,\n "next_offset": 260,\n "size_bytes": 4096,\n'
    ' "checksum": "crc32c:0badcafe",\n "first_append_ms": 1000,\n "last_append_ms": 2000,\n'
    ' "max_record_ms": 1500,\n "leader_epochs": [\n  [\n   1,\n   90\n  ],\n  [\n   4,\n'
    '   200\n  ]\n ],\n "crc32c": "CRC"\n}\n'
)
GOLDEN_1 = GOLDEN.replace('"version": 2', '"version": 1').replace(
    '"checksum": "crc32c:0badcafe"', f'"sha256": "{"ab" * 32}"'
)


def test_golden_bytes() -> None:
    assert MANIFEST.to_bytes().decode() == GOLDEN.replace("CRC", "10dac18b")


def test_version_1_is_read() -> None:
    data = GOLDEN_1.replace("CRC", "612b9021").encode()
    expected = replace(MANIFEST, checksum=f"sha256:{'ab' * 32}")
    assert SegmentManifest.from_bytes(data, "x.manifest") == expected


@pytest.mark.parametrize("checksum", ["crc32c:0BADCAFE", "crc32c:1", "md5:00", "", 7])
def test_a_checksum_of_no_known_form_is_refused(checksum: object) -> None:
    members = decode_checked(MANIFEST.to_bytes(), "x.manifest") | {"checksum": checksum}
    with pytest.raises(StoredDataCorrupt, match=r"x\.manifest .* checksum"):
        SegmentManifest.from_bytes(encode_checked(members), "x.manifest")


@pytest.mark.parametrize("size", [0, 1, 100, (1 << 20) - 1, 1 << 20, (2 << 20) + 5])
def test_a_file_is_compared_by_the_algorithm_that_is_named(tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    sums = f"crc32c:{crc32c(data):08x}", f"sha256:{hashlib.sha256(data).hexdigest()}"
    for checksum in sums:
        manifest = replace(MANIFEST, size_bytes=size, checksum=checksum)
        for content in (data, data + b"\0", data[:-1], data[:-1] + b"?"):
            (tmp_path / "x").write_bytes(content)
            file = OsFileSystem().open(str(tmp_path / "x"), "read")
            assert matches_file(manifest, file) == (content == data)
            assert not matches_file(replace(manifest, size_bytes=size + 1), file)
            file.close()


def test_it_reads_back_and_any_change_is_found() -> None:
    data = MANIFEST.to_bytes()
    assert SegmentManifest.from_bytes(data, "x.manifest") == MANIFEST
    for changed in (data.replace(b"4096", b"4097"), data[:-9], b"", b"[]"):
        with pytest.raises(StoredDataCorrupt, match=r"x\.manifest"):
            SegmentManifest.from_bytes(changed, "x.manifest")


@pytest.mark.parametrize(
    "change", [{}, {"partition": 2}, {"topic_id": TopicId(b"?" * 16)}, {"base_offset": 1}]
)
def test_only_a_segments_own_manifest_tells_where_it_ended(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    bench.log.roll()
    bench.append()
    bench.sync()
    bench.log.apply_retention(None)
    path = bench.segment_paths()[0].with_suffix(".manifest")
    manifest = SegmentManifest.from_bytes(path.read_bytes(), str(path))
    path.write_bytes(replace(manifest, next_offset=Offset(500), **change).to_bytes())
    segments = list(bench.open()._segments)
    ended = find_sealed_offset(bench.fs, TOPIC_PARTITION, segments)
    assert ended == (0 if change else 500)


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
    assert manifest.checksum == f"crc32c:{crc32c(data):08x}"
    assert (manifest.first_append_ms, manifest.last_append_ms) == (start_ms, start_ms + 30)
    assert manifest.max_record_ms == 5
    assert manifest.leader_epochs == ((2, 0), (5, 6), (7, 9))
