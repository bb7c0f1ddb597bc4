"""A coordinator over logs in memory."""

from collections.abc import AsyncIterator

import pytest_asyncio

from harness.group_bench import GroupBench


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[GroupBench]:
    bench = GroupBench()
    await bench.start()
    yield bench
    await bench.groups.close()
