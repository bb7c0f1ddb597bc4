"""A test in virtual time: waits cost nothing, and a busy machine changes nothing."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from logd.sim.simulated_clock import SimulatedClock
from logd.sim.virtual_loop import VirtualLoop

T = TypeVar("T")


def in_virtual_time(work: Callable[[SimulatedClock], Coroutine[Any, Any, T]]) -> T:
    """The result of `work`, which is given the clock. Sockets and threads are refused it; an error
    that ends in no one's hands fails the test."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(work(SimulatedClock(loop)))
    finally:
        loop.close()
    assert loop.failures == []
    return result
