import asyncio

import pytest

from harness.virtual_time import in_virtual_time
from logd.sim.simulated_clock import SimulatedClock
from logd_client.sleeper import Sleeper


async def test_it_sleeps_until_it_is_woken() -> None:
    sleeper = Sleeper()

    async def sleep() -> None:
        await sleeper.sleep(None)
        sleeper.woken()

    asleep = asyncio.create_task(sleep())
    await asyncio.sleep(0)
    assert not asleep.done()
    sleeper.wake()
    sleeper.wake()
    await asleep
    assert not sleeper.sleep(None).done(), "it was woken once"


async def test_woken_before_it_sleeps_it_does_not() -> None:
    sleeper = Sleeper()
    sleeper.wake()
    assert sleeper.sleep(None).done() and sleeper.sleep(10).done()


def test_a_sleep_with_a_time_ends_then_and_leaves_no_timer_where_it_ended_before() -> None:
    async def work(clock: SimulatedClock) -> None:
        sleeper, begun_ms = Sleeper(), clock.monotonic_ms()
        await sleeper.sleep(7)
        sleeper.woken()
        assert clock.monotonic_ms() == begun_ms + 7
        asyncio.get_running_loop().call_later(0.003, sleeper.wake)
        await sleeper.sleep(60_000)
        sleeper.woken()
        assert clock.monotonic_ms() == begun_ms + 10
        await asyncio.sleep(100)
        assert not sleeper.sleep(None).done(), "the timer of a minute was cancelled"

    in_virtual_time(work)


@pytest.mark.parametrize("slept_ms, woken_in_ms, lasts_ms", [(None, 5, 5), (3, 5, 3), (8, 5, 5)])
def test_who_sleeps_is_woken_by_the_first_of_all_times(
    slept_ms: int | None, woken_in_ms: int, lasts_ms: int
) -> None:
    async def work(clock: SimulatedClock) -> None:
        sleeper, begun_ms = Sleeper(), clock.monotonic_ms()
        asyncio.get_running_loop().call_soon(sleeper.wake_in, woken_in_ms)
        await sleeper.sleep(slept_ms)
        assert clock.monotonic_ms() == begun_ms + lasts_ms

    in_virtual_time(work)


async def test_a_time_to_wake_that_is_set_while_awake_ends_the_next_sleep_at_once() -> None:
    """Who is awake may have looked already for when to wake."""
    sleeper = Sleeper()
    sleeper.wake_in(60_000)
    assert sleeper.sleep(None).done()
    sleeper.woken()
    sleeper.sleep(None)
    sleeper.wake_in(0)
    assert sleeper.sleep(None).done()
