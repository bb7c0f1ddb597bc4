"""Runs seeds of the one-broker simulation, and says what it found.

    make simulate SEEDS=0:200
    make simulate SEEDS=17 TRACE=1

Exits with 1 at the first seed that finds something (or after all, with --all).
"""

import argparse
import sys
import time
import traceback

from simulation.one_broker import run_seed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:200", help="one, or FIRST:END")
    parser.add_argument("--trace", action="store_true", help="print all that happens")
    parser.add_argument("--all", action="store_true", help="go on after a finding")
    args = parser.parse_args()
    first, colon, end = args.seeds.partition(":")
    seeds = range(int(first), int(end) if colon else int(first) + 1)
    began, found, starts = time.perf_counter(), 0, 0
    for seed in seeds:
        try:
            report = run_seed(seed, print if args.trace else None)
        except Exception:
            findings = [traceback.format_exc()]
        else:
            findings = [f"{finding}\n  {report.plan}" for finding in report.findings]
            starts += report.starts
        for finding in findings:
            print(f"seed {seed}: {finding}")
        if findings:
            found += 1
            print(f"replay: make simulate SEEDS={seed} TRACE=1")
            if not args.all:
                return 1
    seconds = time.perf_counter() - began
    rate = len(seeds) / seconds
    print(f"{len(seeds)} seeds, {starts} starts, {found} with findings; {rate:.1f} seeds/s")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
