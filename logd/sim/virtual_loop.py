"""An asyncio loop in virtual time: nothing waits, the clock leaps to the next timer instead."""

import asyncio
from asyncio import Handle, TimerHandle
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

from logd.sim.simulated_process import ProcessDied, process_of

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class NothingLeft(Exception):
    """The simulation waits for something that no timer will bring."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Ready callbacks run in the order in which they were scheduled, timers by time (those of one
    moment in any order, but always the same): a run depends on nothing but program and seed.

    `failures` collects what ended in no one's hands: an error in a callback, an exception that was
    never looked at. Sockets, threads and signals are refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []
        self._now_s = 0.0
        self._selector = self  # what BaseEventLoop asks to wait
        self.set_exception_handler(self._note_failure)

    def time(self) -> float:
        """Virtual seconds since the simulation began."""
        return self._now_s

    def select(self, timeout_s: float | None) -> Sequence[object]:
        """BaseEventLoop's wait: time passes."""
        if timeout_s is None:
            raise NothingLeft("every task waits, and no timer is set")
        self._now_s += timeout_s
        return ()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        if self.is_closed():  # what is collected after the end may still try to clean up
            return Handle(callback, args, self)
        process = process_of(context)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        return super().call_soon(process.run, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        process = process_of(context)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        return super().call_at(when, process.run, callback, *args, context=context)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = super().create_task(coro, name=name, context=context)
        process = process_of(context)
        if process is not None:
            process.keep(task)
        return task

    def _note_failure(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, ProcessDied) or "destroyed" in context["message"]:
            return
        self.failures.append(f"{context['message']}: {error!r}")

    def _process_events(self, events: Sequence[object]) -> None:
        return None

    def _write_to_self(self) -> None:
        return None
