"""Work in a pool, without threads: it is done in one go, some time after it was asked for."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from logd.sim.seeded_random import SeededRandom

T = TypeVar("T")

SHORT_S = 0.0005
LONG_S = 0.05
LONG_SHARE = 0.05


class Slowness:
    """How long each piece of work takes at least, in s: a slow disk, or a busy machine."""

    def __init__(self) -> None:
        self.seconds = 0.0


class SimulatedOffload:
    """Implements `logd.model.seams.Offload`. What the loop does before the work begins, and between
    its end and the news of it, is what threads would let happen meanwhile."""

    def __init__(self, random: SeededRandom, slowness: Slowness) -> None:
        self._random = random
        self._slowness = slowness

    async def run(self, work: Callable[[], T]) -> T:
        # A thread does not stop where its waiter is cancelled, and nobody hears of its errors then.
        working = asyncio.ensure_future(self._do(work))
        working.add_done_callback(_hear)
        return await asyncio.shield(working)

    async def _do(self, work: Callable[[], T]) -> T:
        await asyncio.sleep(self._delay_s())
        result = work()
        await asyncio.sleep(self._delay_s())
        return result

    def close(self) -> None:
        return None

    def _delay_s(self) -> float:
        longest_s = LONG_S if self._random.chance(LONG_SHARE) else SHORT_S
        return self._slowness.seconds + self._random.uniform(0, longest_s)


def _hear(working: "asyncio.Task[object]") -> None:
    if not working.cancelled():
        working.exception()
