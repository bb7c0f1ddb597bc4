"""An offload whose work waits for the test."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class SteppedOffload:
    """Work waits until a test lets it run: so what happens during a sync can be staged."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], object], asyncio.Future[object]]] = []

    async def run(self, work: Callable[[], T]) -> T:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.waiting.append((work, future))
        return await future  # type: ignore[return-value]

    async def step(self, count: int | None = None) -> None:
        """Run what waits now, or the first `count` of it, then let the loop settle."""
        await settle()
        batch, self.waiting = self.waiting[:count], self.waiting[len(self.waiting[:count]) :]
        for work, future in batch:
            if future.done():
                continue  # its waiter was cancelled
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)
        await settle()

    def close(self) -> None: ...


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
