"""What send() gives: a record on its way, and the receipt that it ends in."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import msgspec

from logd.model.errors import LogdError
from logd_client.core.open_batch import OpenBatch
from logd_client.core.outcomes import with_outcome
from logd_client.core.producer_batch import ProducerBatch
from logd_client.core.topic_lanes import Added


class RecordReceipt(msgspec.Struct, frozen=True):
    """Where a record was written, and who holds it.

    `offset` is None only for a duplicate so old that the broker no longer knows it. `timestamp_ms`
    is the leader's append time, ms since 1970 UTC. `duplicate`: a retry found it written already.
    `replicas` hold it; `replicas_synced` of them have it on disk.
    """

    topic: str
    partition: int
    offset: int | None
    leader_epoch: int
    timestamp_ms: int
    duplicate: bool
    replicas: int
    replicas_synced: int


class PendingRecord(msgspec.Struct, eq=False):
    """A record of a batch on its way. All records of a batch share its future.

    A Struct, as C makes it: every send() makes one.
    """

    _batch: ProducerBatch
    _index: int

    @property
    def topic(self) -> str:
        """The topic it goes to."""
        return self._batch.topic

    @property
    def partition(self) -> int:
        """The partition it goes to; may change while the topic's partitions do."""
        return self._batch.outcome_of(self._index)[0].partition

    def done(self) -> bool:
        """Whether its outcome is known."""
        return self._batch.outcome_of(self._index)[2] is not None

    def exception(self) -> LogdError | None:
        """Why it failed; None while it has not."""
        batch, _, outcome = self._batch.outcome_of(self._index)
        if not isinstance(outcome, LogdError):
            return None
        batch.told = True
        return outcome


class RecordHandle(PendingRecord):
    """`await handle` gives the RecordReceipt, or raises why the record was not acknowledged.

    It may be awaited never, once or often, by any number of tasks of the producer's loop. An
    error's `outcome_unknown` says whether the record may have been written all the same.
    """

    def __await__(self) -> Generator[Any, None, RecordReceipt]:
        yield from self._batch.future.__await__()
        return receipt_of(self._batch, self._index)


class RecordPlaces:
    """Where each of a series of records is, in runs of one batch."""

    __slots__ = ("_count", "_runs")

    def __init__(self) -> None:
        self._runs: list[Added] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[ProducerBatch, int]]:
        """The batch of each record and its index there."""
        for batch, first, records in self._runs:
            for index in range(first, first + records):
                yield batch, index

    @property
    def batches(self) -> list[ProducerBatch]:
        """Each once, in order."""
        return list(dict.fromkeys(run.batch for run in self._runs))

    def extend(self, added: Added) -> None:
        """More records, the next of the series."""
        self._runs.append(added)
        self._count += added.records

    def add(self, open_batch: OpenBatch) -> None:
        """The last record of `open_batch` is the next of the series."""
        self.extend(Added(open_batch.batch, len(open_batch.values) - 1, 1))

    def receipts(self) -> list[RecordReceipt]:
        """All receipts, once every outcome is known; raises the first failure."""
        return [receipt_of(batch, index) for batch, index in self]


class RecordHandles(Sequence[RecordHandle]):
    """What send_many() gives: the handles of its records, in order.

    `await handles` gives all receipts, or raises the first failure once all outcomes are known.
    """

    __slots__ = ("_handles", "_places")

    def __init__(self, places: RecordPlaces) -> None:
        self._places = places
        self._handles: list[RecordHandle] | None = None

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: Any) -> Any:
        if self._handles is None:
            self._handles = [RecordHandle(batch, index) for batch, index in self._places]
        return self._handles[at]

    def __await__(self) -> Generator[Any, None, list[RecordReceipt]]:
        for batch in self._places.batches:
            yield from batch.future.__await__()
        return self._places.receipts()


def receipt_of(batch: ProducerBatch, index: int) -> RecordReceipt:
    """The receipt of record `index` that was added to `batch`, once its outcome is known; raises a
    copy of the error, since each raise adds a traceback."""
    batch, index, outcome = batch.outcome_of(index)
    assert outcome is not None, "asked for before it was known"
    if isinstance(outcome, LogdError):
        batch.told = True
        raise with_outcome(outcome, unknown=outcome.outcome_unknown)
    base_offset = outcome.base_offset
    return RecordReceipt(
        topic=batch.topic,
        partition=batch.partition,
        offset=None if base_offset is None else base_offset + index,
        leader_epoch=outcome.leader_epoch,
        timestamp_ms=outcome.append_timestamp_ms,
        duplicate=outcome.duplicate,
        replicas=outcome.replicas,
        replicas_synced=outcome.replicas_synced,
    )
