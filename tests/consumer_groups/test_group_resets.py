"""Rewinds and their undos, planned and applied, against logs in memory."""

import pytest

from harness.group_bench import GroupBench
from harness.memory_log_view import RECORD_BYTES, RECORD_TIME_BEHIND_MS
from logd.model.errors import (
    UnknownGroup,
)
from logd.model.group import (
    ByDuration,
    Consumer,
    PlannedOffset,
    ShiftBy,
    ToCurrent,
    ToEarliest,
    ToGroup,
    ToLatest,
    ToOffset,
    TopicSelection,
    ToPlan,
    ToTime,
)
from logd.model.ids import PartitionId


async def test_a_reset_is_planned_first_and_undone_after(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=100)
    await bench.commit("g", {a: 80})
    planned = await bench.groups.reset_offsets(
        "g", ToOffset(20), (), actor="ann", validate_only=True
    )
    assert planned.rewind_epoch == -1 and await bench.offsets("g") == {a: 80}
    (partition,) = planned.partitions
    assert (partition.replay_records, partition.replay_bytes) == (60, 60 * RECORD_BYTES)
    done = await bench.groups.reset_offsets("g", ToOffset(20), (), actor="ann")
    assert done.partitions == planned.partitions
    await bench.commit("g", {a: 30}, done.rewind_epoch)
    undone = await bench.groups.undo_reset("g", actor="bob")
    assert await bench.offsets("g") == {a: 80}
    assert undone.rewind_epoch > done.rewind_epoch
    again = await bench.groups.undo_reset("g", actor="bob")
    assert again.rewind_epoch == undone.rewind_epoch
    assert [p.skipped for p in again.partitions] == ["the rewind was undone already"]
    await bench.restart()
    undo, reset = await bench.groups.list_resets("g")
    assert (reset.kind, reset.description, reset.actor) == ("RESET", "to offset 20", "ann")
    assert (undo.kind, undo.actor, undo.rewind_epoch) == ("UNDO", "bob", undone.rewind_epoch)
    assert undo.description == f"undo of rewind {done.rewind_epoch}"
    assert reset.partitions == done.partitions


async def test_an_undo_forgets_what_the_reset_committed_first(bench: GroupBench) -> None:
    a, b = bench.view.add_topic("orders", 2, records=10)
    await bench.commit("g", {a: 5})
    topics = [TopicSelection(a.topic_id)]
    await bench.groups.reset_offsets("g", ToCurrent(), topics, actor="")
    assert await bench.offsets("g") == {a: 5, b: 10}
    await bench.groups.undo_reset("g", actor="")
    assert await bench.offsets("g") == {a: 5}


async def test_times_and_durations(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    bench.clock.advance(60_000)
    bench.view.produce(a, 5)
    await bench.commit("g", {a: 15})
    plan = await bench.groups.reset_offsets("g", ByDuration(1000), (), actor="")
    assert plan.at_ms == bench.clock.wall_ms() - 1000
    assert await bench.offsets("g") == {a: 10}
    at_ms = bench.clock.wall_ms() - 60_000
    plan = await bench.groups.reset_offsets("g", ToTime(at_ms), (), actor="")
    assert plan.at_ms == at_ms and await bench.offsets("g") == {a: 0}
    await bench.groups.reset_offsets("g", ToTime(at_ms, by_record_time=True), (), actor="")
    assert await bench.offsets("g") == {a: 15}
    record_age_ms = RECORD_TIME_BEHIND_MS + 1000
    for age_ms, offset in ((record_age_ms, 10), (RECORD_TIME_BEHIND_MS - 1, 15)):
        target = ByDuration(age_ms, by_record_time=True)
        plan = await bench.groups.reset_offsets("g", target, (), actor="")
        assert plan.at_ms == bench.clock.wall_ms() - age_ms
        assert await bench.offsets("g") == {a: offset}


async def test_a_group_is_put_where_another_is(bench: GroupBench) -> None:
    a, b = bench.view.add_topic("orders", 2, records=10)
    await bench.commit("from", {a: 4})
    plan = await bench.groups.reset_offsets("to", ToGroup("from"), (), actor="", create=True)
    assert await bench.offsets("to") == {a: 4}
    assert plan.rewind_epoch >= 0
    await bench.commit("to", {b: 3}, plan.rewind_epoch)
    plan = await bench.groups.reset_offsets("to", ToGroup("from"), (), actor="")
    assert [bool(p.skipped) for p in plan.partitions] == [False, True]
    with pytest.raises(UnknownGroup):
        await bench.groups.reset_offsets("to", ToGroup("form"), (), actor="")


async def test_plans_are_exact_and_skip_what_is_gone(bench: GroupBench) -> None:
    a, b = bench.view.add_topic("orders", 2, records=10)
    (old,) = bench.view.add_topic("old", records=10)
    await bench.commit("g", {a: 4, b: 4, old: 4})
    bench.view.drop_topic(old)
    plan = ToPlan(
        (
            PlannedOffset("orders", a.topic_id, a.partition, 7),
            PlannedOffset("orders", b.topic_id, b.partition, 70),
            PlannedOffset("", old.topic_id, old.partition, 1),
            PlannedOffset("never", None, PartitionId(0), 1),
        )
    )
    done = await bench.groups.reset_offsets("g", plan, (), actor="")
    by_topic = {(p.topic, int(p.partition)): p for p in done.partitions}
    assert by_topic["orders", 1].clamped and by_topic["orders", 1].to_offset == 10
    assert by_topic[old.topic_id.hex(), 0].skipped and by_topic["never", 0].skipped
    assert await bench.offsets("g") == {a: 7, b: 10, old: 4}
    only = [TopicSelection(a.topic_id, (a.partition,))]
    done = await bench.groups.reset_offsets("g", plan, only, actor="")
    assert {p.topic for p in done.partitions if not p.skipped} == {"orders"}
    assert len([p for p in done.partitions if p.topic == "orders"]) == 1


async def test_topics_that_are_gone_are_skipped_in_resets_and_undos(bench: GroupBench) -> None:
    (a,), (b,) = bench.view.add_topic("a", records=10), bench.view.add_topic("b", records=10)
    await bench.commit("g", {a: 9, b: 9})
    await bench.groups.reset_offsets("g", ToEarliest(), (), actor="")
    bench.view.drop_topic(b)
    undo = await bench.groups.undo_reset("g", actor="")
    assert [(p.topic, bool(p.skipped)) for p in undo.partitions] == [
        (b.topic_id.hex(), True),
        ("a", False),
    ]
    assert await bench.offsets("g") == {a: 9, b: 0}
    reset = await bench.groups.reset_offsets("g", ShiftBy(-1), (), actor="")
    assert [bool(p.skipped) for p in reset.partitions] == [True, False]


async def test_a_reset_makes_a_group_only_where_that_is_asked(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    await bench.commit("billing", {a: 4})
    topics = [TopicSelection(a.topic_id)]
    planned = PlannedOffset("orders", a.topic_id, a.partition, 3)
    for target, named in (
        (ToLatest(), topics),
        (ToGroup("billing"), ()),
        (ToPlan((planned,)), ()),
    ):
        for only in (True, False):
            with pytest.raises(UnknownGroup, match="did you mean 'billing'"):
                await bench.groups.reset_offsets(
                    "biling", target, named, actor="", validate_only=only
                )
    with pytest.raises(UnknownGroup):  # it has no partitions to reset
        await bench.groups.reset_offsets("new", ToEarliest(), (), actor="", create=True)
    assert [each.group for each in await bench.groups.list_groups()] == ["billing"]
    for only, left in ((True, {}), (False, {a: 10})):
        plan = await bench.groups.reset_offsets(
            "new", ToLatest(), topics, actor="", create=True, validate_only=only
        )
        assert plan.creates_group and await bench.offsets("new") == left
    plan = await bench.groups.reset_offsets("new", ToEarliest(), topics, actor="", create=True)
    assert not plan.creates_group


async def test_a_group_that_a_consumer_asks_about_exists(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10)
    topics = [TopicSelection(a.topic_id)]
    await bench.groups.fetch_offsets("g", topics, Consumer("c1", "peer"))
    plan = await bench.groups.reset_offsets("g", ToLatest(), topics, actor="")
    assert not plan.creates_group and await bench.offsets("g") == {a: 10}
