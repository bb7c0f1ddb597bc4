"""Says whether a client object may still be used: not once closed, nor in a forked child."""

import os
import weakref
from collections.abc import Callable

from logd.model.errors import ClientClosed, LogdError, UsedAfterFork

_guards: "weakref.WeakSet[UseGuard]" = weakref.WeakSet()


class UseGuard:
    """The state of one client object. `usable` is a plain field, for checks on a hot path.

    A fork copies the object but not its connections, threads and locks: in the child every guard
    that existed turns unusable, before any other code runs there.
    """

    __slots__ = ("__weakref__", "_on_fork", "_what", "closed", "forked", "usable")

    def __init__(self, what: str, on_fork: Callable[[], None] = lambda: None) -> None:
        """`on_fork` is called in the child, for paths that are too hot to look at `usable`."""
        self._what = what
        self._on_fork = on_fork
        self.usable = True
        self.closed = False
        self.forked = False
        _guards.add(self)

    def check(self) -> None:
        """Raises ClientClosed or UsedAfterFork."""
        if not self.usable:
            raise self.error()

    def error(self) -> LogdError:
        """Why it is not usable."""
        if self.forked:
            return UsedAfterFork(
                f"this {self._what} was made before a fork and used in the child process "
                f"{os.getpid()}; make clients after the fork only, or start processes by 'spawn'"
            )
        return ClientClosed(f"this {self._what} is closed; make a new one")

    def close(self) -> None:
        """From now on ClientClosed."""
        self.closed = True
        self.usable = False

    def fork(self) -> None:
        """From now on UsedAfterFork: this is the child."""
        self.forked = True
        self.usable = False
        self._on_fork()


def _in_child() -> None:
    for guard in list(_guards):
        guard.fork()


os.register_at_fork(after_in_child=_in_child)
