"""The operations that the crash matrix interrupts: how each is prepared, and done."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from simulation.crash_bench import CrashBench

Step = Callable[[CrashBench], Awaitable[None]]

EVERY_SECOND = {"segment_ms": "1000"}
ROLLED_S = 1.1
"""After it the next append to a topic with EVERY_SECOND begins a segment."""
POINTS_S = 2.5
"""After it recovery points follow."""
MAINTAINED_S = 32.0
"""After it maintenance has made a pass."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`operate` is crashed at each change that it makes on the disk. `at_start`: what is crashed
    is the start after `operate`, which ends with the broker dead."""

    name: str
    prepare: Step
    operate: Step
    at_start: bool = False


async def nothing(_: CrashBench) -> None:
    return


async def one_topic(bench: CrashBench) -> None:
    await bench.create("orders")
    await bench.append("orders", 100, 5_000)


async def create(bench: CrashBench) -> None:
    await bench.create("new")
    await bench.append("new", 100)


async def append(bench: CrashBench) -> None:
    await bench.append("orders", 10)
    await bench.append("orders", 70_000)


async def page_cache_topic(bench: CrashBench) -> None:
    await bench.create("orders", durability="page_cache")
    await bench.append("orders", 100, 5_000)


async def points(bench: CrashBench) -> None:
    await bench.append("orders", 10)
    await asyncio.sleep(POINTS_S)


async def rolling_topic(bench: CrashBench) -> None:
    await bench.create("orders", **EVERY_SECOND)
    await bench.append("orders", 100)
    await asyncio.sleep(ROLLED_S)


async def roll(bench: CrashBench) -> None:
    await bench.append("orders", 200)


async def rolled_topic(bench: CrashBench) -> None:
    await rolling_topic(bench)
    for _ in range(3):
        await bench.append("orders", 2_000)
        await asyncio.sleep(ROLLED_S)


async def maintain(_: CrashBench) -> None:
    await asyncio.sleep(MAINTAINED_S)


async def topic_over_its_size(bench: CrashBench) -> None:
    await bench.create("orders", retention_bytes="2500", **EVERY_SECOND)
    bench.topics["orders"].start_max = 3
    for _ in range(4):
        await bench.append("orders", 2_000)
        await asyncio.sleep(ROLLED_S)


async def topic_over_its_age(bench: CrashBench) -> None:
    await bench.create("orders", retention_ms="1500", **EVERY_SECOND)
    bench.topics["orders"].start_max = 1_000
    for _ in range(3):
        await bench.append("orders", 2_000)
        await asyncio.sleep(ROLLED_S)


async def truncate(bench: CrashBench) -> None:
    await bench.truncate("orders", 2)


async def delete_and_create_again(bench: CrashBench) -> None:
    await bench.delete("orders")
    await bench.create("orders")
    await bench.append("orders", 100)


async def commit(bench: CrashBench) -> None:
    await bench.commit("orders", 1)


async def many_commits(bench: CrashBench) -> None:
    await bench.create("orders")
    await bench.append("orders", *[10] * 60)
    for offset in range(1, 40):
        await bench.commit("orders", offset)


async def snapshot(bench: CrashBench) -> None:
    """Commits until the offsets topic is past its bound, which `KNOBS` turns down."""
    for offset in range(40, 46):
        await bench.commit("orders", offset)
    await asyncio.sleep(1.0)


async def stop(bench: CrashBench) -> None:
    if bench.machine.broker is not None:
        await bench.machine.stop()


async def torn_tail(bench: CrashBench) -> None:
    """Two appends that no sync has covered, the second one torn."""
    bench.machine.slowness.seconds = 5.0
    first = asyncio.ensure_future(bench.append("orders", 3_000))
    await asyncio.sleep(0.1)
    second = asyncio.ensure_future(bench.append("orders", 9_000))
    await asyncio.sleep(0.05)
    bench.machine.slowness.seconds = 0.0
    bench.machine.lose_power()
    bench.unfinished = [first, second]


async def appended_and_killed(bench: CrashBench) -> None:
    await bench.append("orders", 300)
    bench.machine.kill()


OPERATIONS = (
    Operation("create", nothing, create),
    Operation("append", one_topic, append),
    Operation("append to page cache", page_cache_topic, append),
    Operation("rewrite of recovery points", one_topic, points),
    Operation("roll", rolling_topic, roll),
    Operation("seal", rolled_topic, maintain),
    Operation("retention by size", topic_over_its_size, maintain),
    Operation("retention by time", topic_over_its_age, maintain),
    Operation("truncate", rolled_topic, truncate),
    Operation("delete and create again", rolled_topic, delete_and_create_again),
    Operation("commit", one_topic, commit),
    Operation("snapshot of offsets", many_commits, snapshot),
    Operation("clean stop", rolled_topic, stop),
    Operation("recovery of a torn tail", one_topic, torn_tail, at_start=True),
    Operation("recovery after a kill", rolled_topic, appended_and_killed, at_start=True),
)
