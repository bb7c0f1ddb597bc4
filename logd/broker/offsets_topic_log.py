"""The coordinator's log: __consumer_offsets, through the same PartitionLog as every topic."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from logd.broker.partition_host import PartitionHost
from logd.broker.ports import Receipt
from logd.model.batch_decoder import decode_batch
from logd.model.batch_encoder import encode_batch
from logd.model.errors import LogdError, StoredDataCorrupt
from logd.model.group import OFFSETS_TOPIC
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd.model.record_batch import split_batches
from logd.model.seams import Clock
from logd_consumer_groups.ports import Appended

OFFSETS_TOPIC_CONFIG = {
    "segment_bytes": str(16 << 20),
    "retention_ms": "-1",
    "retention_bytes": "-1",
    "durability": "fsync",
}
APPEND_TIMEOUT_MS = 30_000
READ_BYTES = 1 << 20


class OffsetsTopicLog:
    """Implements `logd_consumer_groups.ports.OffsetsLog` on the partition host."""

    def __init__(self, host: PartitionHost, topic_id: TopicId, clock: Clock) -> None:
        self._host = host
        self._topic_id = topic_id
        self._clock = clock

    def append(
        self, partition: PartitionId, records: Sequence[tuple[bytes, bytes | None]]
    ) -> Appended:
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(result: Receipt | LogdError) -> None:
            if committed.done():
                return
            if isinstance(result, LogdError):
                committed.set_exception(result)
            else:
                committed.set_result(None)

        batch = encode_batch(
            [value for _, value in records],
            keys=[key for key, _ in records],
            timestamps_ms=self._clock.wall_ms(),
        )
        appended = self._host.append_batch(
            self._where(partition), batch, done, timeout_ms=APPEND_TIMEOUT_MS
        )
        assert appended.base_offset is not None, "only an idempotent producer has duplicates"
        return Appended(appended.base_offset, appended.leader_epoch, committed)

    async def read(
        self, partition: PartitionId, offset: Offset
    ) -> AsyncIterator[tuple[Offset, LeaderEpoch, bytes, bytes | None]]:
        hosted = await self._host.hosted(self._where(partition))
        await self._host.sync_all()  # what is answered from here on must not be lost any more
        log, end = hosted.log, hosted.high_watermark
        at = max(offset, log.log_start_offset)
        while at < end:
            # Copied on the loop or read in the pool: a view would not outlive the caller's awaits.
            batches = await self._host.read_stored(hosted, at, READ_BYTES, end)
            if not batches:
                raise StoredDataCorrupt(f"{OFFSETS_TOPIC}:{partition} ends at {at}, not at {end}")
            for header, batch in split_batches(batches):
                decoded = decode_batch(batch)
                keys = decoded.keys
                for index, record_offset in enumerate(decoded.offsets):
                    key = None if keys is None else keys[index]
                    if record_offset >= at and key is not None:
                        epoch = header.leader_epoch
                        yield Offset(record_offset), epoch, key, decoded.values[index]
                at = header.next_offset

    async def advance_log_start(self, partition: PartitionId, before_offset: Offset) -> None:
        await self._host.advance_log_start(self._where(partition), before_offset)

    def size_bytes(self, partition: PartitionId) -> int:
        log = self._host.opened(self._where(partition)).log
        return log.bytes_between(log.log_start_offset, log.log_end_offset)

    def _where(self, partition: PartitionId) -> TopicPartition:
        return TopicPartition(self._topic_id, partition)
