"""Sessions of groups beyond what one member sees: bare stubs beside members of the SDK, members by
the hundred, a join whose answer is lost."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from harness.broker_process import BrokerProcess
from harness.group_readers import (
    PARTITIONS,
    SESSION,
    WAIT_S,
    Cutter,
    Readers,
    broker_with_topic,
    make,
    produce,
    send,
)
from harness.local_broker import LocalBroker
from harness.local_transport import LocalStream
from logd_client import Admin, Producer
from logd_proto.v1 import common_pb2, data_pb2, data_pb2_grpc, groups_pb2_grpc
from logd_proto.v1 import groups_pb2 as pb

pytestmark = pytest.mark.slow

MANY = 1_000
TOPIC = common_pb2.TopicRef(name="t")
Key = tuple[bytes, int]
"""Topic id, partition number."""


# Bare stubs


class BareMember:
    """A member as groups.proto tells: it says what it holds, takes what it is told, gives up what
    it is told no more. `held`: the next offset of each partition."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told = pb.SessionResponse()
        self.held: dict[Key, int] = {}
        self.leaving = False
        self._said_epoch = 0

    def message(self, *, leaving: bool = False) -> pb.SessionRequest:
        """All of its state, each time."""
        if leaving:
            self.leaving = True
            self.held.clear()
        self._said_epoch = self.told.member_epoch
        return pb.SessionRequest(
            group="g",
            member_id=self.name,
            subscription=pb.Subscription(topics=["t"]),
            member_epoch=self.told.member_epoch,
            held=[pb.HeldPartition(topic_id=topic, partition=n) for topic, n in self.held],
            rewind_epoch=self.told.rewind_epoch if self._said_epoch else None,
            leaving=self.leaving,
        )

    def take(self, told: pb.SessionResponse) -> dict[Key, int]:
        """What it gives up by that."""
        assigned = {(grant.topic_id, grant.partition): grant for grant in told.assigned}
        given_up = {key: self.held.pop(key) for key in self.held.keys() - assigned.keys()}
        for key, grant in () if self.leaving else assigned.items():
            if key not in self.held and grant.assignment_epoch > self._said_epoch:
                assert grant.HasField("position"), "what is not held is granted with a position"
                self.held[key] = grant.position.offset
        self.told = told
        return given_up


class StubMember(BareMember):
    """By generated stubs alone. It processes nothing from the offset `stops_at` on."""

    def __init__(self, channel: Any, by_session: bool, readers: Readers) -> None:
        super().__init__("bare")
        self._groups: Any = groups_pb2_grpc.GroupServiceStub(channel)  # type: ignore[no-untyped-call]
        self._data: Any = data_pb2_grpc.DataServiceStub(channel)  # type: ignore[no-untyped-call]
        self._readers = readers
        self._stream: Any = self._groups.Session() if by_session else None
        self.stops_at: int | None = None
        readers.start("bare session", self._by_session() if by_session else self._by_heartbeats())
        readers.start("bare fetch", self._fetch())

    async def _by_session(self) -> None:
        await self._stream.write(self.message())
        while (told := await self._stream.read()) is not grpc.aio.EOF:
            await self._hear(told)
            if not self.leaving:
                await self._stream.write(self.message())

    async def _by_heartbeats(self) -> None:
        while True:
            request = pb.HeartbeatRequest(session=self.message(), max_wait_ms=60_000)
            await self._hear((await self._groups.Heartbeat(request)).session)

    async def _hear(self, told: pb.SessionResponse) -> None:
        assert not await self.commit(self.take(told))
        self._readers.progress.set()

    async def _fetch(self) -> None:
        while True:
            asked = {key: at for key, at in self.held.items() if at != self.stops_at}
            if not asked:
                await asyncio.sleep(0.02)
                continue
            request = data_pb2.FetchRequest(topic=TOPIC, min_bytes=1, max_wait_ms=20)
            for (_, number), offset in asked.items():
                request.positions.add(partition=number, offset=offset)
            for key, result in zip(asked, (await self._data.Fetch(request)).results, strict=True):
                assert key == (result.topic_id, result.partition) and not result.HasField("error")
                for record in result.records:
                    if self.held.get(key) == record.offset != self.stops_at:  # not given up since
                        self._readers.note(self.name, key[1], record.offset)
                        self.held[key] += 1
            self._readers.progress.set()

    async def commit(self, offsets: Mapping[Key, int]) -> set[str]:
        """Why any of it is refused."""
        request = pb.CommitOffsetsRequest(group="g", consumer_id=self.name)
        request.rewind_epoch = self.told.rewind_epoch
        request.member_epoch = self.told.member_epoch
        for (topic_id, number), offset in offsets.items():
            request.offsets.add(topic_id=topic_id, partition=number, offset=offset)
        results = (await self._groups.CommitOffsets(request)).results
        return {result.error.reason for result in results if result.HasField("error")}

    async def leave(self) -> None:
        """It has committed; it holds nothing any more."""
        await self._readers.stop("bare fetch")
        if self._stream is not None:
            await self._stream.write(self.message(leaving=True))
            await self._readers.until(self._stream.done)
            assert await self._stream.code() is grpc.StatusCode.OK
        else:
            await self._readers.stop("bare session")
            request = pb.HeartbeatRequest(session=self.message(leaving=True))
            self.told = (await self._groups.Heartbeat(request)).session
        assert not self.told.assigned


@pytest.mark.parametrize("by_session", [True, False])
async def test_bare_stubs_share_with_the_sdk(tmp_path: Path, by_session: bool) -> None:
    """Partitions go from the SDK to the stubs and back, each time right behind the last commit."""
    with BrokerProcess(tmp_path) as broker:
        where: dict[str, Any] = {"bootstrap_servers": broker.address}
        async with (
            Admin(**where) as admin,
            Producer(**where) as producer,
            grpc.aio.insecure_channel(broker.address, [("grpc.enable_http_proxy", 0)]) as channel,
            Readers() as readers,
        ):
            await admin.create_topic("t", PARTITIONS)
            async with make(None, **where) as first:
                readers.read("first", first)
                await produce(producer, 10)
                await readers.are_given(range(10))
                bare = StubMember(channel, by_session, readers)
                await readers.until(lambda: len(first.assignment) == len(bare.held) == 2)
                await readers.stop("first")
            await readers.until(lambda: len(bare.held) == PARTITIONS)
            assert [*bare.held.values()] == [10] * PARTITIONS
            await produce(producer, 10)
            await readers.are_given(range(20))
            async with make(None, **where) as a, make(None, **where) as b:
                readers.read("a", a)
                readers.read("b", b)

                def shares() -> list[int]:
                    return sorted(map(len, (a.assignment, b.assignment, bare.held)))

                await readers.until(lambda: shares() == [1, 1, 2])
                await produce(producer, 10)
                await readers.are_given(range(30))
                last = dict.fromkeys(bare.held, 35)
                assert bare.held == dict.fromkeys(last, 30)
                bare.stops_at = 35
                await produce(producer, 10)
                cut = [number for _, number in last]
                await readers.are_given(*(range(35 if p in cut else 40) for p in range(PARTITIONS)))
                assert not await bare.commit(last)
                await bare.leave()
                await readers.are_given(range(40))
                assert shares() == [0, 2, 2]
                assert [readers.offsets(p, "bare")[-1] for p in cut] == [34] * len(cut)
                assert await bare.commit(dict.fromkeys(last, 36)) == {"FENCED_MEMBER"}
                assert len((await admin.describe_group("g")).consumers) == 2
                await produce(producer, 1)
                await readers.are_given(range(41))


# Hundreds of members


class Many:
    """Members with a session each: nobody takes what another has."""

    def __init__(self, local: LocalBroker, admin: Admin, readers: Readers) -> None:
        self._local = local
        self._admin = admin
        self._readers = readers
        self._streams: dict[str, LocalStream] = {}
        self.members: dict[str, BareMember] = {}

    def join(self, numbers: Iterable[int]) -> None:
        for name in (f"m{number:03}" for number in numbers):
            self.members[name] = BareMember(name)
            self._readers.start(name, self._live(self.members[name]))

    async def _live(self, member: BareMember) -> None:
        stream = self._streams[member.name] = await self._local.transport.stream("", SESSION)
        try:
            await stream.send(member.message().SerializeToString())
            while (raw := await stream.receive()) is not None:
                told, before = pb.SessionResponse.FromString(raw), set(member.held)
                if len(told.assigned) < len(before):
                    await asyncio.sleep(0.005)  # it finishes what it has in hand
                member.take(told)
                for key in member.held.keys() - before:
                    assert [m for m in self.members.values() if key in m.held] == [member]
                if not member.leaving:
                    await stream.send(member.message().SerializeToString())
                self._readers.progress.set()
        finally:
            await stream.close()

    async def leave(self, numbers: Iterable[int]) -> None:
        for name in [f"m{number:03}" for number in numbers]:
            request = self.members.pop(name).message(leaving=True)
            await self._streams.pop(name).send(request.SerializeToString())

    async def balanced(self) -> dict[str, set[int]]:
        """Who has which of all partitions, once all have as many, but for one."""

        def holds() -> bool:
            shares = sorted(len(member.held) for member in self.members.values())
            return shares[-1] - shares[0] <= 1 and sum(shares) == MANY

        await self._readers.until(holds)
        found = await self._admin.describe_group("g")
        shares = {each.consumer_id: set(each.partitions["t"]) for each in found.consumers}
        assert shares == {m.name: {n for _, n in m.held} for m in self.members.values()}
        assert found.group.state == "ACTIVE"
        return shares


async def test_two_hundred_members_share_a_thousand_partitions(tmp_path: Path) -> None:
    async with broker_with_topic(tmp_path, MANY) as (local, clock, admin), Readers() as readers:
        many = Many(local, admin, readers)
        many.join(range(200))
        began = await many.balanced()
        clock.clear()  # within one moment
        await many.leave(range(50))
        many.join(range(200, 250))
        await readers.until(lambda: all(m.told.member_epoch for m in many.members.values()))
        clock.set()
        exchanged = await many.balanced()
        moved = [n for name in exchanged.keys() & began for n in began[name] - exchanged[name]]
        assert len(moved) <= 5, "what the first one left may be shared out before others are heard"
        await many.leave(range(50, 100))
        fewer = await many.balanced()
        assert all(fewer[name] > exchanged[name] for name in fewer), "who stays gives nothing up"
        many.join(range(50))
        more = await many.balanced()
        assert all(more[name] < fewer[name] for name in fewer), "who stays is given nothing"


# A lost answer


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_join_whose_answer_is_lost_is_one_member(tmp_path: Path, lost: int) -> None:
    """The clock stands still, so that nobody who appears goes by itself."""
    async with broker_with_topic(tmp_path) as (local, clock, admin), Readers() as readers:
        clock.clear()
        await send(local, 10)
        cutter = Cutter(local, lost)
        consumer = make(cutter)
        readers.read("a", consumer)
        member_id = consumer.health().member_id
        for _ in range(lost):
            await asyncio.wait_for(cutter.has_cut.wait(), WAIT_S)
            (found,) = (await admin.describe_group("g")).consumers
            assert found.consumer_id == member_id and not found.connected
            assert found.partitions == {"t": tuple(range(PARTITIONS))}
            cutter.has_cut.clear()
            cutter.may_join.set()
        await readers.are_given(range(10))
        (found,) = (await admin.describe_group("g")).consumers
        assert found.connected and found.consumer_id == member_id
        told = [[(g.partition, g.assignment_epoch) for g in a.assigned] for a in cutter.answers]
        assert len(told[0]) == PARTITIONS and told == [told[0]] * (lost + 1), "all along"
        await send(local, 5)
        await readers.are_given(range(15))
        await readers.stop("a")
        await consumer.close()
