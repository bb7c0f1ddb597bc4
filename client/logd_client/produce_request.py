"""The messages of the produce stream, made and read around the batches' bytes.

A generated serializer would copy every batch twice; here the bytes between the batches are made by
hand and all is joined once. The result is what a generated serializer writes: fields in number
order, zeros absent (data.proto, ProduceStreamRequest).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from logd.model.errors import LogdError, error_from_reason
from logd.model.seams import Buffer
from logd_client.core.producer_batch import BatchReceipt
from logd_proto.v1 import data_pb2

MESSAGE_BYTES = 1 << 20
"""About what one message carries; a single larger batch goes alone."""

ACKS = {"leader": data_pb2.ACKS_LEADER, "all": data_pb2.ACKS_ALL}


@dataclass(frozen=True, slots=True)
class OutgoingEntry:
    """One batch and where it goes."""

    correlation_id: int
    topic_id: bytes
    partition: int
    partitioning_epoch: int
    batch: bytes


def pack_produce_request(
    entries: Sequence[OutgoingEntry], acks: data_pb2.Acks, timeout_ms: int
) -> bytes:
    """One ProduceStreamRequest. All entries wait for the same `acks`, `timeout_ms` at most."""
    waits = _varint_field(b"\x28", int(acks)) + _varint_field(b"\x30", timeout_ms)
    parts: list[bytes] = []
    for entry in entries:
        head = b"".join(
            (
                _varint_field(b"\x08", entry.correlation_id),
                b"\x12" + _varint(len(entry.topic_id)) + entry.topic_id,
                _varint_field(b"\x18", entry.partition),
                _varint_field(b"\x20", entry.partitioning_epoch),
                waits,
                b"\x7a" + _varint(len(entry.batch)),
            )
        )
        parts += (b"\x0a" + _varint(len(head) + len(entry.batch)), head, entry.batch)
    return b"".join(parts)


def unpack_produce_response(
    message: Buffer,
) -> tuple[list[tuple[int, BatchReceipt | LogdError]], int]:
    """The answers by correlation id, and how many ms the broker asks to wait."""
    response = data_pb2.ProduceStreamResponse.FromString(bytes(message))
    return [(ack.correlation_id, _answer(ack)) for ack in response.acks], response.throttle_ms


def _answer(ack: data_pb2.ProduceAck) -> BatchReceipt | LogdError:
    if ack.HasField("error"):
        return error_from_reason(ack.error.reason, ack.error.message, ack.error.details)
    return BatchReceipt(
        base_offset=ack.base_offset if ack.HasField("base_offset") else None,
        leader_epoch=ack.leader_epoch,
        append_timestamp_ms=ack.append_timestamp_ms,
        duplicate=ack.duplicate,
        replicas=ack.replicas,
        replicas_synced=ack.replicas_synced,
    )


def _varint_field(tag: bytes, number: int) -> bytes:
    return tag + _varint(number) if number else b""


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
