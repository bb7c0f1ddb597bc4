"""A Membership with its log and topics in memory, and members that answer as members do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from logd.model.group import CommitRequest, Consumer, OffsetCommit, Subscription
from logd.model.group_session import GroupEpoch, HeldPartition, SessionMessage
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd.model.key_ranges import KeyRange
from logd.model.topic import PartitionSpec, Topic
from logd.model.topic_config import TopicConfig
from logd_consumer_groups.core.group_image import RewindBody, RewindEntry
from logd_consumer_groups.core.group_state import GroupState
from logd_consumer_groups.core.membership import Broke, Event, Membership, Said, Settle
from logd_consumer_groups.core.offset_commits import CommitDecision
from logd_consumer_groups.core.offset_records import OffsetRecord, OwnerRecord, RewindRecord
from logd_consumer_groups.core.session_messages import holds
from logd_consumer_groups.core.shard_state import ShardState

GROUP = "g"
SESSION_MS = 1_000
REVOCATION_MS = 2_000


class Topics:
    """Implements `core.membership.TopicLookup`."""

    def __init__(self) -> None:
        self.by_name: dict[str, Topic] = {}
        self._made = 0

    def put(self, name: str, partitions: int, split_at: int | None = None) -> None:
        """Make a topic, or give one that there is so many partitions, split off at this offset of
        the one before."""
        self._made += 1
        before = self.by_name.get(name)
        topic_id = before.topic_id if before else TopicId(self._made.to_bytes(16, "big"))
        specs = before.partitions if before else ()
        for number in range(len(specs), partitions):
            spec = PartitionSpec(KeyRange(0, 1 << 32))
            if before and split_at is not None:
                parents = (PartitionId(number - 1),)
                spec = replace(spec, parents=parents, split_at=Offset(split_at))
            specs = (*specs, spec)
        self.by_name[name] = Topic(topic_id, name, specs, TopicConfig())

    def find(self, name: str) -> Topic | None:
        return self.by_name.get(name)

    def split_of(self, where: TopicPartition) -> tuple[TopicPartition, int] | None:
        """Its parent, and how far that has to be done."""
        for topic in self.by_name.values():
            if topic.topic_id == where.topic_id:
                spec = topic.partitions[where.partition]
                if spec.split_at is not None:
                    return TopicPartition(topic.topic_id, spec.parents[0]), spec.split_at
        return None

    def exists(self, topic_id: TopicId) -> bool:
        return any(topic.topic_id == topic_id for topic in self.by_name.values())

    def matching(self, pattern: str) -> Iterable[Topic]:
        return [t for name, t in self.by_name.items() if name.startswith(pattern)]

    def partitions(self, names: Iterable[str]) -> set[TopicPartition]:
        found = (self.by_name[name] for name in names if name in self.by_name)
        return {
            TopicPartition(topic.topic_id, PartitionId(number))
            for topic in found
            for number in range(len(topic.partitions))
        }


@dataclass
class MemberClient:
    """A member's side: what it holds since which epoch, and where it has read to."""

    member_id: str
    topics: tuple[str, ...]
    instance_id: str = ""
    member_epoch: int = 0
    held: dict[TopicPartition, int] = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    connected: bool = False
    stalled: bool = False


class MemberWorld:
    """One group. Every event goes through the machine, its records through bytes and replay."""

    def __init__(self) -> None:
        self.topics = Topics()
        self.state = ShardState()
        self.log: list[tuple[bytes, bytes | None]] = []
        self.now_ms = 0
        self.members: dict[str, MemberClient] = {}
        self.membership = Membership(self.group, self.topics, 0)

    @property
    def group(self) -> GroupState:
        return self.state.groups.get(GROUP) or GroupState(GROUP)

    def append(self, records: Iterable[OffsetRecord]) -> None:
        for record in records:
            if isinstance(record, OwnerRecord) and record.member_id:
                self._check_order(record.topic_partition)
            self.log.append(record.pack())
            self.state.replay(Offset(len(self.log) - 1), LeaderEpoch(1), *self.log[-1])

    def _check_order(self, where: TopicPartition) -> None:
        """What is granted now had its keys' earlier records read, by whoever had them."""
        split = self.topics.split_of(where)
        if split is None or where in self.group.table.owners:  # it moves with a static member
            return
        parent, at = split
        positions = [m.positions.get(parent, 0) for m in self.members.values()]
        assert max([self.group.committed(parent) or 0, *positions]) >= at
        self._check_order(parent)

    def report_at(self, where: TopicPartition) -> int | None:
        return self.membership.split_waits.report_at(where)

    def run(self, event: Event, commits: Iterable[OffsetRecord] = ()) -> set[str]:
        """The event and all that follows; who is to be told."""
        step, first, told = self.membership.step(self.group, event, self.now_ms), True, set[str]()
        while first or step.records:
            self.append([*commits, *step.records])
            told |= step.tell
            commits, first = (), False
            step = self.membership.step(self.group, Settle(), self.now_ms)
        return told | step.tell

    def reload(self) -> None:
        """The coordinator dies; another replays its log. No session survives."""
        again = ShardState()
        for offset, pair in enumerate(self.log):
            again.replay(Offset(offset), LeaderEpoch(1), *pair)
        assert again.groups == self.state.groups, "replay gives the live state"
        self.state = again
        self.membership = Membership(self.group, self.topics, self.now_ms)
        for member in self.members.values():
            member.connected = False

    def compacted(self) -> ShardState:
        """What a log gives of which only the latest record of each key is left."""
        latest = {key: offset for offset, (key, _) in enumerate(self.log)}
        state = ShardState()
        state.first_offset = Offset(0)  # else it takes this for a log that was cut at its head
        for offset in sorted(latest.values()):
            state.replay(Offset(offset), LeaderEpoch(1), *self.log[offset])
        return state

    def wait(self, ms: int) -> None:
        """Time goes by, with every timer that is due on the way."""
        end_ms = self.now_ms + ms
        while (wake_ms := self.membership.wake_ms()) is not None and wake_ms <= end_ms:
            self.now_ms = max(self.now_ms, wake_ms)
            self.run(Settle())
        self.now_ms = end_ms

    # Members

    def say(self, member: MemberClient, *, leaving: bool = False, first: bool = False) -> None:
        """All of its state, with last commits of what it gives up by it."""
        given_up = set(member.positions) - set(member.held)
        commits = tuple(
            OffsetCommit(where, Offset(member.positions[where])) for where in sorted(given_up)
        )
        wants = Subscription(
            member.topics, session_timeout_ms=SESSION_MS, revocation_timeout_ms=REVOCATION_MS
        )
        message = SessionMessage(
            commit=CommitRequest(
                GROUP,
                commits,
                self.group.rewind_epoch,
                consumer=Consumer(member.member_id, "peer"),
                leaving=leaving,
                member_epoch=member.member_epoch,
            ),
            held=tuple(self._held(member, where) for where in sorted(member.held)),
            subscription=wants if first or not member.connected else None,
            instance_id=member.instance_id,
            stalled=member.stalled,
        )
        if message.subscription is None and member.member_id not in self.group.table.members:
            message = replace(message, subscription=wants)
        member.connected = not leaving
        decision = CommitDecision(self.group, message.commit, {}, self.now_ms)
        decision.decide()
        for where in given_up:
            del member.positions[where]
        self.run(Said(message, "peer", True), decision.records)

    def _held(self, member: MemberClient, where: TopicPartition) -> HeldPartition:
        at = self.report_at(where)
        has_come = at is not None and member.positions[where] >= at
        return HeldPartition(where, reached=Offset(at) if at is not None and has_come else None)

    def hear(self, member: MemberClient) -> None:
        """Take the present answer, as the SDK does: what is granted anew begins at its position,
        what is missing is given up, at once."""
        presence = self.membership.presences.get(member.member_id)
        if presence is None or not member.connected:
            return
        table = self.group.table
        granted = {
            where: table.owners[where].epoch
            for where in table.owned.get(member.member_id, ())
            if where not in presence.giving_up
        }
        for where in set(member.held) - set(granted):
            del member.held[where]  # its position is committed by what it says next
        for where, epoch in granted.items():
            if member.held.get(where) != epoch:
                assert not holds(presence, where, table.owners[where])
                member.held[where] = epoch
                member.positions[where] = self.group.committed(where) or 0
        member.member_epoch = GroupEpoch(table.epoch)

    def commit(self, member: MemberClient, where: TopicPartition, offset: int) -> bool:
        """As the interval commit does; whether it was taken."""
        request = CommitRequest(
            GROUP,
            (OffsetCommit(where, Offset(offset)),),
            self.group.rewind_epoch,
            consumer=Consumer(member.member_id, "peer"),
            member_epoch=member.member_epoch,
        )
        decision = CommitDecision(self.group, request, {}, self.now_ms)
        (error,) = decision.decide()
        self.append(decision.records)
        return error is None

    def rewind(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Every member has heard of it when this returns."""
        entries = tuple(
            RewindEntry(where, self.group.committed(where), Offset(at))
            for where, at in offsets.items()
        )
        body = RewindBody(self.now_ms, "a test", "", entries)
        self.append([RewindRecord(GROUP, "RESET", self.group.rewind_epoch, body)])
        self.run(Settle(rewound=True))
        for member in self.members.values():
            member.positions = {
                where: self.group.committed(where) or 0 for where in member.positions
            }

    def break_session(self, member: MemberClient) -> None:
        member.connected = False
        self.run(Broke(member.member_id))

    def come_to_rest(self) -> None:
        """Everybody who is connected hears and answers, until nothing changes any more."""
        for _ in range(20):
            self.wait(100)
            before = len(self.log)
            for member in self.members.values():
                if member.connected:
                    self.hear(member)
                    self.say(member)
            if len(self.log) == before:
                return
        raise AssertionError("members and coordinator do not come to rest")
