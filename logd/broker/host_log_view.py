"""What the coordinator asks of topics and logs, from this broker's own."""

from collections.abc import Mapping, Sequence

from logd.broker.partition_host import PartitionHost
from logd.broker.ports import Topics
from logd.model.errors import CorruptBatch, LogdError, StoredDataCorrupt
from logd.model.group import LogBounds
from logd.model.ids import Offset, TopicId, TopicPartition
from logd.model.offset_spec import OffsetSpec
from logd.model.record_batch import split_batches
from logd.model.topic import Topic


class HostLogView:
    """Implements `logd_consumer_groups.ports.LogView`."""

    def __init__(self, topics: Topics, host: PartitionHost) -> None:
        self._topics = topics
        self._host = host

    def by_id(self, topic_id: TopicId) -> Topic:
        return self._topics.by_id(topic_id)

    def find(self, name: str) -> Topic | None:
        return self._topics.find(name)

    def all(self) -> Sequence[Topic]:
        return self._topics.all()

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, LogBounds | LogdError]:
        bounds: dict[TopicPartition, LogBounds | LogdError] = {}
        for topic_partition in partitions:
            try:
                hosted = await self._host.hosted(topic_partition)
            except LogdError as error:
                bounds[topic_partition] = error
                continue
            bounds[topic_partition] = LogBounds(hosted.log.log_start_offset, hosted.high_watermark)
        return bounds

    async def offset_at_time(
        self, topic_partition: TopicPartition, time_ms: int, *, by_record_time: bool
    ) -> Offset:
        at = OffsetSpec("record_time" if by_record_time else "append_time", time_ms)
        return (await self._host.find_offset(topic_partition, at)).offset

    async def append_time_ms(self, topic_partition: TopicPartition, offset: Offset) -> int | None:
        hosted = await self._host.hosted(topic_partition)
        offset, end = max(offset, hosted.log.log_start_offset), hosted.high_watermark
        if offset >= end:
            return None
        try:
            header, _ = split_batches(await self._host.read_stored(hosted, offset, 1, end))[0]
        except (CorruptBatch, StoredDataCorrupt):
            return None
        return header.append_timestamp_ms

    async def bytes_between(
        self, topic_partition: TopicPartition, start: Offset, end: Offset
    ) -> int:
        return await self._host.bytes_between(topic_partition, start, end)
