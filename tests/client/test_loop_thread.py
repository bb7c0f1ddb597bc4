import asyncio
import os
import threading

import pytest

from logd.model.errors import ClientClosed, RequestTimeout, UsedAfterFork
from logd_client.sync.loop_thread import LoopThread


async def _thread_name() -> str:
    return threading.current_thread().name


async def test_users_share_one_thread_and_the_last_one_ends_it() -> None:
    first, second = LoopThread.acquire(), LoopThread.acquire()
    assert first is second
    first.release()
    assert second.run(_thread_name()) == "logd-loop"
    second.release()
    with pytest.raises(ClientClosed):
        second.run(_thread_name())
    third = LoopThread.acquire()
    assert third is not second and third.run(_thread_name()) == "logd-loop"
    third.release()


def test_an_exception_reaches_the_caller() -> None:
    async def fail() -> None:
        raise KeyError("x")

    thread = LoopThread.acquire()
    try:
        with pytest.raises(KeyError):
            thread.run(fail())
    finally:
        thread.release()


def test_who_waits_when_the_last_user_leaves_is_told() -> None:
    thread = LoopThread.acquire()
    began = threading.Event()
    told: list[BaseException] = []

    async def stay() -> None:
        began.set()
        await asyncio.Event().wait()

    def wait() -> None:
        try:
            thread.run(stay())
        except BaseException as error:
            told.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert began.wait(60)
    thread.release()
    waiting.join(60)
    assert [type(error) for error in told] == [ClientClosed]


def test_a_wait_ends_in_time_and_cancels_the_work() -> None:
    cancelled = threading.Event()

    async def stay() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    thread = LoopThread.acquire()
    try:
        with pytest.raises(RequestTimeout, match="stay"):
            thread.run(stay(), timeout=0.01)
        assert cancelled.wait(60)
    finally:
        thread.release()


def test_after_a_fork_the_child_makes_its_own() -> None:
    thread = LoopThread.acquire()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            try:
                thread.run(_thread_name(), timeout=1)
            except UsedAfterFork:
                own = LoopThread.acquire()
                if own is not thread and own.run(_thread_name(), timeout=60) == "logd-loop":
                    status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert thread.run(_thread_name()) == "logd-loop"
    thread.release()
