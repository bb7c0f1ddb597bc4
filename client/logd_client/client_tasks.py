"""What one client does in the background, and how that ends with it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from logd.model.errors import BrokerUnreachable, LogdError
from logd.model.seams import Clock
from logd.system.background_tasks import BackgroundTasks
from logd_client.diagnostics import logger

T = TypeVar("T")


class ClientTasks:
    """The tasks that run now. One that ends unexpectedly fails the client, by `failed`."""

    def __init__(self, clock: Clock, failed: Callable[[Exception], object]) -> None:
        self.background = BackgroundTasks(clock, logger)
        self._failed = failed
        self._running: list[asyncio.Task[Any]] = []

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        return iter(list(self._running))

    def start(
        self,
        name: str,
        work: Coroutine[Any, Any, T],
        answers: type[Exception] | tuple[()] = (),
    ) -> asyncio.Task[T]:
        """As `BackgroundTasks.start`."""
        task = self.background.start(name, work, self._failed, answers=answers)
        self.own(task)
        return task

    def own(self, task: asyncio.Task[Any]) -> None:
        """It ends with the others."""
        self._running.append(task)
        task.add_done_callback(self._running.remove)

    def repeat(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        interval_ms: int,
        then: Callable[[], None],
    ) -> None:
        """Do this at intervals, whatever it raises, `then` after each time."""
        self.start(name, _repeat(work, interval_ms, then))

    async def stop(self, but: asyncio.Task[Any] | None = None) -> None:
        """End all `but` one, and but the one that this runs in: a callback may close its client."""
        spared = but, asyncio.current_task()
        tasks = [task for task in self._running if task not in spared]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(
    work: Callable[[], Awaitable[object]], interval_ms: int, then: Callable[[], None]
) -> None:
    while True:
        await asyncio.sleep(interval_ms / 1000)
        try:
            await work()
        except LogdError as error:
            told = isinstance(error, BrokerUnreachable)  # by the connection, now and then
            tell = logger.info if told else logger.warning
            tell("consumer_background_failed", error=error.message)
        then()
