"""What the application is told of the partitions that it gets and loses."""

import asyncio
import contextlib
import inspect
import traceback
from collections.abc import Callable
from contextvars import ContextVar

from logd.model.errors import InvalidConfig
from logd_client.diagnostics import logger

PartitionNames = list[tuple[str, int]]
Callback = Callable[[PartitionNames], object]
"""Given (topic, partition) of each; what it gives is awaited, if it can be."""

_inside: ContextVar["RebalanceCallbacks | None"] = ContextVar("_inside", default=None)


class RebalanceCallbacks:
    """Calls on_assigned, on_revoked and on_lost, one at a time and in order.

    They hold nothing up but each other, and what waits for one bounds that itself: a call that is
    cancelled while it waits for its turn is not made. What they raise is logged, and given to
    `failed`, for the application's next read.
    """

    def __init__(
        self,
        on_assigned: Callback | None,
        on_revoked: Callback | None,
        on_lost: Callback | None,
        failed: Callable[[Exception], None],
    ) -> None:
        """Raises InvalidConfig for what cannot be called."""
        self._callbacks = {
            "on_assigned": on_assigned,
            "on_revoked": on_revoked,
            "on_lost": on_lost,
        }
        for name, callback in self._callbacks.items():
            if callback is not None and not callable(callback):
                raise InvalidConfig(
                    f"{name} is {callback!r}, but takes a function of a list of (topic, partition)",
                    field=name,
                )
        self._failed = failed
        self._turn = asyncio.Lock()

    @property
    def are_given(self) -> bool:
        return any(callback is not None for callback in self._callbacks.values())

    def has(self, name: str) -> bool:
        return self._callbacks[name] is not None

    @property
    def calls_us(self) -> bool:
        """Whether who asks is one of them, in whatever thread: it must not wait for them."""
        return _inside.get() is self and self._turn.locked()

    async def call(self, name: str, partitions: PartitionNames) -> None:
        """Call it, if there is such, and wait for its end."""
        callback = self._callbacks[name]
        if callback is None or not partitions:
            return
        async with self._turn:
            before = _inside.set(self)
            try:
                given = callback(partitions)
                if inspect.isawaitable(given):
                    await given
            except Exception as error:
                logger.warning(
                    "rebalance_callback_failed", callback=name, trace=traceback.format_exc()
                )
                self._failed(error)
            finally:
                with contextlib.suppress(ValueError):  # collected with a loop that has ended
                    _inside.reset(before)
