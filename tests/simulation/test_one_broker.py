"""One broker under every fault: many seeds are clean, equal seeds give equal traces."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from simulation import run_seeds

TESTS = Path(__file__).parents[1]
SEEDS = 200
SOAK_SEEDS = 2_000
TRACED_SEEDS = (3, 8, 14)


def run(*arguments: str, hash_seed: int = 0) -> "subprocess.CompletedProcess[str]":
    paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, run_seeds.__file__, *arguments],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": str(hash_seed)},
        check=False,
        capture_output=True,
        text=True,
    )


def run_all(seeds: int, say: Callable[[str], None]) -> None:
    """In as many processes as there are processors."""
    parts = os.cpu_count() or 1
    bounds = [seeds * part // parts for part in range(parts + 1)]
    ranges = [f"{first}:{end}" for first, end in pairwise(bounds)]
    with ThreadPoolExecutor(parts) as threads:
        ran = list(threads.map(lambda part: run("--seeds", part, "--all"), ranges))
    for each in ran:
        assert each.returncode == 0, each.stdout + each.stderr
        say(f"simulation: {each.stdout.splitlines()[-1]}")


@pytest.mark.slow
def test_many_seeds_are_clean(say: Callable[[str], None]) -> None:
    run_all(SEEDS, say)


@pytest.mark.soak
def test_many_more_seeds_are_clean(say: Callable[[str], None]) -> None:
    run_all(SOAK_SEEDS, say)


@pytest.mark.slow
@pytest.mark.parametrize("seed", TRACED_SEEDS)
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    """In two processes whose sets and hashes differ."""
    traces = [run("--seeds", str(seed), "--trace", hash_seed=number).stdout for number in (1, 2)]
    lines = [trace.splitlines()[:-1] for trace in traces]  # the last one has seconds in it
    assert len(lines[0]) > 1_000
    for number, (one, other) in enumerate(zip(*lines, strict=True)):
        assert one == other, f"line {number}"
