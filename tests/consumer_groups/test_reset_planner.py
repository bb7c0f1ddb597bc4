"""Every form of a rewind, and its undo."""

from datetime import UTC, datetime

import pytest

from logd.model.errors import InvalidConfig, Overloaded
from logd.model.group import (
    NEVER_REWOUND,
    ByDuration,
    LogBounds,
    ResetTarget,
    RewindEpoch,
    ShiftBy,
    ToCurrent,
    ToEarliest,
    ToGroup,
    ToLatest,
    ToOffset,
    ToPlan,
    ToTime,
)
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_image import RewindBody, RewindEntry, RewindEvent
from logd_consumer_groups.core.reset_planner import (
    RESET_PARTITIONS_MAX,
    ResetPosition,
    describe_target,
    instant_ms,
    plan_reset,
    plan_undo,
    replay_range,
    rewind_body,
)

TOPIC = TopicId(b"t" * 16)
BOUNDS = LogBounds(Offset(10), Offset(100))


def position(
    committed: int | None = 60, asked: int | None = None, number: int = 0, gone: bool = False
) -> ResetPosition:
    return ResetPosition(
        topic="orders",
        topic_id=TOPIC,
        partition=PartitionId(number),
        committed=None if committed is None else Offset(committed),
        bounds=None if gone else BOUNDS,
        asked=asked,
        skipped="the topic is gone" if gone else "",
    )


@pytest.mark.parametrize(
    ("target", "committed", "asked", "to_offset", "replay", "clamped"),
    [
        (ToEarliest(), 60, None, 10, 50, False),
        (ToLatest(), 60, None, 100, -40, False),
        (ToCurrent(), 60, None, 60, 0, False),
        (ToCurrent(), None, None, 100, 0, False),
        (ToCurrent(), 5, None, 10, -5, True),
        (ToOffset(20), 60, None, 20, 40, False),
        (ToOffset(9), 60, None, 10, 50, True),
        (ToOffset(-1), None, None, 10, 0, True),
        (ToOffset(101), 60, None, 100, -40, True),
        (ShiftBy(-20), 60, None, 40, 20, False),
        (ShiftBy(-20), None, None, 80, 0, False),
        (ShiftBy(-51), 60, None, 10, 50, True),
        (ShiftBy(2**63 - 1), 60, None, 100, -40, True),
        (ToTime(5), 60, 33, 33, 27, False),
        (ByDuration(5), 60, 100, 100, -40, False),
        (ToGroup("other"), 60, 70, 70, -10, False),
        (ToGroup("other"), 60, 3, 10, 50, True),
        (ToPlan(()), 60, 1000, 100, -40, True),
    ],
    ids=str,
)
def test_each_form(
    target: ResetTarget,
    committed: int | None,
    asked: int | None,
    to_offset: int,
    replay: int,
    clamped: bool,
) -> None:
    (planned,) = plan_reset(target, [position(committed, asked)])
    assert (planned.from_offset, planned.to_offset) == (committed, to_offset)
    assert (planned.replay_records, planned.clamped) == (replay, clamped)
    assert not planned.skipped


def test_topics_that_are_gone_are_listed_and_left() -> None:
    plan = plan_reset(ToEarliest(), [position(number=1, gone=True), position(number=0)])
    assert [planned.partition for planned in plan] == [0, 1]
    assert plan[1].skipped == "the topic is gone"
    assert plan[1].to_offset == plan[1].from_offset == 60
    body = rewind_body(plan, at_ms=1, description="d", actor="a")
    assert body is not None
    assert [entry.topic_partition.partition for entry in body.entries] == [0]


def test_where_the_other_group_was_never_nothing_is_changed() -> None:
    (planned,) = plan_reset(ToGroup("other"), [position(60, None)])
    assert "committed nothing" in planned.skipped
    assert rewind_body([planned], at_ms=1, description="", actor="") is None


def test_what_will_be_read_again_lies_in_the_log() -> None:
    (planned,) = plan_reset(ToEarliest(), [position(500)])
    assert replay_range(planned, BOUNDS) == (10, 100)
    (forward,) = plan_reset(ToLatest(), [position()])
    assert replay_range(forward, BOUNDS) is None
    (first,) = plan_reset(ToEarliest(), [position(None)])
    assert replay_range(first, BOUNDS) is None


def reset_event() -> RewindEvent:
    entries = (
        RewindEntry(TopicPartition(TOPIC, PartitionId(0)), Offset(90), Offset(10)),
        RewindEntry(TopicPartition(TOPIC, PartitionId(1)), None, Offset(10)),
        RewindEntry(TopicPartition(TOPIC, PartitionId(2)), Offset(3), Offset(10)),
    )
    return RewindEvent(RewindEpoch(7), "RESET", RewindBody(1, "to earliest", "ann", entries))


def test_an_undo_goes_back_to_before_the_reset() -> None:
    positions = [position(15, number=0), position(10, number=1), position(12, number=2)]
    plan = plan_undo(reset_event(), False, positions)
    assert [(p.from_offset, p.to_offset, p.clamped) for p in plan] == [
        (15, 90, False),
        (10, None, False),
        (12, 10, True),
    ]
    gone = plan_undo(reset_event(), False, [position(15, gone=True)])
    assert gone[0].skipped == "the topic is gone"


def test_a_second_undo_changes_nothing() -> None:
    plan = plan_undo(reset_event(), True, [position(90)])
    assert "undone already" in plan[0].skipped
    assert rewind_body(plan, at_ms=1, description="", actor="") is None
    assert plan_undo(None, False, []) == ()


def test_instants() -> None:
    assert instant_ms(ToTime(5), 1000) == 5
    assert instant_ms(ByDuration(400), 1000) == 600
    assert instant_ms(ToEarliest(), 1000) is None
    with pytest.raises(InvalidConfig):
        instant_ms(ByDuration(-1), 1000)
    for time_ms in (-(2**60), 2**60):
        with pytest.raises(InvalidConfig, match="years"):
            instant_ms(ToTime(time_ms), 1000)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (ToEarliest(), "to earliest"),
        (ToLatest(), "to latest"),
        (ToCurrent(), "to current"),
        (ToOffset(3), "to offset 3"),
        (ToTime(1), "to 1970-01-01T00:00:00.500Z by append time"),
        (ToTime(1, True), "to 1970-01-01T00:00:00.500Z by record time"),
        (ByDuration(9), "by 9 ms, to 1970-01-01T00:00:00.500Z"),
        (ShiftBy(-4), "shift by -4"),
        (ShiftBy(4), "shift by +4"),
        (ToGroup("other"), "to group other"),
        (ToPlan(()), "to a plan of 0 positions"),
    ],
)
def test_descriptions(target: ResetTarget, text: str) -> None:
    assert describe_target(target, 500) == text


def test_bounds() -> None:
    with pytest.raises(InvalidConfig, match="twice"):
        plan_reset(ToEarliest(), [position(), position()])
    many = [position(number=number) for number in range(RESET_PARTITIONS_MAX + 1)]
    with pytest.raises(Overloaded):
        plan_reset(ToEarliest(), many)
    with pytest.raises(InvalidConfig, match="actor"):
        rewind_body((), at_ms=1, description="", actor="a" * 257, undoes=NEVER_REWOUND)


@pytest.mark.parametrize(("year", "edge"), [(1, -1), (9999, 1)])
def test_times_of_the_years_1_to_9999_are_taken(year: int, edge: int) -> None:
    first = datetime(year, 1, 1, tzinfo=UTC)
    last = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    time_ms = int((first if edge < 0 else last).timestamp()) * 1000 + (999 if edge > 0 else 0)
    assert instant_ms(ToTime(time_ms), 0) == time_ms
    with pytest.raises(InvalidConfig, match="years 1 to 9999"):
        instant_ms(ToTime(time_ms + edge), 0)
