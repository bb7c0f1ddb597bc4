"""A coordinator of groups with members, for tests of the consumer: sessions over a FakeGroup.

It keeps to the rules of the real one: a partition has one owner at most, is granted with an epoch
above all before, and changes hands only once its owner has given it up, or is a member no more.
There are no timers: a member whose stream ends goes when the test says so, or with `leaving`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from logd.model.errors import BrokerUnreachable, LogdError
from logd_proto.v1 import common_pb2, groups_pb2

Key = tuple[bytes, int]


@dataclass
class FakeGroup:
    """Committed offsets by (topic_id, partition), the rewind epoch, and who has what."""

    offsets: dict[Key, int] = field(default_factory=dict)
    rewind_epoch: int = -1
    commits: list[groups_pb2.CommitOffsetsRequest] = field(default_factory=list)
    members: dict[str, "FakeMember"] = field(default_factory=dict)
    owners: dict[Key, tuple[str, int]] = field(default_factory=dict)
    epoch: int = 0
    pinned: dict[Key, str] = field(default_factory=dict)
    """Who shall have a partition, where the test says it; "": nobody."""
    ends: dict[Key, int] = field(default_factory=dict)
    """Of a replay."""
    speed: float = 0.0
    """Of a replay, whose clock shows 0 when a member is told."""
    messages: list[groups_pb2.SessionRequest] = field(default_factory=list)

    def refusal(self, key: Key, member_id: str | None) -> common_pb2.Error | None:
        owner, _ = self.owners.get(key, (None, 0))
        if owner is not None and owner != member_id:
            return common_pb2.Error(reason="FENCED_MEMBER", message=f"'{owner}' has it")
        return None


@dataclass
class FakeMember:
    """What a member said last."""

    instance_id: str
    topics: list[str]
    held: set[Key] = field(default_factory=set)
    told_epoch: int = 0
    stalled: bool = False
    finished: set[Key] = field(default_factory=set)


class FakeGroupStream:
    """Implements `TransportStream` for GroupService/Session."""

    def __init__(self, coordinator: "FakeGroupCoordinator") -> None:
        self._coordinator = coordinator
        self._changed = asyncio.Event()
        self._told: tuple[object, ...] = ()
        self._told_rewind: int | None = None
        self._failure: LogdError | None = None
        self.committed: deque[groups_pb2.OffsetCommitResult] = deque()
        self.group: FakeGroup | None = None
        self.member_id = ""
        self.left = False

    def fail(self, error: LogdError) -> None:
        self._failure = error
        self.notify()

    def notify(self) -> None:
        self._changed.set()

    async def send(self, message: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        self._coordinator.say(self, groups_pb2.SessionRequest.FromString(message))

    async def receive(self) -> bytes | None:
        while True:
            if self._failure is not None:
                raise self._failure
            answer = self._answer()
            if answer is not None:
                return answer.SerializeToString()
            if self.left:
                return None
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        self._coordinator.streams.discard(self)

    def _answer(self) -> groups_pb2.SessionResponse | None:
        group, member_id = self.group, self.member_id
        if group is None or self._coordinator.silent:
            return None
        member = group.members.get(member_id)
        mine = {
            key: epoch
            for key, (owner, epoch) in sorted(group.owners.items())
            if owner == member_id and self._coordinator.target(group).get(key) == member_id
        }
        over = self._coordinator.is_over(group)
        told = (tuple(mine.items()), group.rewind_epoch, over)
        if told == self._told and not self.committed:
            return None
        response = groups_pb2.SessionResponse(
            member_epoch=group.epoch, rewind_epoch=group.rewind_epoch, committed=self.committed
        )
        response.replay_over = over
        if group.speed:
            response.replay.speed = group.speed
        for key, epoch in mine.items():
            name = self._coordinator.name_of(key[0])
            grant = response.assigned.add(
                topic_id=key[0], topic=name, partition=key[1], assignment_epoch=epoch
            )
            if key in group.ends:
                grant.end = group.ends[key]
            known = member is not None and key in member.held and epoch <= member.told_epoch
            if not known or self._told_rewind != group.rewind_epoch:
                grant.position.SetInParent()
                if key in group.offsets:
                    grant.position.offset = group.offsets[key]
                grant.position.from_beginning = key in self._coordinator.younger
        self.committed.clear()
        self._told, self._told_rewind = told, group.rewind_epoch
        return response


class FakeGroupCoordinator:
    """`partitions_of` and `name_of` know the topics. `refuses`: each new stream is, by this.
    `refuses_commits`: the reason that last commits are refused with, if any. `silent`: no session
    is answered. `younger`: partitions younger than their group."""

    def __init__(
        self, partitions_of: Callable[[str], list[Key]], name_of: Callable[[bytes], str]
    ) -> None:
        self._partitions_of = partitions_of
        self.name_of = name_of
        self.groups: dict[str, FakeGroup] = {}
        self.streams: set[FakeGroupStream] = set()
        self.refuses: LogdError | None = None
        self.refuses_commits = ""
        self.silent = False
        self.younger: set[Key] = set()

    def group(self, name: str) -> FakeGroup:
        return self.groups.setdefault(name, FakeGroup())

    def open(self) -> FakeGroupStream:
        stream = FakeGroupStream(self)
        self.streams.add(stream)
        if self.refuses is not None:
            stream.fail(self.refuses)
        return stream

    def break_streams(self) -> None:
        for stream in list(self.streams):
            stream.fail(BrokerUnreachable("the fake connection is broken"))

    def remove(self, group: FakeGroup, member_id: str) -> None:
        """It is a member no more, and what it had is free."""
        group.members.pop(member_id, None)
        self._free(group, [key for key, (who, _) in group.owners.items() if who == member_id])
        self.settle(group)

    def target(self, group: FakeGroup) -> dict[Key, str]:
        wanted: dict[Key, list[str]] = {}
        for member_id, member in group.members.items():
            for topic in member.topics if not member.stalled else ():
                for key in self._partitions_of(topic):
                    wanted.setdefault(key, []).append(member_id)
        target = {key: who[key[1] % len(who)] for key, who in wanted.items()}
        return target | {key: who for key, who in group.pinned.items() if key in target}

    def is_over(self, group: FakeGroup) -> bool:
        finished = {key for member in group.members.values() for key in member.finished}
        return bool(group.ends) and all(
            key in finished or group.offsets.get(key, 0) >= group.ends.get(key, 0)
            for key in self.target(group)
        )

    def settle(self, group: FakeGroup) -> None:
        """Grant what nobody has; tell everyone."""
        for key, who in sorted(self.target(group).items()):
            if key not in group.owners and who in group.members:
                group.epoch += 1
                group.owners[key] = (who, group.epoch)
        for stream in list(self.streams):
            stream.notify()

    def say(self, stream: FakeGroupStream, said: groups_pb2.SessionRequest) -> None:
        if stream.group is None:
            stream.group, stream.member_id = self.group(said.group), said.member_id
        group, member_id = stream.group, stream.member_id
        group.messages.append(said)
        for commit in said.commits:
            stream.committed.append(self._commit(group, member_id, commit, said))
        if said.leaving:
            stream.left = True
            self.remove(group, member_id)
            stream.notify()
            return
        member = group.members.get(member_id)
        if member is None or said.HasField("subscription"):
            group.epoch += member is None
            topics = list(said.subscription.topics)
            member = group.members[member_id] = FakeMember(said.instance_id, topics)
        member.finished = {(e.topic_id, e.partition) for e in said.held if e.finished}
        member.held = {(each.topic_id, each.partition) for each in said.held}
        member.told_epoch, member.stalled = said.member_epoch, said.stalled
        given_up = [
            key
            for key, (owner, epoch) in group.owners.items()
            if owner == member_id and epoch <= said.member_epoch and key not in member.held
        ]
        self._free(group, given_up)
        self.settle(group)

    def _free(self, group: FakeGroup, keys: list[Key]) -> None:
        for key in keys:
            group.epoch += 1
            del group.owners[key]

    def _commit(
        self,
        group: FakeGroup,
        member_id: str,
        commit: groups_pb2.OffsetCommit,
        said: groups_pb2.SessionRequest,
    ) -> groups_pb2.OffsetCommitResult:
        key = (commit.topic_id, commit.partition)
        error = group.refusal(key, member_id)
        if said.rewind_epoch != group.rewind_epoch:
            error = common_pb2.Error(reason="GROUP_REWOUND", message="rewound")
        if self.refuses_commits:
            error = common_pb2.Error(reason=self.refuses_commits, message="refused by the test")
        if error is None:
            group.offsets[key] = commit.offset
        return groups_pb2.OffsetCommitResult(topic_id=key[0], partition=key[1], error=error)
