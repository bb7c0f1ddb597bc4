"""Finds positions that are known only by where they lie: a log's start, its end."""

from collections.abc import Iterable

from logd.model.errors import LogdError
from logd.model.offset_spec import OffsetSpec
from logd_client.broker_connection import BrokerConnection
from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.partition_position import PartitionPosition
from logd_client.topic_admin import error_of, offset_spec_message
from logd_proto.v1 import common_pb2, data_pb2


class OffsetLookup:
    """Asks the broker by ListOffsets, one call a topic."""

    def __init__(self, connection: BrokerConnection, positions: ConsumerPositions) -> None:
        self._connection = connection
        self._positions = positions

    async def run(self) -> bool:
        """Place every position that waits to be looked up, or give it the error of its look-up.

        Whether there were any. Raises what may pass: BrokerUnreachable, LeaderNotAvailable, ...
        """
        waiting = [(at, at.lookup) for at in self._positions.lookups() if at.lookup is not None]
        by_topic: dict[bytes, list[tuple[PartitionPosition, OffsetSpec]]] = {}
        for at, spec in waiting:
            by_topic.setdefault(at.topic_id, []).append((at, spec))
        for entries in by_topic.values():
            try:
                answers = await self.ask(entries)
            except LogdError as error:
                answers = [error] * len(entries)
            for (at, _), answer in zip(entries, answers, strict=True):
                if not isinstance(answer, LogdError):
                    self._positions.place(at, answer)
                elif answer.retriable:
                    raise answer
                else:
                    self._positions.lookup_failed(at, answer)
        return bool(waiting)

    async def ask(
        self, entries: Iterable[tuple[PartitionPosition, OffsetSpec]]
    ) -> list[int | LogdError]:
        """The offset, or the error, of each of these places in one topic."""
        listed = list(entries)
        request = data_pb2.ListOffsetsRequest(
            topic=common_pb2.TopicRef(topic_id=listed[0][0].topic_id),
            queries=[
                data_pb2.OffsetQuery(partition=at.partition, at=offset_spec_message(spec))
                for at, spec in listed
            ],
        )
        answer = await self._connection.call(
            "DataService/ListOffsets", request, data_pb2.ListOffsetsResponse
        )
        return [error_of(found) or found.offset for found in answer.answers]
