"""Runs an application's callback in a thread of its own, so that it may block."""

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable

from logd.model.errors import InvalidConfig
from logd_client.rebalance_callbacks import Callback, PartitionNames


def in_a_thread(name: str, callback: Callback | None) -> Callable[..., Awaitable[None]] | None:
    """The same callback for the asynchronous face. Who waits for it and is cancelled leaves the
    thread to itself: nothing can end it. Raises InvalidConfig for a coroutine function."""
    if callback is None or not callable(callback):
        return callback
    if inspect.iscoroutinefunction(callback):
        raise InvalidConfig(f"{name} is a coroutine function; of logd.sync it is a plain one")

    async def call(partitions: PartitionNames) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        context = contextvars.copy_context()

        def settle(error: BaseException | None) -> None:
            if ended.done():
                return
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        def work() -> None:
            failure: BaseException | None = None
            try:
                context.run(callback, partitions)
            except Exception as error:
                failure = error
            except BaseException as error:  # SystemExit: of this thread alone
                failure = RuntimeError(f"{name} ended by {error!r}")
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, failure)

        threading.Thread(target=work, name=f"logd-{name}", daemon=True).start()
        await ended

    return call
