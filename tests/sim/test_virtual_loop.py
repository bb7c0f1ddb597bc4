import asyncio

import pytest

from logd.sim.simulated_process import ProcessDied, SimulatedProcess
from logd.sim.virtual_loop import NothingLeft, VirtualLoop


def test_time_leaps_from_timer_to_timer() -> None:
    loop = VirtualLoop()
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((name, round(loop.time(), 6)))

    async def main() -> None:
        await asyncio.gather(sleep("a", 3600), sleep("b", 1), sleep("c", 3600))

    loop.run_until_complete(main())
    loop.close()
    assert woken == [("b", 1), ("a", 3600), ("c", 3600)]


def test_a_wait_that_nothing_ends_is_an_error() -> None:
    loop = VirtualLoop()

    async def main() -> None:
        await loop.create_future()

    with pytest.raises(NothingLeft):
        loop.run_until_complete(main())
    loop.close()


def test_nothing_of_a_dead_process_runs() -> None:
    loop = VirtualLoop()
    ran: list[str] = []

    async def child() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            ran.append("finally")

    async def work() -> None:
        asyncio.get_running_loop().call_later(1, ran.append, "timer")
        task = asyncio.ensure_future(child())
        ran.append("started")
        await task

    async def main() -> None:
        process = SimulatedProcess("one")
        process.spawn(work())
        await asyncio.sleep(0.5)
        process.die()
        await asyncio.sleep(10)
        assert ran == ["started"]
        process.bury()

    loop.run_until_complete(main())
    loop.close()
    assert loop.failures == []


def test_errors_in_nobodys_hands_are_failures_but_a_death_is_none() -> None:
    loop = VirtualLoop()

    def fail() -> None:
        raise ValueError("lost")

    def die() -> None:
        raise ProcessDied

    loop.call_soon(fail)
    loop.call_soon(die)
    loop.run_until_complete(asyncio.sleep(1))
    loop.close()
    assert len(loop.failures) == 1 and "lost" in loop.failures[0]
