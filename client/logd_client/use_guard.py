"""Says whether a client object may still be used, and ends what waits in it once it may not."""

import asyncio
import contextlib
import os
import weakref
from collections.abc import AsyncIterator, Callable

from logd.model.errors import ClientClosed, LogdError, UsedAfterFork, UsedInAnotherLoop

_guards: "weakref.WeakSet[UseGuard]" = weakref.WeakSet()


class UseGuard:
    """The state of one client object. `usable` is a plain field, for checks on a hot path.

    A fork copies the object but not its connections, threads and locks: in the child every guard
    that existed turns unusable, before any other code runs there. Closed, or failed because one of
    its tasks ended unexpectedly, the object's waits end at once, by the error of every later call.
    """

    __slots__ = (
        "__weakref__",
        "_ending",
        "_failure",
        "_loop",
        "_on_fork",
        "_waits",
        "_what",
        "closed",
        "forked",
        "usable",
    )

    def __init__(self, what: str, on_fork: Callable[[], None] = lambda: None) -> None:
        """`on_fork` is called in the child, for paths that are too hot to look at `usable`."""
        self._what = what
        self._on_fork = on_fork
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waits: set[asyncio.Timeout] = set()
        self._failure: Exception | None = None
        self._ending: LogdError | None = None
        self.usable = True
        self.closed = False
        self.forked = False
        _guards.add(self)

    def check(self) -> None:
        """In any thread. Raises ClientClosed, UsedAfterFork, and LogdError once it has failed."""
        if not self.usable:
            raise self.error()

    def check_on_loop(self) -> None:
        """As `check`; raises UsedInAnotherLoop, too: the first loop that calls it is its own."""
        if not self.usable:
            raise self.error()
        self.check_loop()

    def check_loop(self) -> None:
        """Raises UsedInAnotherLoop. Where no loop runs there is nothing to say."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            state = "has ended" if self._loop.is_closed() else "still has it"
            raise UsedInAnotherLoop(
                f"this {self._what} was first used in another event loop, which {state}: its "
                "connections live there; make one client in each asyncio.run(), or use logd.sync"
            )

    @contextlib.asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """What is awaited within ends once the object is closed or fails, by that error."""
        self.check_on_loop()
        wait = asyncio.timeout(None)
        try:
            async with wait:
                self._waits.add(wait)
                yield
        except TimeoutError:
            if not wait.expired():
                raise
            error = self.error()
            raise error from error.__cause__
        finally:
            self._waits.discard(wait)

    def error(self) -> LogdError:
        """Why it is not usable."""
        if self.forked:
            return UsedAfterFork(
                f"this {self._what} was made before a fork and used in the child process "
                f"{os.getpid()}; make clients after the fork only, or start processes by 'spawn'"
            )
        if self._ending is not None and not self.closed:
            return self._ending.with_traceback(None)
        if self.closed or self._failure is None:
            return ClientClosed(f"this {self._what} is closed; make a new one")
        failed = LogdError(f"this {self._what} has failed: {self._failure!r}; make a new one")
        failed.__cause__ = self._failure
        return failed

    def close(self) -> None:
        """From now on ClientClosed. On the loop that waits in it, if any."""
        self.closed = True
        self._end_waits()

    def fail(self, error: Exception) -> None:
        """From now on a LogdError that tells of `error`: what it did in the background is no longer
        done. On its loop."""
        self._failure = error
        self._end_waits()

    def end(self, error: LogdError) -> None:
        """From now on this error: it can do nothing any more, which is no fault. On its loop."""
        self._ending = error
        self._end_waits()

    def fork(self) -> None:
        """From now on UsedAfterFork: this is the child."""
        self.forked = True
        self.usable = False
        self._on_fork()

    def _end_waits(self) -> None:
        self.usable = False
        waits, self._waits = self._waits, set()
        for wait in waits:
            wait.reschedule(asyncio.get_running_loop().time())


def _in_child() -> None:
    for guard in list(_guards):
        guard.fork()


os.register_at_fork(after_in_child=_in_child)
