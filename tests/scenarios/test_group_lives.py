"""Random lives of groups: replay gives the live state, offsets fall only by recorded rewinds."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harness.group_bench import GroupBench
from logd.model.errors import CommitBehind, GroupRewound, LogReadOnly, OffsetOutOfRange
from logd.model.group import (
    CONSUMER_SEEN_MS,
    ResetTarget,
    ShiftBy,
    ToCurrent,
    ToEarliest,
    ToLatest,
    ToOffset,
    TopicSelection,
)
from logd.model.ids import LeaderEpoch, Offset, TopicPartition
from logd_consumer_groups.core.offset_commits import OFFSET_MAX
from logd_consumer_groups.core.shard_state import ShardState

T = TypeVar("T")

GROUPS = ("billing", "mail", "audit")
groups = st.sampled_from(GROUPS)
partitions = st.integers(0, 2)
targets: st.SearchStrategy[ResetTarget] = st.one_of(
    st.sampled_from([ToEarliest(), ToLatest(), ToCurrent()]),
    st.integers(-5, 130).map(ToOffset),
    st.integers(-40, 40).map(ShiftBy),
)


class GroupLives(RuleBasedStateMachine):
    """The model is what each group was told: its offsets, its epoch, its latest reset."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.bench = GroupBench()
        self.where: list[TopicPartition] = []
        self.offsets: dict[str, dict[TopicPartition, int]] = {}
        self.epochs: dict[str, int] = {}
        self.undo_to: dict[str, dict[TopicPartition, int | None] | None] = {}
        self.events: dict[str, int] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.bench.groups.close())
        self.runner.close()

    @initialize()
    def start(self) -> None:
        self.where = self.bench.view.add_topic("orders", 3, records=100)
        self.bench.view.starts[self.where[0]] = 10
        self.run(self.bench.start())

    @rule(
        group=groups,
        asked=st.dictionaries(partitions, st.integers(-1, 105), min_size=1),
        old_epoch=st.booleans(),
        allow_rewind=st.booleans(),
    )
    def commit(
        self, group: str, asked: dict[int, int], old_epoch: bool, allow_rewind: bool
    ) -> None:
        epoch = self.epochs.get(group, -1)
        offsets = {self.where[number]: offset for number, offset in asked.items()}
        call = self.bench.commit(
            group, offsets, epoch + 1 if old_epoch else epoch, allow_rewind=allow_rewind
        )
        if old_epoch:
            with pytest.raises(GroupRewound):
                self.run(call)
            return
        outcome = self.run(call)
        fell = False
        for (where, offset), error in zip(offsets.items(), outcome.results, strict=True):
            before = self.offsets.get(group, {}).get(where, -1)
            if not 0 <= offset <= OFFSET_MAX:
                assert isinstance(error, OffsetOutOfRange)
            elif offset < before and not allow_rewind:
                assert isinstance(error, CommitBehind)
            else:
                assert error is None
                fell = fell or offset < before
                self.offsets.setdefault(group, {})[where] = offset
        if fell:
            self.bench.clock.advance(1)
            self.events[group] = self.events.get(group, 0) + 1

    @rule(group=groups, number=partitions, to=targets, whole=st.booleans())
    def reset(self, group: str, number: int, to: ResetTarget, whole: bool) -> None:
        known = group in self.offsets
        topics = (
            []
            if whole and known
            else [TopicSelection(self.where[0].topic_id, (self.where[number].partition,))]
        )
        plan = self.run(
            self.bench.groups.reset_offsets(group, to, topics, actor="ann", create=True)
        )
        moved = {TopicPartition(p.topic_id, p.partition): p for p in plan.partitions if p.topic_id}
        assert all(0 <= (p.to_offset or 0) <= 200 for p in moved.values())
        before = self.offsets.setdefault(group, {})
        if not moved:
            return
        assert plan.rewind_epoch > self.epochs.get(group, -1)
        self.epochs[group] = plan.rewind_epoch
        self.undo_to[group] = {where: before.get(where) for where in moved}
        self.events[group] = self.events.get(group, 0) + 1
        for where, planned in moved.items():
            assert planned.from_offset == before.get(where)
            assert planned.to_offset is not None
            before[where] = planned.to_offset

    @rule(group=groups)
    def undo(self, group: str) -> None:
        back = self.undo_to.get(group)
        if group not in self.offsets or back is None:
            return
        plan = self.run(self.bench.groups.undo_reset(group, actor="bob"))
        self.epochs[group] = plan.rewind_epoch
        self.undo_to[group] = None
        self.events[group] += 1
        for where, offset in back.items():
            if offset is None:
                self.offsets[group].pop(where, None)
            else:
                start = self.bench.view.starts[where]
                self.offsets[group][where] = max(start, offset)

    @rule(group=groups)
    def delete(self, group: str) -> None:
        if group not in self.offsets:
            return
        self.bench.clock.advance(CONSUMER_SEEN_MS)
        count = self.run(self.bench.groups.delete_group(group))
        assert count == len(self.offsets.pop(group))
        for kept in (self.epochs, self.undo_to, self.events):
            kept.pop(group, None)

    @rule(number=partitions)
    def produce(self, number: int) -> None:
        self.bench.clock.advance(7)
        self.bench.view.produce(self.where[number], 3)

    @rule()
    def restart(self) -> None:
        self.run(self.bench.restart(self.bench.log.copy()))

    @rule(group=groups, number=partitions)
    def lose_an_append(self, group: str, number: int) -> None:
        """Written, never committed, gone from the log: as if it had not been."""

        async def lose() -> None:
            self.bench.log.hold = True
            offsets = {self.where[number]: 100}
            epoch = self.epochs.get(group, -1)
            call = self.bench.commit(group, offsets, epoch, allow_rewind=True)
            commit = asyncio.create_task(call)
            for _ in range(3):
                await asyncio.sleep(0)
            self.bench.log.fail_commits(LogReadOnly("failed"), lose_tail=True)
            self.bench.log.hold = False
            results = await asyncio.gather(commit, return_exceptions=True)
            unchanged = self.offsets.get(group, {}).get(self.where[number]) == 100
            assert unchanged or isinstance(results[0], LogReadOnly)
            await self.bench.groups.loaded()

        self.run(lose())

    @rule(group=groups)
    def snapshot(self, group: str) -> None:
        shard = self.bench.groups._shard(group)
        trims = len(self.bench.log.trims)
        self.run(shard._snapshot(shard.state))
        assert len(self.bench.log.trims) == trims + 1

    @rule(group=groups, cut=st.integers(0, 3))
    def snapshot_cut_short(self, group: str, cut: int) -> None:
        """The broker dies after some of a snapshot's records."""

        async def die() -> None:
            shard = self.bench.groups._shard(group)
            before = len(self.bench.log.partition(shard.partition).records)
            start = self.bench.log.partition(shard.partition).start
            await shard._snapshot(shard.state)
            left = self.bench.log.copy()
            one = left.partition(shard.partition)
            one.start = start
            del one.records[before + cut :]
            one.high_watermark = len(one.records)
            await self.bench.restart(left)

        self.run(die())

    @invariant()
    def told_state_is_kept(self) -> None:
        for group in GROUPS if self.where else ():
            assert self.run(self.bench.offsets(group)) == self.offsets.get(group, {})
            known = self.bench.groups._shard(group).state.groups.get(group)
            assert (known is not None) == (group in self.offsets)
            if known is not None:
                assert known.rewind_epoch == self.epochs.get(group, -1)
                assert len(known.history) == min(64, self.events.get(group, 0))

    @invariant()
    def replay_gives_the_live_state(self) -> None:
        for number, one in self.bench.log.partitions.items():
            replayed = ShardState()
            for offset in range(one.start, len(one.records)):
                replayed.replay(Offset(offset), LeaderEpoch(0), *one.records[offset])
            replayed.check_complete()
            live = self.bench.groups._shards[number].state
            assert replayed.groups == live.groups
            assert replayed.state_bytes == live.state_bytes


TestGroupLives = pytest.mark.slow(GroupLives.TestCase)
GroupLives.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
