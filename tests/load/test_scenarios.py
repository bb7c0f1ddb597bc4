"""The verdict finds what it is for, and a headless run says so with its exit code."""

import subprocess
import sys
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).parents[2] / "load" / "scenarios"
sys.path.insert(0, str(SCENARIOS))
from verdict import Ledger, growth, slowed  # noqa: E402


def read_back(numbers: list[int], acknowledge_first: bool) -> list[str]:
    ledger = Ledger()
    ledger.sending(7, 0, 5)
    if acknowledge_first:
        ledger.acknowledged(7, 0, 5)
    for number in numbers:
        ledger.read(7, number)
    if not acknowledge_first:
        ledger.acknowledged(7, 0, 5)
    return ledger.problems()


@pytest.mark.parametrize("acknowledge_first", [True, False])
@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        ([0, 1, 3, 4], "loss"),
        ([0, 1, 2], "loss"),
        ([], "loss"),
        ([0, 2, 1, 3, 4], "disorder"),
        ([0, 1, 1, 2, 3, 4], "disorder"),
    ],
)
def test_what_is_broken_is_found(numbers: list[int], word: str, acknowledge_first: bool) -> None:
    assert any(p.startswith(word) for p in read_back(numbers, acknowledge_first))


@pytest.mark.parametrize("acknowledge_first", [True, False])
def test_what_is_whole_passes(acknowledge_first: bool) -> None:
    assert read_back([0, 1, 2, 3, 4], acknowledge_first) == []


def test_unacknowledged_records_may_be_absent() -> None:
    ledger = Ledger()
    ledger.sending(1, 0, 2)
    ledger.sending(1, 2, 4)
    ledger.acknowledged(1, 2, 4)
    ledger.read(1, 2)
    ledger.read(1, 3)
    assert ledger.problems() == []


def test_growth_is_told_from_warm_up() -> None:
    assert growth("RSS", [0, 50, 100, 100, 100, 100, 100, 101, 101], 2) == []
    assert growth("RSS", [10.0 * n for n in range(9)], 2)
    assert growth("RSS", [1, 1], 2)


def test_slower_calls_are_found() -> None:
    assert slowed([1, 1, 2, 2], 2, 0) == []
    assert slowed([1, 1, 9, 9], 2, 5)


def run(scenario: str, seconds: int, *options: str) -> tuple[int, str]:
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(SCENARIOS / f"{scenario}.py"),
        "--headless",
        "--only-summary",
        "--seconds",
        str(seconds),
        *options,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    return ended.returncode, ended.stderr


@pytest.mark.soak
@pytest.mark.parametrize(
    ("scenario", "fault"),
    [("steady", "loss"), ("steady", "disorder"), ("steady", "growth"), ("day_behind", "growth")],
)
def test_a_fault_fails_the_run(scenario: str, fault: str) -> None:
    """Growth is that of a broker which keeps some memory of each fetch."""
    code, errors = run(scenario, 12, "--untimed", "--inject", fault)
    assert code == 1 and f"FAILED: {fault}" in errors, errors


@pytest.mark.soak
@pytest.mark.parametrize(
    "scenario", ["steady", "peak", "slow_consumers", "many_small_clients", "day_behind", "soak"]
)
def test_a_scenario_passes(scenario: str) -> None:
    """But for its demands on speed: what else the machine does is no matter of a test."""
    code, errors = run(scenario, 20, "--untimed")
    assert code == 0 and "passed" in errors, errors
