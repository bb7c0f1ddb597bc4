"""One measurement, in a client process of its own.

    python load/measurement.py REQUEST

REQUEST is a `Request` in JSON; prints a JSON object. What each task does with a system, a module of
`peers/` knows. Values, connection and topic are there before the clock runs.
"""

import gc
import importlib
import json
import multiprocessing
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from logd.cli.bench_meter import BenchMeter, percentiles_ms

PEERS = Path(__file__).parent / "peers"
LATENCY_WARM_UP = 200
"""Records that go first, one at a time."""

E2E_RATE = 1_000
E2E_WARM_UP = 500


@dataclass(frozen=True, slots=True)
class Request:
    """`module`: of `peers/`. `mode`: what it knows by that name, 'loop' is a call a record.

    Tasks: version; consume, which finds the topic; all others make it. `last`: it goes afterwards.
    """

    module: str
    mode: str
    address: str
    task: str
    topic: str = ""
    value_bytes: int = 100
    records: int = 0
    last: bool = False


class Timer:
    """A BenchMeter as a `with` block: what a client's module gets."""

    def __enter__(self) -> None:
        self.meter = BenchMeter()

    def __exit__(self, *_: object) -> None:
        self.meter.stop()


def measure(request: Request) -> dict[str, Any]:
    """Its metrics."""
    client = client_of(request)
    if request.task == "version":
        return {"version": client.version(request.address)}
    if request.task != "consume":
        client.create(request.address, request.topic, 1)
    work = {"consume": _consume, "latency": _latency, "e2e": _e2e}.get(request.task, _produce)
    metrics = work(client, request)
    if request.last:
        client.delete(request.address, request.topic)
    return metrics


def client_of(request: Request) -> ModuleType:
    if str(PEERS) not in sys.path:
        sys.path.insert(0, str(PEERS))
    return importlib.import_module(request.module)


def _options(request: Request) -> dict[str, Any]:
    durability = "fsync" if request.task == "fsync" else "page_cache"
    return {
        "acks": "all",
        "partitions": 1,
        "mode": request.mode,
        "durability": durability,
        "size": request.value_bytes,
    }


def _values(request: Request) -> list[bytes]:
    """Random, each another; out of the collector's sight."""
    size = request.value_bytes
    blob = os.urandom(size * request.records)
    values = [blob[at : at + size] for at in range(0, len(blob), size)]
    del blob
    gc.collect()
    gc.freeze()
    return values


def _produce(client: ModuleType, request: Request) -> dict[str, Any]:
    values, timer = _values(request), Timer()
    client.produce(request.address, request.topic, values, _options(request), timer)
    return _throughput(request, timer)


def _consume(client: ModuleType, request: Request) -> dict[str, Any]:
    timer = Timer()
    options = _options(request)
    size = client.consume(request.address, request.topic, request.records, options, timer)
    if size < request.records * request.value_bytes:
        raise RuntimeError(f"{size} bytes came, of {request.records * request.value_bytes}")
    return _throughput(request, timer)


def _throughput(request: Request, timer: Timer) -> dict[str, Any]:
    row = timer.meter.row(request.records, request.records * request.value_bytes, [])
    names = ("records_per_second", "mb_per_second", "client_cpu_seconds_per_million")
    return {name: row[name] for name in names}


def _latency(client: ModuleType, request: Request) -> dict[str, Any]:
    values = [os.urandom(request.value_bytes)] * (LATENCY_WARM_UP + request.records)
    took = client.latency(request.address, request.topic, values, _options(request))
    return _percentiles(took[LATENCY_WARM_UP:])


def _e2e(client: ModuleType, request: Request) -> dict[str, Any]:
    count = E2E_WARM_UP + request.records
    context = multiprocessing.get_context("spawn")
    sender = context.Process(target=_send, args=(asdict(request), count), daemon=True)
    ages = client.receive(request.address, request.topic, count, sender.start, _options(request))
    sender.join()
    if sender.exitcode:
        raise RuntimeError(f"the sender ended with status {sender.exitcode}")
    return _percentiles(ages[E2E_WARM_UP:])


def _send(fields: dict[str, Any], count: int) -> None:
    """In the sender's process."""
    request = Request(**fields)
    client_of(request).send_at(
        request.address, request.topic, E2E_RATE, count, request.value_bytes, _options(request)
    )


def _percentiles(seconds: list[float]) -> dict[str, Any]:
    return {f"{name}_ms": each for name, each in (percentiles_ms(seconds) or {}).items()}


if __name__ == "__main__":
    print(json.dumps(measure(Request(**json.loads(sys.argv[1])))))
