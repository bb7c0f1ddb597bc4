"""What must be done now and then: retention, rolling old segments, forgetting idle producers.

A wall clock that leaps ahead of the time since boot by over an hour would make everything look old:
time retention pauses then, and cluster health says so until the clock is back or a restart. Time
spent in suspend is no leap: boottime counts it.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from logd.broker.partition_host import PartitionHost
from logd.model.cluster import HealthProblem
from logd.model.errors import LogdError
from logd.model.ids import TopicPartition
from logd.model.seams import Clock
from logd.system.background_tasks import BackgroundTasks

logger = structlog.get_logger()

PASS_INTERVAL_S = 30.0
CLOCK_LEAP_MS_MAX = 3_600_000
"""How far the wall clock may run ahead of the time since boot between start and now."""
OPENED_A_PASS_MAX = 100
"""Closed partitions looked at in one pass: retention reaches them too, without a burst of I/O."""


class Maintenance:
    """An asyncio shell around the logs' own decisions. One pass at a time."""

    def __init__(
        self,
        host: PartitionHost,
        clock: Clock,
        tasks: BackgroundTasks,
        mark_sizes: Callable[[], object] = lambda: None,
    ) -> None:
        """`mark_sizes` is called in every pass."""
        self._mark_sizes = mark_sizes
        self._host = host
        self._clock = clock
        self._tasks = tasks
        self._started = (clock.wall_ms(), clock.boottime_ms())
        self._leapt_since_ms: int | None = None
        self._failed: dict[TopicPartition, HealthProblem] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """A fault of ours in one pass does not end all later ones."""
        self._task = self._tasks.start("maintenance", self._run(), lambda error: self.start())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def problems(self) -> Sequence[HealthProblem]:
        """The clock's, and what failed in the last pass."""
        problems = list(self._failed.values())
        if self._leapt_since_ms is not None:
            leapt = HealthProblem(
                "warning",
                "CLOCK_LEAPT",
                "retention",
                "the wall clock leapt ahead by over an hour: retention by time is paused; set the "
                "clock right, or restart the broker if it is right now",
                self._leapt_since_ms,
            )
            problems.append(leapt)
        return problems

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PASS_INTERVAL_S)
            await self.run_pass()

    async def run_pass(self) -> None:
        """One pass over all partitions that hold data."""
        self._mark_sizes()
        now_ms = self._check_clock()
        await self._host.open_some(OPENED_A_PASS_MAX)
        failed: dict[TopicPartition, HealthProblem] = {}
        for hosted in self._host.all_hosted():
            try:
                await self._host.maintain(hosted, now_ms)
            except LogdError as error:
                logger.error(
                    "maintenance of a partition failed",
                    partition=str(hosted.topic_partition),
                    reason=error.reason,
                    error=error.message,
                )
                failed[hosted.topic_partition] = self._problem(hosted.topic_partition, error)
            await asyncio.sleep(0)
        self._failed = failed

    def _problem(self, where: TopicPartition, error: LogdError) -> HealthProblem:
        before = self._failed.get(where)
        since_ms = before.since_ms if before else self._clock.wall_ms()
        message = f"old records stay, and may fill the disk: {error.message}"
        return HealthProblem("warning", "RETENTION_FAILED", str(where), message, since_ms)

    def _check_clock(self) -> int | None:
        """The time for retention, or None while the clock is not to be trusted."""
        wall_ms, boottime_ms = self._clock.wall_ms(), self._clock.boottime_ms()
        ahead_ms = (wall_ms - self._started[0]) - (boottime_ms - self._started[1])
        if ahead_ms <= CLOCK_LEAP_MS_MAX:
            self._leapt_since_ms = None
            return wall_ms
        if self._leapt_since_ms is None:
            self._leapt_since_ms = wall_ms
            logger.warning("the wall clock leapt ahead: time retention pauses", ahead_ms=ahead_ms)
        return None
