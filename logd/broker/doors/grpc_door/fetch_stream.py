"""One FetchStream: remembers the client's positions and answers each request.

A new request ends the wait of the one before it (purgatory's case F), so that a seek or a pause
takes effect at once; the earlier request still gets its answer, with what there was.

An answer in parts lasts: while data comes, it is pushed without being asked for, until `max_bytes`
are used, a request interrupts it, or nothing came for `max_wait_ms`. So who reads at the end of a
log asks once for many records. Each part, the last one too, moves the positions on.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from google.protobuf.message import DecodeError

from logd.broker.doors.grpc_door.authorized_topics import AuthorizedTopics
from logd.broker.doors.grpc_door.fetch_results import fetch_result_head
from logd.broker.ports import Fetched, FetchInterrupt, FetchPosition, FetchWait, Partitions, Topics
from logd.model.errors import InvalidConfig, LogdError, Overloaded
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd.rpc.rpc import (
    Authorizer,
    Refused,
    RequestContext,
    ServerStream,
    check_request_bytes,
)
from logd.wire.fetch_response import write_fetch_response
from logd_proto.v1 import data_pb2

FETCH_BYTES_DEFAULT = 1 << 20
FETCH_BYTES_MAX = 64 << 20
"""Bound on one answer, whatever the client asks for."""
PART_BYTES = 1 << 20
"""Of an answer in parts: while one travels, the next is read."""
MAX_WAIT_MS_MAX = 60_000
REQUESTS_PENDING_MAX = 16
POSITIONS_PER_STREAM_MAX = 20_000
_BATCHES = attrgetter("batches")


class FetchStream:
    """State of one stream: the session's positions, least recently changed first."""

    def __init__(
        self,
        partitions: Partitions,
        topics: Topics,
        authorizer: Authorizer,
        context: RequestContext,
        stream: ServerStream,
        refused: Refused,
    ) -> None:
        self._refused = refused
        self._partitions = partitions
        self._authorized = AuthorizedTopics(authorizer, topics, context, "read")
        self._stream = stream
        self._positions: dict[TopicPartition, FetchPosition] = {}
        self._requests: deque[data_pb2.FetchStreamRequest] = deque()
        self._arrived = asyncio.Event()
        self._ended = False
        self._interrupt = FetchInterrupt()

    async def run(self) -> None:
        """Until the client ends the stream."""
        reader = asyncio.ensure_future(self._read_requests())
        reader.add_done_callback(_retrieve)
        try:
            while True:
                while self._requests:
                    await self._answer(self._requests.popleft())
                if self._ended:
                    break
                await self._arrived.wait()
                self._arrived.clear()
            reader.result()  # raises what ended it
        finally:
            reader.cancel()

    async def _read_requests(self) -> None:
        try:
            while (message := await self._stream.receive()) is not None:
                if len(self._requests) >= REQUESTS_PENDING_MAX:
                    raise Overloaded(
                        f"more than {REQUESTS_PENDING_MAX} fetches wait on one stream",
                        limit="requests_pending_max",
                    )
                check_request_bytes(message)
                try:
                    self._requests.append(data_pb2.FetchStreamRequest.FromString(bytes(message)))
                except DecodeError as error:
                    raise InvalidConfig(f"no FetchStreamRequest: {error}") from None
                self._arrived.set()
                self._interrupt.fire()
        finally:
            self._ended = True
            self._arrived.set()
            self._interrupt.fire()

    async def _answer(self, request: data_pb2.FetchStreamRequest) -> None:
        refused = self._remember(request)
        self._interrupt = FetchInterrupt()
        if refused or self._requests or self._ended:
            self._interrupt.fired = True
        left_bytes = min(request.max_bytes or FETCH_BYTES_DEFAULT, FETCH_BYTES_MAX)
        part_bytes = max(PART_BYTES, request.min_bytes) if request.in_parts else FETCH_BYTES_MAX
        wait = FetchWait(
            min_bytes=request.min_bytes,
            max_bytes=min(left_bytes, part_bytes),
            max_wait_ms=min(request.max_wait_ms, MAX_WAIT_MS_MAX),
        )
        while True:
            positions = list(self._positions.values())
            fetched = await self._partitions.fetch(positions, wait, self._interrupt)
            for each in fetched:
                if each.error is not None:
                    self._refused(each.error)
            results = [*refused, *fetched]
            left_bytes -= sum(len(each.batches) for each in fetched)
            more = request.in_parts and left_bytes > 0 and self._goes_on(results)
            wait = replace(wait, max_bytes=min(left_bytes, part_bytes))
            told = zip(map(fetch_result_head, results), map(_BATCHES, results), strict=True)
            message = write_fetch_response(request.correlation_id, told, more=more)
            if request.in_parts:
                self._advance(fetched)
            await self._stream.send(message)
            if not more:
                break
            refused = []

    def _goes_on(self, results: Sequence[Fetched]) -> bool:
        """Whether another part shall follow: this one gave something, and nothing else is asked or
        to be told."""
        if self._requests or self._ended or any(each.error for each in results):
            return False
        return any(len(each.batches) for each in results)

    def _advance(self, fetched: Sequence[Fetched]) -> None:
        """What just gave data goes to the end, as when the client says so."""
        for each in fetched:
            if each.error is not None:
                continue
            position = self._positions.pop(each.topic_partition)
            self._positions[each.topic_partition] = replace(position, offset=each.next_offset)

    def _remember(self, request: data_pb2.FetchStreamRequest) -> list[Fetched]:
        """Take over the request's changes; what was refused, which is not remembered."""
        refused: list[Fetched] = []
        for gone in request.forget:
            topic_partition = TopicPartition(TopicId(gone.topic_id), PartitionId(gone.partition))
            self._positions.pop(topic_partition, None)
        for asked in request.partitions:
            topic_partition = TopicPartition(TopicId(asked.topic_id), PartitionId(asked.partition))
            # What just gave data goes to the end: the others come first next time.
            self._positions.pop(topic_partition, None)
            try:
                self._authorized.check(asked.topic_id)
            except LogdError as error:
                refused.append(Fetched.refused(topic_partition, Offset(asked.offset), error))
                continue
            self._positions[topic_partition] = FetchPosition(
                topic_partition,
                Offset(asked.offset),
                LeaderEpoch(asked.leader_epoch) if asked.HasField("leader_epoch") else None,
                asked.max_bytes or FETCH_BYTES_DEFAULT,
            )
        if len(self._positions) > POSITIONS_PER_STREAM_MAX:
            raise Overloaded(
                f"one stream reads at most {POSITIONS_PER_STREAM_MAX} partitions",
                limit="positions_per_stream_max",
            )
        return refused


def _retrieve(reader: "asyncio.Task[None]") -> None:
    """What ended the reader is raised by `run`, unless the client went away first."""
    if not reader.cancelled():
        reader.exception()
