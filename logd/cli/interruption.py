"""Ctrl-C, SIGTERM and SIGHUP: the first ends a command's work in order, a second Ctrl-C or SIGTERM
the process. A terminal that goes sends SIGHUP, often twice: by the kernel and by the shell."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

TOLD_AFTER_MS = 500
"""An end in order that takes longer says what it waits for."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Of one task. `number` is the signal that came first, if any.

    `waits_for` says what the task may still do then: a last commit, say.
    """

    def __init__(
        self,
        task: "asyncio.Task[Any]",
        waits_for: Callable[[], str],
        note: Callable[[str], None],
        end_process: Callable[[int], object] = os._exit,
    ) -> None:
        self.number: int | None = None
        self._task = task
        self._loop = task.get_loop()
        self._waits_for = waits_for
        self._note = note
        self._end_process = end_process
        self._telling: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals within, but for a SIGHUP that nohup had ignored. In the main thread
        only."""
        ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
        taken = [number for number in _SIGNALS if number not in ignored]
        before = {number: signal.signal(number, self.signalled) for number in taken}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self._telling is not None:
                self._telling.cancel()

    def signalled(self, number: int, _: object = None) -> None:
        """A signal has come: between any two instructions, also where the loop stands still."""
        if self.number is not None:
            if number != signal.SIGHUP:
                self._end_process(128 + number)
            return
        self.number = number
        self._loop.call_soon_threadsafe(self._interrupt)

    def _interrupt(self) -> None:
        self._task.cancel()
        self._telling = self._loop.call_later(TOLD_AFTER_MS / 1000, self._tell)

    def _tell(self) -> None:
        self._note(f"interrupted; waiting for {self._waits_for()} (Ctrl-C again ends at once)")
