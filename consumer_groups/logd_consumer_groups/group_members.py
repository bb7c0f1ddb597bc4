"""The members of all groups: runs each group's Membership, its timers, and who waits to be told."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from logd.model.errors import Conflict, LogdError, NotCoordinator
from logd.model.group import GroupConsumer
from logd.model.group_session import Grant, SessionAnswer, SessionMessage
from logd.model.ids import TopicPartition
from logd.model.seams import Clock
from logd.model.topic import Topic
from logd_consumer_groups.core.group_state import GroupState
from logd_consumer_groups.core.lag_report import Holder
from logd_consumer_groups.core.membership import (
    Broke,
    Event,
    Membership,
    Presence,
    Said,
    Settle,
    Step,
)
from logd_consumer_groups.core.offset_records import OffsetRecord
from logd_consumer_groups.core.session_messages import (
    check_member,
    check_message,
    duplicate_instance,
    grant_of,
    holds,
)
from logd_consumer_groups.core.shard_state import ShardState
from logd_consumer_groups.group_shard import GroupShard
from logd_consumer_groups.ports import LogView
from logd_consumer_groups.topic_lookup import TopicLookup, compile_pattern

MOVED = "the group's coordinator ends, moves, or reads its log again; come back to where it is"
CommitResults = Sequence[tuple[TopicPartition, LogdError | None]]


class MemberSession:
    """One member's way to its coordinator, for as long as a stream, or one call, lasts.

    `answer` gives what the member is to be told, as soon as there is something: as it is when it is
    asked for, whatever happened since, and only once it is committed.
    """

    def __init__(self, shard: GroupShard, message: SessionMessage) -> None:
        self.shard = shard
        self.group = message.group
        self.member_id = message.member_id
        self.peer = message.commit.consumer.peer
        self.told: tuple[object, ...] = ()
        self.told_rewind: int | None = None
        self.committed: list[tuple[TopicPartition, LogdError | None]] = []
        self.lost: tuple[TopicPartition, ...] = ()
        self.left = False
        self.error: LogdError | None = None
        self.changed = asyncio.Event()

    def fail(self, error: LogdError) -> None:
        """Whoever waits for an answer is given this, now and later."""
        self.error = error
        self.changed.set()


@dataclass(slots=True)
class _Live:
    """A group with members. `sessions` by member id."""

    membership: Membership
    sessions: dict[str, MemberSession] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None


class GroupMembers:
    """Implements `ShardListener`. On the loop; a caller of `say` has the group's turn."""

    def __init__(self, view: LogView, clock: Clock) -> None:
        self._topics = TopicLookup(view)
        self._clock = clock
        self._live: dict[GroupShard, dict[str, _Live]] = {}

    # The shards

    def loaded(self, shard: GroupShard, state: ShardState) -> None:
        self._live[shard] = {}
        for name, group in state.groups.items():
            if group.table.members:
                self._arm(shard, name, self._live_of(shard, group))

    def dropped(self, shard: GroupShard) -> None:
        for live in self._live.pop(shard, {}).values():
            if live.timer is not None:
                live.timer.cancel()
            for session in live.sessions.values():
                session.fail(NotCoordinator(MOVED, partition=shard.partition))

    def topic_changed(self, topic: Topic) -> None:
        """It was made, altered, split, or is being deleted."""
        for shard, groups in list(self._live.items()):
            for name, live in list(groups.items()):
                group = self._group(shard, name)
                if topic.topic_id in group.table.first_seen or _may_want(group, topic.name):
                    self._run(shard, name, live, Settle(topics_changed=True))

    # Members

    def check(self, message: SessionMessage) -> None:
        """What needs no state. Raises InvalidName, InvalidConfig, Overloaded."""
        check_message(message)
        if message.subscription is not None and message.subscription.pattern:
            compile_pattern(message.subscription.pattern)

    def say(
        self,
        session: MemberSession,
        message: SessionMessage,
        commits: Iterable[OffsetRecord] = (),
        committed: CommitResults = (),
        *,
        attached: bool,
    ) -> None:
        """Take a message; `commits` are appended with what follows from it, `committed` is told.

        Raises UnknownMember, DuplicateInstance, Overloaded, and what the log raises.
        """
        shard, name = session.shard, session.group
        group = self._group(shard, name)
        live = self._live_of(shard, group)
        presences = live.membership.presences
        check_member(group, message, lambda m: presences[m].peer if m in presences else "")
        other = live.sessions.get(session.member_id)
        if other is not None and other is not session:
            other.fail(Conflict(f"member '{session.member_id}' has a newer session"))
        live.sessions[session.member_id] = session
        session.committed += committed
        session.left = message.commit.leaving
        if committed or session.left:
            session.changed.set()
        self._run(shard, name, live, Said(message, session.peer, attached), commits)
        owned = self._group(shard, name).table.owned.get(session.member_id, set[TopicPartition]())
        self._tell_of_end(self._group(shard, name), live)
        held = (each.topic_partition for each in message.held)
        session.lost = tuple(sorted(where for where in held if where not in owned))

    def end(self, session: MemberSession, *, broke: bool) -> None:
        """Nobody waits for its answers any more. `broke`: the member may come back."""
        live = self._live.get(session.shard, {}).get(session.group)
        if live is None or live.sessions.get(session.member_id) is not session:
            return
        del live.sessions[session.member_id]
        left = session.left or not broke
        event = Settle() if left else Broke(session.member_id)
        with contextlib.suppress(LogdError):  # as _due
            self._run(session.shard, session.group, live, event)

    async def answer(self, session: MemberSession) -> SessionAnswer:
        """The next thing to tell. Raises DuplicateInstance, NotCoordinator, and what keeps it from
        being committed."""
        while True:
            await session.changed.wait()
            session.changed.clear()
            answer = self.current_answer(session)
            if answer is not None:
                await session.shard.committed()
                return answer

    def current_answer(self, session: MemberSession) -> SessionAnswer | None:
        """What it is to be told now; None: nothing new."""
        if session.error is not None:
            raise session.error
        live = self._live[session.shard].get(session.group)
        group = self._group(session.shard, session.group)
        there = live is not None and session.member_id in live.membership.presences
        grants = self._grants(group, session, live.membership) if live and there else ()
        over = live is not None and _is_over(group, live.membership)
        told = _told(grants, group), session.lost, over
        if told == session.told and not session.committed and not session.left:
            return None
        committed, session.committed = tuple(session.committed), []
        session.told, session.told_rewind = told, group.rewind_epoch
        epoch, lost = group.table.epoch, session.lost
        pace = None if group.replay is None else group.replay.pace(self._clock.wall_ms())
        return SessionAnswer(
            epoch, group.rewind_epoch, grants, committed, lost=lost, replay=pace, replay_over=over
        )

    def rewound(self, shard: GroupShard, name: str) -> None:
        """Every member has new positions."""
        live = self._live.get(shard, {}).get(name)
        if live is None:
            return
        for session in live.sessions.values():
            session.changed.set()
        self._run(shard, name, live, Settle(rewound=True))

    def committed(self, shard: GroupShard, name: str) -> None:
        """By a call, not by `say`: what waits for a place in another partition may have it."""
        live = self._live.get(shard, {}).get(name)
        if live is None:
            return
        if live.membership.split_waits.waiting:
            self._run(shard, name, live, Settle())
        self._tell_of_end(self._group(shard, name), live)

    def knows(self, session: MemberSession, message: SessionMessage) -> None:
        """The member knows already what it says: it need not be told the same at once."""
        live = self._live[session.shard][session.group]
        presence = live.membership.presences.get(session.member_id)
        group = self._group(session.shard, session.group)
        if presence is None or message.commit.rewind_epoch != group.rewind_epoch:
            return
        session.told_rewind = group.rewind_epoch
        grants = self._grants(group, session, live.membership)
        held = {each.topic_partition for each in message.held}
        has_all = held == {grant.topic_partition for grant in grants}
        if has_all and all(grant.position is None for grant in grants):
            over = _is_over(group, live.membership)
            session.told = _told(grants, group), session.lost, over

    def session_timeout_ms(self, session: MemberSession) -> int:
        """0 where it is no member."""
        member = self._group(session.shard, session.group).table.members.get(session.member_id)
        return member.subscription.session_timeout_ms if member else 0

    def members(self, shard: GroupShard, name: str) -> tuple[GroupConsumer, ...]:
        """Sorted by id."""
        live = self._live.get(shard, {}).get(name)
        if live is None:
            return ()
        group, target = self._group(shard, name), live.membership.target
        waiting: dict[str, list[TopicPartition]] = {}
        for where, member_id in sorted(target.items()):
            owner = group.table.owners.get(where)
            if owner is None or owner.member_id != member_id:
                waiting.setdefault(member_id, []).append(where)
        now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.wall_ms()
        found = []
        for member_id, member in sorted(group.table.members.items()):
            presence = live.membership.presences.get(member_id, Presence(None, now_ms))
            connected = presence.gone_ms is None
            found.append(
                GroupConsumer(
                    consumer_id=member_id,
                    peer=presence.peer,
                    seen_ms=wall_ms if connected else wall_ms - (now_ms - presence.heard_ms),
                    partitions=tuple(sorted(group.table.owned.get(member_id, ()))),
                    member=True,
                    instance_id=member.instance_id,
                    client_id=member.client_id,
                    subscription=member.subscription,
                    giving_up=tuple(sorted(presence.giving_up)),
                    waiting_for=tuple(waiting.get(member_id, ())),
                    connected=connected,
                    stalled_ms=max((h.stalled_ms for h in presence.held.values()), default=0),
                )
            )
        return tuple(found)

    def holders(self, shard: GroupShard, name: str) -> dict[TopicPartition, Holder]:
        """Who has, and who is to have, each partition that members want."""
        live = self._live.get(shard, {}).get(name)
        if live is None:
            return {}
        owners, now_ms = self._group(shard, name).table.owners, self._clock.monotonic_ms()
        target, presences = live.membership.target, live.membership.presences
        found = {}
        for where in {*owners, *target}:
            owner = owners[where].member_id if where in owners else ""
            presence = presences.get(owner)
            held = presence.held.get(where) if presence else None
            gone_ms = presence.gone_ms if presence else None
            found[where] = Holder(
                consumer_id=owner,
                wanted=target.get(where, ""),
                paused=held is not None and held.paused,
                stalled_ms=held.stalled_ms if held else 0,
                problem=held.problem if held else "",
                away_ms=0 if gone_ms is None else max(1, gone_ms - now_ms),
                waits_for=live.membership.split_waits.waiting.get(where),
            )
        return found

    def membership(self, shard: GroupShard, name: str) -> Membership | None:
        """None: nobody is a member."""
        live = self._live.get(shard, {}).get(name)
        return live.membership if live else None

    # Inside

    def _tell_of_end(self, group: GroupState, live: _Live) -> None:
        """Whoever waits for a replay's end looks again."""
        if group.replay is not None and group.replay.until_ms is not None:
            for session in live.sessions.values():
                session.changed.set()

    def _grants(
        self, group: GroupState, session: MemberSession, membership: Membership
    ) -> tuple[Grant, ...]:
        table, grants = group.table, []
        presence = membership.presences[session.member_id]
        for where in sorted(table.owned.get(session.member_id, ())):
            if where in presence.giving_up or not self._topics.exists(where.topic_id):
                continue
            owner = table.owners[where]
            known = session.told_rewind == group.rewind_epoch and holds(presence, where, owner)
            name = self._topics.name(where.topic_id)
            report_at = membership.split_waits.report_at(where)
            grants.append(
                grant_of(group, where, owner, name, with_position=not known, report_at=report_at)
            )
        return tuple(grants)

    def _group(self, shard: GroupShard, name: str) -> GroupState:
        return shard.state.groups.get(name) or GroupState(name)

    def _live_of(self, shard: GroupShard, group: GroupState) -> _Live:
        groups = self._live[shard]
        if group.name not in groups:
            membership = Membership(group, self._topics, self._clock.monotonic_ms())
            groups[group.name] = _Live(membership)
        return groups[group.name]

    def _run(
        self,
        shard: GroupShard,
        name: str,
        live: _Live,
        event: Event,
        first: Iterable[OffsetRecord] = (),
    ) -> None:
        """One step, and what follows from it until nothing does."""
        state, now_ms = shard.state, self._clock.monotonic_ms()
        step, records = live.membership.step(self._group(shard, name), event, now_ms), [*first]
        while True:
            records += step.records
            self._tell(live, name, step)
            if not records and not isinstance(event, Said | Broke):
                break
            if records:
                shard.append(state, records)
            event, records = Settle(), []
            step = live.membership.step(self._group(shard, name), event, now_ms)
        if not self._group(shard, name).table.members and not live.sessions:
            self._live[shard].pop(name, None)
        self._arm(shard, name, live)

    def _tell(self, live: _Live, name: str, step: Step) -> None:
        for member_id in sorted(step.tell):
            if member_id in live.sessions:
                live.sessions[member_id].changed.set()
        replaced = live.sessions.pop(step.replaced, None)
        if replaced is not None:
            member = step.replaced_by
            there = live.sessions[member.member_id].peer if member else ""
            instance_id = member.instance_id if member else ""
            replaced.fail(duplicate_instance(name, instance_id, replaced.peer, there))

    def _arm(self, shard: GroupShard, name: str, live: _Live) -> None:
        if live.timer is not None:
            live.timer.cancel()
            live.timer = None
        wake_ms = live.membership.wake_ms()
        if wake_ms is not None and self._live.get(shard, {}).get(name) is live:
            delay_s = max(0, wake_ms - self._clock.monotonic_ms()) / 1000
            loop = asyncio.get_running_loop()
            live.timer = loop.call_later(delay_s, self._due, shard, name, live)

    def _due(self, shard: GroupShard, name: str, live: _Live) -> None:
        live.timer = None
        if self._live.get(shard, {}).get(name) is live:
            with contextlib.suppress(LogdError):  # told of by the shard, or the broker is going
                self._run(shard, name, live, Settle())


def _told(grants: Sequence[Grant], group: GroupState) -> tuple[object, ...]:
    """What makes one answer another than the one before."""
    given = tuple((g.topic_partition, g.epoch, g.report_at) for g in grants)
    return given, group.rewind_epoch


def _is_over(group: GroupState, membership: Membership) -> bool:
    """Whether a replay has come to its end in all that members are to have."""
    replay = group.replay
    if replay is None or replay.until_ms is None:
        return False
    finished = {
        where
        for presence in membership.presences.values()
        for where, held in presence.held.items()
        if held.finished
    }
    return all(
        where in finished or (group.committed(where) or 0) >= (replay.end_of(where) or 0)
        for where in membership.target
    )


def _may_want(group: GroupState, topic: str) -> bool:
    wants = (member.subscription for member in group.table.members.values())
    return any(topic in each.topics or each.pattern for each in wants)
