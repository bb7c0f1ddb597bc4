"""Answers of plain Fetches: batches decoded into records, which takes too long for the loop."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from logd.broker.doors.grpc_door.fetch_results import fetch_result_head
from logd.broker.doors.grpc_door.plain_records import PlainRoom, decode_plain_records
from logd.broker.ports import Fetched, FetchPosition
from logd.model.errors import Overloaded
from logd.model.ids import TopicPartition
from logd.model.seams import Offload
from logd.wire.proto_errors import to_proto_error
from logd_proto.v1 import data_pb2

HELD_BYTES_MAX = 256 << 20
"""Of batches that wait for a thread of the pool, or are in one."""


class PlainFetches:
    """One a door, on the loop."""

    def __init__(self, pool: Offload) -> None:
        self._pool = pool
        self._held_bytes = 0

    async def decode(
        self,
        fetched: Sequence[Fetched],
        positions: Mapping[TopicPartition, FetchPosition],
        max_bytes: int,
    ) -> list[data_pb2.FetchResult]:
        """One result for each. Views among their batches are copied first. Raises Overloaded."""
        held_bytes = sum(len(each.batches) for each in fetched)
        if self._held_bytes and self._held_bytes + held_bytes > HELD_BYTES_MAX:
            raise Overloaded(
                f"{self._held_bytes} bytes of other plain fetches are being decoded; read encoded "
                "batches to have the broker decode nothing",
                limit="held_bytes_max",
            )
        self._held_bytes += held_bytes
        try:
            kept = [replace(each, batches=bytes(each.batches)) for each in fetched]
            return await self._pool.run(lambda: _decode(kept, positions, PlainRoom(max_bytes)))
        finally:
            self._held_bytes -= held_bytes


def _decode(
    fetched: Sequence[Fetched],
    positions: Mapping[TopicPartition, FetchPosition],
    room: PlainRoom,
) -> list[data_pb2.FetchResult]:
    return [_result(each, positions[each.topic_partition], room) for each in fetched]


def _result(fetched: Fetched, position: FetchPosition, room: PlainRoom) -> data_pb2.FetchResult:
    result = fetch_result_head(fetched)
    if fetched.error is not None:
        return result
    read = decode_plain_records(fetched, position.offset, room)
    result.records.extend(read.records)
    result.next_offset = read.next_offset
    if read.error is not None and not read.records:
        result.error.CopyFrom(to_proto_error(read.error))
        result.next_offset = int(read.error.details["next_offset"])
    return result
