import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.partition_files import TOPIC, stored_batch, write_partition, write_segment
from logd.model.errors import InvalidConfig
from logd.model.ids import BrokerId, Offset
from logd.model.record_batch import BatchHeader, Codec
from logd.system.os_file_system import OsFileSystem
from logd_partitions.directory.directory_format import DirectoryFormat, write_format
from logd_partitions.offline.segment_tools import (
    DumpedBatch,
    data_directory_of,
    dump_segment,
    find_partitions,
    list_segments,
    used_by,
)

FS = OsFileSystem()


def test_segments_are_listed_by_partition_and_offset(tmp_path: Path) -> None:
    first = write_partition(tmp_path, 0)
    write_segment(first, 0, [stored_batch(0, 3, at_ms=1000), stored_batch(3, 2, at_ms=2000)])
    write_segment(first, 5, [])
    second = write_partition(tmp_path, 1)
    data = write_segment(second, 7, [stored_batch(7, 1)], reserved_bytes=4096)
    (tmp_path / "other").mkdir()
    (tmp_path / ".deleted").mkdir()
    found = list_segments(FS, str(tmp_path))
    assert [
        (s.topic, s.partition, s.base_offset, s.next_offset, s.batches, s.records) for s in found
    ] == [("orders", 0, 0, 5, 2, 5), ("orders", 0, 5, 5, 0, 0), ("orders", 1, 7, 8, 1, 1)]
    assert [(s.first_append_ms, s.last_append_ms) for s in found[:2]] == [
        (1000, 2000),
        (None, None),
    ]
    assert found[2].size_bytes == data.stat().st_size
    assert list_segments(FS, f"{tmp_path}/orders-1/") == found[2:]


def test_a_partition_that_does_not_say_whose_it_is(tmp_path: Path) -> None:
    write_segment(write_partition(tmp_path, 0), 0, [stored_batch(0, 1)])
    (tmp_path / "orders-0" / "partition.json").write_bytes(b"{}")
    [found] = find_partitions(FS, str(tmp_path))
    assert found.descriptor is None
    assert "partition.json" in found.problem
    assert [(s.topic, s.partition) for s in list_segments(FS, str(tmp_path))] == [("orders-0", -1)]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_what_is_no_data_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidConfig, match=name):
        list_segments(FS, f"{tmp_path}/{name}")


def test_a_new_data_directory_is_empty(tmp_path: Path) -> None:
    write_format(FS, str(tmp_path), DirectoryFormat("c", BrokerId(0)))
    assert list_segments(FS, str(tmp_path)) == []
    assert data_directory_of(FS, str(tmp_path)) == str(tmp_path)
    assert data_directory_of(FS, f"{tmp_path}/orders-0") == str(tmp_path)
    assert data_directory_of(FS, f"{tmp_path}/a/b") is None


def test_dump_shows_batches_and_what_is_between(tmp_path: Path) -> None:
    batches = [stored_batch(0, 3), stored_batch(3, 2, codec=Codec.LZ4), stored_batch(5, 1)]
    path = write_segment(write_partition(tmp_path, 0), 0, batches, reserved_bytes=64)
    data = bytearray(path.read_bytes())
    data[len(batches[0]) + 100] ^= 1
    path.write_bytes(data)
    ends = [len(batches[0]), len(batches[0] + batches[1]), sum(map(len, batches))]
    assert list(dump_segment(FS, str(path))) == [
        DumpedBatch(0, ends[0], Offset(0), BatchHeader.unpack(batches[0])),
        DumpedBatch(ends[0], ends[1], Offset(3), None),
        DumpedBatch(ends[1], ends[2], Offset(5), BatchHeader.unpack(batches[2])),
        DumpedBatch(ends[2], ends[2] + 64, 6, None, zeros=True),  # type: ignore[arg-type]
    ]


def test_codecs_have_names(tmp_path: Path) -> None:
    batches = [stored_batch(0, 3, codec=codec) for codec in Codec]
    path = tmp_path / "00000000000000000000.log"
    for batch, name in zip(batches, ["none", "lz4", "zstd"], strict=True):
        path.write_bytes(batch)
        assert [item.codec for item in dump_segment(FS, str(path))] == [name]
    assert DumpedBatch(0, 8, Offset(0), None).codec == ""
    odd = BatchHeader.unpack(batches[0])._replace(codec=77)
    assert DumpedBatch(0, 8, Offset(0), odd).codec == "77"


def test_dump_takes_segments_only(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="is no segment"):
        list(dump_segment(FS, f"{tmp_path}/partition.json"))


def test_who_uses_a_directory(tmp_path: Path) -> None:
    assert used_by(FS, str(tmp_path)) == ""
    lock = FS.lock(f"{tmp_path}/lock", str(os.getpid()).encode())
    assert used_by(FS, str(tmp_path)) == str(os.getpid())
    lock.release()
    for text in ("4194303999\n", "no number", ""):
        (tmp_path / "lock").write_text(text)
        assert used_by(FS, str(tmp_path)) == ""


def test_a_topic_whose_name_begins_with_a_dot_is_found(tmp_path: Path) -> None:
    write_partition(tmp_path, 0, replace(TOPIC, name=".hidden"))
    for aside in (".orphaned", ".deleted"):
        (tmp_path / aside).mkdir()
        write_segment(tmp_path / aside, 0, [stored_batch(0, 1)])
    assert [each.name for each in find_partitions(FS, str(tmp_path))] == [".hidden-0"]
