"""Reads many positions at once, and waits in the purgatory while they hold too little."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from logd.broker.core.purgatory import Case, Purgatory, WaitingFetch
from logd.broker.hosted_partition import HostedPartition
from logd.broker.ports import Fetched, FetchInterrupt, FetchPosition, FetchWait
from logd.model.errors import (
    FencedLeaderEpoch,
    LogdError,
    OffsetOutOfRange,
    UnknownLeaderEpoch,
)
from logd.model.ids import LeaderEpoch, Offset, TopicPartition
from logd.model.seams import Buffer, Offload
from logd_partitions.segment.read_plan import Cold, ReadPlan

Hosted = Callable[[TopicPartition], Awaitable[HostedPartition]]


class Planned:
    """One position with what can be read there now. All None: nothing to say about it.

    `more`: the log holds more than the plan, so that waiting for bytes would be in vain.
    """

    __slots__ = ("error", "hosted", "more", "plan", "position")

    def __init__(self, position: FetchPosition) -> None:
        self.position = position
        self.hosted: HostedPartition | None = None
        self.plan: ReadPlan | None = None
        self.more = False
        self.error: LogdError | None = None

    @property
    def answerable(self) -> bool:
        return self.plan is not None or self.error is not None

    @property
    def ends_wait(self) -> bool:
        return self.more or self.error is not None


class FetchReader:
    """Carries out fetches. Planning is synchronous, so nothing is missed between it and a wait."""

    def __init__(self, hosted: Hosted, purgatory: Purgatory, cold_read: Offload) -> None:
        self._hosted = hosted
        self._purgatory = purgatory
        self._cold_read = cold_read

    async def fetch(
        self, positions: Sequence[FetchPosition], wait: FetchWait, interrupt: FetchInterrupt
    ) -> list[Fetched]:
        """One entry for each position with data or an error. Views in it hold until an await."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait.max_wait_ms / 1000
        min_bytes = min(wait.min_bytes, wait.max_bytes)
        planned = [Planned(position) for position in positions]
        await self._open(planned)
        while True:
            planned_bytes = self._plan(planned, wait.max_bytes)
            enough = planned_bytes >= min_bytes or any(p.ends_wait for p in planned)
            if enough or interrupt.fired or loop.time() >= deadline:
                return await self._read(planned, wait.max_bytes)
            waiting = [p.position.topic_partition for p in planned]
            case = await self._wait(waiting, min_bytes - planned_bytes, deadline, interrupt)
            if case is Case.DRAINING:
                interrupt.fired = True
            elif case is Case.PARTITION_GONE:
                await self._open(planned)

    async def _open(self, planned: Sequence[Planned]) -> None:
        for entry in planned:
            try:
                entry.hosted = await self._hosted(entry.position.topic_partition)
            except LogdError as error:
                entry.error = error

    def _plan(self, planned: Sequence[Planned], max_bytes: int) -> int:
        """Plan what fits into `max_bytes`, at least one batch in all; the bytes planned."""
        total_bytes = 0
        for entry in planned:
            entry.plan, entry.more = None, False
            full = total_bytes > 0 and total_bytes >= max_bytes
            if full or entry.hosted is None or entry.error is not None:
                continue
            end = entry.hosted.readable_end
            try:
                plan = _plan_one(entry.hosted, entry.position, end, max_bytes - total_bytes)
            except LogdError as error:
                entry.error = error
                continue
            if plan is None:
                continue
            if total_bytes and total_bytes + plan.size_bytes > max_bytes:
                entry.more = True
                continue
            entry.plan, entry.more = plan, isinstance(plan, Cold) or plan.next_offset < end
            total_bytes += plan.size_bytes
        return total_bytes

    async def _wait(
        self,
        partitions: list[TopicPartition],
        needed_bytes: int,
        deadline: float,
        interrupt: FetchInterrupt,
    ) -> Case:
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[Case] = loop.create_future()
        waiting = WaitingFetch(partitions, needed_bytes, partial(_wake, woken))
        self._purgatory.watch(waiting)
        timer = loop.call_at(deadline, self._purgatory.time_up, waiting)
        interrupt.on_fire = partial(self._purgatory.abandon, waiting)
        try:
            return await woken
        finally:
            interrupt.on_fire = None
            timer.cancel()
            self._purgatory.abandon(waiting)

    async def _read(self, planned: Sequence[Planned], max_bytes: int) -> list[Fetched]:
        """Cold reads first: the views of hot ones hold only until the next await.

        A cold plan does not know how large its first batch is: what is read beyond `max_bytes` is
        left out, for the next fetch.
        """
        answerable = [entry for entry in planned if entry.answerable]
        results: dict[int, Fetched] = {}
        total_bytes = 0
        for cold in (True, False):
            for index, entry in enumerate(answerable):
                if isinstance(entry.plan, Cold) is not cold:
                    continue
                if entry.plan is not None and total_bytes and total_bytes >= max_bytes:
                    continue
                fetched = await self._read_cold(entry) if cold else self._read_hot(entry)
                size_bytes = len(fetched.batches)
                if not size_bytes or not total_bytes or total_bytes + size_bytes <= max_bytes:
                    results[index] = fetched
                    total_bytes += size_bytes
        return [results[index] for index in sorted(results)]

    async def _read_cold(self, entry: Planned) -> Fetched:
        hosted, plan = entry.hosted, entry.plan
        assert hosted is not None and isinstance(plan, Cold)
        try:
            batches = hosted.log.try_read_cached(plan)
            if batches is None:
                batches = await self._cold_read.run(lambda: hosted.log.read(plan))
        except LogdError as error:
            return _fetched(hosted, entry.position, error=await self._why(entry, error))
        return _fetched(hosted, entry.position, plan, batches)

    async def _why(self, entry: Planned, error: LogdError) -> LogdError:
        """A topic that was deleted under the read is not damaged, but gone."""
        try:
            await self._hosted(entry.position.topic_partition)
        except LogdError as gone:
            return gone
        return error

    def _read_hot(self, entry: Planned) -> Fetched:
        hosted, position = entry.hosted, entry.position
        if hosted is None:
            assert entry.error is not None, "a partition opens or there is a reason"
            return Fetched.refused(position.topic_partition, position.offset, entry.error)
        if entry.plan is None:
            return _fetched(hosted, position, error=entry.error)
        try:
            # Planned again: a cold read before this one gave the log time to roll or to truncate.
            size_bytes = entry.plan.size_bytes
            plan = hosted.log.plan_read(position.offset, size_bytes, hosted.readable_end)
            if plan is None:
                return _fetched(hosted, position)
            if isinstance(plan, Cold):  # it became cold meanwhile: never a disk read on the loop
                batches = hosted.log.try_read_cached(plan)
                return _fetched(hosted, position, *((plan, batches) if batches else ()))
            return _fetched(hosted, position, plan, hosted.log.read(plan))
        except LogdError as error:
            return _fetched(hosted, position, error=error)


def _wake(woken: "asyncio.Future[Case]", case: Case) -> None:
    if not woken.done():
        woken.set_result(case)


def _plan_one(
    hosted: HostedPartition, position: FetchPosition, end: Offset, room_bytes: int
) -> ReadPlan | None:
    """What there is at the position, at least one batch; None at the end. Raises LogdErrors."""
    _check_epoch(position.leader_epoch, hosted.leader_epoch)
    if position.offset == end:
        return None
    if position.offset > end:
        raise _beyond_end(position.offset, hosted)
    return hosted.log.plan_read(position.offset, min(position.max_bytes, room_bytes), end)


def _check_epoch(asked: LeaderEpoch | None, current: LeaderEpoch) -> None:
    if asked is None or asked == current:
        return
    if asked < current:
        raise FencedLeaderEpoch(f"leader epoch {asked} is over", current_epoch=current)
    raise UnknownLeaderEpoch(f"leader epoch {asked} is not known here yet", current_epoch=current)


def _beyond_end(offset: Offset, hosted: HostedPartition) -> OffsetOutOfRange:
    start, end = hosted.log.log_start_offset, hosted.high_watermark
    return OffsetOutOfRange(
        f"offset {offset} lies beyond the log, which holds {start} to {end}",
        log_start_offset=start,
        high_watermark=end,
    )


def _fetched(
    hosted: HostedPartition,
    position: FetchPosition,
    plan: ReadPlan | None = None,
    batches: Buffer = b"",
    error: LogdError | None = None,
) -> Fetched:
    next_offset = position.offset if plan is None else plan.next_offset
    if error is not None and "next_offset" in error.details:
        next_offset = Offset(int(error.details["next_offset"]))
    return Fetched(
        topic_partition=position.topic_partition,
        high_watermark=hosted.high_watermark,
        log_start_offset=hosted.log.log_start_offset,
        next_offset=next_offset,
        leader_epoch=hosted.leader_epoch,
        batches=batches,
        error=error,
    )
