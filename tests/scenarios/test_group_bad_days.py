"""Bad days of a group, with a broker in this process: what its members are told and given."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from harness.foreign_batch import ForeignBatch
from harness.local_broker import LocalBroker, local_broker
from logd.model.errors import CommitBehind, FencedMember, LogdError, UndecodableBatch
from logd.testing.group_story import GroupStory
from logd_client import Admin, Consumer, Producer, Record, ResetTarget
from logd_proto.v1 import common_pb2, data_pb2

pytestmark = pytest.mark.slow

WAIT_S = 60
"""For an event that must come; longer only where a test fails."""
Partitions = list[tuple[str, int]]
NO_GAP_MS = 1 << 40
"""Times are not judged here: the clock goes as the machine lets it."""


class Group:
    """A broker with members that are read all the time, and the story of them."""

    def __init__(self, local: LocalBroker) -> None:
        self.local = local
        self.story = GroupStory()
        self.members: dict[str, Consumer] = {}
        self.given: dict[tuple[str, int], list[int]] = {}
        self.errors: list[LogdError] = []
        self.by_key: dict[bytes | None, list[int]] = {}
        self.sent = 0
        self.commits = True
        self.records_a_poll = 50
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.progress = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def admin(self) -> Admin:
        return Admin(transport=self.local.transport)

    async def produce(self, topic: str, count: int, key: bytes | None = None) -> None:
        async with Producer(transport=self.local.transport) as producer:
            for number in range(count):
                now_ms = self.local.clock.wall_ms()
                await producer.send(topic, b"%d" % number, key, timestamp_ms=now_ms)

    async def put(self, topic: str, batch: ForeignBatch) -> None:
        ref = common_pb2.TopicRef(name=topic)
        request = data_pb2.ProduceRequest(topic=ref, partition=0, batch=batch.encoded())
        answer = await self.local.transport.unary(
            "", "/logd.v1.DataService/Produce", request.SerializeToString(), WAIT_S * 1000
        )
        (receipt,) = data_pb2.ProduceResponse.FromString(bytes(answer)).receipts
        assert not receipt.HasField("error")

    def now_ms(self) -> int:
        return self.local.clock.monotonic_ms()

    def join(self, name: str, *topics: str, reads: bool = True, **settings: object) -> Consumer:
        def teller(
            told: Callable[[int, str, str], None],
        ) -> Callable[[list[tuple[str, int]]], None]:
            def tell(partitions: list[tuple[str, int]]) -> None:
                for topic, partition in partitions:
                    told(self.now_ms(), name, f"{topic}:{partition}")
                self.progress.set()

            return tell

        story = self.story
        consumer = self.members[name] = Consumer(
            *(topics or ("t",)),
            group_id="g",
            transport=self.local.transport,
            fetch_max_wait_ms=20,
            retry_backoff_ms=1,
            on_assigned=teller(story.assigned),
            on_revoked=teller(story.released),
            on_lost=teller(story.lost),
            **{"enable_auto_commit": False, **settings},  # type: ignore[arg-type]
        )
        story.joined(name)
        if reads:
            self._tasks[name] = asyncio.create_task(self._read(name, consumer))
        return consumer

    async def _read(self, name: str, consumer: Consumer) -> None:
        while True:
            await self.may_read.wait()
            try:
                for record in await consumer.poll(20, max_records=self.records_a_poll):
                    where = record.topic, record.partition
                    self.given.setdefault(where, []).append(record.offset)
                    self.story.delivered(f"{where[0]}:{where[1]}", record.offset)
                    self.by_key.setdefault(record.key, []).append(int(record.value or b""))
                if self.commits:
                    await self._commit(name, consumer)
            except LogdError as error:
                self.errors.append(error)
            self.progress.set()

    async def _commit(self, name: str, consumer: Consumer) -> None:
        held = {key: consumer.position(*key) for key in consumer.assignment}
        for (topic, partition), offset in held.items():
            self.story.commits(f"{topic}:{partition}", offset)
        try:
            taken = await consumer.commit()
        except FencedMember:
            return
        except CommitBehind as error:
            raise AssertionError("a valid commit was refused") from error
        for (topic, partition), offset in held.items() if taken else ():
            self.story.committed(f"{topic}:{partition}", offset)

    async def leave(self, name: str) -> None:
        if (task := self._tasks.pop(name, None)) is not None:
            task.cancel()
            await asyncio.wait([task])
        await self.members.pop(name).close()
        self.story.gone(self.now_ms(), name)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self.progress.clear()
                await self.progress.wait()

    def count(self, topic: str) -> int:
        """How many of its records were given to somebody."""
        return sum(len(set(given)) for (name, _), given in self.given.items() if name == topic)

    def shares(self, *names: str) -> list[int]:
        return [len(self.members[name].assignment) for name in names]

    async def judged(self) -> None:
        async with self.admin() as admin:
            for each in await admin.fetch_offsets("g"):
                if each.offset is not None and each.topic:
                    self.story.found(f"{each.topic}:{each.partition}", each.offset)
        assert self.story.findings(self.now_ms(), NO_GAP_MS) == []


@asynccontextmanager
async def group_of(tmp_path: Path, partitions: int = 4) -> AsyncIterator[Group]:
    async with local_broker(tmp_path) as local:

        async def tick() -> None:
            while True:
                await asyncio.sleep(0.005)
                local.clock.advance(5)

        ticking = asyncio.create_task(tick())
        group = Group(local)
        async with group.admin() as admin:
            await admin.create_topic("t", partitions)
        try:
            yield group
        finally:
            for name in list(group.members):
                await group.leave(name)
            ticking.cancel()


async def test_members_come_and_go_in_storms(tmp_path: Path) -> None:
    async with group_of(tmp_path, 8) as group:
        await group.produce("t", 200)
        for number in range(50):
            group.join(f"m{number}")
        names = [f"m{number}" for number in range(50)]
        await group.until(lambda: sorted(group.shares(*names)) == [0] * 42 + [1] * 8)
        await asyncio.gather(*(group.leave(name) for name in names[:45]))
        await group.until(lambda: sum(group.shares(*names[45:])) == 8)
        await group.produce("t", 200)
        await group.until(lambda: group.count("t") == 400)
        await group.judged()
        assert group.errors == []


async def test_a_handler_that_never_returns_loses_its_partition_and_its_commit(
    tmp_path: Path,
) -> None:
    async with group_of(tmp_path, 2) as group:
        for key in range(20):
            await group.produce("t", 1, b"%d" % key)
        stuck = group.join("stuck", reads=False, revocation_timeout_ms=500)
        records: list[Record] = []
        while len(records) < 20:  # all in hand, and it never comes back for more
            records = await stuck.poll(100)
            if len(records) < 20:
                for topic, partition in stuck.assignment:
                    stuck.seek(topic, partition, 0)
        group.join("a")
        await group.until(lambda: group.shares("a") == [1])
        ((_, moved),) = group.members["a"].assignment
        with pytest.raises(FencedMember, match=f"t:{moved}"):
            await stuck.commit(next(r for r in records if r.partition == moved))
        kept = next(r for r in records if r.partition != moved)
        assert await stuck.commit(kept)
        await group.until(lambda: ("t", moved) in group.given)
        assert group.errors == []


async def test_a_subscribed_topic_is_deleted_under_its_members(tmp_path: Path) -> None:
    async with group_of(tmp_path, 2) as group:
        async with group.admin() as admin:
            await admin.create_topic("u", 2)
            group.join("a", "t", "u")
            group.join("b", "t", "u")
            await group.until(lambda: group.shares("a", "b") == [2, 2])
            await group.produce("u", 10)
            await group.until(
                lambda: sum(len(g) for (t, _), g in group.given.items() if t == "u") == 10
            )
            await admin.delete_topic("u")
            await group.until(lambda: sum(group.shares("a", "b")) == 2)
            await group.produce("t", 10)
            await group.until(
                lambda: sum(len(g) for (t, _), g in group.given.items() if t == "t") == 10
            )
            assert group.errors == [], "nobody is thrown what happened to a topic"
            await admin.create_topic("u", 1)
            await group.until(lambda: sum(group.shares("a", "b")) == 3)


async def test_partitions_are_added_under_load_and_none_of_their_records_is_left_out(
    tmp_path: Path,
) -> None:
    async with group_of(tmp_path, 2) as group:
        group.join("a", auto_offset_reset="latest")
        group.join("b", auto_offset_reset="latest")
        await group.until(lambda: group.shares("a", "b") == [1, 1])
        async with group.admin() as admin:
            producing = asyncio.create_task(_produce_keys(group, 600))
            await group.until(lambda: group.count("t") > 50)
            await admin.add_partitions("t", 6)
            sent = await producing
            await group.until(lambda: group.count("t") == sent)
            await group.until(lambda: sorted(group.shares("a", "b")) == [3, 3])
        await group.judged()
        assert group.errors == []


@pytest.mark.parametrize("commits", [True, False])
async def test_a_split_under_load_keeps_the_order_of_each_key(
    tmp_path: Path, commits: bool
) -> None:
    """Twice, so that a child is a parent too. Who reads is behind, so that it matters."""
    async with group_of(tmp_path, 1) as group:
        group.commits, group.records_a_poll = commits, 5
        members = [group.join(name) for name in "abc"]
        await group.until(lambda: sum(len(m.assignment) for m in members) == 1)
        async with group.admin() as admin:
            producing = asyncio.create_task(_produce_keys(group, 900))
            for at, partitions in ((100, 3), (250, 8)):
                await group.until(lambda at=at: group.count("t") > at)  # type: ignore[misc]
                group.may_read.clear()
                await admin.add_partitions("t", partitions)
                await group.until(lambda at=at: group.sent >= at + 300)  # type: ignore[misc]
                group.may_read.set()
            sent = await producing
            await group.until(lambda: group.count("t") == sent)
            await group.until(lambda: sum(len(m.assignment) for m in members) == 8)
        assert group.errors == []
        out_of_order = [k for k, numbers in group.by_key.items() if numbers != sorted(numbers)]
        assert len(group.by_key) == 40 and out_of_order == []


async def _produce_keys(group: Group, count: int) -> int:
    async with Producer(transport=group.local.transport, linger_ms=0) as producer:
        for number in range(count):
            key, now_ms = b"key-%d" % (number % 40), group.local.clock.wall_ms()
            await producer.send("t", b"%d" % number, key, timestamp_ms=now_ms)
            group.sent += 1
            group.progress.set()
            if number % 10 == 0:
                await asyncio.sleep(0.005)
    return count


async def test_a_group_is_rewound_while_it_shares_anew_and_twice_at_once(tmp_path: Path) -> None:
    async with group_of(tmp_path) as group:
        await group.produce("t", 100)
        group.join("a")
        await group.until(lambda: group.count("t") == 100)
        group.join("b")  # half of the partitions are about to move
        async with group.admin() as admin:
            both = await asyncio.gather(
                admin.reset_offsets("g", ResetTarget.earliest(), execute=True),
                admin.reset_offsets("g", ResetTarget.earliest(), execute=True),
            )
            assert both[0].rewind_epoch != both[1].rewind_epoch
            for partition in range(4):
                group.story.rewound(f"t:{partition}", 0)
            await group.until(lambda: all(g.count(0) >= 2 for g in group.given.values()))
            await group.until(lambda: group.shares("a", "b") == [2, 2])
            ends = {p: max(g) + 1 for (_, p), g in group.given.items()}
            async with asyncio.timeout(WAIT_S):
                while (
                    not ends.items()
                    <= {
                        each.partition: each.offset for each in await admin.fetch_offsets("g")
                    }.items()
                ):
                    group.progress.clear()
                    await group.progress.wait()
            assert len([e for e in await admin.group_history("g") if e.kind == "RESET"]) == 2
        assert group.errors == []


async def test_a_member_that_cannot_read_on_says_why_the_group_lags(tmp_path: Path) -> None:
    async with group_of(tmp_path, 1) as group, group.admin() as admin:
        await group.produce("t", 3)
        await group.put("t", ForeignBatch("undecodable", codec=1, frame=bytes(64)))
        group.join("a")
        await group.until(lambda: group.count("t") == 3 and bool(group.errors))
        assert isinstance(group.errors[0], UndecodableBatch)
        async with asyncio.timeout(WAIT_S):
            while "cannot" not in (await admin.group_lag("g"))[0].reason:
                await asyncio.sleep(0.02)
        (lag,) = await admin.group_lag("g")
        assert lag.reason == f"{lag.consumer_id} cannot read on: UNDECODABLE_BATCH at offset 3"


async def test_the_wall_clock_jumps_and_nobody_is_evicted(tmp_path: Path) -> None:
    async with group_of(tmp_path) as group:
        group.join("a")
        group.join("b")
        await group.until(lambda: group.shares("a", "b") == [2, 2])
        for jump_ms in (86_400_000, -2 * 86_400_000, 86_400_000):
            group.local.clock.jump_wall(jump_ms)
            before = group.count("t")
            await group.produce("t", 8)
            await group.until(lambda n=before: group.count("t") == n + 8)  # type: ignore[misc]
        assert group.shares("a", "b") == [2, 2]
        await group.judged()
        assert group.errors == []
