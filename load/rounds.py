"""Rounds of measurements, interleaved: in each round every system has its turn at every cell."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from figures import Figure
from measurement import Request

TIMEOUT_S = 180
THROUGHPUT, TIMED = frozenset({"produce", "consume", "fsync"}), frozenset({"latency", "e2e"})
WARM_UP_SHARE = 0.2
"""Of a round's records go through everything once before the first, not measured."""


@dataclass(frozen=True, slots=True)
class System:
    """`share`: of the records that it produces and consumes; less for the slow, so that a round
    stays short. `bytes_min` of them at least: for who is too quick to be measured with less.
    """

    name: str
    module: str
    address: str
    mode: str = "loop"
    tasks: frozenset[str] = THROUGHPUT | TIMED
    share: float = 1.0
    bytes_min: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What a system does in one turn: one task, or produce and then consume of the same topic.

    `unshown` of them is only done because the other needs it.
    """

    tasks: tuple[str, ...]
    value_bytes: int
    records: int
    unshown: str = ""


@dataclass
class Rounds:
    """Runs them, and keeps what they measured. `failures`: 'cell, system' -> its last words."""

    systems: Sequence[System]
    steps: Sequence[Step]
    progress: Callable[[str], None]
    failures: dict[str, str] = field(default_factory=dict)
    _values: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    def run(self, rounds: int) -> list[Figure]:
        """A pass to warm the servers up, then so many rounds."""
        self._round(0, WARM_UP_SHARE)
        self._values.clear()
        for number in range(rounds):
            self.progress(f"round {number + 1} of {rounds}")
            self._round(number, 1.0)
        return [Figure(*key, tuple(values)) for key, values in self._values.items()]

    def _round(self, number: int, share: float) -> None:
        for step in self.steps:
            systems = [each for each in self.systems if each.tasks.issuperset(step.tasks)]
            turn = number % max(1, len(systems))
            for system in systems[turn:] + systems[:turn]:
                self._turn(system, step, share)

    def _turn(self, system: System, step: Step, share: float) -> None:
        records = max(100, round(step.records * share))
        if THROUGHPUT.issuperset(step.tasks):
            least = system.bytes_min // step.value_bytes
            records = max(round(records * system.share), least)
        topic = f"bench-{time.time_ns()}"
        for task in step.tasks:
            cell = cell_name(task, step.value_bytes)
            where = (system.module, system.mode, system.address, task, topic)
            request = Request(*where, step.value_bytes, records, last=task == step.tasks[-1])
            try:
                metrics = ask(request)
            except RuntimeError as failure:
                self.failures[f"{cell}, {system.name}"] = str(failure)
                return
            for metric, value in metrics.items() if task != step.unshown else ():
                self._values.setdefault((cell, system.name, metric), []).append(value)


def cell_name(task: str, value_bytes: int) -> str:
    """'produce 1 KiB'."""
    size = f"{value_bytes >> 10} KiB" if value_bytes % 1024 == 0 else f"{value_bytes} B"
    return f"{task} {size}"


def ask(request: Request) -> dict[str, Any]:
    """What a new client process measures. Raises RuntimeError with its last line."""
    program = Path(__file__).with_name("measurement.py")
    command = [sys.executable, str(program), json.dumps(asdict(request))]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not done within {TIMEOUT_S} s") from None
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no word"])[-1])
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured
