"""Takes the next batch out of what was fetched of a partition: walks headers, decodes, trims."""

from bisect import bisect_left

from logd.model.batch_decoder import decode_batch
from logd.model.errors import CorruptBatch, LogdError, StoredDataCorrupt, UndecodableBatch
from logd.model.record_batch import BatchHeader, stored_header
from logd_client.core.partition_position import FetchedRegion, PartitionPosition
from logd_client.diagnostics import logger
from logd_client.record_batch import RecordBatch


class BatchReader:
    """Reads lazily: a batch is looked at when its turn comes, so a request goes out before it.

    A batch that does not match its checksum is fetched once more (it may have been damaged on the
    way), then it is an error. One that is intact but cannot be decoded is an error, or with
    `skip_undecodable` a warning in the diagnostics.
    """

    def __init__(self, *, skip_undecodable: bool) -> None:
        self.skip_undecodable = skip_undecodable

    def read(self, at: PartitionPosition) -> RecordBatch | None:
        """The next batch with records from `at.position` on, that are not done; None: nothing more
        is buffered.

        With None, `at.error` may have been set, or `at.fetch_offset` set back to fetch again.
        """
        batch = self._next(at)
        while batch is not None and len(at.done_ranges):
            undone = _undone(at, batch)
            if undone is not None:
                return undone
            batch = self._next(at)
        return batch

    def _next(self, at: PartitionPosition) -> RecordBatch | None:
        if at.leftovers:
            return at.leftovers.pop()
        while at.buffered:
            region = at.buffered[0]
            if region.at == len(region.batches):
                at.buffered.popleft()
                continue
            header = self._next_header(at, region)
            if header is None:
                return None
            batch = self._decode(at, region, header)
            if batch is not None or at.error is not None:
                return batch
        return None

    def _next_header(self, at: PartitionPosition, region: FetchedRegion) -> BatchHeader | None:
        header = stored_header(region.batches, region.at)
        if header is None or region.at + header.batch_length > len(region.batches):
            self._damaged(at, f"no whole batch stands at offset {at.position}", None)
            return None
        return header

    def _decode(
        self, at: PartitionPosition, region: FetchedRegion, header: BatchHeader
    ) -> RecordBatch | None:
        """None: the batch was stepped over, or `at.error` is set, or it is fetched again."""
        start, end = region.at, region.at + header.batch_length
        region.at = end
        at.buffered_bytes -= header.batch_length
        last = end == len(region.batches)
        next_offset = max(header.next_offset, region.next_offset if last else 0)
        if header.next_offset <= at.position:
            at.position = max(at.position, next_offset)
            return None
        try:
            decoded = decode_batch(region.batches[start:end])
        except CorruptBatch as error:
            self._damaged(at, error.message, header.next_offset)
            return None
        except UndecodableBatch as error:
            if self.skip_undecodable:
                logger.warning("batch_skipped", partition=at.name, error=error.message)
                at.position = next_offset
            else:
                fail(at, error)
            return None
        skip = 0
        if header.base_offset < at.position:
            skip = bisect_left(decoded.offsets, at.position)
            if skip == len(decoded):
                at.position = next_offset
                return None
        return RecordBatch(at.topic, at.partition, decoded, skip, next_offset)

    def _damaged(self, at: PartitionPosition, problem: str, next_offset: int | None) -> None:
        if at.corrupt_at == at.position:
            fail(at, StoredDataCorrupt(problem, offset=at.position, next_offset=next_offset))
            return
        logger.warning("batch_fetched_again", partition=at.name, problem=problem)
        at.corrupt_at = at.position
        at.drop_buffers()
        at.fetch_offset = at.position


def _undone(at: PartitionPosition, batch: RecordBatch) -> RecordBatch | None:
    """The batch up to the next record that is done, the rest for later; None: all of it is."""
    offsets, done = batch.offsets, at.done_ranges
    first = offsets[0]
    while (undone := done.through(first)) != first:
        index = bisect_left(offsets, undone)
        if index == len(offsets):
            at.position = max(at.position, batch.next_offset)
            return None
        batch = batch.after(index)
        offsets = batch.offsets
        first = offsets[0]
    until = done.next_start(first)
    count = len(offsets) if until is None else bisect_left(offsets, until)
    if count < len(offsets):
        at.leftovers.append(batch.after(count))
    return batch.first(count)


def fail(at: PartitionPosition, error: LogdError) -> None:
    """Let `error`, told where, be raised in this partition's turn, until the application seeks."""
    details = {
        "topic": at.topic,
        "partition": at.partition,
        "offset": at.position,
        **error.details,
    }
    damaged = isinstance(error, StoredDataCorrupt | UndecodableBatch | CorruptBatch)
    onward = error.details.get("next_offset") if damaged else None
    hint = f". To step over it: seek('{at.topic}', {at.partition}, {onward})" if onward else ""
    placed = type(error).__new__(type(error))
    LogdError.__init__(placed, f"{at.name}: {error.message}{hint}", **details)
    at.drop_buffers()
    at.fetch_offset = at.position
    at.error = placed
