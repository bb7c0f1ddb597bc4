"""Forks: what a second group replays, against logs in memory."""

import math
from dataclasses import replace

import pytest

from harness.group_bench import GroupBench
from harness.memory_log_view import RECORD_BYTES
from logd.model.errors import (
    GroupExists,
    InvalidConfig,
    InvalidName,
    LogdError,
    UnknownGroup,
)
from logd.model.group import (
    CommitRequest,
    Consumer,
    OffsetCommit,
    PartitionLag,
    RewindEpoch,
    Subscription,
    ToOffset,
)
from logd.model.group_replay import Fork, ForkPlan, ReplayPace
from logd.model.group_session import SessionAnswer, SessionMessage
from logd.model.ids import Offset, TopicPartition

STEP_MS = 10_000


async def written(bench: GroupBench, topic: str = "t", partitions: int = 2) -> list[TopicPartition]:
    """A topic with 5 records in each partition, 10 s apart, the first of them now; `g` is done."""
    there = bench.view.add_topic(topic, partitions)
    for _ in range(5):
        for where in there:
            bench.view.produce(where)
        bench.clock.advance(STEP_MS)
    await bench.commit("g", dict.fromkeys(there, 5))
    return there


async def fork(
    bench: GroupBench,
    at_ms: int,
    until_ms: int | None = None,
    speed: float = 0.0,
    source: str = "g",
    to: str = "h",
    *,
    validate_only: bool = False,
) -> ForkPlan:
    return await bench.groups.fork_group(
        Fork(source, to, at_ms, until_ms, speed, "ann", validate_only)
    )


async def join(bench: GroupBench, member_id: str = "m") -> SessionAnswer:
    """What a new member of `h` is told first."""
    commit = CommitRequest("h", (), None, consumer=Consumer(member_id, "peer"), member_epoch=0)
    session = await bench.groups.open_session(SessionMessage(commit, (), Subscription(("t",))))
    return await bench.groups.answer(session)


async def lag(bench: GroupBench) -> list[PartitionLag]:
    return list(await bench.groups.describe_lag("h"))


async def test_it_begins_and_ends_at_times(bench: GroupBench) -> None:
    began_ms = bench.clock.wall_ms()
    a, b = await written(bench)
    bench.view.produce(a, 7)
    plan = await fork(bench, began_ms + 5_000, began_ms + 40_000, validate_only=True)
    assert not plan.executed and plan.from_ms == began_ms + STEP_MS
    assert [(p.partition, p.start, p.end, p.records, p.size_bytes) for p in plan.partitions] == [
        (0, 1, 4, 3, 3 * RECORD_BYTES),
        (1, 1, 4, 3, 3 * RECORD_BYTES),
    ]
    with pytest.raises(UnknownGroup):
        await bench.groups.describe_group("h")
    done = await fork(bench, began_ms + 5_000, began_ms + 40_000)
    assert done == replace(plan, executed=True)
    assert await bench.offsets("h") == {a: 1, b: 1} and await bench.offsets("g") == {a: 5, b: 5}
    (event,) = await bench.groups.list_resets("h")
    assert (event.actor, event.description[:16]) == ("ann", "fork of group g,")
    await bench.restart()
    status = (await bench.groups.describe_group("h")).replay
    assert status is not None and status.clock_ms is None
    assert (status.source, status.from_ms, status.until_ms, status.speed) == (
        "g",
        began_ms + STEP_MS,
        began_ms + 40_000,
        0.0,
    )
    answer = await join(bench)
    assert [(g.position and g.position.offset, g.end) for g in answer.grants] == [(1, 4), (1, 4)]
    assert answer.replay is None, "it has no pace"


async def test_it_is_rewound_as_any_group_but_not_undone(bench: GroupBench) -> None:
    began_ms = bench.clock.wall_ms()
    a, b = await written(bench)
    await fork(bench, began_ms, began_ms + 40_000)
    with pytest.raises(InvalidConfig, match="delete group 'h'"):
        await bench.groups.undo_reset("h", actor="")
    await bench.groups.reset_offsets("h", ToOffset(3), (), actor="")
    assert await bench.offsets("h") == {a: 3, b: 3}
    await bench.groups.undo_reset("h", actor="")
    assert await bench.offsets("h") == {a: 0, b: 0}


async def test_without_an_end_it_goes_on(bench: GroupBench) -> None:
    began_ms = bench.clock.wall_ms()
    a, _ = await written(bench)
    plan = await fork(bench, began_ms)
    assert [(p.start, p.end, p.records) for p in plan.partitions] == [(0, None, 5)] * 2
    assert [grant.end for grant in (await join(bench)).grants] == [None, None]
    bench.view.produce(a, 7)
    assert [each.lag_records for each in await lag(bench)] == [12, 5]


async def test_its_clock_runs_from_the_first_member_on(bench: GroupBench) -> None:
    began_ms = bench.clock.wall_ms()
    await written(bench)
    await fork(bench, began_ms, speed=2.0)
    bench.clock.advance(3_600_000)
    status = (await bench.groups.describe_group("h")).replay
    assert status is not None and status.clock_ms is None
    assert (await join(bench)).replay == ReplayPace(2.0, began_ms)
    bench.clock.advance(4_000)
    await bench.restart()
    assert (await join(bench, "other")).replay == ReplayPace(2.0, began_ms + 8_000)


async def test_lag_is_what_is_to_be_replayed(bench: GroupBench) -> None:
    began_ms = bench.clock.wall_ms()
    a, b = await written(bench)
    await fork(bench, began_ms, began_ms + 30_000, speed=1.0)
    (other,) = bench.view.add_topic("other", 1, records=3)
    assert [(each.lag_records, each.high_watermark) for each in await lag(bench)] == [(3, 3)] * 2
    answer = await join(bench)
    grants = {grant.topic_partition: grant.epoch for grant in answer.grants}
    assert set(grants) == {a, b} and other not in grants
    reading = [each.reason for each in await lag(bench)]
    assert reading == ["reading", "reading"], "the first is due at once"
    epoch = max(grants.values())
    commit = CommitRequest(
        "h",
        (OffsetCommit(a, Offset(1)), OffsetCommit(b, Offset(3))),
        RewindEpoch(answer.rewind_epoch),
        consumer=Consumer("m", "peer"),
        member_epoch=epoch,
    )
    assert (await bench.groups.commit_offsets(commit)).results == (None, None)
    first, second = await lag(bench)
    assert first.reason == "replayed at 1x: the next record is due in 10.0 s"
    assert (first.lag_records, first.lag_seconds) == (2, 0.0)
    assert (second.reason, second.lag_records) == ("caught up", 0)
    bench.clock.advance(12_500)
    first, _ = await lag(bench)
    assert first.reason == "reading"
    assert (first.reason, first.lag_seconds) == ("reading", 2.5)
    bench.view.starts[b] = 5
    _, second = await lag(bench)
    assert (second.reason, second.records_lost) == ("caught up", 0), "what came later is not its"


@pytest.mark.parametrize(
    ("at", "until", "speed", "why"),
    [
        (100_000, None, 0.0, "yet to come"),
        (10_000, 10_000, 0.0, "after it begins"),
        (10_000, 9_999, 0.0, "after it begins"),
        (10_000, 100_000, 0.0, "'until' is yet to come"),
        (0, None, -1.0, "speed is"),
        (0, None, 0.0001, "speed is"),
        (0, None, 2e6, "speed is"),
        (0, None, math.nan, "speed is"),
        (0, None, math.inf, "speed is"),
        (-(10**15), None, 0.0, "outside the years"),
        (45_000, None, 0.0, "hold no record from then on$"),
        (1_000, 9_000, 0.0, "hold no record from then on, before 'until'"),
    ],
)
async def test_what_cannot_be_meant(
    bench: GroupBench, at: int, until: int | None, speed: float, why: str
) -> None:
    began_ms = bench.clock.wall_ms()
    await written(bench)
    until_ms = None if until is None else began_ms + until
    with pytest.raises(InvalidConfig, match=why):
        await fork(bench, began_ms + at, until_ms, speed)
    with pytest.raises(UnknownGroup):
        await bench.groups.describe_group("h")


async def test_names_that_are_taken_or_unknown(bench: GroupBench) -> None:
    began_ms = bench.clock.wall_ms()
    (a, _) = await written(bench)
    refusals: list[tuple[str, str, type[LogdError]]] = [
        ("g", "g", GroupExists),
        ("nobody", "h", UnknownGroup),
        ("g", "", InvalidName),
    ]
    for source, to, error in refusals:
        with pytest.raises(error):
            await fork(bench, began_ms, source=source, to=to)
    await fork(bench, began_ms)
    with pytest.raises(GroupExists, match="group 'h'"):
        await fork(bench, began_ms)
    await bench.groups.delete_group("h")
    await fork(bench, began_ms + STEP_MS, speed=3.0)
    status = (await bench.groups.describe_group("h")).replay
    assert status is not None and status.speed == 3.0
    bench.view.drop_topic(a)
    with pytest.raises(InvalidConfig, match="has read no topic that is there"):
        await fork(bench, began_ms, to="i")


async def test_members_topics_count_though_nothing_was_committed(bench: GroupBench) -> None:
    began_ms = bench.clock.wall_ms()
    bench.view.add_topic("t", 1, records=4)
    bench.clock.advance(STEP_MS)
    commit = CommitRequest("g", (), None, consumer=Consumer("m", "peer"), member_epoch=0)
    await bench.groups.heartbeat(SessionMessage(commit, (), Subscription(("t",))), 0)
    plan = await fork(bench, began_ms)
    assert [(p.topic, p.start, p.records) for p in plan.partitions] == [("t", 0, 4)]
    assert await bench.offsets("h") == {
        TopicPartition(p.topic_id, p.partition): Offset(0) for p in plan.partitions
    }


async def test_a_goodbye_begins_nothing(bench: GroupBench) -> None:
    began_ms = bench.clock.wall_ms()
    await written(bench)
    await fork(bench, began_ms, speed=2.0)
    goodbye = CommitRequest(
        "h", (), None, consumer=Consumer("m", "peer"), member_epoch=0, leaving=True
    )
    await bench.groups.heartbeat(SessionMessage(goodbye, (), Subscription(("t",))), 0)
    bench.clock.advance(60_000)
    assert (await join(bench)).replay == ReplayPace(2.0, began_ms)


async def test_a_fork_that_gets_on_is_not_told_to_be_blocked(bench: GroupBench) -> None:
    began_ms = bench.clock.wall_ms()
    await written(bench)
    await fork(bench, began_ms, speed=1000.0)
    bench.clock.advance(3_600_000)
    await join(bench)
    bench.clock.advance(40)
    assert [each.reason for each in await lag(bench)] == ["reading"] * 2


async def test_a_clock_that_goes_back_stands_still(bench: GroupBench) -> None:
    began_ms = bench.clock.wall_ms()
    await written(bench)
    await fork(bench, began_ms, speed=2.0)
    await join(bench)
    bench.clock.jump_wall(-3_600_000)
    assert (await join(bench, "other")).replay == ReplayPace(2.0, began_ms)
