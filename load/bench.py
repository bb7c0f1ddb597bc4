"""`make bench`: ours against the raw limit of this machine, and against the baseline; 2 minutes.

    python load/bench.py [--write-baseline]

Prints a table, then what got slower or faster than in `load/baseline.json`. All figures go to
`load/results/bench.json`. Exit status 1: something could not be measured.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import baseline
import result_file
from figures import Figures, table
from machine import machine, versions
from own_servers import RAW, own_servers
from rounds import Rounds, Step

HERE = Path(__file__).parent
BASELINE, RESULTS = HERE / "baseline.json", HERE / "results" / "bench.json"
ROUNDS = 5
STEPS = (
    Step(("produce", "consume"), 100, 500_000),
    Step(("produce", "consume"), 1024, 100_000),
    Step(("fsync",), 100, 200_000),
    Step(("latency",), 100, 2_000),
    Step(("e2e",), 100, 1_500),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write-baseline", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    here = machine()
    about = {"command": "make bench", "machine": here, "versions": versions()}
    with own_servers() as systems:
        rounds = Rounds(systems, STEPS, lambda text: print(text, file=sys.stderr, flush=True))
        figures = Figures(rounds.run(args.rounds))
    shares = baseline.shares_of(figures)
    print("\n".join(table(figures, [RAW])))
    rows = [each.to_json() for each in figures.all]
    result_file.write(RESULTS, {**about, "failures": rounds.failures, "figures": rows})
    for cell, words in rounds.failures.items():
        print(f"not measured: {cell}: {words}")
    if args.write_baseline and not rounds.failures:
        result_file.write(BASELINE, baseline.to_json(shares, about))
        print(f"wrote {BASELINE.relative_to(HERE.parent)}")
    elif BASELINE.exists():
        _compare(result_file.read(BASELINE), shares, here)
    return 1 if rounds.failures else 0


def _compare(
    before: dict[str, Any], shares: dict[str, baseline.Share], here: dict[str, str]
) -> None:
    where = {name: text for name, text in before["machine"].items() if name != "load_average"}
    was_with = ", ".join(f"{name} {text}" for name, text in before["versions"].items())
    print(f"Since the baseline, made with {was_with}:")
    if where.items() - here.items():
        print(f"(made on another machine, {where}: small changes may be the machine's)")
    print("\n".join(baseline.report(baseline.changes(baseline.from_json(before), shares))))


if __name__ == "__main__":
    sys.exit(main())
