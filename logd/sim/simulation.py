"""Runs a scenario in virtual time, from one seed."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_machine import SimulatedMachine
from logd.sim.trace import Trace, Write
from logd.sim.virtual_loop import VirtualLoop

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a scenario is given. It runs on `loop`, and draws from forks of `random` alone."""

    loop: VirtualLoop
    random: SeededRandom
    trace: Trace
    machine: SimulatedMachine

    def failures(self) -> list[str]:
        """Faults of the program itself: errors that nobody handled."""
        machine = self.machine
        return [*self.loop.failures, *machine.network.failures, *machine.ended_tasks()]


def simulate(
    seed: int, scenario: Callable[[Simulation], Awaitable[T]], write: Write | None = None
) -> T:
    """Run `scenario`; what it returns.

    `write` is given the trace line by line. The diagnostics of broker and SDK go there too, so
    structlog is configured anew. Raises what the scenario raises, and NothingLeft where it waits in
    vain.
    """
    loop = VirtualLoop()
    random = SeededRandom(seed)
    trace = Trace(loop.time, write)
    structlog.configure(processors=[_into(trace)], cache_logger_on_first_use=False)

    async def run() -> T:
        machine = SimulatedMachine(loop, random.fork("machine"), trace)
        simulation = Simulation(loop, random.fork("scenario"), trace, machine)
        try:
            return await scenario(simulation)
        finally:
            machine.bury()

    sdk = logging.getLogger("logd_client")
    told = _SdkLines(trace)
    sdk.addHandler(told)
    sdk.propagate = False
    try:
        return loop.run_until_complete(run())
    finally:
        sdk.removeHandler(told)
        sdk.propagate = True
        loop.close()


class _SdkLines(logging.Handler):
    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        self._trace.note("client", record.levelname.lower(), record.getMessage())


def _into(trace: Trace) -> Callable[..., Any]:
    def note(_: object, level: str, event: MutableMapping[str, Any]) -> None:
        error = event.pop("exc_info", None)
        words = [f"{name}={value!s}" for name, value in event.items() if name != "event"]
        trace.note("broker", level, event["event"], *words, repr(error) if error else "")
        raise structlog.DropEvent

    return note
