"""Changes a package here and there, and tells which changes no test of its folder has noticed.

    make mutate PACKAGE=partitions
    make mutate PACKAGE=client/core SEED=2

The changes are cosmic-ray's; a seeded sample of them is tried, in copies of the tree, on all
processors. Exits with 0 whatever the score: what survives is to be looked at.
"""

import argparse
import os
import queue
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants.mutant import Mutant, sample
from mutants.mutant_trial import ENDLESS, SURVIVED, MutantTrial

ROOT = Path(__file__).parents[2]
MUTANTS = 200
MINUTES_MAX = 30.0

Told = Callable[[str], None]


def package_of(root: Path, name: str) -> str:
    """Relative to the tree: `partitions`, and `client/core` for a part of one."""
    first, _, part = name.partition("/")
    for package in (f"{first}/logd_{first}", f"logd/{first}"):
        if (root / package / part).exists():
            return f"{package}/{part}".rstrip("/")
    raise SystemExit(f"there is no package {name!r}")


def run(root: Path, name: str, mutants: Sequence[Mutant], minutes: float, told: Told) -> None:
    """Tells of each that was tried, then of all that survived, then the score."""
    deadline = time.monotonic() + minutes * 60
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    outcomes: dict[Mutant, str] = {}

    def work(trial: MutantTrial) -> None:
        while time.monotonic() < deadline:
            try:
                mutant = waiting.get_nowait()
            except queue.Empty:
                return
            if outcome := trial.outcome(mutant, deadline):
                outcomes[mutant] = outcome
                at = f"{mutant.path}:{mutant.line} {mutant.operator.partition('/')[2]}"
                told(f"{len(outcomes):4}/{len(mutants)}  {outcome}: {at}")

    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        trials = _trials(root, Path(directory), f"tests/{name.partition('/')[0]}")
        with ThreadPoolExecutor(len(trials)) as pool:
            list(pool.map(work, trials))
    _tell(root, outcomes, told)


def _trials(root: Path, directory: Path, folder: str) -> list[MutantTrial]:
    for number in range(processors := os.cpu_count() or 1):
        (directory / str(number)).mkdir()
    first = MutantTrial(root, directory / "0" / "tree", folder)
    first.whole()
    others = (directory / str(number) / "tree" for number in range(1, processors))
    return [first, *map(first.copy, others)]


def _tell(root: Path, outcomes: dict[Mutant, str], told: Told) -> None:
    survivors = sorted(mutant for mutant, outcome in outcomes.items() if outcome == SURVIVED)
    for mutant in survivors:
        told(f"\nsurvived: {mutant.path}:{mutant.line} {mutant.operator}")
        told(mutant.diff((root / mutant.path).read_text("utf-8")))
    endless = sum(outcome == ENDLESS for outcome in outcomes.values())
    killed = len(outcomes) - len(survivors)
    score = killed / len(outcomes) if outcomes else 0.0
    told(
        f"\n{score:.1%}: {killed} of {len(outcomes)} mutants killed, {endless} as they never ended"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", help="a folder of tests, and what it mirrors: partitions")
    parser.add_argument("--mutants", type=int, default=MUTANTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=MINUTES_MAX)
    args = parser.parse_args()
    mutants = sample(ROOT, package_of(ROOT, args.package), args.mutants, args.seed)
    try:
        run(ROOT, args.package, mutants, args.minutes, print)
    except RuntimeError as failed:
        sys.exit(str(failed))


if __name__ == "__main__":
    main()
