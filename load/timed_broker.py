"""A broker that knows how long its loop stood still, and in which of its calls.

    python load/timed_broker.py start --data-dir DIR --listen HOST:PORT

SIGUSR1 prints a JSON line: for each call, and for the collector and the loop's ticks (how late it
was for a timer due every ms), the times over 0.2 ms since the last line, in ms. Calls in other
threads than the loop's do not count.
"""

import asyncio
import functools
import gc
import json
import signal
import sys
import threading
import time
from collections import defaultdict
from typing import Any

from logd.broker.broker_process import run_broker
from logd.broker.config import load_config
from logd.broker.real_seams import real_seams
from logd.system.os_file_system import OsFile, OsFileMap, OsFileSystem
from logd_partitions.partition_log import PartitionLog
from logd_partitions.segment.log_segment import LogSegment
from logd_partitions.sync.sync_progress import SyncProgress

TICK_S = 0.001
SHORT_MS = 0.2
TIMED: list[tuple[type, str]] = [
    (OsFile, "pwrite"),
    (OsFile, "allocate"),
    (OsFile, "truncate"),
    (OsFile, "datasync"),
    (OsFile, "map"),
    (OsFileMap, "close"),
    (OsFileSystem, "open"),
    (LogSegment, "cool"),
    (LogSegment, "plan_hot"),
    (LogSegment, "read_hot"),
    (PartitionLog, "_roll"),
    (PartitionLog, "append"),
    (PartitionLog, "start_sync"),
    (PartitionLog, "finish_sync"),
    (SyncProgress, "save_producers"),
]

_loop_thread = threading.get_ident()
_took_ms: dict[str, list[float]] = defaultdict(list)


def _note(name: str, seconds: float) -> None:
    if seconds * 1000 > SHORT_MS and threading.get_ident() == _loop_thread:
        _took_ms[name].append(seconds * 1000)


def _time(owner: type, name: str) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def timed(*args: Any, **kwargs: Any) -> Any:
        begin = time.perf_counter()
        try:
            return real(*args, **kwargs)
        finally:
            _note(f"{owner.__name__}.{name}", time.perf_counter() - begin)

    setattr(owner, name, timed)


def _time_collector() -> None:
    begun = [0.0]

    def collecting(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            begun[0] = time.perf_counter()
        else:
            _note(f"collector, generation {info['generation']}", time.perf_counter() - begun[0])

    gc.callbacks.append(collecting)


def _tick(due_s: float = 0.0) -> None:
    loop = asyncio.get_running_loop()
    if due_s:
        _note("the loop's ticks", loop.time() - due_s)
    due_s = loop.time() + TICK_S
    loop.call_at(due_s, _tick, due_s)


def _tell() -> None:
    print(json.dumps(_took_ms), flush=True)
    _took_ms.clear()


def main() -> None:
    _, _, _, data_dir, _, address = sys.argv
    for owner, name in TIMED:
        _time(owner, name)
    _time_collector()

    def serving(line: str) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: _tell())
        _tick()
        print(line, flush=True)

    config = load_config(None, {}, {"data_dir": data_dir, "listen": address})
    sys.exit(run_broker(config, real_seams(), serving))


if __name__ == "__main__":
    main()
