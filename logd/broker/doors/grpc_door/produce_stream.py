"""One ProduceStream: appends as messages come, and sends receipts joined per turn of the loop."""

import asyncio
from collections.abc import Sequence
from functools import partial

from google.protobuf.message import DecodeError

from logd.broker.doors.grpc_door.authorized_topics import AuthorizedTopics
from logd.broker.ports import Acks, Partitions, Receipt, Topics
from logd.model.errors import CorruptBatch, InvalidConfig, LogdError
from logd.model.ids import PartitionId, TopicPartition
from logd.model.seams import Buffer
from logd.rpc.rpc import Authorizer, Refused, RequestContext, ServerStream
from logd.wire.produce_request import ProduceEntry, read_produce_request
from logd.wire.proto_errors import to_proto_error
from logd_proto.v1 import data_pb2

PENDING_ENTRIES_MAX = 1024
"""Entries of one stream whose receipt is not on its way yet; past it the stream is not read on, and
gRPC's flow control holds the client. So also a client that reads no receipts is held."""
APPENDS_A_TURN_MAX = 64
"""So many small batches take some 5 ms: then everything else has its turn."""
ACK_TIMEOUT_MS_DEFAULT = 30_000
ACK_TIMEOUT_MS_MAX = 600_000
_ACKS: dict[int, Acks] = {
    data_pb2.ACKS_UNSPECIFIED: "all",
    data_pb2.ACKS_LEADER: "leader",
    data_pb2.ACKS_ALL: "all",
}


def to_acks(value: int) -> Acks:
    """Raises InvalidConfig for a number that is none."""
    if value not in _ACKS:
        raise InvalidConfig(f"acks is {value}, but takes 1 (leader) or 2 (all)", field="acks")
    return _ACKS[value]


def to_ack_timeout_ms(value: int) -> int:
    """How long an append may wait for its acknowledgement; 0: the default."""
    return min(value or ACK_TIMEOUT_MS_DEFAULT, ACK_TIMEOUT_MS_MAX)


class ProduceStream:
    """State of one stream. Receipts go out from one task; a turn's receipts share a message."""

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
        self._authorized = AuthorizedTopics(authorizer, topics, context, "write")
        self._stream = stream
        self._acks: list[data_pb2.ProduceAck] = []
        self._pending = 0
        self._ended = False
        self._answered = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Until the client ends the stream and all its entries are answered."""
        sender = asyncio.ensure_future(self._send_acks())
        sender.add_done_callback(self._sender_ended)
        try:
            while not sender.done() and (message := await self._stream.receive()) is not None:
                entries = _parse(message)
                for first in range(0, len(entries), APPENDS_A_TURN_MAX):
                    some = entries[first : first + APPENDS_A_TURN_MAX]
                    wheres = [self._where(entry) for entry in some]
                    await self._open(wheres)
                    for entry, where in zip(some, wheres, strict=True):
                        while self._pending >= PENDING_ENTRIES_MAX and not sender.done():
                            self._room.clear()
                            await self._room.wait()
                        await self._append(entry, where)
                    await asyncio.sleep(0)
            self._ended = True
            self._answered.set()
            await sender
        finally:
            sender.cancel()

    def _sender_ended(self, sender: "asyncio.Task[None]") -> None:
        if not sender.cancelled():
            sender.exception()  # `run` raises it, unless the client went away first
        self._room.set()

    def _where(self, entry: ProduceEntry) -> TopicPartition | LogdError:
        """The entry's partition, if this client may write there."""
        try:
            topic_id = self._authorized.check(entry.topic_id)
        except LogdError as error:
            return error
        return TopicPartition(topic_id, PartitionId(entry.partition))

    async def _open(self, wheres: Sequence[TopicPartition | LogdError]) -> None:
        """Open side by side what is not open yet. What fails, `_append` tries again and tells."""
        known = {where: None for where in wheres if not isinstance(where, LogdError)}
        closed = [where for where in known if not self._partitions.is_open(where)]
        if closed:
            await asyncio.gather(*map(self._partitions.open, closed), return_exceptions=True)

    async def _append(self, entry: ProduceEntry, where: TopicPartition | LogdError) -> None:
        self._pending += 1
        done = partial(self._answer, entry.correlation_id)
        try:
            if isinstance(where, LogdError):
                raise where
            if not self._partitions.is_open(where):
                await self._partitions.open(where)
            self._partitions.append(
                where,
                entry.batch,
                done,
                acks=to_acks(entry.acks),
                timeout_ms=to_ack_timeout_ms(entry.timeout_ms),
                partitioning_epoch=entry.partitioning_epoch,
            )
        except LogdError as error:
            done(error)

    def _answer(self, correlation_id: int, result: Receipt | LogdError) -> None:
        if isinstance(result, LogdError):
            self._refused(result)
        self._acks.append(to_ack(correlation_id, result))
        self._answered.set()

    async def _send_acks(self) -> None:
        """The event set in one turn wakes this in the next: what a turn answers goes together."""
        while not self._ended or self._pending:
            await self._answered.wait()
            self._answered.clear()
            acks, self._acks = self._acks, []
            if acks:
                await self._stream.send(
                    data_pb2.ProduceStreamResponse(acks=acks).SerializeToString()
                )
                self._pending -= len(acks)
                self._room.set()


def _parse(message: Buffer) -> list[ProduceEntry]:
    try:
        return read_produce_request(message)
    except DecodeError as error:
        raise CorruptBatch(f"the message is no ProduceStreamRequest: {error}") from None


def to_ack(correlation_id: int, result: Receipt | LogdError) -> data_pb2.ProduceAck:
    if isinstance(result, LogdError):
        return data_pb2.ProduceAck(correlation_id=correlation_id, error=to_proto_error(result))
    return data_pb2.ProduceAck(
        correlation_id=correlation_id,
        base_offset=result.base_offset,
        leader_epoch=result.leader_epoch,
        append_timestamp_ms=result.append_timestamp_ms,
        log_start_offset=result.log_start_offset,
        duplicate=result.duplicate,
        replicas=result.replicas,
        replicas_synced=result.replicas_synced,
    )
