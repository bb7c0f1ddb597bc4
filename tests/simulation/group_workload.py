"""The members of a run's groups: they come, read, commit, leave, vanish, or are cut off a while."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from logd.model.errors import (
    BrokerUnreachable,
    CommitBehind,
    FencedMember,
    LogdError,
    UnknownGroup,
)
from logd.model.seams import Buffer, Transport, TransportStream
from logd.sim.seeded_random import SeededRandom
from logd.testing.group_story import GroupStory
from logd.testing.history import History
from logd_client import Admin, Consumer
from logd_client.core.record_window import Order
from logd_client.work_record import WorkRecord

START_PATIENCE_S = 60
"""A member waits without end for its broker, but the broker of a run comes back only after all
clients have ended where its disk keeps it from starting."""


class Work:
    """What a member did with a partition's records, since it was given it, or gave it up: those it
    is done with, and how often it tried others."""

    def __init__(self, *, given_up: bool = False) -> None:
        self.given_up = given_up
        self.done: set[int] = set()
        self.attempts: dict[int, int] = {}


Done = dict[str, Work]
"""By partition."""


class CutOff:
    """Implements `Transport`. While it is cut off, streams are broken and calls wait to be sent:
    what comes through in the end is from before."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._whole = asyncio.Event()
        self._whole.set()
        self._streams: dict[_Breakable, None] = {}

    async def unary(self, address: str, method: str, request: bytes, timeout_ms: int) -> bytes:
        await self._whole.wait()
        return await self._transport.unary(address, method, request, timeout_ms)

    async def stream(self, address: str, method: str) -> TransportStream:
        if not self._whole.is_set():
            raise BrokerUnreachable("cut off")
        return _Breakable(await self._transport.stream(address, method), self._streams)

    async def close(self) -> None:
        await self._transport.close()

    async def cut(self) -> None:
        self._whole.clear()
        for stream in list(self._streams):
            await stream.close()

    def mend(self) -> None:
        self._whole.set()


class _Breakable:
    """Implements `TransportStream`; one of `streams` until it is closed."""

    def __init__(self, stream: TransportStream, streams: "dict[_Breakable, None]") -> None:
        self._stream = stream
        self._streams = streams
        streams[self] = None

    async def send(self, message: bytes) -> None:
        await self._stream.send(message)

    async def receive(self) -> Buffer | None:
        return await self._stream.receive()

    async def close(self) -> None:
        self._streams.pop(self, None)
        await self._stream.close()


class GroupReaders:
    """So many consumers of one group at a time, which share `topics`; who ends is followed by
    another. A group that `is_deleted` is so now and then, between two of its members.

    `history` judges each member's way, `story` how they share.
    """

    def __init__(
        self,
        group: str,
        topics: list[str],
        client: Callable[[str], dict[str, Any]],
        random: SeededRandom,
        now_ms: Callable[[], int],
        history: History,
        failed: Callable[[str, LogdError], None],
        *,
        is_deleted: bool = False,
    ) -> None:
        self.group = group
        self.story = GroupStory()
        self.findings: list[str] = []
        self._topics = topics
        self._client = client
        self._random = random
        self._now_ms = now_ms
        self._history = history
        self._failed = failed
        self._is_deleted = is_deleted
        self._next: dict[tuple[str, str], int] = {}
        """(reader, partition) -> the offset after the last record that it was given there."""
        self._fenced: dict[str, Done] = {}
        """Reader -> what it had when a commit of it was refused; see `_commit`."""
        self._ending: list[asyncio.Task[None]] = []

    async def run(self, number: int, stopping: Callable[[], bool]) -> None:
        """The lives of one after the other."""
        life = 0
        while not stopping():
            life += 1
            name = f"{number}.{life}"
            try:
                await self._live(name, stopping)
                if self._is_deleted and self._random.chance(0.5):
                    await self._delete(name)
            except LogdError as error:
                self._failed(f"member {name} of {self.group}", error)
                await asyncio.sleep(self._random.uniform(0, 0.5))
        await asyncio.gather(*self._ending)

    async def _delete(self, name: str) -> None:
        await asyncio.sleep(self._random.uniform(0.5, 2))
        async with Admin(**self._client(f"delete-{name}")) as admin:
            self.story.may_be_deleted()
            with contextlib.suppress(UnknownGroup):  # by an attempt whose answer was lost
                await admin.delete_group(self.group)
        self.story.deleted()

    async def _live(self, name: str, stopping: Callable[[], bool]) -> None:
        random, reader = self._random.fork(name), f"{self.group}-{name}"
        client = self._client(f"{self.group}-{name}")
        transport = client["transport"] = CutOff(client["transport"])

        done: Done = {}

        def assigned(partitions: list[tuple[str, int]]) -> None:
            for topic, partition in partitions:
                where = f"{topic}:{partition}"
                done[where] = Work()
                offset = consumer.position(topic, partition)
                self.story.assigned(self._now_ms(), name, where, offset)
                self._history.rewound(reader, where, offset)
                self._next[reader, where] = offset

        def revoked(partitions: list[tuple[str, int]]) -> None:
            for topic, partition in partitions:
                done[f"{topic}:{partition}"] = Work(given_up=True)
                self.story.released(self._now_ms(), name, f"{topic}:{partition}")

        def lost(partitions: list[tuple[str, int]]) -> None:
            for topic, partition in partitions:
                done[f"{topic}:{partition}"] = Work(given_up=True)
                self.story.lost(self._now_ms(), name, f"{topic}:{partition}")

        consumer = Consumer(
            *(self._topics if random.chance(0.7) else [random.pick(self._topics)]),
            **client,
            group_instance_id=f"static-{name[0]}" if random.chance(0.2) else None,
            group_id=self.group,
            enable_auto_commit=False,
            session_timeout_ms=random.pick((1_000, 10_000)),
            revocation_timeout_ms=5_000,
            on_assigned=assigned,
            on_revoked=revoked,
            on_lost=lost,
        )
        self.story.joined(name)
        end = random.pick(("leave", "leave", "vanish", "cut off"))
        try:
            try:
                async with asyncio.timeout(START_PATIENCE_S):
                    await consumer.start()
            except TimeoutError:
                end = "vanish"  # who has not started has nothing to say later
                return
            await self._read(name, reader, consumer, done, random, stopping)
            if end == "leave":
                await consumer.close()
            elif end == "cut off":
                await transport.cut()
        finally:
            self.story.gone(self._now_ms(), name)
            if end == "cut off":
                after_s = random.uniform(0, 15)
                straggler = self._come_back_late(name, consumer, transport, after_s)
                self._ending.append(asyncio.ensure_future(straggler))
            else:
                await consumer._end()  # as if it was killed, where it did not leave

    async def _read(
        self,
        name: str,
        reader: str,
        consumer: Consumer,
        done: "Done",
        random: SeededRandom,
        stopping: Callable[[], bool],
    ) -> None:
        until_ms = self._now_ms() + int(1000 * random.pick((0.5, 3, 20, 120)))

        def over() -> bool:
            return stopping() or self._now_ms() >= until_ms

        in_parallel = random.fork("several at a time")
        if in_parallel.chance(0.4):
            await self._read_in_parallel(name, reader, consumer, done, in_parallel, over)
        while not over():
            await self._read_some(name, reader, consumer, done, random)

    async def _come_back_late(
        self, name: str, consumer: Consumer, transport: CutOff, after_s: float
    ) -> None:
        """What it wants to commit comes through once others have its partitions."""
        for topic, partition in consumer.assignment:
            self.story.commits(f"{topic}:{partition}", consumer.position(topic, partition))
        committing = asyncio.ensure_future(consumer.commit())
        await asyncio.sleep(after_s)
        transport.mend()
        await asyncio.wait([committing])
        if not committing.cancelled():
            committing.exception()  # FencedMember, as a rule
        self.story.gone(self._now_ms(), name)  # it may have joined again meanwhile
        await consumer._end()

    async def _read_in_parallel(
        self,
        name: str,
        reader: str,
        consumer: Consumer,
        done: "Done",
        random: SeededRandom,
        over: Callable[[], bool],
    ) -> None:
        """Several records at a time, of which some fail at first; `done` has it, anew with each
        assignment."""

        async def handle(record: WorkRecord) -> None:
            where = f"{record.topic}:{record.partition}"
            mine = done[where]
            self.story.tried(where, record.offset, record.attempt, name)
            await asyncio.sleep(random.pick((0, 0, 0.01, 0.3, 2)))
            if record.attempt < 3 and random.chance(0.1):
                mine.attempts[record.offset] = record.attempt
                record.retry(random.uniform(0, 2), hold_order=random.chance(0.5))
                return
            # Each is a reader of its own, since they come in no order.
            alone = f"{reader} {record.offset} {len(mine.done)}"
            payload = (record.value or b"").partition(b"|")[0]
            self._history.rewound(alone, where, record.offset)
            self._history.delivered(alone, where, record.offset, payload)
            if done[where] is mine:
                self.story.delivered(where, record.offset, name)
                mine.done.add(record.offset)

        order: Order = random.pick(("key", "partition", "none"))
        records = consumer.records(concurrency=random.pick((2, 8)), order=order)
        reading = asyncio.ensure_future(records.for_each(handle))
        try:
            while not over() and not reading.done():
                await asyncio.wait([reading], timeout=random.uniform(0.1, 2))
                if random.chance(0.5):
                    await self._commit_beyond(reader, consumer, done)
        finally:
            if random.chance(0.5):
                reading.cancel()
            records.stop()
            await asyncio.wait([reading])
            failed = None if reading.cancelled() else reading.exception()
        if failed is not None:
            raise failed

    async def _commit_beyond(self, reader: str, consumer: Consumer, done: "Done") -> None:
        before = {
            where: (mine, set(mine.done), dict(mine.attempts)) for where, mine in done.items()
        }
        if not await self._commit(reader, consumer, done):
            return
        for where, (mine, finished, attempts) in before.items():
            if done[where] is mine:
                self.story.committed_beyond(where, finished, attempts)

    async def _commit(self, reader: str, consumer: Consumer, done: "Done") -> bool:
        """Whether all of it was accepted. One that was refused, of partitions that then stay with
        the member until another is accepted, was valid; not where it was giving one of them up."""
        for topic, partition in consumer.assignment:
            self.story.commits(f"{topic}:{partition}", consumer.position(topic, partition))
        places = [f"{topic}:{partition}" for topic, partition in consumer.assignment]
        had = {where: done[where] for where in places if where in done}
        try:
            taken = await consumer.commit()
        except FencedMember:
            if not any(work.given_up for work in had.values()):
                self._fenced[reader] = had
            return False
        except CommitBehind as error:
            self.findings.append(f"refused: a commit of {reader}, who has it: {error.message}")
            return False
        fenced = self._fenced.pop(reader, {}) if taken else {}
        if fenced and all(done.get(where) is mine for where, mine in fenced.items()):
            self.findings.append(f"refused: a commit of {reader}, who kept {sorted(fenced)}")
        return taken

    async def _read_some(
        self, name: str, reader: str, consumer: Consumer, done: "Done", random: SeededRandom
    ) -> None:
        for record in await consumer.poll(timeout_ms=1_000):
            where = f"{record.topic}:{record.partition}"
            payload = (record.value or b"").partition(b"|")[0]
            expected = self._next.get((reader, where), record.offset)
            if self.story.were_given(where, range(expected, record.offset)):
                self._history.rewound(reader, where, record.offset)  # others are done with those
            self._next[reader, where] = record.offset + 1
            self._history.delivered(reader, where, record.offset, payload)
            self.story.delivered(where, record.offset, name)
        if not random.chance(0.3):
            return
        held = {f"{t}:{p}": consumer.position(t, p) for t, p in consumer.assignment}
        if await self._commit(reader, consumer, done):
            for where, offset in held.items():
                self.story.committed(where, offset)
