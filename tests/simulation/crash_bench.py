"""A simulated broker whose operations are crashed, and what must be true after each crash."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from logd.model.errors import LogdError, UnknownTopic
from logd.sim.simulated_machine import ADDRESS
from logd.sim.simulation import Simulation
from logd_client import Admin, Consumer, OffsetSpec, Producer

GROUP = "billing"
DELIVERY_TIMEOUT_MS = 20_000


@dataclass
class Expected:
    """What a topic's partition 0 must hold: `acknowledged` (what was read counts as that too), and
    of `sent` (by producer, in order) no record twice. `start`: the acknowledged start of the log;
    `start_max`: what was asked for. `in_page_cache`: a power failure may take any of it."""

    sent: dict[bytes, int] = field(default_factory=dict)
    acknowledged: list[tuple[int, bytes]] = field(default_factory=list)
    start: int = 0
    start_max: int = 0
    in_page_cache: bool = False


class CrashBench:
    """Operations on the broker, noted as they are acknowledged. `gone`: deleted for sure;
    `topics` that are neither noted nor gone may be there or not."""

    def __init__(self, simulation: Simulation) -> None:
        self.machine = simulation.machine
        self.topics: dict[str, Expected] = {}
        self.gone: set[str] = set()
        self.committed = 0
        self.commit_max = 0
        self.unfinished: list[asyncio.Future[None]] = []
        """Appends that an operation has begun and left to the producers' retries."""
        self._random = simulation.random
        self._clients = 0

    def client(self) -> dict[str, Any]:
        self._clients += 1
        return {
            "bootstrap_servers": ADDRESS,
            "transport": self.machine.network,
            "clock": self.machine.clock,
            "random": self._random.fork(f"client-{self._clients}"),
            "request_timeout_ms": 20_000,
        }

    # What is done

    async def create(self, topic: str, **config: str) -> None:
        async with Admin(**self.client()) as admin:
            await admin.create_topic(topic, 1, config=config)
        self.topics[topic] = Expected(in_page_cache=config.get("durability") == "page_cache")
        self.gone.discard(topic)

    async def append(self, topic: str, *sizes: int) -> None:
        """One record of each size; a producer retries over crashes until it has its receipts."""
        expected = self.topics[topic]
        producer = Producer(**self.client(), delivery_timeout_ms=DELIVERY_TIMEOUT_MS)
        try:  # `async with` wants a broker that is there
            handles = []
            for size in sizes:
                value = f"{topic}-{len(expected.sent)}|".encode() + bytes(size)
                expected.sent[value] = self._clients
                handles.append((value, await producer.send(topic, value, partition=0)))
            for value, handle in handles:
                receipt = await handle
                assert receipt.offset is not None
                expected.acknowledged.append((receipt.offset, value))
        finally:
            await producer.close()

    async def truncate(self, topic: str, before: int) -> None:
        expected = self.topics[topic]
        expected.start_max = before
        async with Admin(**self.client()) as admin:
            (cut,) = await admin.truncate_topic(topic, {0: OffsetSpec.at_offset(before)})
        if cut.error is not None:
            raise cut.error
        expected.start = cut.log_start_offset

    async def delete(self, topic: str) -> None:
        del self.topics[topic]
        async with Admin(**self.client()) as admin:
            await admin.delete_topic(topic)
        self.gone.add(topic)

    async def commit(self, topic: str, offset: int) -> None:
        self.commit_max = offset
        async with Admin(**self.client()) as admin:
            (outcome,) = await admin.commit_offsets(GROUP, {(topic, 0): offset})
        if outcome.error is not None:
            raise outcome.error
        self.committed = offset

    # What must hold

    def power_failed(self) -> None:
        """Now, before the next start."""
        for expected in self.topics.values():
            if expected.in_page_cache:
                expected.acknowledged.clear()

    async def check(self) -> list[str]:
        """Every broken promise. A broker is up."""
        findings = []
        async with Admin(**self.client()) as admin:
            found = {topic.name for topic in await admin.list_topics()}
            findings += [f"topic {name} is back" for name in sorted(self.gone & found)]
            findings += [f"topic {name} is gone" for name in self.topics if name not in found]
            if self.commit_max:
                findings += await self._check_commit(admin)
            for problem in (await admin.cluster_health()).problems:
                if problem.severity == "error":
                    findings.append(f"{problem.reason}: {problem.message}")
        for name, expected in self.topics.items():
            if name in found:
                findings += await self._check_topic(name, expected)
        return findings

    async def _check_commit(self, admin: Admin) -> list[str]:
        offsets = [each.offset or 0 for each in await admin.fetch_offsets(GROUP)] or [0]
        if self.committed <= offsets[0] <= self.commit_max:
            return []
        return [f"committed {self.committed} (asked {self.commit_max}), but found {offsets}"]

    async def _check_topic(self, name: str, expected: Expected) -> list[str]:
        findings = []
        async with Consumer(name, **self.client()) as consumer:
            await consumer.start()
            start = consumer.position(name, 0)
            end = start + await consumer.lag(name, 0)
            records: list[tuple[int, bytes]] = []
            while consumer.position(name, 0) < end:
                records += [
                    (r.offset, r.value or b"") for r in await consumer.poll(timeout_ms=10_000)
                ]
        if not expected.start <= start <= max(expected.start, expected.start_max):
            findings.append(f"{name} starts at {start}, not at {expected.start}")
        due = [each for each in expected.acknowledged if each[0] >= start]
        missing = [each for each in due if each not in records]
        if missing:
            findings.append(f"{name}: acknowledged, but gone: {_short(missing)}")
        values = [value for _, value in records]
        expected.acknowledged += [each for each in records if each not in expected.acknowledged]
        strange = [value for value in values if value not in expected.sent]
        if strange or len(set(values)) < len(values):
            findings.append(f"{name} holds what was not sent, or twice: {_short(records)}")
        for producer in set(expected.sent.values()):
            sent = [value for value, by in expected.sent.items() if by == producer]
            read = [sent.index(value) for value in values if value in sent]
            if read != sorted(read):
                findings.append(f"{name} is out of order: {read}")
        return findings

    async def go_on(self) -> None:
        """Everything works on: each topic takes a record, a new one can be made."""
        for name in list(self.topics):
            await self.append(name, 10)
        if "after" not in self.topics:
            await self.create("after")
        await self.append("after", 10)


async def outcome_of(work: Any) -> None:
    """Await an operation that a crash may have ended in doubt."""
    try:
        await work
    except (UnknownTopic, LogdError, asyncio.CancelledError):
        return


def _short(records: Any) -> str:
    return str([(offset, (value or b"")[:16]) for offset, value in records][:6])
