"""One broker, its clients, and a disk that can do anything: one seed, one run, one verdict."""

from collections import Counter
from dataclasses import dataclass

from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_machine import DATA_DIR
from logd.sim.simulation import Simulation, simulate
from logd.sim.trace import Write
from logd.testing.history_checker import FindingKind, Verdict, check_history
from simulation.fault_injector import FaultInjector
from simulation.fault_plan import FaultPlan, draw_plan
from simulation.knobs import turned
from simulation.workload import BURST_RECORDS_MAX, PRODUCERS, Workload

LOSSES = frozenset(
    {
        FindingKind.LOST,
        FindingKind.UNSEEN,
        FindingKind.NON_MONOTONIC,
        FindingKind.INCONSISTENT_OFFSET,
    }
)
"""What a disk that forgets may cause, if the broker has told of it."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one seed gave. `findings`: every broken promise, empty where all was kept."""

    seed: int
    plan: FaultPlan
    findings: tuple[str, ...]
    verdict: Verdict
    virtual_s: float
    starts: int
    digest: str


def refused_too_much(workload: Workload, injector: FaultInjector) -> list[str]:
    """A flipped bit costs its batch, which is at most a burst of one producer."""
    refused: Counter[str] = Counter()
    for where, start, end in workload.refused_reads:
        refused[where] += end - start
    findings = []
    for where, offsets in refused.items():
        flips = injector.flips[f"{DATA_DIR}/{where.replace(':', '-')}"]
        if offsets > flips * BURST_RECORDS_MAX:
            findings.append(f"{where}: {offsets} offsets are refused for {flips} flipped bits")
    return findings


def is_excused(verdict: Verdict, workload: Workload, injector: FaultInjector) -> bool:
    """Whether flipped bits explain all of it: they cost a burst or two each, and are told of.

    Two of them can cost a partition: its name tag, and the points that would vouch for it. It is
    set aside then."""
    lost = verdict.counts.get(FindingKind.LOST, 0)
    lost_max = sum(injector.flips.values()) * BURST_RECORDS_MAX * PRODUCERS
    set_aside = any(reason == "ORPHANED" for reason, _ in workload.reports)
    told = bool(workload.reports or workload.refused_reads)
    return told and (lost <= lost_max or set_aside) and LOSSES.issuperset(verdict.counts)


def run_seed(seed: int, write: Write | None = None) -> RunReport:
    """Run one seed; `write` takes the trace. Raises AssertionError, NothingLeft where it stood
    still."""

    async def scenario(simulation: Simulation) -> RunReport:
        machine, random = simulation.machine, simulation.random
        plan = draw_plan(random.fork("plan"))
        simulation.trace.note("plan", "drawn", plan, knobs)
        workload = Workload(simulation, plan, random.fork("workload"))
        injector = FaultInjector(machine, plan, random.fork("injector"), workload.started)
        assert await machine.start()
        await workload.create_topics()
        workload.start()
        await injector.run()
        await workload.finish()
        await injector.crash_and_start()
        await workload.final_read()
        verdict = check_history(workload.history)
        findings = [*workload.findings, *injector.refusals, *simulation.failures()]
        findings += refused_too_much(workload, injector)
        if not verdict.ok and not is_excused(verdict, workload, injector):
            findings.append(str(verdict))
        return RunReport(
            seed,
            plan,
            tuple(findings),
            verdict,
            simulation.loop.time(),
            machine.starts,
            simulation.trace.digest,
        )

    with turned(SeededRandom(seed).fork("knobs")) as knobs:
        return simulate(seed, scenario, write)
