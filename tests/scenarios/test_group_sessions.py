"""Sessions of groups beyond what one member sees: bare stubs beside members of the SDK, members by
the hundred, a join whose answer is lost, and callbacks that meddle."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import grpc.aio
import pytest

from harness.broker_process import BrokerProcess
from harness.local_broker import LocalBroker, local_broker
from harness.local_transport import LocalStream, LocalTransport
from logd.model.errors import BrokerUnreachable, ClientClosed, FencedMember, UnknownPartition
from logd_client import Admin, Consumer, Producer
from logd_consumer_groups.core.membership import BROKEN_SESSION_MS
from logd_proto.v1 import common_pb2, data_pb2, data_pb2_grpc, groups_pb2_grpc
from logd_proto.v1 import groups_pb2 as pb

pytestmark = pytest.mark.slow

WAIT_S = 60
"""For an event that must come; longer only where a test fails."""
PARTITIONS, MANY = 4, 1_000
TOPIC = common_pb2.TopicRef(name="t")
MANUAL: dict[str, Any] = {"enable_auto_commit": False}
SESSION = "/logd.v1.GroupService/Session"
Key = tuple[bytes, int]
"""Topic id, partition number."""
Names = list[tuple[str, int]]


class Readers:
    """Who was given what: `given[partition]` is offsets in order, with the names of readers. What
    runs in the background ends with it, and a fault there is raised by `until`."""

    def __init__(self) -> None:
        self.given: dict[int, list[tuple[str, int]]] = {}
        self.progress = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*map(self.stop, list(self._tasks)))

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = asyncio.create_task(work)
        self._tasks[name].add_done_callback(lambda _: self.progress.set())

    async def stop(self, name: str) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def read(self, name: str, consumer: Consumer) -> None:
        """Unless it is read already."""
        if name not in self._tasks:
            self.start(name, self._read(name, consumer))

    async def _read(self, name: str, consumer: Consumer) -> None:
        while True:
            for record in await consumer.poll(20):
                self.note(name, record.partition, record.offset)
            self.progress.set()

    def note(self, name: str, partition: int, offset: int) -> None:
        self.given.setdefault(partition, []).append((name, offset))

    def offsets(self, partition: int, name: str = "") -> list[int]:
        return [offset for who, offset in self.given.get(partition, ()) if name in ("", who)]

    async def are_given(self, *wanted: Iterable[int]) -> None:
        """Exactly these, in order, in each partition: the same in all of them, or one for each."""
        each = [list(offsets) for offsets in (wanted if len(wanted) > 1 else wanted * PARTITIONS)]
        count = sum(map(len, each))
        await self.until(lambda: sum(map(len, self.given.values())) >= count)
        assert [self.offsets(partition) for partition in range(PARTITIONS)] == each

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds():
                for task in filter(asyncio.Task.done, self._tasks.values()):
                    task.result()
                self.progress.clear()
                await self.progress.wait()


async def produce(producer: Producer, count: int, timestamp_ms: int | None = None) -> None:
    """So many to each partition."""
    for partition in range(PARTITIONS):
        for _ in range(count):
            await producer.send("t", b"v", partition=partition, timestamp_ms=timestamp_ms)
    await producer.flush()


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
        for key, grant in assigned.items():
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


# A broker in this process


Served = tuple[LocalBroker, asyncio.Event, Admin]


@asynccontextmanager
async def broker_with_topic(tmp_path: Path, partitions: int = 4) -> AsyncIterator[Served]:
    """And with a clock that goes while the event is set."""
    async with local_broker(tmp_path) as local, Admin(transport=local.transport) as admin:
        goes = asyncio.Event()
        goes.set()

        async def tick() -> None:
            while await goes.wait():
                await asyncio.sleep(0.005)
                local.clock.advance(5)

        ticking = asyncio.create_task(tick())
        await admin.create_topic("t", partitions)
        yield local, goes, admin
        ticking.cancel()


async def send(local: LocalBroker, count: int) -> None:
    async with Producer(transport=local.transport) as producer:
        await produce(producer, count, local.clock.wall_ms())


def make(transport: Any, **given: Any) -> Consumer:
    quick = {"fetch_max_wait_ms": 20, "retry_backoff_ms": 1, **given}
    return Consumer("t", group_id="g", transport=transport, **quick)


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
        stream = await self._local.transport.stream("", SESSION)
        self._streams[member.name] = stream
        try:
            await stream.send(member.message().SerializeToString())
            while (told := await stream.receive()) is not None:
                before = set(member.held)
                member.take(pb.SessionResponse.FromString(told))
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


class Cutter(LocalTransport):
    """Whose sessions can be cut. The first `lost` answers are on their way when that happens, and
    nobody joins while `may_join` is not set. `answers` are also the lost ones."""

    def __init__(self, local: LocalBroker, lost: int = 0) -> None:
        super().__init__(local.transport.dispatcher)
        self.local, self.faults = local, local.transport.faults
        self.lost = lost
        self.may_join, self.has_cut = asyncio.Event(), asyncio.Event()
        self.may_join.set()
        self.answers: list[pb.SessionResponse] = []
        self._sessions: list[LocalStream] = []

    async def stream(self, address: str, method: str) -> LocalStream:
        if method != SESSION:
            return await super().stream(address, method)
        await self.may_join.wait()
        session = CutSession(self.dispatcher, method, self._note)
        session.cutter = self
        self._sessions.append(session)
        return session

    async def cut(self) -> None:
        """All sessions, and nobody may join meanwhile."""
        self.may_join.clear()
        for session in self._sessions:
            await session.close()
        self.has_cut.set()


class CutSession(LocalStream):
    """One that its cutter may cut."""

    cutter: Cutter

    async def receive(self) -> bytes | None:
        answer, cutter = await super().receive(), self.cutter
        if answer is not None:
            cutter.answers.append(pb.SessionResponse.FromString(answer))
            if cutter.lost:
                cutter.lost -= 1
                await cutter.cut()
                raise BrokerUnreachable("the connection was cut")
        return answer


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


# Callbacks


Scene = tuple[Cutter, Readers, Consumer]


@asynccontextmanager
async def one_that_has_read(tmp_path: Path, **given: Any) -> AsyncIterator[Scene]:
    """A member with these settings, which has read 10 records of each partition."""
    async with broker_with_topic(tmp_path) as (local, _, _):
        await send(local, 10)
        cutter = Cutter(local)
        async with make(cutter, **given) as consumer, Readers() as readers:
            readers.read("a", consumer)
            await readers.are_given(range(10))
            yield cutter, readers, consumer


async def test_on_revoked_that_raises_holds_up_nothing(tmp_path: Path) -> None:
    """The next read raises it."""
    told: list[Names] = []

    def on_revoked(partitions: Names) -> None:
        told.append(partitions)
        if len(told) == 1:
            raise ZeroDivisionError("of the application")

    async with one_that_has_read(tmp_path, on_revoked=on_revoked) as (broker, readers, a):
        await readers.stop("a")
        async with make(broker) as b:
            with pytest.raises(ZeroDivisionError):
                await read_on(a)
            await share(readers, a, b)
            assert sorted(told[0]) == sorted(b.assignment), "it is given up all the same"
            await send(broker.local, 5)
            await readers.are_given(range(15))
            assert all(readers.offsets(p, "b") == [*range(10, 15)] for _, p in told[0])


async def test_on_revoked_commits_for_who_comes_next(tmp_path: Path) -> None:
    """Below what was received, so that the next one shows which commit counts."""
    taken: list[bool] = []

    async def commit(partitions: Names) -> None:
        taken.append(await a.commit(dict.fromkeys(partitions, 7)))

    async with one_that_has_read(tmp_path, on_revoked=commit, **MANUAL) as (broker, readers, a):
        async with make(broker, **MANUAL) as b:
            moved = await share(readers, a, b)
            await send(broker.local, 5)
            await readers.are_given(*again_from(7, moved, 15))
            assert all(readers.offsets(p, "b") == [*range(7, 15)] for p in moved)
            assert taken == [True]


async def test_on_assigned_seeks_before_the_first_record(tmp_path: Path) -> None:
    may_seek = asyncio.Event()

    async def on_assigned(partitions: Names) -> None:
        await may_seek.wait()
        for topic, partition in partitions:
            b.seek(topic, partition, 3)

    async with one_that_has_read(tmp_path) as (broker, readers, a):
        async with make(broker, on_assigned=on_assigned) as b:
            await readers.until(lambda: len(b.assignment) == 2)
            await send(broker.local, 1)
            assert [await b.poll(20) for _ in range(3)] == [[]] * 3
            may_seek.set()
            await readers.are_given(*again_from(3, await share(readers, a, b), 11))


async def test_on_assigned_closes_and_others_read_on(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def on_assigned(partitions: Names) -> None:
        await b.close()
        closed.set()

    async with one_that_has_read(tmp_path) as (broker, readers, a):
        # had it to wait for itself, it would be for so long
        patient = {"on_revoked": lambda _: None, "revocation_timeout_ms": 600_000}
        b = make(broker, on_assigned=on_assigned, **patient)
        with pytest.raises(ClientClosed):
            await read_on(b)
        await asyncio.wait_for(closed.wait(), WAIT_S)
        await readers.until(lambda: len(a.assignment) == PARTITIONS)
        async with Admin(transport=broker) as admin:
            (found,) = (await admin.describe_group("g")).consumers
        assert found.consumer_id == a.health().member_id
        await send(broker.local, 5)
        await readers.are_given(range(15))


@pytest.mark.parametrize("error", [UnknownPartition, FencedMember])
async def test_on_lost_may_do_nothing_any_more(tmp_path: Path, error: type[Exception]) -> None:
    """One whose session was away for too long, and that learns of it by a commit."""
    lost: list[Names] = []
    may_give_up = asyncio.Event()

    async def on_lost(partitions: Names) -> None:
        for topic, partition in partitions:
            with pytest.raises(error):
                if error is UnknownPartition:
                    a.seek(topic, partition, 0)
                await a.commit({(topic, partition): 10})
        assert await a.commit(), "of nothing"
        lost.append(partitions)
        readers.progress.set()

    async with one_that_has_read(tmp_path, on_lost=on_lost, **MANUAL) as (broker, readers, a):
        await readers.stop("a")
        await broker.cut()
        broker.local.clock.advance(BROKEN_SESSION_MS)
        async with make(
            broker.local.transport, on_revoked=lambda _: may_give_up.wait(), **MANUAL
        ) as b:
            assert len(b.assignment) == PARTITIONS
            with pytest.raises(FencedMember):
                await a.commit()
            broker.may_join.set()
            await readers.until(lambda: bool(lost))
            assert [sorted(each) for each in lost] == [sorted(b.assignment)]
            async with Admin(transport=broker) as admin:
                assert not any(each.offset for each in await admin.fetch_offsets("g"))
            may_give_up.set()
            await share(readers, a, b)
            await send(broker.local, 5)
            await readers.are_given([*range(10), *range(15)])  # again, by who has it now


async def read_on(consumer: Consumer) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            await consumer.poll(20)


async def share(readers: Readers, a: Consumer, b: Consumer) -> list[int]:
    """Both read, until each has two partitions: those of `b`."""
    readers.read("a", a)
    readers.read("b", b)
    await readers.until(lambda: len(a.assignment) == len(b.assignment) == 2)
    return [number for _, number in b.assignment]


def again_from(start: int, moved: Collection[int], end: int) -> list[list[int]]:
    """What is given of each partition where those that moved were read from there once more."""
    again = [*range(10), *range(start, end)]
    return [again if number in moved else [*range(end)] for number in range(PARTITIONS)]
