import asyncio

import pytest

from logd.broker import maintenance
from logd.broker.maintenance import Maintenance
from logd.sim.simulation import Simulation, simulate


@pytest.mark.ends_background
def test_what_ends_in_the_background_is_a_failure_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker only logs it, and goes on as it can; it may die before anybody looks."""

    async def stumble(_: Maintenance) -> None:
        raise ZeroDivisionError("a fault of ours")

    async def scenario(simulation: Simulation) -> list[list[str]]:
        machine, seen = simulation.machine, []
        assert await machine.start()
        seen.append(simulation.failures())
        await asyncio.sleep(maintenance.PASS_INTERVAL_S + 1)
        seen.append(simulation.failures())
        machine.kill()
        assert await machine.start()
        seen.append(simulation.failures())
        return seen

    monkeypatch.setattr(Maintenance, "run_pass", stumble)
    before, ended, afterwards = simulate(1, scenario)
    assert before == []
    (told,) = ended
    assert told.startswith("maintenance: ") and "a fault of ours" in told
    assert afterwards == ended
