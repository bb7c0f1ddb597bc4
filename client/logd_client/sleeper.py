"""Where one task sleeps until it is woken."""

import asyncio


class Sleeper:
    """As an asyncio.Event that is waited for with a time-out and then cleared, for a quarter of the
    calls: a producer's task does so for each message. On one event loop."""

    __slots__ = ("_asleep", "_loop", "_sleeps", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._asleep = self._loop.create_future()
        self._sleeps = False
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """The sleep ends, or the next one does at once."""
        if not self._asleep.done():
            self._asleep.set_result(None)

    def wake_in(self, delay_ms: int) -> None:
        """The sleep ends in so long, if not before. The next one does at once: who is awake may
        have looked already for when to wake."""
        if delay_ms <= 0 or not self._sleeps:
            self.wake()
            return
        at = self._loop.time() + delay_ms / 1000
        if self._timer is None or at < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(at, self.wake)

    def sleep(self, delay_ms: int | None) -> "asyncio.Future[None]":
        """To be awaited at once: until woken, or for so long."""
        self._sleeps = True
        if delay_ms is not None and not self._asleep.done():
            self._timer = self._loop.call_later(max(0, delay_ms) / 1000, self.wake)
        return self._asleep

    def woken(self) -> None:
        """The sleep has ended."""
        self._sleeps = False
        self._asleep = self._loop.create_future()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
