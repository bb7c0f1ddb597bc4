"""Runs say the same as a timestamp each."""

from hypothesis import given
from hypothesis import strategies as st

from logd.model.batch_encoder import encode_batch
from logd.model.timestamp_runs import TimestampRuns

TIMES_MS = st.lists(st.integers(0, 3), min_size=1, max_size=30)


@given(TIMES_MS)
def test_runs_encode_as_a_list_does(times_ms: list[int]) -> None:
    runs = TimestampRuns(times_ms[0])
    for index, time_ms in enumerate(times_ms):
        if time_ms != runs.times_ms[-1]:
            runs.begin(index, time_ms)
    values = [b"v"] * len(times_ms)
    assert encode_batch(values, timestamps_ms=runs) == encode_batch(values, timestamps_ms=times_ms)
    assert [runs.at(index) for index in range(len(times_ms))] == times_ms


def test_a_run_that_begins_where_the_last_did_takes_its_place() -> None:
    runs = TimestampRuns(5)
    runs.begin(0, 7)
    assert runs.times_ms == [7] and runs.at(0) == 7
