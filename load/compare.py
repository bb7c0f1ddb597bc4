"""Ours beside what peers run on this machine, and beside the raw limit.

    load/compare --kafka 127.0.0.1:9092 --redis 127.0.0.1:6379 --rounds 5
    load/compare --kafka 127.0.0.1:9092 --publish      # results/*.json, *.svg, and README.md
    load/compare --from load/results/compare.json --publish

A peer takes part where its address is given and its client library is installed. Topics are made
for it there, and deleted. Our broker and the raw server are started here. Exit status 1: something
could not be measured.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import result_file
from figures import Figures, table
from machine import machine, versions
from measurement import Request
from own_servers import RAW, own_servers
from report import KAFKA, charts, figures_of, section, with_section
from rounds import THROUGHPUT, TIMED, Rounds, Step, System, ask

HERE = Path(__file__).resolve().parent
RESULTS, README = HERE / "results", HERE / "README.md"
SIZES = {100: 1_000_000, 1024: 200_000}
"""Bytes of a value -> records of a cell."""

LATENCY_RECORDS = 5_000
ALL_BUT_FSYNC = (THROUGHPUT | TIMED) - {"fsync"}
PEERS: dict[str, dict[str, Any]] = {
    KAFKA: {},
    "nats": {"tasks": ALL_BUT_FSYNC, "share": 1 / 8},
    "redis": {"tasks": ALL_BUT_FSYNC, "share": 1 / 8},
    "rabbit": {"tasks": ALL_BUT_FSYNC, "share": 1 / 8},
}
"""Name, of the option and of the module in `peers/` -> what else its System says."""

TASKS = ("produce", "consume", "fsync", "latency", "e2e")


def steps(tasks: list[str], sizes: list[int]) -> list[Step]:
    """What each system does in a round; consume reads what produce has just written."""
    made = []
    for size in sizes:
        records = SIZES.get(size, max(1_000, (400 << 20) // size))
        if "consume" in tasks:
            unshown = "" if "produce" in tasks else "produce"
            made.append(Step(("produce", "consume"), size, records, unshown))
        elif "produce" in tasks:
            made.append(Step(("produce",), size, records))
        if "fsync" in tasks:
            made.append(Step(("fsync",), size, records // 4))
    size = min(sizes)
    made += [Step((task,), size, LATENCY_RECORDS) for task in ("latency", "e2e") if task in tasks]
    return made


def found_peers(args: argparse.Namespace) -> tuple[list[System], dict[str, str], dict[str, str]]:
    """Those that answer, the versions of these, and why the others are skipped."""
    systems, known, skipped = [], {}, {}
    for name, more in PEERS.items():
        address = getattr(args, name)
        if name not in args.peers:
            skipped[name] = "not asked for"
        elif address is None:
            skipped[name] = f"no --{name} HOST:PORT"
        else:
            module = f"{name}_client"
            try:
                known[name] = ask(Request(module, "loop", address, "version"))["version"]
                systems.append(System(name, module, address, **more))
            except RuntimeError as failure:
                skipped[name] = str(failure)
    return systems, known, skipped


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """The results, as they are written."""
    peers, known, skipped = found_peers(args)
    for name, why in skipped.items():
        _note(f"skipped {name}: {why}")
    result: dict[str, Any] = {
        "command": shlex.join(["load/compare", *sys.argv[1:]]),
        "note": args.note,
        "machine": machine(),
        "versions": versions() | known,
        "rounds": args.rounds,
        "skipped": skipped,
    }
    with own_servers() as own:
        rounds = Rounds([*peers, *own], steps(args.tasks, args.sizes), _note)
        figures = rounds.run(args.rounds)
    for cell, why in rounds.failures.items():
        _note(f"not measured: {cell}: {why}")
    rows = [each.to_json() for each in figures]
    return {**result, "failures": rounds.failures, "figures": rows}


def write_charts(folder: Path, figures: Figures) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, svg in charts(figures).items():
        (folder / name).write_text(svg)


def main() -> int:
    args = _arguments()
    result = result_file.read(args.source) if args.source else measure(args)
    figures = figures_of(result)
    if args.json:
        rows = [{key: row[key] for key in ("cell", "system", "metric", "median")}
                for row in result["figures"]]  # fmt: skip
        print(json.dumps(rows, indent=1))
    else:
        others = [each for each in (KAFKA, RAW) if any(f.system == each for f in figures.all)]
        print("\n".join(table(figures, others)))
    if args.out or args.publish:
        result_file.write(args.out or RESULTS / "compare.json", result)
    if args.plots or args.publish:
        write_charts(args.plots or RESULTS, figures)
    if args.publish:
        README.write_text(with_section(README.read_text(), section(result)))
    return 1 if result["failures"] else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="load/compare", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    for name in PEERS:
        parser.add_argument(f"--{name}", metavar="HOST:PORT")
    words = lambda text: text.split(",")  # noqa: E731
    add = parser.add_argument
    add("--peers", type=words, default=list(PEERS), metavar="NAME,..", help="no others than these")
    add("--tasks", type=words, default=list(TASKS), metavar="TASK,..", help=", ".join(TASKS))
    add("--sizes", type=lambda text: [int(each) for each in text.split(",")], default=list(SIZES),
        metavar="BYTES,..", help="of a value; 100,1024 if not given")  # fmt: skip
    add("--rounds", type=int, default=3)
    add("--note", default="", help="what else to say of the peers, as a broker's version")
    add("--json", action="store_true", help="print rows of cell, system, metric, median")
    add("--out", type=Path, metavar="FILE", help="all figures as JSON")
    add("--plots", type=Path, metavar="DIR", help="charts as SVG")
    add("--publish", action="store_true", help="into load/results and load/README.md")
    add("--from", type=Path, dest="source", metavar="FILE", help="measure nothing: take these")
    args = parser.parse_args()
    for chosen, known in ((args.tasks, TASKS), (args.peers, PEERS)):
        if unknown := set(chosen) - set(known):
            parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(known)}")
    return args


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
