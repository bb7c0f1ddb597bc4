"""How many function calls one record takes, from send() to its receipt: in the SDK, in the broker.

A count of calls is no timing: it is the same on a busy machine. By cProfile, so calls of built-in
functions count, those of types and operators do not. A built-in counts where it is called.
"""

import asyncio
import cProfile
import pstats
import tempfile
from collections import Counter
from pathlib import Path

from counted_broker import CountedBroker
from tables import print_table

from logd import Admin, Producer

WARM_UP = 100
VALUE = b"x" * 100
OURS, BUILT_IN = "ours", "ours, built-in"
PLACES = (OURS, BUILT_IN, "gRPC", "event loop")
"""Ours is what stands in this tree, and what Python makes of our classes."""

_TREE = str(Path(__file__).parents[1])
_MADE_FOR_US = ("<string>", "contextlib.py")


def calls_by_place(profile: cProfile.Profile) -> Counter[str]:
    """Calls in each of PLACES."""
    counts: Counter[str] = Counter()
    for (file, _, _), (_, calls, _, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if file != "~":
            counts[_place(file)] += calls
            continue
        for (caller, _, _), (called, *_) in callers.items():
            place = _place(caller)
            counts[BUILT_IN if place == OURS else place] += called
    return counts


def _place(file: str) -> str:
    if "grpc" in file and "site-packages" in file:
        return "gRPC"
    ours = file.startswith(_TREE) and "site-packages" not in file
    return OURS if ours or file.endswith(_MADE_FOR_US) else "event loop"


async def count_sdk_calls(address: str, records: int) -> Counter[str]:
    """In this process, of so many records in a row, each awaited. The topic "calls" is made."""
    async with Admin(bootstrap_servers=address) as admin:
        await admin.create_topic("calls", 1, config={"durability": "page_cache"})
    async with Producer(bootstrap_servers=address, linger_ms=0) as producer:
        await _produce(producer, WARM_UP)
        profile = cProfile.Profile()
        profile.enable()
        await _produce(producer, records)
        profile.disable()
    return calls_by_place(profile)


async def _produce(producer: Producer, records: int) -> None:
    for _ in range(records):
        await (await producer.send("calls", VALUE))


async def _count_both(broker: CountedBroker, records: int) -> dict[str, Counter[str]]:
    sdk = await count_sdk_calls(broker.address, records)
    async with Producer(bootstrap_servers=broker.address, linger_ms=0) as producer:
        await _produce(producer, WARM_UP)
        broker.begin_counting()
        await _produce(producer, records)
        return {"SDK": sdk, "broker": broker.end_counting()}


def measure_calls(records: int) -> None:
    """The SDK's in this process, and then its broker's, in the thread of its loop."""
    with tempfile.TemporaryDirectory(prefix="logd-calls-") as folder:
        broker = CountedBroker(Path(folder))
        try:
            broker.start()
            counted = asyncio.run(_count_both(broker, records))
        finally:
            broker.close()
    rows = [
        f"{name} | {' | '.join(f'{counts[place] / records:.1f}' for place in PLACES)} | "
        f"{counts.total() / records:.1f}"
        for name, counts in counted.items()
    ]
    head = f"calls a record | {' | '.join(PLACES)} | all"
    print_table(f"load/measure.py calls --records {records}", head, rows)
