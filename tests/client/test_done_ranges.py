import itertools

from hypothesis import given
from hypothesis import strategies as st

from logd_client.core.done_ranges import DoneRanges

spans = st.tuples(st.integers(0, 30), st.integers(0, 8)).map(lambda s: (s[0], s[0] + s[1]))


@given(st.lists(spans, max_size=20), st.integers(0, 40))
def test_ranges_say_what_a_set_of_offsets_says(added: list[tuple[int, int]], at: int) -> None:
    ranges, done = DoneRanges(), set[int]()
    for start, end in added:
        ranges.add(start, end)
        done.update(range(start, end))
    through = next(offset for offset in range(at, 100) if offset not in done)
    assert ranges.through(at) == through
    later = [offset for offset in sorted(done) if offset > at and offset - 1 not in done]
    assert ranges.next_start(at) == (later[0] if later else None)
    beyond = ranges.beyond(through)
    assert {offset for start, end in beyond for offset in range(start, end)} == {
        offset for offset in done if offset > through
    }
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(beyond))
    ranges.forget(through)
    assert len(ranges) == len(beyond) and ranges.beyond(through) == beyond


def test_a_record_that_is_not_done_keeps_two_ranges_apart() -> None:
    ranges = DoneRanges([(5, 6), (7, 9)])
    assert ranges.beyond(4) == ((5, 6), (7, 9))
    ranges.add(6, 7)
    assert ranges.beyond(4) == ((5, 9),)
    assert ranges.through(5) == 9 and ranges.through(4) == 4
