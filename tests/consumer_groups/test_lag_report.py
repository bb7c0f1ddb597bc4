"""Lag, and its reason."""

from dataclasses import replace

import pytest

from logd.model.group import Attempts, DoneRange, LogBounds
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_image import Position
from logd_consumer_groups.core.lag_report import (
    BLOCKED_AFTER_MS,
    NOBODY,
    Holder,
    ObservedPartition,
    explain_lag,
    lag_records,
    next_unread,
)
from logd_consumer_groups.core.split_waits import SplitWait

NOW_MS = 1_000_000
PARENT = TopicPartition(TopicId(bytes(16)), PartitionId(3))
BOUNDS = LogBounds(Offset(10), Offset(100))


def at(offset: int, *done: tuple[int, int], since_ms: int = NOW_MS) -> Position:
    return Position(
        Offset(offset), NOW_MS, since_ms, done_ranges=tuple(DoneRange(*d) for d in done)
    )


READING = ObservedPartition(
    topic="orders",
    partition=PartitionId(0),
    bounds=BOUNDS,
    position=at(40),
    lag_bytes=6000,
    next_append_ms=NOW_MS - 2500,
    rate=30.0,
    arrival_rate=10.0,
    holder=Holder("c1", "c1"),
    now_ms=NOW_MS,
)


def test_a_consumer_that_reads() -> None:
    lag = explain_lag(READING)
    assert (lag.committed, lag.lag_records, lag.lag_bytes, lag.lag_seconds) == (40, 60, 6000, 2.5)
    assert (lag.rate, lag.catch_up_seconds, lag.reason) == (30.0, 3.0, "reading")


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        (replace(READING, position=at(100), holder=NOBODY), "caught up"),
        (
            replace(READING, position=at(500)),
            "offset out of range: 500 is committed, the log ends at 100",
        ),
        (replace(READING, holder=Holder("", "m1")), "rebalancing: it goes to m1"),
        (replace(READING, holder=Holder("m1", "m2")), "waiting for m1 to give it up to m2"),
        (
            replace(READING, holder=Holder("m1", "m1", away_ms=400)),
            "waiting for m1, whose session is broken: it has 400 ms to come back",
        ),
        (replace(READING, holder=Holder("m1", "m1", paused=True)), "paused by m1"),
        (
            replace(READING, holder=Holder("m1", "m1", problem="UNDECODABLE_BATCH at offset 41")),
            "m1 cannot read on: UNDECODABLE_BATCH at offset 41",
        ),
        (
            replace(READING, position=replace(at(40), attempts=(Attempts(40, 3), Attempts(44, 1)))),
            "offset 40 failed 3 times, c1 tries again",
        ),
        (replace(READING, position=replace(at(40), attempts=(Attempts(44, 1),))), "reading"),
        (
            replace(READING, holder=Holder("", "m1", waits_for=SplitWait(PARENT, Offset(70)))),
            "waiting for partition 3, which it was split from, to reach 70",
        ),
        (
            replace(READING, holder=Holder("m1", "m1", stalled_ms=60_000)),
            "blocked on offset 40 for 60 s by m1",
        ),
        (
            replace(READING, position=None, holder=Holder("m1", "m1", stalled_ms=60_000)),
            "blocked on offset 10 for 60 s by m1",
        ),
        (replace(READING, position=at(100), holder=Holder("m1", "m2")), "caught up"),
        (replace(READING, holder=NOBODY), "no member"),
        (replace(READING, position=None, holder=NOBODY), "no member"),
        (replace(READING, position=None), "nothing committed"),
        (replace(READING, position=at(4)), "below the log start: 6 records are gone"),
        (replace(READING, position=at(4, (5, 8))), "below the log start: 3 records are gone"),
        (replace(READING, position=at(4, (4, 30))), "reading"),
        (
            replace(READING, position=at(4), holder=NOBODY),
            "below the log start: 6 records are gone",
        ),
        (
            replace(READING, position=at(2), bounds=LogBounds(Offset(6), Offset(6))),
            "below the log start: 4 records are gone",
        ),
        (
            replace(READING, position=at(40, since_ms=0), next_append_ms=NOW_MS - 45_000),
            "blocked on offset 40 for 45 s by c1",
        ),
        (
            replace(READING, position=at(40, since_ms=NOW_MS - 31_000), next_append_ms=0),
            "blocked on offset 40 for 31 s by c1",
        ),
        (replace(READING, position=at(40, since_ms=0)), "reading"),
        (
            replace(
                READING,
                position=at(40, since_ms=NOW_MS - BLOCKED_AFTER_MS + 1),
                next_append_ms=0,
            ),
            "reading",
        ),
    ],
)
def test_reasons(observed: ObservedPartition, reason: str) -> None:
    assert explain_lag(observed).reason == reason


@pytest.mark.parametrize(
    ("rate", "arrival", "seconds"),
    [(None, 0.0, None), (10.0, 10.0, None), (5.0, 10.0, None), (60.0, None, 1.0)],
)
def test_the_time_to_catch_up(
    rate: float | None, arrival: float | None, seconds: float | None
) -> None:
    lag = explain_lag(replace(READING, rate=rate, arrival_rate=arrival))
    assert lag.catch_up_seconds == seconds


def test_caught_up_means_zeros() -> None:
    lag = explain_lag(replace(READING, position=at(100), next_append_ms=None))
    assert (lag.lag_records, lag.lag_bytes, lag.lag_seconds, lag.catch_up_seconds) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("position", "records", "unread"),
    [
        (None, 90, 10),
        (at(4), 90, 10),
        (at(40, (45, 50), (60, 100)), 15, 40),
        (at(40, (40, 45), (45, 50), (60, 61)), 49, 50),
        (at(4, (5, 20)), 80, 20),
        (at(40, (40, 100)), 0, 100),
        (at(200, (201, 202)), 0, 100),
    ],
)
def test_records_done_beyond_the_offset_are_no_lag(
    position: Position | None, records: int, unread: int
) -> None:
    assert lag_records(position, BOUNDS) == records
    assert next_unread(position, BOUNDS) == unread


def test_a_clock_that_went_back_gives_no_negative_age() -> None:
    assert explain_lag(replace(READING, next_append_ms=NOW_MS + 5)).lag_seconds == 0
