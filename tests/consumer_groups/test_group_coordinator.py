"""The coordinator, against logs in memory."""

import asyncio

import pytest

from harness.group_bench import GroupBench
from harness.memory_log_view import RECORD_BYTES
from logd.model.errors import (
    CommitBehind,
    CoordinatorLoading,
    GroupNotEmpty,
    GroupRewound,
    InvalidName,
    Overloaded,
    UnknownGroup,
    UnknownPartition,
    UnknownTopic,
)
from logd.model.group import (
    CONSUMER_SEEN_MS,
    CommitRequest,
    Consumer,
    OffsetCommit,
    ToEarliest,
    TopicSelection,
)
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups import group_coordinator


async def test_what_is_committed_is_fetched_also_after_a_restart(bench: GroupBench) -> None:
    a, b = bench.view.add_topic("orders", 2, records=100)
    outcome = await bench.commit("g", {a: 40, b: 50})
    assert outcome.results == (None, None)
    assert (outcome.rewind_epoch, outcome.also_consumed_by) == (-1, "")
    await bench.restart()
    assert await bench.offsets("g") == {a: 40, b: 50}
    found = await bench.groups.fetch_offsets("g", (), Consumer())
    assert found.offsets[0].topic == "orders"
    assert found.offsets[0].committed_ms == bench.clock.wall_ms()


async def test_a_group_that_was_never_seen_has_no_offsets(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    found = await bench.groups.fetch_offsets("g", [TopicSelection(a.topic_id)], Consumer())
    assert [o.offset for o in found.offsets] == [None]
    assert found.rewind_epoch == -1
    with pytest.raises(UnknownTopic):
        await bench.groups.fetch_offsets("g", [TopicSelection(TopicId(b"x" * 16))], Consumer())
    with pytest.raises(UnknownPartition):
        asked = TopicSelection(a.topic_id, (PartitionId(7),))
        await bench.groups.fetch_offsets("g", [asked], Consumer())
    with pytest.raises(InvalidName):
        await bench.groups.fetch_offsets("no/name", (), Consumer())


async def test_a_rewind_reaches_a_running_consumer(bench: GroupBench) -> None:
    a, b = bench.view.add_topic("orders", 2, records=100)
    await bench.commit("g", {a: 80, b: 90}, -1, consumer="c1")
    plan = await bench.groups.reset_offsets("g", ToEarliest(), (), actor="ann")
    assert [(p.from_offset, p.to_offset) for p in plan.partitions] == [(80, 0), (90, 0)]
    for epoch in (-1, None):
        with pytest.raises(GroupRewound) as refused:
            await bench.commit("g", {a: 85, b: 95}, epoch, consumer="c1")
        assert refused.value.details["rewind_epoch"] == str(plan.rewind_epoch)
    with pytest.raises(GroupRewound):
        await bench.commit("g", {}, -1, consumer="c1")
    assert await bench.offsets("g") == {a: 0, b: 0}
    await bench.commit("g", {a: 5}, plan.rewind_epoch)
    assert await bench.offsets("g") == {a: 5, b: 0}


async def test_going_back_needs_leave_and_is_history(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    await bench.commit("g", {a: 9})
    outcome = await bench.commit("g", {a: 3})
    assert isinstance(outcome.results[0], CommitBehind)
    await bench.commit("g", {a: 3}, allow_rewind=True, consumer="c1")
    (event,) = await bench.groups.list_resets("g")
    assert (event.kind, event.actor, event.rewind_epoch) == ("COMMIT", "c1", -1)
    assert (event.partitions[0].from_offset, event.partitions[0].to_offset) == (9, 3)


async def test_two_consumers_of_one_partition_are_warned(bench: GroupBench) -> None:
    a, b = bench.view.add_topic("orders", 2, records=10)
    topics = [TopicSelection(a.topic_id)]
    first = await bench.groups.fetch_offsets("g", topics, Consumer("one", "1.2.3.4:5"))
    second = await bench.groups.fetch_offsets("g", topics, Consumer("two", "1.2.3.4:6"))
    assert (first.also_consumed_by, second.also_consumed_by) == ("", "")
    assert (await bench.commit("g", {a: 1}, consumer="one")).also_consumed_by == "two"
    assert (await bench.commit("g", {a: 1}, consumer="two")).also_consumed_by == "one"
    description = await bench.groups.describe_group("g")
    assert [(c.consumer_id, c.partitions) for c in description.consumers] == [
        ("one", (a, b)),
        ("two", (a, b)),
    ]
    bench.clock.advance(CONSUMER_SEEN_MS)
    assert (await bench.commit("g", {a: 2}, consumer="one")).also_consumed_by == ""


async def test_a_consumer_takes_exactly_what_it_fetches_offsets_of(bench: GroupBench) -> None:
    a, b = bench.view.add_topic("orders", 2, records=10)
    for partitions in ((), (a.partition,)):
        asked = [TopicSelection(a.topic_id, partitions)]
        await bench.groups.fetch_offsets("g", asked, Consumer("one"))
    assert (await bench.commit("g", {b: 1}, consumer="two")).also_consumed_by == ""


async def test_groups_are_listed_and_deleted(bench: GroupBench) -> None:
    (a,), (b,) = bench.view.add_topic("a", records=10), bench.view.add_topic("b", records=10)
    await bench.commit("second", {a: 1, b: 2})
    await bench.commit("first", {a: 1}, consumer="c1")
    await bench.groups.fetch_offsets("third", [TopicSelection(a.topic_id)], Consumer("c2"))
    listed = await bench.groups.list_groups()
    assert [(s.group, s.state, s.topics, s.consumers) for s in listed] == [
        ("first", "ACTIVE", ("a",), 1),
        ("second", "EMPTY", ("a", "b"), 0),
        ("third", "ACTIVE", (), 1),
    ]
    with pytest.raises(GroupNotEmpty):
        await bench.groups.delete_group("first")
    bench.clock.advance(CONSUMER_SEEN_MS)
    assert await bench.groups.delete_group("second", validate_only=True) == 2
    assert await bench.groups.delete_group("second") == 2
    with pytest.raises(UnknownGroup):
        await bench.groups.delete_group("second")
    await bench.restart()
    assert [s.group for s in await bench.groups.list_groups()] == ["first"]


async def test_a_rewind_epoch_never_comes_back_after_a_delete(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    await bench.commit("g", {a: 9})
    first = await bench.groups.reset_offsets("g", ToEarliest(), (), actor="")
    await bench.groups.delete_group("g")
    with pytest.raises(GroupRewound):
        await bench.commit("g", {a: 9}, first.rewind_epoch)
    await bench.commit("g", {a: 9})
    second = await bench.groups.reset_offsets("g", ToEarliest(), (), actor="")
    assert second.rewind_epoch > first.rewind_epoch


async def test_lag_of_all_partitions_of_what_a_group_reads(bench: GroupBench) -> None:
    a, _ = bench.view.add_topic("orders", 2, records=10)
    bench.clock.advance(120_000)
    bench.view.produce(a, 10)
    await bench.commit("g", {a: 4}, consumer="c1")
    bench.clock.advance(10_000)
    await bench.commit("g", {a: 14}, consumer="c1")
    lag_a, lag_b = await bench.groups.describe_lag("g")
    assert (lag_a.topic, lag_a.committed, lag_a.lag_records) == ("orders", 14, 6)
    assert (lag_a.lag_bytes, lag_a.lag_seconds, lag_a.rate) == (6 * RECORD_BYTES, 10.0, 1.0)
    assert lag_a.catch_up_seconds == pytest.approx(6 / (1 - 10 / 60))
    assert lag_a.reason == "reading"
    assert (lag_b.committed, lag_b.lag_records, lag_b.reason) == (None, 10, "no member")
    with pytest.raises(UnknownGroup):
        await bench.groups.describe_lag("h")


async def test_a_leap_over_what_retention_took_is_no_reading(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=1000)
    bench.clock.advance(60_000)
    for offset in (10, 20):
        await bench.commit("g", {a: offset}, consumer="c1")
        bench.clock.advance(10_000)
    bench.view.starts[a] = 900
    await bench.commit("g", {a: 910}, consumer="c1")
    (lag,) = await bench.groups.describe_lag("g")
    assert (lag.rate, lag.catch_up_seconds) == (None, None)
    bench.clock.advance(10_000)
    await bench.commit("g", {a: 930}, consumer="c1")
    (lag,) = await bench.groups.describe_lag("g")
    assert (lag.rate, lag.catch_up_seconds) == (2.0, 35.0)


@pytest.mark.parametrize("taken", [0, 400])
async def test_what_arrives_counts_from_where_the_log_starts(bench: GroupBench, taken: int) -> None:
    """A log that is young, or whose older records of this minute retention took."""
    (a,) = bench.view.add_topic("orders")
    for _ in range(10):
        bench.view.produce(a, 100)
        bench.clock.advance(1_000)
    bench.view.starts[a] = taken
    await bench.commit("g", {a: taken}, consumer="c1")
    bench.clock.advance(2_000)
    await bench.commit("g", {a: taken + 500}, consumer="c1")
    (lag,) = await bench.groups.describe_lag("g")
    records, seconds = 1000 - taken, 12 - taken / 100
    assert lag.rate == 250.0
    assert lag.catch_up_seconds == pytest.approx((records - 500) / (250 - records / seconds))


async def test_answers_wait_for_the_high_watermark(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    bench.log.hold = True
    commit = asyncio.create_task(bench.commit("g", {a: 5}))
    for _ in range(3):
        await asyncio.sleep(0)
    fetch = asyncio.create_task(bench.offsets("g"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not commit.done() and not fetch.done()
    bench.log.release()
    assert (await commit).results == (None,)
    assert await fetch == {a: 5}


async def test_a_commit_during_a_reset_waits_and_is_refused(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    await bench.commit("g", {a: 9}, -1)
    gate = bench.view.gate = asyncio.Event()
    reset = asyncio.create_task(bench.groups.reset_offsets("g", ToEarliest(), (), actor=""))
    await asyncio.sleep(0)
    commit = asyncio.create_task(bench.commit("g", {a: 10}, -1))
    other = await bench.commit("other", {a: 10}, -1)
    assert other.results == (None,) and not commit.done()
    gate.set()
    await reset
    with pytest.raises(GroupRewound):
        await commit
    assert await bench.offsets("g") == {a: 0}


async def test_a_check_changes_nothing(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    outcome = await bench.commit("g", {a: 5}, consumer="c", validate_only=True)
    assert outcome.results == (None,)
    assert await bench.offsets("g") == {} and list(await bench.groups.list_groups()) == []


async def test_an_interval_commit_without_news_writes_nothing(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    await bench.commit("g", {a: 5})
    before = sum(len(p.records) for p in bench.log.partitions.values())
    await bench.commit("g", {a: 5}, -1)
    await bench.commit("g", {}, -1)
    assert sum(len(p.records) for p in bench.log.partitions.values()) == before


async def test_unknown_topics_are_refused_one_by_one(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    nowhere = TopicPartition(TopicId(b"x" * 16), PartitionId(0))
    beyond = TopicPartition(a.topic_id, PartitionId(9))
    outcome = await bench.commit("g", {nowhere: 1, a: 2, beyond: 1})
    assert [type(result) for result in outcome.results] == [
        UnknownTopic,
        type(None),
        UnknownPartition,
    ]


async def test_before_the_log_is_read_nothing_is_said(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    await bench.commit("g", {a: 5})
    bench.groups.lead(bench.groups._shard("g").partition)
    with pytest.raises(CoordinatorLoading):
        await bench.offsets("g")
    with pytest.raises(CoordinatorLoading):
        await bench.commit("g", {a: 6})
    with pytest.raises(CoordinatorLoading):
        await bench.groups.list_groups()
    await bench.groups.loaded()
    assert await bench.offsets("g") == {a: 5}


async def test_the_number_of_groups_is_bounded(
    bench: GroupBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may commit can name groups without end, and each stays until it is deleted."""
    monkeypatch.setattr(group_coordinator, "GROUPS_PER_PARTITION_MAX", 2)
    (a,) = bench.view.add_topic("orders", records=10)
    refused = []
    for number in range(300):
        try:
            await bench.commit(f"g{number}", {a: 1})
        except Overloaded as error:
            assert error.details["limit"] == "groups_per_partition_max"
            refused.append(f"g{number}")
    kept = [summary.group for summary in await bench.groups.list_groups()]
    assert len(kept) == 2 * 16 and len(refused) == 300 - 2 * 16
    await bench.commit(kept[0], {a: 2})
    with pytest.raises(Overloaded):
        await bench.groups.reset_offsets(
            refused[0], ToEarliest(), [TopicSelection(a.topic_id)], actor="ann", create=True
        )
    for group in kept:
        await bench.groups.delete_group(group)
    await bench.commit(refused[0], {a: 1})


async def test_the_epoch_of_a_commit_is_fetched_or_not_known(bench: GroupBench) -> None:
    a, b = bench.view.add_topic("orders", 2, records=10)
    commits = (OffsetCommit(a, Offset(1), LeaderEpoch(0)), OffsetCommit(b, Offset(2)))
    await bench.groups.commit_offsets(CommitRequest("g", commits))
    await bench.restart()
    found = await bench.groups.fetch_offsets("g", (), Consumer())
    assert [o.leader_epoch for o in found.offsets] == [0, None]


@pytest.mark.parametrize("validate_only", [True, False])
async def test_a_consumer_leaves_unless_that_is_only_tried(
    bench: GroupBench, validate_only: bool
) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    one = Consumer("c1")
    await bench.commit("g", {a: 1}, consumer="c1")
    request = CommitRequest("g", (), None, False, one, validate_only, leaving=True)
    await bench.groups.commit_offsets(request)
    (summary,) = await bench.groups.list_groups()
    assert summary.consumers == int(validate_only)
