"""Appends of plain records: those of one turn of the loop for one partition share a batch.

A batch costs the log, the disk and every reader the same whether it holds one record or thousands,
and bare stubs send few at a time, from many clients at once.
"""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from logd.broker.doors.grpc_door.plain_records import encode_plain_records
from logd.broker.ports import Acks, Partitions, Receipt
from logd.model.errors import LogdError
from logd.model.ids import TopicPartition
from logd.model.seams import Clock
from logd_proto.v1 import data_pb2

JOINED_BYTES_MAX = 1 << 20
JOINED_RECORDS_MAX = 10_000
"""Joined batches end there; the records of one call are never parted."""
PARTITIONS_A_TURN_MAX = 64
"""So many small batches take some 5 ms: then everything else has its turn."""


class PlainReceipt(NamedTuple):
    """What became of one call's records: the batch's receipt, and where in it they begin."""

    result: Receipt | LogdError
    first: int


class _Where(NamedTuple):
    """Only calls that wait for the same, and equally long, can share an acknowledgement."""

    topic_partition: TopicPartition
    acks: Acks
    timeout_ms: int
    partitioning_epoch: int | None


class _Call(NamedTuple):
    records: Sequence[data_pb2.PlainRecord]
    answer: "asyncio.Future[PlainReceipt]"


class PlainAppends:
    """One a door, on the loop. Holds nothing longer than to one of the loop's next turns."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock
        self._waiting: dict[_Where, list[_Call]] = {}

    async def append(
        self,
        topic_partition: TopicPartition,
        records: Sequence[data_pb2.PlainRecord],
        *,
        acks: Acks,
        timeout_ms: int,
        partitioning_epoch: int | None = None,
    ) -> PlainReceipt:
        """Append these records as a row, and wait for the acknowledgement. `partitioning_epoch`:
        under which they were routed here; None: their caller chose the partition."""
        try:
            await self._partitions.open(topic_partition)
        except LogdError as error:
            return PlainReceipt(error, 0)
        loop = asyncio.get_running_loop()
        call = _Call(records, loop.create_future())
        if not self._waiting:
            loop.call_soon(self._flush)
        where = _Where(topic_partition, acks, timeout_ms, partitioning_epoch)
        self._waiting.setdefault(where, []).append(call)
        return await call.answer

    def _flush(self) -> None:
        for where in list(islice(self._waiting, PARTITIONS_A_TURN_MAX)):
            calls = self._waiting.pop(where)
            live = [call for call in calls if not call.answer.done()]  # done: its client has gone
            for some in _joined(live):
                self._append(where, some)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)

    def _append(self, where: _Where, calls: list[_Call]) -> None:
        def done(result: Receipt | LogdError) -> None:
            refused = isinstance(result, LogdError) and not result.outcome_unknown
            if refused and len(calls) > 1:  # nothing was appended: each finds out for itself
                for call in calls:
                    self._append(where, [call])
                return
            first = 0
            for call in calls:
                if not call.answer.done():
                    call.answer.set_result(PlainReceipt(result, first))
                first += len(call.records)

        records = [record for call in calls for record in call.records]
        try:
            batch = encode_plain_records(records, self._clock.wall_ms())
            self._partitions.append(
                where.topic_partition,
                batch,
                done,
                acks=where.acks,
                timeout_ms=where.timeout_ms,
                partitioning_epoch=where.partitioning_epoch,
            )
        except LogdError as error:
            done(error)
        except Exception as error:  # a fault of ours: told to those who wait, not to the loop
            for call in calls:
                call.answer.set_exception(error)


def _joined(calls: Sequence[_Call]) -> Iterator[list[_Call]]:
    """The calls in order, in groups of at least one that keep to the bounds."""
    group: list[_Call] = []
    records = size_bytes = 0
    for call in calls:
        call_bytes = sum(record.ByteSize() for record in call.records)
        within = records + len(call.records) <= JOINED_RECORDS_MAX
        if group and not (within and size_bytes + call_bytes <= JOINED_BYTES_MAX):
            yield group
            group, records, size_bytes = [], 0, 0
        group.append(call)
        records += len(call.records)
        size_bytes += call_bytes
    if group:
        yield group
