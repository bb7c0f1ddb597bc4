"""The clients of a run: they produce, read, commit, truncate, create and delete, and tell."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from logd.model.checked_values import INT64_MAX
from logd.model.errors import BrokerUnreachable, LogdError, StoredDataCorrupt, UnknownTopic
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_machine import ADDRESS
from logd.sim.simulation import Simulation
from logd.testing.history import History
from logd_client import Admin, Consumer, OffsetSpec, Producer
from logd_client.record_handle import RecordHandle
from simulation.fault_plan import FaultPlan
from simulation.group_workload import GroupReaders

LOOK_TIMEOUT_MS = 120_000
"""Above the longest that a machine is down: nothing came because nothing is there."""
PATIENCE_S = 60
"""A consumer waits without end for its broker, but the broker of a run comes back only after all
clients have ended where its disk keeps it from starting."""
NO_GAP_MS = 1 << 60
"""Brokers of a run may be down for as long as they like."""
PRODUCERS = 2
MEMBERS = 3
PARTITIONS = 2
BURST_RECORDS_MAX = 8
VALUE_BYTES = (0, 10, 200, 3_000, 60_000)
CODECS: tuple[Literal["none", "lz4", "zstd"], ...] = ("none", "none", "lz4", "zstd")


@dataclass
class TopicUse:
    """A topic of a run. `strict`: what is acknowledged must be there in the end."""

    name: str
    config: dict[str, str]
    reader: bool = False
    truncated: bool = False
    strict: bool = True


@dataclass
class Churned:
    """A topic that comes and goes under one name. `ids`: topic ids whose deletion was confirmed.

    `exists` None: a call about it is under way, or its outcome is unknown."""

    acknowledged: bytes | None = None
    """The record that must be in it."""
    exists: bool | None = False
    topic_id: bytes = b""
    generation: int = 0
    gone: set[bytes] = field(default_factory=set)


class Workload:
    """All clients of one run. `findings`: what no client should ever meet."""

    def __init__(self, simulation: Simulation, plan: FaultPlan, random: SeededRandom) -> None:
        self.history = History()
        self.findings: list[str] = []
        self.churned = Churned()
        self.reports: set[tuple[str, str]] = set()
        """(reason, partition) of every problem that the broker ever told of."""
        self.refused_reads: list[tuple[str, int, int]] = []
        """(partition, from, to): what readers were told is damaged."""
        page_cache_counts = not plan.loses_page_cache
        every_second = {"segment_ms": "1000"}
        self.topics = [
            TopicUse("events", {}, reader=True),
            TopicUse("rolled", every_second, reader=True),
            TopicUse("kept_short", {**every_second, "retention_ms": "5000"}, truncated=True),
            TopicUse("sized", {**every_second, "retention_bytes": "100000"}, truncated=True),
            TopicUse("cut", every_second, truncated=True),
            TopicUse("cached", {"durability": "page_cache"}, True, strict=page_cache_counts),
        ]
        self._simulation = simulation
        self._plan = plan
        read = [topic.name for topic in self.topics if topic.reader and topic.strict]
        seams = (
            self.client,
            random.fork("members"),
            simulation.machine.clock.monotonic_ms,
            self.history,
            self._unexpected,
        )
        self.groups = [
            GroupReaders("billing", read, *seams),
            GroupReaders("passing", read[-1:], *seams, is_deleted=True),
        ]
        self._random = random
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def client(self, name: str) -> dict[str, Any]:
        """The seams of one client, and time-outs that let it outlive every fault."""
        machine = self._simulation.machine
        return {
            "bootstrap_servers": ADDRESS,
            "transport": machine.network,
            "clock": machine.clock,
            "random": self._random.fork(name),
            "retry_backoff_ms": 50,
            "request_timeout_ms": 60_000,
        }

    async def create_topics(self) -> None:
        async with Admin(**self.client("setup")) as admin:
            for topic in self.topics:
                await admin.create_topic(topic.name, PARTITIONS, config=topic.config)

    def start(self) -> None:
        for number in range(PRODUCERS):
            self._spawn(self._produce(number))
        shared, passing = self.groups
        for number in range(MEMBERS):
            self._spawn(shared.run(number, lambda: self._stopping))
        self._spawn(passing.run(0, lambda: self._stopping))
        self._spawn(self._truncate())
        self._spawn(self._churn())
        self._spawn(self._watch())

    async def finish(self) -> None:
        """Stop; every record has an outcome on return."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.ensure_future(work))

    async def _pause(self, up_to_s: float) -> None:
        await asyncio.sleep(self._random.uniform(0, up_to_s))

    # Producing

    async def _produce(self, number: int) -> None:
        random = self._random.fork(f"producer-{number}")
        producer = Producer(
            **self.client(f"producer-{number}"),
            delivery_timeout_ms=120_000,
            linger_ms=random.pick((0, 5, 50)),
            compression_type=random.pick(CODECS),
        )
        try:  # `async with` wants a broker that is there
            sent: list[tuple[TopicUse, int, int, bytes, RecordHandle]] = []
            sequence = 0
            while not self._stopping:
                for _ in range(1 + random.below(BURST_RECORDS_MAX)):
                    topic, partition = random.pick(self.topics), random.below(PARTITIONS)
                    payload = f"p{number}-{sequence}".encode()
                    value = payload + b"|" + random.bytes(random.pick(VALUE_BYTES))
                    try:
                        handle = await producer.send(topic.name, value, partition=partition)
                    except LogdError as error:
                        self._unexpected(f"send() to {topic.name}", error)
                    else:
                        sent.append((topic, partition, sequence, payload, handle))
                    sequence += 1
                if self._plan.rots:  # one flipped bit then costs no more than one burst
                    with suppress(LogdError):  # each record's handle tells
                        await producer.flush()
                pause_s = random.pick((0.02, 0.3, 2.0)) * max(1, self._plan.pause_s / 4)
                await asyncio.sleep(random.uniform(0, pause_s))
            for record in sent:
                await self._settle(number, *record)
        finally:
            await producer.close()

    async def _settle(
        self,
        number: int,
        topic: TopicUse,
        partition: int,
        sequence: int,
        payload: bytes,
        handle: RecordHandle,
    ) -> None:
        where = f"{topic.name}:{partition}"
        producer = f"p{number}"
        try:
            receipt = await handle
        except LogdError as error:
            told = self.history.unknown if error.outcome_unknown else self.history.failed
            told(producer, where, sequence, payload)
            return
        if topic.strict:
            self.history.acknowledged(producer, where, sequence, payload, receipt.offset)
        else:
            self.history.unknown(producer, where, sequence, payload)

    # Reading

    async def final_read(self) -> None:
        """All that is left of every topic, and what a look at the group and the topics gives."""
        for topic in self.topics:
            for partition in range(PARTITIONS):
                await self._read_whole(topic.name, partition)
        async with Admin(**self.client("end")) as admin:
            for group in self.groups:
                await self._look_at_commits(admin, group)
            await self._check_topics(admin)
            await self._take_reports(admin)

    async def _look_at_commits(self, admin: Admin, group: GroupReaders) -> None:
        try:
            committed = await admin.fetch_offsets(group.group)
        except StoredDataCorrupt as error:
            if not self._plan.rots:
                self.findings.append(f"committed offsets are lost: {error.message}")
            return
        for each in committed:
            if each.offset is not None:
                group.story.found(f"{each.topic}:{each.partition}", each.offset)
        if not self._plan.rots:
            self.findings += group.findings + group.story.findings(0, NO_GAP_MS)

    async def _read_whole(self, topic: str, partition: int) -> None:
        """All of it, or that it is refused: two flipped bits can cost all that says whose it is."""
        where = f"{topic}:{partition}"
        try:
            await self._read_from_start(where, topic, partition)
        except StoredDataCorrupt as error:
            if not self._plan.rots:
                raise
            self.reports.add((error.reason, where))
            self.history.finally_read(where, [], INT64_MAX)

    async def _read_from_start(self, where: str, topic: str, partition: int) -> None:
        records: list[tuple[int, bytes]] = []
        async with Consumer(
            topic, **self.client(f"final-{where}"), partitions=[partition]
        ) as consumer:
            start = consumer.position(topic, partition)
            end = start + await consumer.lag(topic, partition)
            while consumer.position(topic, partition) < end:
                try:
                    for record in await consumer.poll(timeout_ms=1_000):
                        records.append((record.offset, payload_of(record.value)))
                except StoredDataCorrupt as error:
                    self._step_over(consumer, topic, partition, error)
        self.history.finally_read(where, records, start)

    def _step_over(
        self, consumer: Consumer, topic: str, partition: int, error: StoredDataCorrupt
    ) -> None:
        at, next_offset = consumer.position(topic, partition), int(error.details["next_offset"])
        if not self._plan.rots:
            self.findings.append(f"{topic}:{partition} is damaged at {at}: {error.message}")
        self.refused_reads.append((f"{topic}:{partition}", at, next_offset))
        assert next_offset > at, "there is no way past the damage"
        consumer.seek(topic, partition, next_offset)

    # Operating

    async def _truncate(self) -> None:
        async with Admin(**self.client("truncate")) as admin:
            while not self._stopping:
                await self._pause(3.0)
                partition = self._random.below(PARTITIONS)
                try:
                    (end,) = await admin.list_offsets("cut", {partition: OffsetSpec.latest()})
                    offset = int(end.offset * self._random.uniform(0, 1))
                    before = {partition: OffsetSpec.at_offset(offset)}
                    (cut,) = await admin.truncate_topic("cut", before)
                    if cut.error is None:
                        self.history.observed("cut", f"cut:{partition}", cut.log_start_offset)
                except LogdError as error:
                    self._unexpected("truncate", error)

    async def _churn(self) -> None:
        """Create and delete one name; what a call did not confirm is looked up later."""
        churned, name = self.churned, "churned"
        async with Admin(**self.client("churn")) as admin:
            while not self._stopping:
                await self._pause(2.0)
                exists, churned.exists = churned.exists, None
                try:
                    if exists is None:
                        await self._look_up(admin, name)
                    elif exists:
                        await self._look_into(name)
                        churned.gone.add(await admin.delete_topic(name))
                        churned.exists = False
                    else:
                        churned.generation += 1
                        churned.acknowledged = None
                        made = await admin.create_topic(name, 1)
                        churned.topic_id, churned.exists = made.topic_id, True
                        await self._fill(name, churned.generation)
                except LogdError as error:
                    self._unexpected("churn", error)

    async def _look_up(self, admin: Admin, name: str) -> None:
        try:
            self.churned.topic_id = (await admin.describe_topic(name)).topic_id
            self.churned.exists = True
        except UnknownTopic:
            self.churned.exists = False

    async def _fill(self, name: str, generation: int) -> None:
        value = f"g{generation}".encode()
        async with Producer(
            **self.client(f"fill-{generation}"), delivery_timeout_ms=20_000
        ) as producer:
            await (await producer.send(name, value, partition=0))
            self.churned.acknowledged = value

    async def _look_into(self, name: str) -> None:
        """The record of this generation is there if it was acknowledged, and no other."""
        generation, acknowledged = self.churned.generation, self.churned.acknowledged
        async with started(Consumer(name, **self.client(f"look-{generation}"))) as consumer:
            lag = await consumer.lag(name, 0)
            records = await consumer.poll(timeout_ms=LOOK_TIMEOUT_MS) if lag else []
        values = [record.value for record in records]
        other = [value for value in values if value != f"g{generation}".encode()]
        if self._plan.rots:
            return
        if other or len(values) > 1 or (acknowledged and not values):
            self.findings.append(
                f"generation {generation} of {name} holds {values}, acknowledged {acknowledged!r}"
            )

    async def _check_topics(self, admin: Admin) -> None:
        found = {topic.name: topic.topic_id for topic in await admin.list_topics()}
        for topic in self.topics:
            if topic.name not in found:
                self.findings.append(f"the topic {topic.name} is gone")
        churned = self.churned
        if churned.exists is not None and churned.exists != ("churned" in found):
            self.findings.append(f"churned should be {churned.exists}, but {'churned' in found}")
        if found.get("churned") in churned.gone:
            self.findings.append("a deleted topic is back")

    async def _watch(self) -> None:
        """Watermarks never fall, and problems are noted before a restart forgets them."""
        async with Admin(**self.client("watch")) as admin:
            while not self._stopping:
                await self._pause(max(2.0, self._plan.pause_s / 2))
                try:
                    await self._take_reports(admin)
                    for topic in self.topics:
                        await self._watch_ends(admin, topic)
                except LogdError as error:
                    self._unexpected("watch", error)

    async def _watch_ends(self, admin: Admin, topic: TopicUse) -> None:
        for subject, spec in (
            ("high watermark", OffsetSpec.latest()),
            ("log start", OffsetSpec.earliest()),
        ):
            asked = {partition: spec for partition in range(PARTITIONS)}
            for found in await admin.list_offsets(topic.name, asked):
                if found.error is None and topic.strict:
                    where = f"{topic.name}:{found.partition}"
                    self.history.observed(subject, where, found.offset)

    async def started(self) -> None:
        """A broker is up: what did it find?"""
        async with Admin(**{**self.client("started"), "request_timeout_ms": 1_000}) as admin:
            with suppress(LogdError):
                await self._take_reports(admin)

    async def _take_reports(self, admin: Admin) -> None:
        health = await admin.cluster_health()
        self.reports |= {(problem.reason, problem.resource) for problem in health.problems}

    def _unexpected(self, what: str, error: LogdError) -> None:
        """Time-outs and refusals belong to a run with faults; damage only to some."""
        if isinstance(error, StoredDataCorrupt) and not self._plan.may_be_unreadable:
            self.findings.append(f"{what}: {error.reason}: {error.message}")


@asynccontextmanager
async def started(consumer: Consumer) -> AsyncIterator[Consumer]:
    """The consumer, open. Raises BrokerUnreachable where no broker answers for long."""
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await stack.enter_async_context(consumer)
                await consumer.start()
        except TimeoutError:
            raise BrokerUnreachable(f"no broker answered for {PATIENCE_S} s") from None
        yield consumer


def payload_of(value: bytes | None) -> bytes:
    assert value is not None
    return value.partition(b"|")[0]
