"""A failed sync under many dirty partitions: all that waits is told, and a drain ends."""

import asyncio
import errno
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault
from harness.host_bench import host_bench
from logd.model.errors import SyncFailed
from logd_partitions.sync import sync_queue
from logd_partitions.sync.sync_queue import SYNCS_AT_ONCE_MAX

PARTITIONS = 40
HANG_S = 30
"""Longer only where a test fails."""


async def test_one_eio_under_forty_dirty_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_queue, "QUICK_SYNC_MS_MAX", 0)  # a round waits for nobody
    async with host_bench(tmp_path) as bench:
        partitions = await bench.topic("orders", PARTITIONS)
        for where in partitions:
            await bench.host.open(where)
        bench.flush.gate.clear()
        answers = [bench.append(where, b"x") for where in partitions[:SYNCS_AT_ONCE_MAX]]
        await bench.turns()
        answers += [bench.append(where, b"x") for where in partitions[SYNCS_AT_ONCE_MAX:]]
        await bench.turns()
        assert bench.flush.waiting == SYNCS_AT_ONCE_MAX + 1, "all threads, and the directory's"
        bench.fs.faults.append(Fault("datasync", ".log", errno.EIO))
        bench.flush.gate.set()
        async with asyncio.timeout(HANG_S):
            await bench.host.drain()
        assert {type(answer) for each in answers for answer in each} == {SyncFailed}
        assert len(answers) == PARTITIONS and all(answers)
        assert bench.tasks.failures() == []
