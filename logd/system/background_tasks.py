"""One way to start what runs beside its starter, so that nothing ends with nobody told.

A task that nobody awaits and that ends by an exception is silent: its work is no longer done, and
who waits for it waits for ever. So no module of broker or SDK makes such a task itself (a test
reads the sources for it): it starts it here, and says whom its unexpected end fails.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from logd.model.seams import Clock

T = TypeVar("T")


def awaited(error: Exception) -> None:
    """As `failed`: all who wait for the task await it itself, and so are told."""


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """Background tasks of one name that ended unexpectedly: how often, since when, the last why."""

    name: str
    count: int
    since_ms: int
    error: Exception


class BackgroundTasks:
    """Those of one broker or one client. On its loop.

    `logger` is where unexpected ends are told; cluster health tells of `failures`.
    """

    def __init__(self, clock: Clock, logger: Any = None) -> None:
        self._clock = clock
        self._logger = logger or structlog.get_logger()
        self._failures: dict[str, TaskFailure] = {}
        self._running: set[asyncio.Task[Any]] = set()  # the loop itself holds tasks weakly

    def start(
        self,
        name: str,
        work: Coroutine[Any, Any, T],
        failed: Callable[[Exception], object],
        *,
        answers: type[Exception] | tuple[()] = (),
    ) -> asyncio.Task[T]:
        """Run `work`. Ends it by an exception, then `failed` is given that: it must fail whatever
        waits for the task, now and later. A task that was cancelled ended as it should.

        `answers`: what the work may raise to those who await the task. No fault, but as all of them
        may have been cancelled meanwhile, it is logged.
        """

        def ended(task: asyncio.Task[T]) -> None:
            self._running.discard(task)
            if task.cancelled():
                return
            error = task.exception()
            if isinstance(error, answers):
                self._logger.info("a background task gave an error", task=name, error=str(error))
            elif isinstance(error, Exception):
                self._note(name, error)
                failed(error)

        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(ended)
        return task

    def failures(self) -> list[TaskFailure]:
        """By name, in the order in which each first failed."""
        return list(self._failures.values())

    def _note(self, name: str, error: Exception) -> None:
        self._logger.error(
            "a background task ended unexpectedly", task=name, error=repr(error), exc_info=error
        )
        before = self._failures.get(name)
        count, since_ms = (
            (before.count + 1, before.since_ms) if before else (1, self._clock.wall_ms())
        )
        self._failures[name] = TaskFailure(name, count, since_ms, error)
