"""The members of one group: who is there, who gets what, who must give what up.

A step machine: `step(group, event, now_ms)` says which records are to be appended and who is to be
told something, `wake_ms()` when to come back. It changes nothing that the log keeps: `group`
changes by replay of the records, and the caller goes on with `Settle` until a step has none. What
it holds itself is what no log knows: whose session stands, what members said last, since when they
were asked.

How partitions move, one at a time, without a stop of the others:

    target says B, A owns     A is told a list without it, and has revocation_timeout_ms to finish
    A says that it is done    its last commit and "nobody owns it" are one append
    target says B, nobody     "B owns it" is appended; B is told, with the position that A committed

A partition without an owner is granted, one with an owner never: so it has one at any time,
whoever dies in between. An owner loses it by giving it up, by its time running out, or by being a
member no more. Commits are taken from the owner alone, under an epoch at which it owned it already.

The target is computed from subscriptions and the last target, so that little moves; of a large
group at most every COMPUTE_EVERY_MS, so that a storm of members costs a few computations. It is
kept nowhere: after a load it is computed from who owns what.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from logd.model.group import NEVER_REWOUND
from logd.model.group_session import NO_GROUP_EPOCH, GroupEpoch, HeldPartition, SessionMessage
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd.model.topic import Topic
from logd_consumer_groups.core.assignors import ASSIGNORS, Racks, Subscriber
from logd_consumer_groups.core.group_state import GroupState
from logd_consumer_groups.core.member_table import Member
from logd_consumer_groups.core.offset_records import (
    MemberRecord,
    OffsetRecord,
    OwnerRecord,
    TopicSeenRecord,
)
from logd_consumer_groups.core.split_waits import SplitWaits

COMPUTE_EVERY_MS = 50
LARGE_GROUP = 16
"""Members; of a smaller one the target is computed at once, so that who joins has all at once."""
BROKEN_SESSION_MS = 500
"""A session that breaks has so long to come back before its partitions move."""


class TopicLookup(Protocol):
    """The topics as they are now."""

    def find(self, name: str) -> Topic | None: ...

    def exists(self, topic_id: TopicId) -> bool: ...

    def matching(self, pattern: str) -> Iterable[Topic]:
        """Topics whose whole name matches, internal ones never."""
        ...


class Said(NamedTuple):
    """A member's message, checked. `attached`: through a session that stands; else it was a call,
    and the member is to call again within its session time."""

    message: SessionMessage
    peer: str
    attached: bool


class Broke(NamedTuple):
    """A member's session has ended without a goodbye."""

    member_id: str


class Settle(NamedTuple):
    """Something may be due: time went by, topics changed, records were replayed, also a rewind."""

    topics_changed: bool = False
    rewound: bool = False


Event = Said | Broke | Settle


@dataclass(slots=True)
class Step:
    """`tell`: members whose answer may be another than before. `replaced`: a static member whose
    name another has taken, `replaced_by`; "": none."""

    records: list[OffsetRecord] = field(default_factory=list)
    tell: set[str] = field(default_factory=set)
    replaced: str = ""
    replaced_by: Member | None = None


@dataclass(slots=True)
class Presence:
    """A member as it is now. `gone_ms` None: its session stands."""

    gone_ms: int | None
    heard_ms: int
    peer: str = ""
    member_epoch: GroupEpoch = NO_GROUP_EPOCH
    """The highest that it said it was told."""
    held: dict[TopicPartition, HeldPartition] = field(default_factory=dict)
    stalled: bool = False
    giving_up: dict[TopicPartition, int] = field(default_factory=dict)
    """When each is taken away at the latest."""


class Membership:
    """One group's members. Times are on the monotonic clock."""

    def __init__(self, group: GroupState, topics: TopicLookup, now_ms: int) -> None:
        """After a load: absent sessions prove nothing, so each member has its whole time."""
        self._topics = topics
        self.presences = {
            member_id: Presence(now_ms + member.subscription.session_timeout_ms, now_ms)
            for member_id, member in group.table.members.items()
        }
        self.target: dict[TopicPartition, str] = {}
        self.split_waits = SplitWaits()
        self._target_is_stale = True
        self._compute_at_ms = now_ms

    def step(self, group: GroupState, event: Event, now_ms: int) -> Step:
        return _STEPS[type(event)](self, group, event, now_ms)

    def wake_ms(self) -> int | None:
        """When to come back with Settle although nothing happens until then."""
        due = [p.gone_ms for p in self.presences.values() if p.gone_ms is not None]
        for presence in self.presences.values():
            due += presence.giving_up.values()
        if self._target_is_stale and self.presences:
            due.append(self._compute_at_ms)
        return min(due, default=None)

    def is_rebalancing(self, group: GroupState) -> bool:
        """Whether partitions are on their way from one member to another."""
        owners = group.table.owners
        return any(
            where not in owners or owners[where].member_id != member_id
            for where, member_id in self.target.items()
            if where not in self.split_waits.waiting
        ) or any(presence.giving_up for presence in self.presences.values())

    # What happens

    def _said(self, group: GroupState, event: Said, now_ms: int) -> Step:
        message, step = event.message, Step()
        member_id, before = message.member_id, group.table.members.get(message.member_id)
        presence = self.presences.setdefault(member_id, Presence(None, now_ms))
        if message.commit.leaving:
            return self._remove(group, member_id)
        member = before
        if message.subscription is not None:
            member = Member(member_id, message.subscription, message.instance_id, message.client_id)
        assert member is not None, "check_message refuses who does not say what it wants"
        if member != before:
            self._joins(group, member, step)
            self._target_is_stale = True
        owned = group.table.owned.get(member_id, set[TopicPartition]())
        # Only what it owns: whatever else it names would be kept for as long as it is a member.
        held = {h.topic_partition: h for h in message.held if h.topic_partition in owned}
        rewind_epoch = message.commit.rewind_epoch
        if (NEVER_REWOUND if rewind_epoch is None else rewind_epoch) != group.rewind_epoch:
            held = _without_reached(held)
        given_up = [
            where
            for where in owned
            if where not in held and group.table.owners[where].epoch <= message.member_epoch
        ]
        step.records += self._free(group, given_up)
        if presence.stalled != message.stalled:
            presence.stalled = message.stalled
            self._target_is_stale = True
        presence.held, presence.heard_ms, presence.peer = held, now_ms, event.peer
        presence.member_epoch = message.member_epoch
        patience_ms = member.subscription.session_timeout_ms
        presence.gone_ms = None if event.attached else now_ms + patience_ms
        step.tell.add(member_id)
        return step

    def _broke(self, group: GroupState, event: Broke, now_ms: int) -> Step:
        member = group.table.members.get(event.member_id)
        presence = self.presences.get(event.member_id)
        if member is None or presence is None:
            return Step()
        patience_ms = member.subscription.session_timeout_ms
        if not member.instance_id:
            patience_ms = min(BROKEN_SESSION_MS, patience_ms)
        presence.gone_ms = now_ms + patience_ms
        return Step()

    def _settle(self, group: GroupState, event: Settle, now_ms: int) -> Step:
        for member_id, presence in self.presences.items():
            if presence.gone_ms is not None and presence.gone_ms <= now_ms:
                return self._remove(group, member_id)
        step = Step()
        if event.topics_changed:
            self._target_is_stale = True
        if self._target_is_stale and now_ms >= self._compute_at_ms:
            step.records += self._compute(group)
            self._target_is_stale = False
            pause_ms = COMPUTE_EVERY_MS if len(self.presences) > LARGE_GROUP else 0
            self._compute_at_ms = now_ms + pause_ms
        self._wait_for_parents(group, event, step)
        self._revoke(group, step, now_ms)
        self._grant(group, step)
        return step

    # What follows from it

    def _joins(self, group: GroupState, member: Member, step: Step) -> None:
        """A new member, or one that changed. A static one takes the place of who had its name."""
        table = group.table
        step.records.append(MemberRecord(group.name, member.member_id, member))
        replaced = static_namesake(group, member.member_id, member.instance_id)
        if replaced is not None:
            step.replaced, step.replaced_by = replaced.member_id, member
            step.records.append(MemberRecord(group.name, replaced.member_id, None))
            step.records += (
                OwnerRecord(group.name, where, member.member_id)
                for where in sorted(table.owned.get(replaced.member_id, ()))
            )
            for where, owner in self.target.items():
                if owner == replaced.member_id:
                    self.target[where] = member.member_id
            self.presences.pop(replaced.member_id, None)
        step.records += (
            TopicSeenRecord(group.name, topic.topic_id, len(topic.partitions))
            for topic in self._wanted(member)
            if topic.topic_id not in table.first_seen
        )

    def _remove(self, group: GroupState, member_id: str) -> Step:
        self.presences.pop(member_id, None)
        self._target_is_stale = True
        owned = sorted(group.table.owned.get(member_id, ()))
        gone: list[OffsetRecord] = [MemberRecord(group.name, member_id, None)]
        return Step(gone + self._free(group, owned) if member_id in group.table.members else [])

    @staticmethod
    def _free(group: GroupState, partitions: Iterable[TopicPartition]) -> list[OffsetRecord]:
        return [OwnerRecord(group.name, where, "") for where in sorted(partitions)]

    def _revoke(self, group: GroupState, step: Step, now_ms: int) -> None:
        for member_id, owned in group.table.owned.items():
            presence = self.presences.get(member_id)
            if presence is None:  # its removal and the freeing were two appends, and one was lost
                step.records += self._free(group, owned)
                continue
            wants = group.table.members[member_id].subscription
            before = dict(presence.giving_up)
            presence.giving_up = {
                where: before.get(where, now_ms + wants.revocation_timeout_ms)
                for where in owned
                if self.target.get(where) != member_id or where in self.split_waits.waiting
            }
            late = [where for where, due_ms in presence.giving_up.items() if due_ms <= now_ms]
            for where in late:
                del presence.giving_up[where]
            step.records += self._free(group, late)
            if presence.giving_up.keys() != before.keys() or late:
                step.tell.add(member_id)
        for member_id, presence in self.presences.items():
            if presence.giving_up and member_id not in group.table.owned:
                presence.giving_up = {}

    def _grant(self, group: GroupState, step: Step) -> None:
        for where, member_id in self.target.items():
            is_free = where not in group.table.owners and where not in self.split_waits.waiting
            if is_free and member_id in self.presences:
                step.records.append(OwnerRecord(group.name, where, member_id))
                step.tell.add(member_id)

    def _wait_for_parents(self, group: GroupState, event: Settle, step: Step) -> None:
        owners, before = group.table.owners, set(self.split_waits.waiting.values())
        if event.rewound:
            for presence in self.presences.values():
                presence.held = _without_reached(presence.held)
        self.split_waits.look(owners, lambda where: self._done(group, where), rewound=event.rewound)
        changed = before.symmetric_difference(self.split_waits.waiting.values())
        step.tell.update(owners[wait.parent].member_id for wait in changed if wait.parent in owners)

    def _done(self, group: GroupState, where: TopicPartition) -> Offset:
        """Where the group is in a partition, by its commits and by what its owner says."""
        owner = group.table.owners.get(where)
        presence = self.presences.get(owner.member_id) if owner else None
        held = presence.held.get(where) if presence else None
        reached = held.reached if held else None
        return max(group.committed(where) or Offset(0), reached or Offset(0))

    # The target

    def _wanted(self, member: Member) -> list[Topic]:
        wants = member.subscription
        named = (self._topics.find(name) for name in wants.topics)
        found = {topic.topic_id: topic for topic in named if topic is not None}
        if wants.pattern:
            found.update((each.topic_id, each) for each in self._topics.matching(wants.pattern))
        return list(found.values())

    def _compute(self, group: GroupState) -> list[OffsetRecord]:
        """The new target; what to note of topics that came, which are new to the group from their
        first record on, and of those that went."""
        had: dict[str, set[TopicPartition]] = {}
        for where, owner in group.table.owners.items():
            had.setdefault(self.target.get(where, owner.member_id), set()).add(where)
        topics: dict[TopicId, Topic] = {}
        subscribers, wishes = [], Counter[str]()
        for member_id, member in group.table.members.items():
            presence = self.presences.get(member_id)
            if presence is None or presence.stalled:
                continue
            wanted = {topic.topic_id: topic for topic in self._wanted(member)}
            topics.update(wanted)
            wishes[member.subscription.assignor] += 1
            subscribers.append(
                Subscriber(
                    member_id,
                    frozenset(wanted),
                    frozenset(had.get(member_id, ())),
                    member.subscription.rack,
                )
            )
        partitions: dict[TopicPartition, Racks] = {
            TopicPartition(topic.topic_id, PartitionId(number)): frozenset()
            for topic in topics.values()
            for number in range(len(topic.partitions))
        }
        self.split_waits.topics_changed(topics.values())
        chosen = max(sorted(wishes), key=wishes.__getitem__, default="uniform")
        assignment = ASSIGNORS[chosen].assign(subscribers, partitions)
        self.target = {where: who for who, given in assignment.items() for where in sorted(given)}
        seen = group.table.first_seen
        came = [TopicSeenRecord(group.name, new, 0) for new in sorted(topics) if new not in seen]
        went = [topic_id for topic_id in seen if not self._topics.exists(topic_id)]
        return [*came, *(TopicSeenRecord(group.name, topic_id, None) for topic_id in sorted(went))]


def static_namesake(group: GroupState, member_id: str, instance_id: str) -> Member | None:
    """Another member that has this `instance_id`."""
    if not instance_id:
        return None
    members = group.table.members.values()
    others = (m for m in members if m.instance_id == instance_id and m.member_id != member_id)
    return next(others, None)


def _without_reached(
    held: Mapping[TopicPartition, HeldPartition],
) -> dict[TopicPartition, HeldPartition]:
    """What a member said of its places before a rewind counts no more."""
    return {where: replace(each, reached=None) for where, each in held.items()}


_STEPS: Mapping[type[Event], Callable[..., Step]] = {
    Said: Membership._said,
    Broke: Membership._broke,
    Settle: Membership._settle,
}
"""The transition table: what each event does."""
