"""The thread that runs the event loop under the synchronous clients."""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

from logd.model.errors import ClientClosed, LogdError, RequestTimeout, UsedAfterFork

T = TypeVar("T")

STOP_TIMEOUT_S = 5.0


class LoopThread:
    """One daemon thread with one event loop, shared by all synchronous clients of the process:
    several loops under gRPC disturb each other.

    `acquire()` gives the running one, or starts it; each user calls `release()` once, and the last
    one's stops it. A forked child has no such thread: there `acquire()` starts a new one, and
    `run()` on the parent's raises UsedAfterFork. Any thread may call any method, but `run` and
    `release` never from the loop's own thread.
    """

    _shared: ClassVar["LoopThread | None"] = None
    _shared_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._users = 0
        self._ended = False
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="logd-loop", daemon=True)
        self._thread.start()

    @classmethod
    def acquire(cls) -> "LoopThread":
        """The process's loop thread, for one more user."""
        with cls._shared_lock:
            shared = cls._shared
            if shared is None or shared._pid != os.getpid():
                shared = cls._shared = cls()
            shared._users += 1
            return shared

    def release(self) -> None:
        """One user less; the last one ends the thread, within STOP_TIMEOUT_S."""
        if self._pid != os.getpid():
            return
        with LoopThread._shared_lock:
            self._users -= 1
            if self._users > 0:
                return
            LoopThread._shared = None
            self._ended = True
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(STOP_TIMEOUT_S)

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on the loop, and give its result or raise its exception.

        After `timeout` seconds it is cancelled, and RequestTimeout raised; None: the coroutine
        bounds itself. If the caller is interrupted, the coroutine is cancelled too.
        """
        if self._pid != os.getpid():
            work.close()
            raise UsedAfterFork("made before a fork and used in the child")
        assert threading.current_thread() is not self._thread, "run() would wait for itself"
        with LoopThread._shared_lock:  # what comes before the loop's end is ended by it, too
            if self._ended:
                work.close()
                raise ClientClosed("the thread of the synchronous clients has ended")
            future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(timeout)
        except concurrent.futures.CancelledError:
            raise ClientClosed("the client was closed while this call waited") from None
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
            future.cancel()
            what = getattr(work, "__qualname__", "the call")
            raise RequestTimeout(f"{what} took longer than {timeout} s") from None
        except LogdError as error:  # as short_traceback() does
            raise error.with_traceback(None) from error.__cause__
        except BaseException:
            future.cancel()
            raise

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()


def _renew_lock() -> None:
    """In a forked child: another thread may have held the lock at the fork."""
    LoopThread._shared_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
