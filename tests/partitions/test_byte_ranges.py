from hypothesis import given
from hypothesis import strategies as st

from logd_partitions.core.byte_ranges import RANGES_MAX, ByteRanges

spans = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda s: (s[0], s[0] + s[1]))


@given(st.lists(spans, max_size=15))
def test_it_knows_what_a_set_of_bytes_knows(added: list[tuple[int, int]]) -> None:
    ranges, known = ByteRanges(), set()
    for start, end in added:
        ranges.add(start, end)
        known |= set(range(start, end))
    for position in range(90):
        end = position
        while end in known:
            end += 1
        assert ranges.end_at(position) == end
    gaps = sum(1 for byte in known if byte + 1 not in known)
    assert len(ranges) == gaps, "touching ranges are one"


def test_it_forgets_rather_than_grow() -> None:
    ranges = ByteRanges()
    for number in range(RANGES_MAX + 10):
        ranges.add(10 * number, 10 * number + 5)
    assert len(ranges) == RANGES_MAX
    assert ranges.end_at(0) == 0
    assert ranges.end_at(10 * (RANGES_MAX + 9)) == 10 * (RANGES_MAX + 9) + 5
