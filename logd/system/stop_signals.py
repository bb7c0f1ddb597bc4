"""Hears SIGTERM and SIGINT whatever the event loop does, and bounds how long a stop may take.

A handler of asyncio runs on the loop, and one of Python's in the main thread between two bytecodes:
neither comes while that thread is in a long call. So a thread waits for the bytes that the C
handler writes at once, and ends the process itself when the bound has passed. What it cannot do
anything about is a call that holds the interpreter's lock when the signal comes: SIGKILL remains.
"""

import contextlib
import faulthandler
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import NoReturn

import structlog

logger = structlog.get_logger()

STOPS = (signal.SIGTERM, signal.SIGINT)
OUT_OF_TIME = 1
"""Exit status of a stop that took too long, or was cut short by Ctrl-C."""
LAST_WORDS_S = 1.0
"""So long the last line may take: who reads stderr may have stopped."""


class StopSignals:
    """Of a process, for its main thread.

    Before `serving`, a signal ends the process at once: nobody was told of anything that a crash
    would lose. From then on the first one calls `stop` on the loop, and the process ends within
    `bound_s` of it. SIGTERM again changes nothing, as supervisors repeat it; Ctrl-C ends at once.
    """

    def __init__(self, bound_s: float) -> None:
        self._bound_s = bound_s
        self._stop: Callable[[], object] | None = None
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def listen(self) -> None:
        """Once, on the running loop: uvloop takes over the descriptor of signals when it starts."""
        for number in STOPS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        threading.Thread(target=self._run, name="stop-signals", daemon=True).start()

    def serving(self, stop: Callable[[], object]) -> None:
        """From now on a signal calls `stop`, from another thread. Its RuntimeError is taken for a
        loop that is closed already."""
        self._stop = stop

    def _run(self) -> None:
        self._await_signal(None)
        stop = self._stop
        if stop is None:
            _end("stopped before it served", 0)
        out_of_time = time.monotonic() + self._bound_s
        # Its thread needs no interpreter: it ends the process even if this one can't run any more.
        faulthandler.dump_traceback_later(
            self._bound_s + 2 * LAST_WORDS_S, exit=True, file=os.open(os.devnull, os.O_WRONLY)
        )
        with contextlib.suppress(RuntimeError):
            stop()
        while (number := self._await_signal(out_of_time)) is not None:
            if number == signal.SIGINT:
                _end("stopped at once, as asked; a start will recover", OUT_OF_TIME)
        _end(
            "the drain took too long; what is acknowledged is safe, a start will recover",
            OUT_OF_TIME,
        )

    def _await_signal(self, until: float | None) -> int | None:
        """The next signal; None at the time `until`."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        while True:
            left_s = None if until is None else max(0.0, until - time.monotonic())
            if not poll.poll(None if left_s is None else left_s * 1000):
                return None
            number = os.read(self._read, 1)[0]
            if number in STOPS:
                return number


def _end(last_words: str, status: int) -> NoReturn:
    tell = logger.error if status else logger.info
    telling = threading.Thread(target=tell, args=(last_words,), daemon=True)
    telling.start()
    telling.join(LAST_WORDS_S)
    os._exit(status)
