"""Carries a fault plan out: one event after the other, and the broker started again each time."""

import asyncio
import errno
from collections import Counter
from collections.abc import Awaitable, Callable

from logd.model.errors import LogdError
from logd.sim.disk_faults import CALLS, NEEDS_FILE, NO_FILES
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_file import SimulatedFile
from logd.sim.simulated_machine import SimulatedMachine
from simulation.fault_plan import FaultPlan

CALLS_UNTIL_DEATH_MAX = 80
WAIT_FOR_DEATH_S = 5.0
CRASH_IN_START_SHARE = 0.3
CLOCK_JUMPS_MS = (-7_200_000, -600_000, -3_000, 3_000, 600_000, 3_500_000, 7_200_000)
FREE_BYTES_LEFT = (0, 4096, 100_000, 300_000)
STARTS_MAX = 20
NO_MEMORY = (errno.ENOMEM, errno.EINTR, errno.EAGAIN)
NEVER_ROTS = "/format.json"
"""A start that finds it damaged is refused, and so would end the run."""


class FaultInjector:
    """`refusals`: why a start was refused, or all appends, which only a sick disk explains."""

    def __init__(
        self,
        machine: SimulatedMachine,
        plan: FaultPlan,
        random: SeededRandom,
        on_start: Callable[[], Awaitable[None]],
    ) -> None:
        """`on_start` is called after each start."""
        self.refusals: list[str] = []
        self.flips: Counter[str] = Counter()
        """Directory -> bits that were flipped in its segments."""
        self._on_start = on_start
        self._machine = machine
        self._plan = plan
        self._random = random

    async def run(self) -> None:
        """All rounds; a broker is up at the end, and nothing fails any more."""
        self._machine.faults.cold_reads = self._plan.cold_reads
        for _ in range(self._plan.rounds):
            await asyncio.sleep(self._random.uniform(0, self._plan.pause_s))
            await self.ensure_up()
            await self._happen(self._random.pick(self._plan.events))
        self.heal()
        await self.ensure_up()

    async def crash_and_start(self) -> None:
        """One more crash, on a sound disk: what was acknowledged must outlive it."""
        self.heal()
        self._crash()
        await self.ensure_up()
        while not self._machine.spare():  # a death that was planned for the start, and came late
            await self.ensure_up()

    def heal(self) -> None:
        """Nothing fails any more."""
        self._machine.faults.clear()
        self._machine.disk.foreign_bytes = 0
        self._machine.network.loss = 0.0

    async def ensure_up(self) -> None:
        """Start until a broker serves; what keeps one from it is mended in the end."""
        for attempt in range(STARTS_MAX):
            if self._machine.broker is not None:
                return
            crash_at = 0
            if attempt < 3 and self._random.chance(CRASH_IN_START_SHARE):
                crash_at = 1 + self._random.below(CALLS_UNTIL_DEATH_MAX)
            try:
                if await self._machine.start(crash_at=crash_at, power=self._dies_by_power()):
                    await self._on_start()
            except (LogdError, OSError) as error:
                if not self._machine.faults.rates and not self._machine.disk.foreign_bytes:
                    self.refusals.append(f"a start was refused: {error!r}")
                if attempt >= 3:
                    self.heal()
            await asyncio.sleep(self._random.uniform(0, 0.5))
        raise AssertionError(f"no broker came up in {STARTS_MAX} starts: {self.refusals[-1:]}")

    def _dies_by_power(self) -> bool:
        kinds = [event for event in self._plan.events if event.startswith(("kill", "lose_power"))]
        return self._random.pick(kinds).startswith("lose_power")

    def _crash(self) -> None:
        if self._dies_by_power():
            self._machine.lose_power()
        else:
            self._machine.kill()

    async def _be_slow(self) -> None:
        """Connections break while syncs take long: what is sent again meets what still waits."""
        self._machine.slowness.seconds = self._random.uniform(0.1, 1.0)
        for _ in range(1 + self._random.below(3)):
            await asyncio.sleep(self._random.uniform(0, 0.6))
            self._machine.network.cut()
        await asyncio.sleep(self._random.uniform(0, 0.3))
        self._machine.slowness.seconds = 0.0

    async def _happen(self, event: str) -> None:
        machine, faults = self._machine, self._machine.faults
        match event:
            case "kill":
                machine.kill()
            case "lose_power":
                machine.lose_power()
            case "kill_in_call" | "lose_power_in_call":
                calls = 1 + self._random.below(CALLS_UNTIL_DEATH_MAX)
                machine.crash_after(calls, power=event == "lose_power_in_call")
                await self._wait_for_death()
            case "kill_then_lose_power":
                machine.crash_after(1 + self._random.below(CALLS_UNTIL_DEATH_MAX), power=False)
                await self._wait_for_death()
                await self.ensure_up()
                await asyncio.sleep(self._random.uniform(0, 0.3))
                machine.lose_power()
            case "stop":
                if self._random.chance(0.3):
                    machine.crash_after(1 + self._random.below(20), power=self._dies_by_power())
                if machine.broker is not None:
                    await machine.stop()
            case "cut":
                machine.network.cut()
            case "loss":
                machine.network.loss = self._random.pick((0.0, 0.1, 0.5))
            case "clock":
                machine.clock.jump(self._random.pick(CLOCK_JUMPS_MS))
            case "full_disk":
                left = self._random.pick(FREE_BYTES_LEFT)
                machine.disk.foreign_bytes += max(0, machine.disk.free_bytes - left)
                await self._suffer()
                machine.disk.foreign_bytes = 0
            case "rot":
                self._flip_bits()
                machine.lose_power()
            case "short_writes":
                faults.short_writes = 0.3
                await self._suffer()
                self._crash()
            case "slow_disk":
                await self._be_slow()
                self._crash()
            case "no_files":
                faults.errnos = NO_FILES
                faults.rates = dict.fromkeys(NEEDS_FILE, self._random.pick((0.1, 0.5, 1.0)))
                await self._suffer()
                self._check_writable()
            case _:
                if event == "no_memory":
                    faults.errnos = NO_MEMORY
                faults.rates = self._error_rates(event)
                await self._suffer()
                machine.kill()  # a log that has turned read-only needs a new start

    def _error_rates(self, event: str) -> dict[str, float]:
        rate = self._random.pick((0.02, 0.2, 1.0))
        syncs = {"datasync": rate, "sync_directory": rate, "sync_file_system": rate}
        rarely = dict.fromkeys(CALLS, 0.02)
        match event:
            case "sync_errors":
                return syncs
            case "no_memory":  # of a sync it is another thing than of all else
                return rarely | syncs
            case "write_errors":
                return {call: rate for call in ("pwrite", "create", "allocate", "rename")}
            case "read_errors":
                return {call: rate for call in ("pread", "map", "open")}
        return rarely

    def _check_writable(self) -> None:
        """Nothing was handed to the disk that it did not do."""
        if self._machine.broker is not None:
            reasons = {problem.reason for problem in self._machine.broker.problems()}
            if "LOG_READ_ONLY" in reasons:
                self.refusals.append("the directory is read-only, but the disk was sound")

    async def _suffer(self) -> None:
        """Work on under the fault for a while."""
        await asyncio.sleep(self._random.uniform(0.1, 3.0))
        self._machine.faults.clear()

    async def _wait_for_death(self) -> None:
        try:
            async with asyncio.timeout(WAIT_FOR_DEATH_S):
                await self._machine.died.wait()
        except TimeoutError:
            self._machine.kill()

    def _flip_bits(self) -> None:
        kinds: dict[str, list[tuple[str, SimulatedFile]]] = {}
        for path, file in self._machine.disk.files():
            if file.durable and not path.endswith(NEVER_ROTS):
                kinds.setdefault(path.rpartition(".")[2], []).append((path, file))
        for _ in range(1 + self._random.below(3) if kinds else 0):
            kind = "log" if "log" in kinds and self._random.chance(0.5) else ""
            among = kinds[kind or self._random.pick(list(kinds))]
            picks = [self._random.pick(among) for _ in range(3)]
            path, file = max(picks, key=lambda each: len(each[1].durable))
            file.flip_bit(self._random.below(len(file.durable) * 8))
            self.flips[path.rpartition("/")[0]] += path.endswith(".log")
