"""Reserves disk space ahead of appends, off the loop: an append that must wait for the disk to give
it space makes every client wait."""

import asyncio

from logd.model.seams import Offload
from logd.system.background_tasks import BackgroundTasks, awaited
from logd_partitions.partition_log import PartitionLog
from logd_partitions.segment.log_segment import LogSegment


class SpaceAhead:
    """On the loop. One growth of a segment at a time."""

    def __init__(self, pool: Offload, tasks: BackgroundTasks) -> None:
        self._pool = pool
        self._tasks = tasks
        self._growing: dict[LogSegment, asyncio.Task[None]] = {}

    def appended(self, log: PartitionLog) -> None:
        """Look whether the log's active segment should grow."""
        segment = log.growing
        if segment is not None and segment not in self._growing:
            growing = self._tasks.start("space ahead of appends", self._grow(segment), awaited)
            self._growing[segment] = growing

    async def drain(self) -> None:
        """Wait for what was begun."""
        if self._growing:
            await asyncio.wait(self._growing.values())

    async def _grow(self, segment: LogSegment) -> None:
        try:
            await self._pool.run(segment.grow)
        finally:
            del self._growing[segment]
