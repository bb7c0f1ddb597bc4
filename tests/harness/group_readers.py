"""Members of a group on a broker in this process: what each is given, sessions that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from harness.local_broker import LocalBroker, local_broker
from harness.local_transport import LocalStream, LocalTransport
from logd.model.errors import BrokerUnreachable
from logd_client import Admin, Consumer, Producer
from logd_proto.v1 import groups_pb2 as pb

WAIT_S = 60
"""For an event that must come; longer only where a test fails."""
PARTITIONS = 4
SESSION = "/logd.v1.GroupService/Session"


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


class Cutter(LocalTransport):
    """Whose sessions can be cut, and whose commits can be held up. The first `lost` answers are on
    their way when that happens, and nobody joins while `may_join` is not set. `answers` are also
    the lost ones."""

    def __init__(self, local: LocalBroker, lost: int = 0) -> None:
        super().__init__(local.transport.dispatcher)
        self.local, self.faults = local, local.transport.faults
        self.lost = lost
        self.may_join, self.has_cut = asyncio.Event(), asyncio.Event()
        self.may_join.set()
        self.may_commit, self.commits = asyncio.Event(), 0
        self.may_commit.set()
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

    async def unary(self, address: str, method: str, *rest: Any) -> bytes:
        if method.endswith("/CommitOffsets"):
            self.commits += 1
            await self.may_commit.wait()
        return await super().unary(address, method, *rest)

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
