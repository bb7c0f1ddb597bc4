import asyncio

import pytest

from logd_client.shared_future import SharedFuture


async def test_all_who_wait_are_woken_and_later_ones_need_not_wait() -> None:
    shared = SharedFuture(lambda: None)
    waiting = [asyncio.ensure_future(_wait(shared)) for _ in range(3)]
    await asyncio.sleep(0)
    assert not shared.done()
    shared.set_result(None)
    await asyncio.gather(*waiting)
    assert shared.done()
    await shared


async def test_who_is_cancelled_takes_nobody_along() -> None:
    shared = SharedFuture(lambda: None)
    one, other = asyncio.ensure_future(_wait(shared)), asyncio.ensure_future(_wait(shared))
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    assert not shared.done() and not other.done()
    shared.set_result(None)
    await other


async def _wait(shared: SharedFuture) -> None:
    await shared
