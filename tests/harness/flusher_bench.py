"""A Flusher between fakes: a stepped pool, a directory and logs that only trace what is asked."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from harness.manual_clock import ManualClock
from harness.stepped_offload import SteppedOffload
from logd.model.errors import LogdError
from logd.model.topic_config import Durability
from logd.sim.virtual_loop import VirtualLoop
from logd.system.background_tasks import BackgroundTasks
from logd_partitions.sync.flusher import Flusher

STEPS_MAX = 100


@dataclass
class Ticket:
    log: "FakeLog"
    end: int

    def run(self) -> None:
        self.log.trace.append(f"sync {self.log.name}")
        self.log.clock.advance(self.log.sync_ms)
        if self.log.error is not None:
            raise self.log.error


@dataclass(eq=False)
class FakeLog:
    name: str
    trace: list[str]
    clock: ManualClock
    durability: Durability = "fsync"
    sync_ms: int = 0
    found: bool = True
    end: int = 0
    synced: int = 0
    unsynced_bytes: int = 0
    closed: bool = False
    error: Exception | None = None

    @property
    def awaits_sync(self) -> bool:
        return self.end > self.synced and not (self.durability == "page_cache" and self.found)

    def start_sync(self) -> Ticket:
        return Ticket(self, self.end)

    def finish_sync(self, ticket: Ticket) -> None:
        self.synced = ticket.end


@dataclass
class FakeDirectory:
    trace: list[str]
    unsynced: list[FakeLog] = field(default_factory=list)
    errors: list[OSError] = field(default_factory=list)
    noted: list[FakeLog] = field(default_factory=list)
    failed: Exception | None = None

    @property
    def needs_sync(self) -> bool:
        return bool(self.unsynced)

    def is_unsynced(self, log: FakeLog) -> bool:
        return log in self.unsynced

    def sync(self) -> None:
        self.trace.append("sync directory")
        if self.errors:
            raise self.errors.pop(0)
        self.unsynced.clear()

    def sync_file_system(self) -> None:
        self.trace.append("syncfs")

    def note_synced(self, log: FakeLog) -> None:
        self.noted.append(log)

    def collect_points(self) -> bool:
        noted, self.noted = self.noted, []
        return bool(noted)

    def write_points(self) -> None:
        self.trace.append("points")

    def mark_failed(self, error: Exception) -> None:
        self.failed = error


class FlusherBench:
    """A flusher between fakes."""

    def __init__(self) -> None:
        self.trace: list[str] = []
        self.clock = ManualClock()
        self.offload = SteppedOffload()
        self.directory = FakeDirectory(self.trace)
        self.failures: list[LogdError] = []
        self.tasks = BackgroundTasks(self.clock)
        self.flusher: Flusher[FakeLog] = Flusher(
            self.offload,
            self.directory,
            self.clock,
            self.tasks,
            on_synced=self.synced,
            on_failed=self.failures.append,
        )

    def synced(self, log: FakeLog) -> None:
        self.trace.append(f"synced {log.name} {log.synced}")

    def log(self, name: str, durability: Durability = "fsync") -> FakeLog:
        return FakeLog(name, self.trace, self.clock, durability)

    def append(self, log: FakeLog) -> None:
        log.end += 1
        log.unsynced_bytes += 1
        self.flusher.mark_dirty(log)

    async def sync_once(self, *logs: FakeLog) -> None:
        """Append and sync, so that it is known how long their syncs take."""
        for log in logs:
            self.append(log)
        await self.step_until(lambda: all(log.synced == log.end for log in logs))
        self.trace.clear()

    async def close(self) -> None:
        self.flusher._closing = True
        closing = asyncio.ensure_future(self.flusher.close())
        await self.step_until(closing.done)

    async def step_until(self, done: Callable[[], bool]) -> None:
        """Let all work run until it is so."""
        for _ in range(STEPS_MAX):
            if done():
                return
            await asyncio.sleep(0.001)
            await self.offload.step()
        raise AssertionError("it never becomes so")


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test of a `bench`, closed at its end, on a loop whose time nothing but it moves: so
    however busy the machine is, what is quick is quick, and what waits has waited."""

    @wraps(test)
    def run(bench: FlusherBench, **others: Any) -> None:
        async def whole() -> None:
            try:
                await test(bench=bench, **others)
            finally:
                await bench.close()

        loop = VirtualLoop()
        try:
            loop.run_until_complete(whole())
            assert loop.failures == []
        finally:
            loop.close()

    return run
