"""One broker, its clients, and a disk that can do anything: one seed, one run, one verdict."""

from dataclasses import dataclass

from logd.sim.simulation import Simulation, simulate
from logd.sim.trace import Write
from logd.testing.history_checker import FindingKind, Verdict, check_history
from simulation.fault_injector import FaultInjector
from simulation.fault_plan import FaultPlan, draw_plan
from simulation.workload import Workload

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


def run_seed(seed: int, write: Write | None = None) -> RunReport:
    """Run one seed; `write` takes the trace. Raises AssertionError, NothingLeft where it stood
    still."""

    async def scenario(simulation: Simulation) -> RunReport:
        machine, random = simulation.machine, simulation.random
        plan = draw_plan(random.fork("plan"))
        simulation.trace.note("plan", "drawn", plan)
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
        told = plan.rots and workload.reports
        if not (verdict.ok or (told and LOSSES.issuperset(verdict.counts))):
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

    return simulate(seed, scenario, write)
