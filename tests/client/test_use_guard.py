import asyncio
import os

import pytest

from logd.model.errors import ClientClosed, DuplicateInstance, LogdError, UsedAfterFork
from logd_client.use_guard import UseGuard


def test_usable_until_closed() -> None:
    guard = UseGuard("Producer")
    guard.check()
    guard.close()
    with pytest.raises(ClientClosed, match="this Producer is closed"):
        guard.check()


def test_a_fork_makes_it_unusable_in_the_child_only() -> None:
    guard = UseGuard("Consumer")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            UseGuard("Consumer").check()
            guard.check()
        except UsedAfterFork:
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    guard.check()


async def test_a_failure_is_told_by_every_later_call_until_it_is_closed() -> None:
    guard = UseGuard("Consumer")
    guard.fail(ZeroDivisionError("by 0"))
    for _ in range(2):
        with pytest.raises(LogdError, match=r"this Consumer has failed: ZeroDivisionError\('by 0'"):
            guard.check()
    guard.close()
    with pytest.raises(ClientClosed):
        guard.check_on_loop()


@pytest.mark.parametrize("ends", ["close", "fail", "fail, then close"])
async def test_what_waits_ends_with_it(ends: str) -> None:
    guard = UseGuard("Admin")

    async def wait() -> None:
        async with guard.waiting():
            await asyncio.Event().wait()

    waiting = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    if "fail" in ends:
        guard.fail(ZeroDivisionError())
    if "close" in ends:
        guard.close()
    for task in waiting:
        with pytest.raises(ClientClosed if "close" in ends else LogdError):
            await task


async def test_what_has_ended_says_why_until_it_is_closed() -> None:
    guard = UseGuard("Consumer")

    async def wait() -> None:
        async with guard.waiting():
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    guard.end(DuplicateInstance("another has the name"))
    with pytest.raises(DuplicateInstance):
        await task
    with pytest.raises(DuplicateInstance):
        guard.check()
    guard.close()
    with pytest.raises(ClientClosed):
        guard.check()


async def test_a_wait_passes_on_what_ends_it_otherwise() -> None:
    guard = UseGuard("Admin")
    with pytest.raises(TimeoutError):
        async with guard.waiting(), asyncio.timeout(0):
            await asyncio.Event().wait()

    async def wait() -> None:
        async with guard.waiting():
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    guard.close()  # nobody waits any more
