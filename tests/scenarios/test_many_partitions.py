"""Thousands of partitions: what a start, a first append and a clean stop may cost."""

import asyncio
from pathlib import Path

from harness.host_bench import at, host_bench
from logd.broker.ports import Receipt
from logd.model.errors import UnknownTopic


async def test_files_of_a_first_append_are_made_off_the_loop(tmp_path: Path) -> None:
    async with host_bench(tmp_path) as bench:
        (where,) = await bench.topic("orders")
        await bench.fetch(at(where))
        assert not bench.host.is_open(where), "open for reading, but an append would make files"
        bench.maintenance.gate.clear()
        opening = asyncio.ensure_future(bench.host.open(where))
        await bench.turns()
        assert bench.maintenance.waiting == 1
        bench.maintenance.gate.set()
        await opening
        assert bench.host.is_open(where)
        before = bench.fs.calls.copy()
        bench.flush.gate.clear()
        bench.append(where, b"x")
        assert bench.fs.calls - before == {"pwrite": 1}


async def test_a_topic_deleted_before_its_first_append_stays_deleted(tmp_path: Path) -> None:
    async with host_bench(tmp_path) as bench:
        (where,) = await bench.topic("orders")
        await bench.host.hosted(where)
        bench.maintenance.gate.clear()
        opening = asyncio.ensure_future(bench.host.open(where))
        await bench.turns()
        deleting = asyncio.ensure_future(bench.catalog.delete(where.topic_id))
        await bench.turns(100)
        bench.maintenance.gate.set()
        await asyncio.gather(opening, deleting)
        (answer,) = bench.append(where, b"x")
        assert isinstance(answer, UnknownTopic)
        assert not (tmp_path / "data" / "orders-0").exists()
        (again,) = await bench.topic("orders")
        assert isinstance(await bench.produce(again, b"x"), Receipt)
