"""Keeps a stream of records at a rate."""

import asyncio

from logd.cli.times import Rate

WAITS_PER_SECOND = 20
"""How often a stream at any rate stops to be in time: a rate is even at this grain."""


class Pace:
    """Counts what went through and waits until that much was due. Runs on one event loop."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._passed = 0
        self._started_s: float | None = None

    @property
    def chunk_records(self) -> int:
        """How many records may go at once; at a rate of bytes one."""
        return 1 if self._rate.in_bytes else max(1, self._rate.per_second // WAITS_PER_SECOND)

    async def wait(self, records: int, size_bytes: int) -> None:
        """These have gone: wait until the next may go."""
        now_s = asyncio.get_running_loop().time()
        if self._started_s is None:
            self._started_s = now_s
        self._passed += size_bytes if self._rate.in_bytes else records
        ahead_s = self._started_s + self._passed / self._rate.per_second - now_s
        if ahead_s > 1 / WAITS_PER_SECOND / 10:
            await asyncio.sleep(ahead_s)
