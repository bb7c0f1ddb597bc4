import asyncio

import pytest
from structlog.testing import capture_logs

from harness.manual_clock import ManualClock
from logd.system.background_tasks import BackgroundTasks


def tasks() -> BackgroundTasks:
    return BackgroundTasks(ManualClock())


@pytest.mark.ends_background
async def test_an_unexpected_end_is_logged_counted_and_fails_who_waits() -> None:
    background, waiter = tasks(), asyncio.get_running_loop().create_future()

    async def work() -> None:
        raise ValueError("a fault of ours")

    with capture_logs() as logs:
        background.start("flush", work(), waiter.set_exception)
        with pytest.raises(ValueError, match="a fault of ours"):
            await waiter
    assert [(entry["task"], entry["log_level"]) for entry in logs] == [("flush", "error")]
    (failure,) = background.failures()
    assert (failure.name, failure.count) == ("flush", 1)
    with capture_logs():
        again = asyncio.get_running_loop().create_future()
        background.start("flush", work(), again.set_exception)
        await asyncio.wait([again])
        assert isinstance(again.exception(), ValueError)
    (again_failed,) = background.failures()
    assert (again_failed.count, again_failed.since_ms) == (2, failure.since_ms)


async def test_a_task_that_returns_or_is_cancelled_fails_nobody() -> None:
    background, told = tasks(), list[Exception]()

    async def give() -> int:
        return 7

    assert await background.start("give", give(), told.append) == 7
    task = background.start("wait", asyncio.Event().wait(), told.append)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert told == [] and background.failures() == []
