"""What topics hold and how fast they grow, of many at once and without opening a log."""

import asyncio
from collections.abc import Sequence

from logd.broker.hosted_partition import HostedPartition
from logd.broker.partition_host import PartitionHost
from logd.model.cluster import TopicSize
from logd.model.ids import PartitionId, TopicPartition
from logd.model.seams import Clock
from logd.model.topic import Topic
from logd_partitions.directory.log_directory import LogDirectory

MARK_INTERVAL_MS = 30_000
"""Rates are over the time since the mark before the last: 30 s to a minute and a pass."""
RATE_MS_MIN = 1_000
"""What was appended in less, right after a start, counts as of so long."""
TOPICS_A_TURN = 200
"""Topics looked at before other work of the loop has its turn."""


class TopicSizes:
    """Implements `ports.TopicSizes`. On the loop only.

    Of an open log the log itself is asked; of a closed one its recovery point, which knows its
    records, and its bytes where they are in one segment. Nothing is appended to a closed log, so
    what it grew by since a mark is 0.
    """

    def __init__(self, host: PartitionHost, directory: LogDirectory, clock: Clock) -> None:
        self._host = host
        self._directory = directory
        self._clock = clock
        self._marked_ms = (clock.monotonic_ms(),) * 2

    def mark(self) -> None:
        """Note how far the logs have come, for rates from here on; to be called now and then."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._marked_ms[1] >= MARK_INTERVAL_MS:
            self._marked_ms = self._marked_ms[1], now_ms
            for hosted in self._host.all_hosted():
                hosted.marked_ends = hosted.marked_ends[1], hosted.log.log_end_offset

    async def sizes(self, topics: Sequence[Topic]) -> list[TopicSize]:
        opened = {hosted.topic_partition: hosted for hosted in self._host.all_hosted()}
        found = []
        for number, topic in enumerate(topics):
            if number % TOPICS_A_TURN == TOPICS_A_TURN - 1:
                await asyncio.sleep(0)
            partitions = [
                TopicPartition(topic.topic_id, PartitionId(each))
                for each in range(len(topic.partitions))
            ]
            found.append(self._size(partitions, opened))
        return found

    def _size(
        self,
        partitions: Sequence[TopicPartition],
        opened: dict[TopicPartition, HostedPartition],
    ) -> TopicSize:
        records: int | None = 0
        size_bytes: int | None = 0
        appended = 0
        for where in partitions:
            hosted = opened.get(where)
            if hosted is None:
                more, more_bytes = self._closed(where)
            else:
                log = hosted.log
                more, more_bytes = hosted.high_watermark - log.log_start_offset, log.size_bytes
                appended += log.log_end_offset - hosted.marked_ends[0]
            records = None if records is None or more is None else records + more
            size_bytes = (
                None if size_bytes is None or more_bytes is None else size_bytes + more_bytes
            )
        elapsed_ms = max(RATE_MS_MIN, self._clock.monotonic_ms() - self._marked_ms[0])
        return TopicSize(records, size_bytes, appended * 1000 / elapsed_ms)

    def _closed(self, where: TopicPartition) -> tuple[int | None, int | None]:
        """Records and bytes; None: not known."""
        known, point = self._directory.point(where)
        if point is None:
            return (0, 0) if known else (None, None)
        if point.open:
            return None, None
        one_segment = point.segment_base_offset <= point.log_start_offset
        records = point.next_offset - point.log_start_offset
        return records, point.position if one_segment else None
