"""What a broker takes: time, memory. One table a subcommand.

    python load/measure.py start --partitions 1000 --gib 1 --gib 10
    python load/measure.py help
    python load/measure.py memory --gib 2
    python load/measure.py dirty --partitions 1 --partitions 1000
    python load/measure.py slow-disk
    python load/measure.py cold-reader --gib 2
    python load/measure.py pauses --seconds 10 --mb 100 --durability page_cache
    python load/measure.py sdk --bytes 100 --profile
    python load/measure.py calls
    python load/measure.py echo --bytes 100 --bytes 1000
    python load/measure.py partitions 1 100 1000 10000
    python load/measure.py clients 1 100 1000 --kafka 127.0.0.1:9092 --kafka-pid 4242
    python load/measure.py batches 1 2 4 8
    python load/measure.py lookups 1 10 30
    python load/measure.py rebalance --rounds 3
    python load/measure.py members 1000 --seconds 30
    python load/measure.py lag 1000
    python load/measure.py reading --records 300000
    python load/measure.py codec

Each but codec starts brokers of its own in a temporary folder. Linux: it reads /proc.
"""

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

from calls import measure_calls
from codec import measure_codec
from cold_reader import measure_cold_reader
from dirty import measure_dirty
from echo import measure_echo
from group_lag import measure_lag
from growth import measure_batches, measure_lookups, measure_partitions
from many_clients import measure_clients
from memory import measure_memory
from pauses import measure_pauses
from reading_rates import measure_reading
from rebalance import measure_members, measure_rebalance
from sdk import measure_sdk
from slow_disk import measure_slow_disk
from start import measure_start
from tables import print_table, spread, timed_s

GROWTH = {
    "partitions": measure_partitions,
    "batches": measure_batches,
    "lookups": measure_lookups,
}


def measure_help(runs: int) -> None:
    """Interleaved; a first pass that is not counted fills the page cache."""
    folder = Path(sys.executable).parent
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "logctl --help": [str(folder / "logctl"), "--help"],
    }
    took: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(runs + 1):
        for name, command in commands.items():
            seconds = timed_s(partial(subprocess.run, command, check=True, capture_output=True))
            if run:
                took[name].append(seconds)
    rows = [f"{name} | {spread(seconds)}" for name, seconds in took.items()]
    print_table(f"load/measure.py help --runs {runs}", "command, ms | median | min | max", rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="start to serving")
    start.add_argument("--runs", type=int, default=5)
    start.add_argument("--partitions", type=int, default=1_000)
    start.add_argument("--records", type=int, default=100, help="of 1 KiB, in each partition")
    start.add_argument("--gib", type=int, action="append", default=[], help="a log of that size")
    help_ = commands.add_parser("help", help="logctl --help beside python -c pass")
    help_.add_argument("--runs", type=int, default=10)
    memory = commands.add_parser("memory", help="RSS, descriptors and maps after each GiB")
    memory.add_argument("--gib", type=int, default=2)
    dirty = commands.add_parser("dirty", help="acknowledgements/s by dirty partitions under fsync")
    dirty.add_argument("--partitions", type=int, action="append", default=[])
    dirty.add_argument("--seconds", type=float, default=5.0)
    slow = commands.add_parser("slow-disk", help="one topic, or all, with a slow sync")
    slow.add_argument("--ms", type=int, default=50, help="that a sync takes longer")
    slow.add_argument("--seconds", type=float, default=5.0)
    cold = commands.add_parser("cold-reader", help="a writer beside a reader of cold pages")
    cold.add_argument("--gib", type=int, default=2)
    pauses = commands.add_parser("pauses", help="what makes the loop stand still under writers")
    pauses.add_argument("--seconds", type=float, default=10.0)
    pauses.add_argument("--mb", type=int, default=100, help="written a second")
    pauses.add_argument("--durability", choices=["page_cache", "fsync"], default="page_cache")
    sdk = commands.add_parser("sdk", help="ns a record of each call")
    sdk.add_argument("--bytes", type=int, default=100, help="of a value")
    sdk.add_argument("--passes", type=int, default=3)
    sdk.add_argument("--profile", action="store_true", help="the lines that take most, by py-spy")
    calls = commands.add_parser("calls", help="function calls a record, in the SDK and the broker")
    calls.add_argument("--records", type=int, default=1_000)
    echo = commands.add_parser("echo", help="a record's p50 and p99 beside a bare gRPC echo's")
    echo.add_argument("--bytes", type=int, action="append", default=[], help="of a value")
    echo.add_argument("--records", type=int, default=2_000, help="in a round")
    echo.add_argument("--rounds", type=int, default=5)
    for name in ("partitions", "batches", "lookups"):
        grown = commands.add_parser(name, help=str(GROWTH[name].__doc__))
        grown.add_argument("sizes", type=int, nargs="+")
    clients = commands.add_parser("clients", help="many producers of 50 records/s each")
    clients.add_argument("sizes", type=int, nargs="+")
    clients.add_argument("--seconds", type=float, default=8.0)
    clients.add_argument("--kafka", default="", metavar="HOST:PORT", help="measure it, too")
    clients.add_argument("--kafka-pid", type=int, default=0, help="of its broker")
    rebalance = commands.add_parser("rebalance", help="members come, go, die, freeze; a rewind")
    rebalance.add_argument("--rounds", type=int, default=3)
    members = commands.add_parser("members", help="what idle members cost a broker")
    members.add_argument("count", type=int)
    members.add_argument("--seconds", type=float, default=20.0)
    lag = commands.add_parser("lag", help="the lag of many groups")
    lag.add_argument("groups", type=int)
    reading = commands.add_parser("reading", help="each way of reading, with and without a group")
    reading.add_argument("--records", type=int, default=300_000)
    reading.add_argument("--bytes", type=int, default=100, help="of a value")
    reading.add_argument("--rounds", type=int, default=3)
    codec = commands.add_parser("codec", help="ns a record of encode and decode")
    codec.add_argument("--runs", type=int, default=50)
    return parser.parse_args()


def main() -> None:
    args = _arguments()
    if args.command == "start":
        measure_start(args.runs, args.partitions, args.records, args.gib)
    elif args.command == "help":
        measure_help(args.runs)
    elif args.command == "memory":
        measure_memory(args.gib)
    elif args.command == "dirty":
        measure_dirty(args.partitions or [1, 10, 100, 1_000], args.seconds)
    elif args.command == "slow-disk":
        measure_slow_disk(args.ms, args.seconds)
    elif args.command == "pauses":
        measure_pauses(args.seconds, args.mb, args.durability)
    elif args.command == "sdk":
        measure_sdk(args.bytes, args.passes, profile=args.profile)
    elif args.command == "calls":
        measure_calls(args.records)
    elif args.command == "echo":
        measure_echo(args.bytes or [100], args.records, args.rounds)
    elif args.command in GROWTH:
        GROWTH[args.command](args.sizes)
    elif args.command == "clients":
        measure_clients(args.sizes, args.seconds, args.kafka, args.kafka_pid)
    elif args.command == "rebalance":
        measure_rebalance(args.rounds)
    elif args.command == "members":
        measure_members(args.count, args.seconds)
    elif args.command == "lag":
        measure_lag(args.groups)
    elif args.command == "reading":
        measure_reading(args.records, args.bytes, args.rounds)
    elif args.command == "codec":
        measure_codec(args.runs)
    else:
        measure_cold_reader(args.gib)


if __name__ == "__main__":
    main()
