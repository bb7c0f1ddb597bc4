"""Something that will be done, awaited by any number of tasks of one event loop."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any


class SharedFuture:
    """As an asyncio.Future without a result, but who is cancelled while awaiting it cancels only
    itself; asyncio.shield() does that, too, for a turn of the loop more."""

    __slots__ = ("_check_loop", "_done", "_waiters")

    def __init__(self, check_loop: Callable[[], object]) -> None:
        """`check_loop` raises where the loop that would wait is not the one that will do it."""
        self._check_loop = check_loop
        self._done = False
        self._waiters: list[asyncio.Future[None]] = []

    def done(self) -> bool:
        """Whether it is."""
        return self._done

    def set_result(self, result: None) -> None:
        """It is done: wakes who awaits it."""
        self._done = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(result)
        self._waiters = []

    def __await__(self) -> Generator[Any, None, None]:
        if not self._done:
            self._check_loop()
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            yield from waiter
