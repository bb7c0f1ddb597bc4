"""A process on the virtual loop: its tasks and callbacks, which end all at once when it dies."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

_current: ContextVar["SimulatedProcess | None"] = ContextVar("process", default=None)


AWAITS_IN_CLEAN_UP_MAX = 5


class ProcessDied(BaseException):
    """Unwinds the code that was running when its process died. Nothing may catch and go on."""


class SimulatedProcess:
    """What is spawned in it, and what that spawns or schedules in turn, belongs to it.

    A dead process runs nothing more: no callback, no `finally`. Its tasks are kept until the end of
    the simulation, so that no collection of them runs their clean-up in another process's time.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._context = copy_context()
        self._context.run(_current.set, self)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` in this process."""
        loop = asyncio.get_running_loop()
        return loop.create_task(work, context=self._context.copy())

    def die(self) -> None:
        """From now on nothing of it runs. Whoever called from within has to raise ProcessDied."""
        self.alive = False

    def bury(self) -> None:
        """At the simulation's end: let go of what a dead process left, its clean-up unheard."""
        for task in list(self._tasks):
            if task.done() and not task.cancelled():
                task.exception()  # it died before anybody could look
            for _ in range(AWAITS_IN_CLEAN_UP_MAX):
                for frame in _frames(task.get_coro()):
                    with suppress(BaseException):
                        frame.close()
        self._tasks.clear()

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task of this process until it is done, and who waited for it has heard."""
        self._tasks[task] = None
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        asyncio.get_running_loop().call_soon(self._tasks.pop, task, None)

    def run(self, callback: Callable[..., object], *args: object) -> None:
        """Call back, unless the process has died meanwhile."""
        if self.alive:
            callback(*args)


def _frames(coroutine: Any) -> list[Any]:
    """A coroutine and those it waits for, the innermost first."""
    frames: list[Any] = []
    while hasattr(coroutine, "cr_await"):
        frames.insert(0, coroutine)
        coroutine = coroutine.cr_await
    return frames


def process_of(context: Context | None) -> SimulatedProcess | None:
    """The process that `context` (None: the current one) belongs to; None: the simulation."""
    return _current.get() if context is None else context.get(_current)
