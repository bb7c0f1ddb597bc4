"""What the synchronous Consumer and Admin share: an asynchronous client on the loop thread."""

import functools
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar

from logd_client.sync.loop_thread import LoopThread
from logd_client.use_guard import UseGuard

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")


class AsyncClient(Protocol):
    """An asynchronous client."""

    async def close(self) -> None: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


C = TypeVar("C", bound=AsyncClient)


class BlockingClient(Generic[C]):
    """Runs the calls of one asynchronous client on the loop thread and waits for them.

    Any thread may call; calls of several threads run side by side. After `close` they raise
    ClientClosed, in a forked child UsedAfterFork.
    """

    def __init__(self, client: C) -> None:
        self._guard = UseGuard(type(self).__name__)
        self._client = client
        self._thread = LoopThread.acquire()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(self._client.__aexit__(kind, error, trace))

    def close(self) -> None:
        """End it. Safe to call twice; in a forked child it does nothing."""
        self._end(self._client.close())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine of the client to its end."""
        if not self._guard.usable:
            work.close()
            raise self._guard.error()
        return self._thread.run(work)

    def _end(self, work: Coroutine[Any, Any, None]) -> None:
        if not self._guard.usable:
            work.close()
            return
        try:
            self.run(work)
        finally:
            self._guard.close()
            self._thread.release()


def blocking(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingClient[Any], P], T]:
    """The same method without await."""

    @functools.wraps(method)
    def call(self: BlockingClient[Any], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(method(self._client, *args, **kwargs))

    return call


def on_loop(
    method: Callable[Concatenate[A, P], T],
) -> Callable[Concatenate[BlockingClient[Any], P], T]:
    """The same plain method, called on the loop thread, where the client's state lives."""

    @functools.wraps(method)
    def call(self: BlockingClient[Any], /, *args: P.args, **kwargs: P.kwargs) -> T:
        async def work() -> T:
            return method(self._client, *args, **kwargs)

        return self.run(work())

    return call
