"""Coordinates consumer groups: the broker's Groups port. Start reading here.

A group lives in one partition of __consumer_offsets, `mmh3(name) % 16`; whoever leads that
partition coordinates it. Decisions are pure (`core`), changes go through a GroupShard.
"""

import asyncio
import contextlib
import difflib
from collections.abc import Iterator, Sequence
from itertools import islice

import mmh3

from logd.model.errors import (
    GroupExists,
    GroupNotEmpty,
    GroupRewound,
    InvalidConfig,
    LogdError,
    NotCoordinator,
    Overloaded,
    UnknownGroup,
)
from logd.model.group import (
    NEVER_REWOUND,
    OFFSETS_PARTITIONS,
    CommitAnswer,
    CommitRequest,
    CommittedOffset,
    Consumer,
    GroupConsumer,
    GroupDescription,
    GroupOffsets,
    GroupSummary,
    PartitionLag,
    ResetEvent,
    ResetPlan,
    ResetTarget,
    ToGroup,
    TopicSelection,
    ToPlan,
)
from logd.model.group_replay import Fork, ForkPlan
from logd.model.group_session import SessionAnswer, SessionMessage
from logd.model.ids import LeaderEpoch, PartitionId, TopicPartition
from logd.model.seams import Clock
from logd.model.topic import Topic, check_name
from logd.system.background_tasks import BackgroundTasks
from logd_consumer_groups.core.consumers_seen import check_consumer
from logd_consumer_groups.core.group_state import GroupState
from logd_consumer_groups.core.offset_commits import CommitDecision, check_commit_request
from logd_consumer_groups.core.offset_records import GroupTombstone, RewindRecord
from logd_consumer_groups.core.reset_planner import describe_target, instant_ms, rewind_body
from logd_consumer_groups.core.shard_state import ShardState
from logd_consumer_groups.group_activity import GroupActivity
from logd_consumer_groups.group_forks import GroupForks, beginning, check_fork
from logd_consumer_groups.group_lag import GroupLag
from logd_consumer_groups.group_members import GroupMembers, MemberSession
from logd_consumer_groups.group_resets import GroupResets
from logd_consumer_groups.group_shard import GroupShard
from logd_consumer_groups.log_survey import LogSurvey
from logd_consumer_groups.ports import LogView, OffsetsLog

GROUPS_PER_PARTITION_MAX = 10_000
"""In each of OFFSETS_PARTITIONS. They stay until they are deleted, in memory and in the log."""
HINT_NAMES_MAX = 1000
"""Groups compared with one that does not exist, to suggest a similar one."""


class GroupCoordinator:
    """Implements `logd.broker.ports.Groups`, on the loop only.

    Answers tell only what is committed. Members come from the log, and whose session stands
    from memory; consumers that are no members are known from their commits and fetches of offsets.
    """

    def __init__(
        self, log: OffsetsLog, view: LogView, clock: Clock, tasks: BackgroundTasks
    ) -> None:
        self._clock = clock
        self._survey = LogSurvey(view)
        self._resets = GroupResets(self._survey)
        self._forks = GroupForks(self._survey, self._resets)
        self._activity = GroupActivity(clock)
        self._lag = GroupLag(self._survey, self._activity, clock)
        self._members = GroupMembers(view, clock)
        self._shards = [
            GroupShard(PartitionId(number), log, clock, tasks, self._members)
            for number in range(OFFSETS_PARTITIONS)
        ]

    def lead(self, partition: PartitionId) -> None:
        """This broker leads the partition now: begin to load it."""
        self._shards[partition].lead()

    def resign(self, partition: PartitionId) -> None:
        """It leads the partition no more: its groups are answered NotCoordinator."""
        self._shards[partition].resign()

    async def loaded(self) -> None:
        """Wait for all loads under way; calls before that may raise CoordinatorLoading."""
        for shard in self._shards:
            await shard.loaded()

    async def close(self) -> None:
        for shard in self._shards:
            await shard.close()

    def topic_changed(self, topic: Topic) -> None:
        """It was made, altered, split, or is being deleted: members may get other partitions."""
        self._members.topic_changed(topic)

    async def commit_offsets(self, request: CommitRequest) -> CommitAnswer:
        check_commit_request(request)
        if request.leaving and not request.validate_only:
            self._activity.left(request.group, request.consumer)
        shard, name = self._shard(request.group), request.group
        async with shard.turn(name) as state:
            group = _known_or_new(state, name)
            decision = self._decision(group, request)
            results = decision.decide()
            if decision.records and not request.validate_only:
                shard.append(state, decision.records)
                self._members.committed(shard, name)
        also_consumed_by = ""
        if not request.validate_only:
            also_consumed_by = self._activity.committed(request, results)
        await shard.committed()
        return CommitAnswer(results, group.rewind_epoch, also_consumed_by)

    def _decision(self, group: GroupState, request: CommitRequest) -> CommitDecision:
        refusals = self._survey.refusals([commit.topic_partition for commit in request.commits])
        return CommitDecision(group, request, refusals, self._clock.wall_ms())

    async def open_session(self, message: SessionMessage) -> MemberSession:
        """Join, or come back; `close_session` when it ends. Raises what `say` does."""
        self._members.check(message)
        session = MemberSession(self._shard(message.group), message)
        await self.say(session, message)
        return session

    async def say(
        self, session: MemberSession, message: SessionMessage, *, attached: bool = True
    ) -> None:
        """The member's next message. Not `attached`: by a call, and it is to call again.

        Raises InvalidName, InvalidConfig, Overloaded, UnknownMember, DuplicateInstance,
        CoordinatorLoading, NotCoordinator, and what the log raises.
        """
        self._members.check(message)
        request, shard = message.commit, session.shard
        async with shard.turn(session.group) as state:
            group = _known_or_new(state, session.group)
            decision = self._decision(group, request)
            try:
                results = decision.decide()
            except GroupRewound as rewound:
                results = tuple(rewound for _ in request.commits)
            told = [(c.topic_partition, e) for c, e in zip(request.commits, results, strict=True)]
            begun = [] if request.leaving else beginning(group, self._clock.wall_ms())
            records = [*decision.records, *begun]
            self._members.say(session, message, records, told, attached=attached)
        self._activity.committed(request, results)

    async def answer(self, session: MemberSession) -> SessionAnswer:
        """What to tell the member next, as soon as there is something."""
        return await self._members.answer(session)

    def close_session(self, session: MemberSession) -> None:
        """Its stream has ended; unless it left, the member has a moment to come back."""
        self._members.end(session, broke=True)

    async def heartbeat(self, message: SessionMessage, max_wait_ms: int) -> SessionAnswer:
        """A message and its answer in one call: at once where the member does not know all yet,
        else as soon as there is something new, and after `max_wait_ms` or half of its session time
        at the latest: it is to call again before that is over."""
        self._members.check(message)
        session = MemberSession(self._shard(message.group), message)
        await self.say(session, message, attached=False)
        try:
            self._members.knows(session, message)
            wait_ms = min(max_wait_ms, self._members.session_timeout_ms(session) // 2)
            async with asyncio.timeout(wait_ms / 1000):
                return await self._members.answer(session)
        except TimeoutError:
            session.told = ()
            session.changed.set()
            return await self._members.answer(session)
        finally:
            self._members.end(session, broke=False)

    async def fetch_offsets(
        self, group: str, topics: Sequence[TopicSelection], consumer: Consumer
    ) -> GroupOffsets:
        check_name(group, "group")
        check_consumer(consumer)
        shard = self._shard(group)
        state = shard.state.groups.get(group) or GroupState(group)
        partitions = self._survey.select(topics, state.offsets)
        offsets = tuple(self._committed_offset(state, where) for where in partitions)
        rewind_epoch = state.rewind_epoch
        also_consumed_by = self._activity.fetched(group, consumer, partitions)
        await shard.committed()
        return GroupOffsets(offsets, rewind_epoch, also_consumed_by)

    async def list_groups(self) -> Sequence[GroupSummary]:
        summaries = []
        asking: dict[PartitionId, list[str]] = {}
        for name in self._activity.groups():
            asking.setdefault(self._shard(name).partition, []).append(name)
        for shard in self._shards:
            try:
                state = shard.state
            except NotCoordinator:
                continue
            for name in {*state.groups, *asking.get(shard.partition, ())}:
                summaries.append(self._summary(state.groups.get(name) or GroupState(name)))
            await shard.committed()
        return sorted(summaries, key=lambda summary: summary.group)

    async def describe_group(self, group: str) -> GroupDescription:
        shard = self._shard(group)
        state = self._known(shard.state, group)
        replay = state.replay
        description = GroupDescription(
            summary=self._summary(state),
            offsets=tuple(self._committed_offset(state, p) for p in sorted(state.offsets)),
            consumers=self._consumers(group),
            rewind_epoch=state.rewind_epoch,
            coordinator_partition=shard.partition,
            replay=None if replay is None else replay.status(self._clock.wall_ms()),
        )
        await shard.committed()
        return description

    async def describe_lag(self, group: str) -> Sequence[PartitionLag]:
        shard = self._shard(group)
        state = self._known(shard.state, group)
        await shard.committed()
        holders = self._members.holders(shard, group)
        return await self._lag.describe(state, self._activity.running(group), holders)

    async def delete_group(self, group: str, *, validate_only: bool = False) -> int:
        shard = self._shard(group)
        async with shard.turn(group) as state:
            known = self._known(state, group)
            running = self._consumers(group)
            if running:
                wait = "" if running[0].member else ", wait 30 s"
                raise GroupNotEmpty(
                    f"group '{group}' has {len(running)} consumers (one is "
                    f"'{running[0].consumer_id}' at {running[0].peer}); stop them{wait}",
                    group=group,
                    consumer_id=running[0].consumer_id,
                )
            count = len(known.offsets)
            if not validate_only:
                shard.append(state, [GroupTombstone(group)])
                self._activity.forget_rates(group)
        await shard.committed()
        return count

    async def reset_offsets(
        self,
        group: str,
        target: ResetTarget,
        topics: Sequence[TopicSelection],
        *,
        actor: str,
        create: bool = False,
        validate_only: bool = False,
    ) -> ResetPlan:
        check_name(group, "group")
        at_ms = instant_ms(target, self._clock.wall_ms())
        other: Sequence[CommittedOffset] = ()
        if isinstance(target, ToGroup):
            self._known(self._shard(target.group).state, target.group)
            other = (await self.fetch_offsets(target.group, (), Consumer())).offsets
        shard = self._shard(group)
        async with shard.turn(group) as state:
            names_partitions = bool(topics) or isinstance(target, ToGroup | ToPlan)
            if not (create and names_partitions):
                self._known(state, group)
            known = _known_or_new(state, group)
            creates = group not in state.groups and not self._consumers(group)
            plan = await self._resets.plan_reset(known, target, at_ms, topics, other)
            body = rewind_body(
                plan,
                at_ms=self._clock.wall_ms(),
                description=describe_target(target, at_ms),
                actor=actor,
            )
            if body is not None and not validate_only:
                self._rewind(state, RewindRecord(group, "RESET", known.rewind_epoch, body))
            epoch = state.groups.get(group, known).rewind_epoch
        await shard.committed()
        creates = creates and body is not None
        return ResetPlan(plan, epoch, at_ms, not validate_only, creates)

    async def undo_reset(self, group: str, *, actor: str, validate_only: bool = False) -> ResetPlan:
        shard = self._shard(group)
        async with shard.turn(group) as state:
            known = self._known(state, group)
            reset, _ = known.latest_reset()
            begins = reset is not None and all(e.from_offset is None for e in reset.body.entries)
            if known.replay is not None and begins:
                raise InvalidConfig(f"a fork is not undone: delete group '{group}'", field="group")
            undoes = NEVER_REWOUND if reset is None else reset.rewind_epoch
            plan = await self._resets.plan_undo(known)
            body = rewind_body(
                plan,
                at_ms=self._clock.wall_ms(),
                description=f"undo of rewind {undoes}",
                actor=actor,
                undoes=undoes,
            )
            if body is not None and not validate_only:
                self._rewind(state, RewindRecord(group, "UNDO", known.rewind_epoch, body))
            epoch = state.groups[group].rewind_epoch
        await shard.committed()
        return ResetPlan(plan, epoch, None, executed=not validate_only)

    async def fork_group(self, fork: Fork) -> ForkPlan:
        now_ms, to = self._clock.wall_ms(), fork.to
        check_fork(fork, now_ms)
        source = self._known(self._shard(fork.source).state, fork.source)
        shard = self._shard(to)
        async with shard.turn(to) as state:
            if to in state.groups or self._consumers(to):
                message = f"there is a group '{to}': delete it, or fork as another"
                raise GroupExists(message, group=to)
            _known_or_new(state, to)
            plan, records = await self._forks.plan(source, fork, now_ms)
            if not fork.validate_only:
                shard.append(state, records)
        await shard.committed()
        return plan

    async def list_resets(self, group: str) -> Sequence[ResetEvent]:
        shard = self._shard(group)
        history = list(self._known(shard.state, group).history)
        await shard.committed()
        return [self._resets.event(event) for event in reversed(history)]

    def _rewind(self, state: ShardState, record: RewindRecord) -> None:
        shard = self._shard(record.group)
        shard.append(state, [record])
        self._members.rewound(shard, record.group)
        self._activity.forget_rates(record.group)

    def _known(self, state: ShardState, group: str) -> GroupState:
        """A group that has committed or was rewound, or that a consumer is asking about. Raises
        UnknownGroup."""
        known = state.groups.get(group)
        if known is not None:
            return known
        if self._activity.running(group):
            return GroupState(group)
        hint = difflib.get_close_matches(group, islice(self._names(), HINT_NAMES_MAX), 1)
        mean = f"; did you mean '{hint[0]}'?" if hint else ""
        raise UnknownGroup(f"no group '{group}' has committed offsets here{mean}", group=group)

    def _names(self) -> Iterator[str]:
        """Groups of all partitions that this broker coordinates now."""
        for shard in self._shards:
            with contextlib.suppress(LogdError):
                yield from shard.state.groups

    def _shard(self, group: str) -> GroupShard:
        check_name(group, "group")
        return self._shards[mmh3.hash(group, signed=False) % len(self._shards)]

    def _summary(self, group: GroupState) -> GroupSummary:
        consumers = len(self._consumers(group.name))
        topic_ids = {where.topic_id for where in group.offsets}
        membership = self._members.membership(self._shard(group.name), group.name)
        rebalances = membership is not None and membership.is_rebalancing(group)
        busy = "REBALANCING" if rebalances else "ACTIVE"
        return GroupSummary(
            group=group.name,
            state=busy if consumers else "EMPTY",
            topics=tuple(sorted(filter(None, map(self._survey.name, topic_ids)))),
            committed_ms=group.committed_ms,
            consumers=consumers,
        )

    def _consumers(self, group: str) -> tuple[GroupConsumer, ...]:
        """Members, then others that were seen of late."""
        return self._members.members(self._shard(group), group) + self._activity.running(group)

    def _committed_offset(self, group: GroupState, where: TopicPartition) -> CommittedOffset:
        topic = self._survey.name(where.topic_id)
        position = group.offsets.get(where)
        if position is None:
            return CommittedOffset(topic, where.topic_id, where.partition, None)
        return CommittedOffset(
            topic=topic,
            topic_id=where.topic_id,
            partition=where.partition,
            offset=position.offset,
            leader_epoch=None if position.leader_epoch < 0 else LeaderEpoch(position.leader_epoch),
            metadata=position.metadata,
            committed_ms=position.committed_ms,
            done_ranges=position.done_ranges,
            attempts=position.attempts,
        )


def _known_or_new(state: ShardState, name: str) -> GroupState:
    """Raises Overloaded for one too many."""
    known = state.groups.get(name)
    if known is None and len(state.groups) >= GROUPS_PER_PARTITION_MAX:
        raise Overloaded(
            f"group '{name}' would be one too many: {len(state.groups)} are kept in its partition "
            "of __consumer_offsets; delete those that are used no more",
            limit="groups_per_partition_max",
        )
    return known or GroupState(name)
