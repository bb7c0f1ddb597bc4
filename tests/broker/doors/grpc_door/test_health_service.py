"""Watchers of health, of which none depends on another."""

import asyncio

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from harness.virtual_time import in_virtual_time
from logd.broker.doors.grpc_door.health_service import HealthService
from logd.sim.simulated_clock import SimulatedClock

UNKNOWN, SERVING, NOT_SERVING = 3, 1, 2


class Watcher:
    """A client's watch; `reads` is whether it takes what it is sent."""

    def __init__(self, health: HealthService, service: str = "", reads: bool = True) -> None:
        self.seen: list[int] = []
        self.reads = asyncio.Event()
        if reads:
            self.reads.set()
        self.task = asyncio.ensure_future(health.Watch(HealthCheckRequest(service=service), self))

    async def write(self, response: HealthCheckResponse) -> None:
        await self.reads.wait()
        self.seen.append(response.status)


def test_watchers() -> None:
    async def work(clock: SimulatedClock) -> None:
        health = HealthService()
        health.set_serving("", True)
        stuck, gone, other = Watcher(health, reads=False), Watcher(health), Watcher(health)
        elsewhere = Watcher(health, "logd.v1.DataService")
        await asyncio.sleep(1)
        gone.task.cancel()
        await asyncio.sleep(1)
        health.set_serving("", False)
        health.set_serving("logd.v1.DataService", True)
        await asyncio.sleep(1)
        assert (gone.seen, other.seen) == ([SERVING], [SERVING, NOT_SERVING])
        assert elsewhere.seen == [UNKNOWN, SERVING]
        late = Watcher(health)
        await asyncio.sleep(1)
        health.set_serving("", True)
        stuck.reads.set()
        await asyncio.sleep(1)
        assert late.seen == [NOT_SERVING, SERVING]
        assert stuck.seen[-1] == SERVING and other.seen[-1] == SERVING
        for watcher in (stuck, other, elsewhere, late):
            watcher.task.cancel()
        await asyncio.sleep(1)

    in_virtual_time(work)
