import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import StoredDataCorrupt
from logd.model.ids import Offset
from logd_partitions.core.offset_index import INDEX_INTERVAL_BYTES, OffsetIndex

BASE = Offset(1000)


def index_of(*entries: tuple[int, int]) -> OffsetIndex:
    index = OffsetIndex(BASE)
    for offset, position in entries:
        index.add(Offset(offset), position)
    return index


def test_golden_bytes() -> None:
    data = index_of((1010, 4096), (1300, 8200)).to_bytes(9000, Offset(1400))
    golden = (
        "0a000000 00100000"  # offset 10 behind the base, position 4096
        "2c010000 08200000"  # 300, 8200
        "4c47584f 02000000"  # 'LGXO', two entries
        "2823000000000000"  # segment_bytes 9000
        "7805000000000000"  # next_offset 1400
        "00000000"
    )
    expected = bytes.fromhex(golden.replace(" ", ""))
    assert data == expected + crc32c(expected).to_bytes(4, "little")


def test_entries_are_an_interval_apart() -> None:
    index = index_of((1000, 0), (1001, 4095), (1002, 4096), (1003, 8191), (1004, 8192))
    assert [index[at] for at in range(len(index))] == [(1002, 4096), (1004, 8192)]


def test_lookups() -> None:
    index = index_of((1010, 5000), (1020, 10_000), (1030, 20_000))
    assert index.floor(Offset(1000)) == (1000, 0)
    assert index.floor(Offset(1009)) == (1000, 0)
    assert index.floor(Offset(1010)) == (1010, 5000)
    assert index.floor(Offset(1029)) == (1020, 10_000)
    assert index.floor(Offset(9999)) == (1030, 20_000)
    assert index.floor_position(4999) == (1000, 0)
    assert index.floor_position(10_000) == (1020, 10_000)
    assert index.above(Offset(1010)) == (1020, 10_000)
    assert index.above(Offset(1030)) is None
    assert len(index.up_to(Offset(1019))) == 1
    assert index.up_to(Offset(1020)).floor(Offset(5000)) == (1020, 10_000)


steps = st.lists(
    st.tuples(st.integers(1, 1000), st.integers(INDEX_INTERVAL_BYTES, 100_000)), max_size=50
)


def built(steps: list[tuple[int, int]]) -> OffsetIndex:
    index, offset, position = OffsetIndex(BASE), BASE, 0
    for records, length in steps:
        offset, position = Offset(offset + records), position + length
        index.add(offset, position)
    return index


@given(steps)
def test_a_sealed_index_reads_back(steps: list[tuple[int, int]]) -> None:
    index = built(steps)
    data = memoryview(index.to_bytes(77, Offset(5000)))
    sealed, next_offset = OffsetIndex.from_sealed(data, BASE, 77)
    assert next_offset == 5000
    entries = [index[at] for at in range(len(index))]
    assert [sealed[at] for at in range(len(sealed))] == entries
    with pytest.raises(StoredDataCorrupt):
        OffsetIndex.from_sealed(data, BASE, 78)


@given(steps, st.data())
def test_any_flipped_bit_is_found(steps: list[tuple[int, int]], draw: st.DataObject) -> None:
    data = bytearray(built(steps).to_bytes(77, Offset(5000)))
    at = draw.draw(st.integers(0, 8 * len(data) - 1))
    data[at // 8] ^= 1 << at % 8
    with pytest.raises(StoredDataCorrupt):
        OffsetIndex.from_sealed(memoryview(data), BASE, 77)


@pytest.mark.parametrize("size", range(0, 40, 3))
def test_any_cut_is_found(size: int) -> None:
    data = index_of((1010, 4096)).to_bytes(77, Offset(5000))
    assert len(data) == 40
    with pytest.raises(StoredDataCorrupt):
        OffsetIndex.from_sealed(memoryview(data)[:size], BASE, 77)


@given(steps, st.binary(max_size=60), st.integers(1000, 60_000))
def test_unsealed_entries_are_read_as_far_as_they_rise(
    steps: list[tuple[int, int]], rest: bytes, end: int
) -> None:
    index = built(steps)
    read = OffsetIndex.from_unsealed(index.entry_bytes(0) + rest, BASE, Offset(end))
    entries = [read[at] for at in range(len(read))]
    own = [index[at] for at in range(len(index)) if index[at][0] < end]
    assert entries[: len(own)] == own[: len(entries)]
    assert entries == sorted(entries) and all(offset < end for offset, _ in entries)
    assert len(entries) >= len(own)


def test_a_stale_footer_is_no_entry() -> None:
    data = index_of((1010, 4096), (1300, 8200)).to_bytes(9000, Offset(1400))
    assert len(OffsetIndex.from_unsealed(data, BASE, Offset(1 << 60))) == 2


def test_tails_join_to_the_whole() -> None:
    index = index_of((1010, 4096), (1300, 9000), (1400, 20_000))
    assert index.entry_bytes(0) == index.up_to(Offset(1010)).entry_bytes(0) + index.entry_bytes(1)


@pytest.mark.parametrize("bad", [(5, 20_000), (40, 4096), (10, 20_000), (40, 8192)])
def test_nothing_behind_an_unsealed_entry_that_does_not_rise_is_read(bad: tuple[int, int]) -> None:
    """However well what follows would fit."""
    entries = [(10, 8192), bad, (90, 90_000)]
    data = b"".join(number.to_bytes(4, "little") for entry in entries for number in entry)
    read = OffsetIndex.from_unsealed(data, BASE, Offset(1 << 60))
    read.add(Offset(BASE + 95), 99_000)
    assert [read[at] for at in range(len(read))] == [(BASE + 10, 8192), (BASE + 95, 99_000)]


@pytest.mark.parametrize("more", [-1, 1])
def test_a_footer_that_counts_other_entries_is_not_that_of_its_segment(more: int) -> None:
    data = bytearray(index_of((1010, 4096), (1300, 8200)).to_bytes(9000, Offset(1400)))
    data[20:24] = (2 + more).to_bytes(4, "little")
    data[-4:] = crc32c(bytes(data[:-4])).to_bytes(4, "little")
    with pytest.raises(StoredDataCorrupt, match="not that of its segment"):
        OffsetIndex.from_sealed(memoryview(data), BASE, 9000)
