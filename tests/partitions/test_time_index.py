import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import StoredDataCorrupt
from logd.model.ids import Offset
from logd_partitions.core.time_index import (
    APPEND_TIME,
    NO_TIME,
    RECORD_TIME,
    TIME_INTERVAL_BYTES,
    TimeIndex,
)

BASE = Offset(50)
STEP = TIME_INTERVAL_BYTES

Batches = list[tuple[int, int]]
"""Append time and record time of each."""


def built(batches: Batches, step: int = STEP) -> TimeIndex:
    index = TimeIndex()
    for number, (append_ms, record_ms) in enumerate(batches):
        index.add(append_ms, record_ms, Offset(BASE + number), number * step)
    return index


def test_golden_bytes() -> None:
    data = built([(1000, 900), (1100, 800)]).to_bytes(9000)
    golden = (
        "e803000000000000 8403000000000000 3200000000000000"  # 1000, 900, offset 50
        "4c04000000000000 8403000000000000 3300000000000000"  # 1100, highest still 900, 51
        "4c475854 02000000"  # 'LGXT', two entries
        "2823000000000000"  # segment_bytes 9000
        "4c04000000000000 8403000000000000"  # last append 1100, highest record time 900
        "00000000"
    )
    expected = bytes.fromhex(golden.replace(" ", ""))
    assert data == expected + crc32c(expected).to_bytes(4, "little")


def test_an_empty_segment_has_no_times() -> None:
    index = TimeIndex.from_sealed(memoryview(TimeIndex().to_bytes(0)), 0)
    assert (index.first_append_ms, index.last_append_ms, index.max_record_ms) == (NO_TIME,) * 3
    assert index.before(0, APPEND_TIME) is None


def test_the_first_batch_and_then_one_an_interval_is_noted() -> None:
    index = built([(number, 2 * number) for number in range(10)], step=STEP // 2)
    assert [index[at].offset for at in range(len(index))] == [50, 52, 54, 56, 58]
    assert (index.last_append_ms, index.max_record_ms) == (9, 18)
    assert index.first_append_ms == 0


def test_where_to_begin_to_look() -> None:
    index = built([(10, 100), (20, 50), (20, 300), (30, 200)])
    assert index.before(10, APPEND_TIME) is None
    assert index.before(11, APPEND_TIME) == 50
    assert index.before(20, APPEND_TIME) == 50, "the first of several at one time"
    assert index.before(21, APPEND_TIME) == 52
    assert index.before(99, APPEND_TIME) == 53
    assert index.before(100, RECORD_TIME) is None
    assert index.before(101, RECORD_TIME) == 51
    assert index.before(301, RECORD_TIME) == 53


rising = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 10**13)), max_size=40)


def with_rising_append_times(steps: Batches) -> Batches:
    append_ms, batches = 10**12, []
    for step, record_ms in steps:
        append_ms += step
        batches.append((append_ms, record_ms))
    return batches


@given(rising)
def test_a_sealed_index_reads_back(steps: Batches) -> None:
    index = built(with_rising_append_times(steps))
    sealed = TimeIndex.from_sealed(memoryview(index.to_bytes(77)), 77)
    assert [sealed[at] for at in range(len(sealed))] == [index[at] for at in range(len(index))]
    times = (index.first_append_ms, index.last_append_ms, index.max_record_ms)
    assert (sealed.first_append_ms, sealed.last_append_ms, sealed.max_record_ms) == times
    with pytest.raises(StoredDataCorrupt):
        TimeIndex.from_sealed(memoryview(index.to_bytes(77)), 78)


@given(rising, st.data())
def test_any_flipped_bit_is_found(steps: Batches, draw: st.DataObject) -> None:
    data = bytearray(built(with_rising_append_times(steps)).to_bytes(77))
    at = draw.draw(st.integers(0, 8 * len(data) - 1))
    data[at // 8] ^= 1 << at % 8
    with pytest.raises(StoredDataCorrupt):
        TimeIndex.from_sealed(memoryview(data), 77)


@given(rising, st.binary(max_size=80), st.integers(BASE, BASE + 60))
def test_unsealed_entries_are_read_as_far_as_they_rise(
    steps: Batches, rest: bytes, end: int
) -> None:
    index = built(with_rising_append_times(steps))
    read = TimeIndex.from_unsealed(index.entry_bytes(0) + rest, BASE, Offset(end))
    entries = [read[at] for at in range(len(read))]
    own = [index[at] for at in range(len(index)) if index[at].offset < end]
    assert entries[: len(own)] == own[: len(entries)]
    assert len(entries) >= len(own)
    offsets = [entry.offset for entry in entries]
    assert offsets == sorted(set(offsets)) and all(offset < end for offset in offsets)


def test_going_on_from_an_entry() -> None:
    index = built([(10, 100), (20, 50), (30, 300), (40, 20)])
    assert index.last_at(49) is None
    assert index.last_at(51) == 51
    resumed = index.up_to(51, STEP)
    assert (len(resumed), resumed.last_append_ms, resumed.max_record_ms) == (2, 20, 100)
    resumed.add(30, 300, Offset(52), 2 * STEP - 1)
    assert (len(resumed), resumed.max_record_ms) == (2, 300)
    resumed.add(40, 20, Offset(53), 2 * STEP)
    assert resumed[2] == (40, 300, 53)


@pytest.mark.parametrize("more", [-1, 1])
def test_a_footer_that_counts_other_entries_is_not_that_of_its_segment(more: int) -> None:
    data = bytearray(built([(1000, 900), (1100, 800)]).to_bytes(9000))
    data[52:56] = (2 + more).to_bytes(4, "little")
    data[-4:] = crc32c(bytes(data[:-4])).to_bytes(4, "little")
    with pytest.raises(StoredDataCorrupt, match="not that of its segment"):
        TimeIndex.from_sealed(memoryview(data), 9000)
