"""Members of a group over a broker in memory, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

from harness.fake_fetch_broker import FakeFetchBroker
from harness.virtual_time import in_virtual_time
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_clock import SimulatedClock
from logd_client.consumer import Consumer

HANGS_MS = 60_000
RECORDS = 12
Told = list[tuple[str, list[tuple[str, int]]]]


class World:
    """A broker with topic "t" of two partitions, RECORDS in each, and members of group "g"."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.broker = FakeFetchBroker()
        self.broker.create_topic("t", 2)
        for partition in (0, 1):
            self.broker.append("t", partition, [b"%d" % n for n in range(RECORDS)])
        self.group = self.broker.group("g")
        self.told: Told = []
        self._made = 0

    def consumer(self, *topics: str, told: bool = True, **given: object) -> Consumer:
        self._made += 1
        callbacks = {
            name: lambda partitions, name=name: self.told.append((name, partitions))
            for name in ("on_assigned", "on_revoked", "on_lost")
        }
        return Consumer(
            *(topics or ("t",)),
            group_id="g",
            transport=self.broker,
            clock=self.clock,
            random=SeededRandom(self._made),
            **{**(callbacks if told else {}), **given},  # type: ignore[arg-type]
        )

    def key(self, partition: int) -> tuple[bytes, int]:
        return self.broker.topic_id("t"), partition

    def committed(self, partition: int) -> int | None:
        return self.group.offsets.get(self.key(partition))

    def pin(self, partition: int, who: str) -> None:
        """It shall be with this member."""
        self.group.pinned[self.key(partition)] = who
        self.broker.coordinator.settle(self.group)


def virtual(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def work(clock: SimulatedClock) -> None:
            await test(World(clock))

        in_virtual_time(work)

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


async def moments(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def member_id(consumer: Consumer) -> str:
    found = consumer.health().member_id
    assert found is not None
    return found
