from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.partition_files import stored_batch
from logd.model.ids import LeaderEpoch, Offset
from logd.model.seams import File
from logd.system.os_file_system import OsFileSystem
from logd_partitions.segment import segment_scan
from logd_partitions.segment.segment_scan import Damage, ScannedBatch, SegmentScan

Items = list[ScannedBatch | Damage]


class BytesFile:
    """The reading half of `File`, on bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def pread(self, size: int, at: int) -> bytes:
        return self._data[at : at + size]


def scan(data: bytes, *, bodies: bool = True, start: int = 0, expected: int = 0) -> Items:
    file: File = BytesFile(data)  # type: ignore[assignment]
    return list(SegmentScan(file, len(data), bodies=bodies).items(start, Offset(expected)))


def bases(items: Items) -> list[int]:
    return [item.header.base_offset for item in items if isinstance(item, ScannedBatch)]


def damages(items: Items) -> list[tuple[int, int, int, bool]]:
    return [tuple(item) for item in items if isinstance(item, Damage)]  # type: ignore[misc]


def batches(count: int, records: int = 3) -> list[bytes]:
    return [stored_batch(records * number, records) for number in range(count)]


def test_whole_batches_in_order(tmp_path: Path) -> None:
    data = b"".join(batches(5))
    items = scan(data)
    assert bases(items) == [0, 3, 6, 9, 12] and not damages(items)
    (tmp_path / "x").write_bytes(data)
    file = OsFileSystem().open(str(tmp_path / "x"), "read")
    assert list(SegmentScan(file, len(data), bodies=False).items(0, Offset(0))) == items
    file.close()


@pytest.mark.parametrize("reserved", [8, 96, 4096])
def test_zeros_at_the_end_are_told_from_damage(reserved: int) -> None:
    data = b"".join(batches(2))
    assert damages(scan(data + bytes(reserved))) == [(len(data), len(data) + reserved, 6, True)]
    [damage] = damages(scan(data + bytes(reserved) + b"\1" + bytes(7)))
    assert not damage[3]


@pytest.mark.parametrize("bodies", [True, False])
def test_it_looks_on_behind_damage(bodies: bool) -> None:
    stored = batches(4)
    broken = bytearray(stored[1])
    broken[10] ^= 1
    data = b"".join([stored[0], bytes(broken), *stored[2:]])
    items = scan(data, bodies=bodies)
    assert bases(items) == [0, 6, 9]
    first, second = len(stored[0]), len(stored[0]) + len(stored[1])
    assert damages(items) == [(first, second, 3, False)]


def test_a_broken_body_is_seen_only_when_bodies_are_looked_at() -> None:
    stored = batches(3)
    broken = stored[1][:-1] + bytes([stored[1][-1] ^ 1])
    data = stored[0] + broken + stored[2]
    assert bases(scan(data)) == [0, 6]
    assert bases(scan(data, bodies=False)) == [0, 3, 6]


def test_missing_offsets_are_damage_without_bytes() -> None:
    stored = batches(4)
    data = stored[0] + stored[2] + stored[3]
    assert damages(scan(data)) == [(len(stored[0]), len(stored[0]), 3, False)]
    assert bases(scan(data)) == [0, 6, 9]


def test_offsets_and_epochs_that_fall_are_refused() -> None:
    first, again = stored_batch(5, 3, leader_epoch=4), stored_batch(0, 3, leader_epoch=4)
    older = stored_batch(8, 3, leader_epoch=3)
    newer = stored_batch(8, 3, leader_epoch=9)
    assert bases(scan(first + again + newer, expected=5)) == [5, 8]
    assert bases(scan(first + older + newer, expected=5)) == [5, 8]
    file: File = BytesFile(older)  # type: ignore[assignment]
    items = SegmentScan(file, len(older), bodies=True).items(0, Offset(8), LeaderEpoch(4))
    assert [type(item) for item in items] == [Damage]


def test_a_batch_cut_off_by_the_end_is_none() -> None:
    stored = batches(2)
    data = b"".join(stored)
    for size in range(len(stored[0]) + 1, len(data)):
        assert bases(scan(data[:size])) == [0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.integers(0, 3),
    st.integers(96, 700),
    st.data(),
)
def test_windows_of_any_size_see_the_same(
    sizes: list[int], holes: int, window: int, draw: st.DataObject
) -> None:
    stored, offset = [], 0
    for size in sizes:
        stored.append(stored_batch(offset, size))
        offset += size
    data = bytearray(b"".join(stored) + bytes(draw.draw(st.sampled_from([0, 8, 400]))))
    for _ in range(holes):
        at = draw.draw(st.integers(0, len(data) - 1))
        data[at] ^= 0x10
    for bodies in (True, False):
        large = scan(bytes(data), bodies=bodies)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(segment_scan, "WINDOW_BYTES", window)
            patch.setattr(segment_scan, "HEADER_WINDOW_BYTES", window)
            assert scan(bytes(data), bodies=bodies) == large
    assert set(bases(scan(bytes(data)))) <= {sum(sizes[:n]) for n in range(len(sizes))}


@given(st.binary(max_size=2000))
def test_any_bytes_are_scanned_to_the_end(data: bytes) -> None:
    items = scan(data)
    assert not bases(items)
    assert damages(items) == ([(0, len(data), 0, not any(data))] if data else [])


def test_a_file_that_ends_before_the_scan_does(tmp_path: Path) -> None:
    """Somebody cut it off between the look at its size and the scan."""
    path = tmp_path / "a"
    path.write_bytes(bytes(100))
    file = OsFileSystem().open(str(path), "read")
    (damage,) = SegmentScan(file, 8192, bodies=True).items(0, Offset(0))
    file.close()
    assert damage == Damage(0, 8192, Offset(0), True)
