"""Topics as Arrow tables, for Flight clients that know nothing of logd: columns in and out.

Everything is asked of the calls of `logd.v1`, so both doors have one meaning. What is here runs in
Flight's threads: `Call` waits for the event loop's answer.
"""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.flight as flight
from google.protobuf.message import Message

from logd.model.arrow_batches import SCHEMA, TIME, record_batch
from logd.model.arrow_columns import HEADERS
from logd.model.batch_decoder import decode_batch
from logd.model.errors import InvalidConfig, LogdError, OffsetOutOfRange
from logd.model.record_batch import split_batches
from logd.wire.proto_errors import from_proto_error
from logd_proto.v1 import common_pb2, data_pb2, topics_pb2

Call = Callable[[str, Message], Any]
"""(method, request) -> its response. Raises LogdErrors."""

FETCH_BYTES = 4 << 20
WRITE_BYTES = 512 << 10
"""Of records in one call; half of what the topic takes in one batch, where that is less."""
WRITE_RECORDS = 10_000
WRITTEN_COLUMNS = {"key": pa.binary(), "value": pa.binary(), "timestamp": TIME, "headers": HEADERS}
OWN_COLUMNS = ("partition", "offset", "append_timestamp")
"""A table as it was read may be written as it is: these the broker gives anew."""
_DATA, _TOPICS = "/logd.v1.DataService", "/logd.v1.TopicService"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Ticket(msgspec.Struct, forbid_unknown_fields=True):
    """The records of one partition from offset `start` to before `end`, as JSON on the wire."""

    topic: str
    partition: Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
    start: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    end: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


def parse_ticket(raw: bytes) -> Ticket:
    """Raises InvalidConfig."""
    try:
        return msgspec.json.decode(raw, type=Ticket)
    except msgspec.MsgspecError as error:
        raise InvalidConfig(
            f"a ticket is that of a FlightInfo, or JSON such as "
            f'{{"topic": "orders", "partition": 0, "start": 0, "end": 100}}: {error}',
            field="ticket",
        ) from None


def topics(call: Call) -> Iterator[flight.FlightInfo]:
    """Each topic by its name; their partitions `info` tells."""
    for topic in call(f"{_TOPICS}/ListTopics", topics_pb2.ListTopicsRequest()).topics:
        yield flight.FlightInfo(SCHEMA, flight.FlightDescriptor.for_path(topic.name), [], -1, -1)


def info(call: Call, path: Sequence[str]) -> flight.FlightInfo:
    """An endpoint for each partition that holds records of [topic, since, until].

    `since` and `until` are times of append as `parse_bound` takes them; without them, all that can
    be read now. Raises UnknownTopic, InvalidConfig.
    """
    if not 1 <= len(path) <= 3:
        raise InvalidConfig(
            f"the path has {len(path)} parts, but is TOPIC, TOPIC/SINCE or TOPIC/SINCE/UNTIL",
            field="descriptor",
        )
    name, since, until = (*path, "", "")[:3]
    start_at = parse_bound(since, common_pb2.OffsetSpec(earliest=True))
    end_at = parse_bound(until, common_pb2.OffsetSpec(latest=True))
    count = len(_describe(call, name).partitions)
    last = _offsets(call, name, count, end_at)
    first = _offsets(call, name, count, start_at)
    tickets = [
        Ticket(name, partition, start, end)
        for partition, (start, end) in enumerate(zip(first, last, strict=True))
        if start < end
    ]
    return flight.FlightInfo(
        SCHEMA,
        flight.FlightDescriptor.for_path(*path),
        [flight.FlightEndpoint(msgspec.json.encode(ticket), []) for ticket in tickets],
        sum(ticket.end - ticket.start for ticket in tickets),
        -1,
    )


def parse_bound(text: str, default: common_pb2.OffsetSpec) -> common_pb2.OffsetSpec:
    """Empty, ms since 1970 UTC, or ISO 8601 with a time zone. Raises InvalidConfig."""
    if not text:
        return default
    try:
        if text.isdecimal():
            return common_pb2.OffsetSpec(append_time_ms=min(int(text), (1 << 63) - 1))
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError("it has no time zone")
    except ValueError as error:
        raise InvalidConfig(
            f"'{text}' is no time: {error}. Give ms since 1970 UTC, or a time such as "
            "2026-01-31T00:00:00Z",
            field="descriptor",
        ) from None
    return common_pb2.OffsetSpec(append_time_ms=-((_EPOCH - at) // timedelta(milliseconds=1)))


def _describe(call: Call, name: str) -> topics_pb2.Topic:
    request = topics_pb2.DescribeTopicRequest(topic=common_pb2.TopicRef(name=name))
    topic: topics_pb2.Topic = call(f"{_TOPICS}/DescribeTopic", request).topic
    return topic


def _offsets(call: Call, name: str, count: int, at: common_pb2.OffsetSpec) -> list[int]:
    queries = [data_pb2.OffsetQuery(partition=number, at=at) for number in range(count)]
    request = data_pb2.ListOffsetsRequest(topic=common_pb2.TopicRef(name=name), queries=queries)
    answers = call(f"{_DATA}/ListOffsets", request).answers
    for answer in answers:
        _raise_of(answer)
    return [answer.offset for answer in answers]


def read(call: Call, ticket: Ticket) -> Iterator[pa.RecordBatch]:
    """Batches as their producers made them, in SCHEMA, the first and last cut to the ticket."""
    position = ticket.start
    while position < ticket.end:
        request = data_pb2.FetchRequest(
            topic=common_pb2.TopicRef(name=ticket.topic),
            positions=[data_pb2.FetchPosition(partition=ticket.partition, offset=position)],
            max_bytes=FETCH_BYTES,
            encoded=True,
        )
        (result,) = call(f"{_DATA}/Fetch", request).results
        _raise_of(result)
        for header, batch in split_batches(result.batches):
            decoded = decode_batch(batch)
            start = bisect_left(decoded.offsets, position)
            end = bisect_left(decoded.offsets, ticket.end)
            if start < end:
                yield record_batch(ticket.partition, decoded, start)[: end - start]
            position = max(position, header.next_offset)
        if not result.batches and result.next_offset <= position:
            raise OffsetOutOfRange(
                f"the log ends at offset {result.high_watermark}, before the ticket's {ticket.end}",
                log_start_offset=result.log_start_offset,
                high_watermark=result.high_watermark,
            )
        position = max(position, result.next_offset)


def write(call: Call, topic: str, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    """Append the rows in order, and after each batch tell how many are acknowledged so far.

    Columns are `value` and, as wanted, `key`, `timestamp`, `headers`. Rows go to partitions as
    records do: by key, else by turns. An error's details say how many rows were acknowledged before
    it, in `acknowledged`: those of the call that failed may be there, too.
    """
    limit = int(_describe(call, topic).config["message_bytes_max"])
    call_bytes = min(WRITE_BYTES, limit // 2)
    acknowledged = 0
    for batch in batches:
        try:
            for records in _calls(batch, call_bytes):
                request = data_pb2.ProduceRequest(
                    topic=common_pb2.TopicRef(name=topic), records=records
                )
                for receipt in call(f"{_DATA}/Produce", request).receipts:
                    _raise_of(receipt)
                acknowledged += len(records)
        except LogdError as error:
            error.details["acknowledged"] = str(acknowledged)
            raise
        yield json.dumps({"acknowledged": acknowledged}).encode()


def _calls(batch: pa.RecordBatch, bytes_max: int) -> Iterator[list[data_pb2.PlainRecord]]:
    """The rows as records, as many together as one call takes: no more of them are made at once."""
    for at in range(0, len(batch), WRITE_RECORDS):
        records: list[data_pb2.PlainRecord] = []
        size_bytes = 0
        for record in _records(_columns(batch.slice(at, WRITE_RECORDS))):
            record_bytes = record.ByteSize()
            if records and size_bytes + record_bytes > bytes_max:
                yield records
                records, size_bytes = [], 0
            records.append(record)
            size_bytes += record_bytes
        yield records


def _columns(batch: pa.RecordBatch) -> dict[str, list[Any]]:
    """Each as a list; those that are not there are all null. Raises InvalidConfig."""
    strange = [n for n in batch.schema.names if n not in (*WRITTEN_COLUMNS, *OWN_COLUMNS)]
    if strange or "value" not in batch.schema.names:
        raise InvalidConfig(
            f"the columns are {batch.schema.names}, but must be value and, as wanted, key, "
            f"timestamp and headers",
            field="schema",
        )
    columns = {name: [None] * len(batch) for name in WRITTEN_COLUMNS}
    for name, kind in WRITTEN_COLUMNS.items():
        if name in batch.schema.names:
            column = batch.column(name)
            try:
                column.validate(full=True)
                columns[name] = _cast(column, kind).to_pylist()
            except pa.ArrowException as error:
                raise InvalidConfig(
                    f"column {name} is {column.type}, and cannot be {kind}: {error}", field=name
                ) from None
    return columns


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Times as ms since 1970 UTC."""
    if kind is not TIME:
        return pc.cast(column, kind)
    if not pa.types.is_timestamp(column.type):
        return pc.cast(column, pa.int64())
    return pc.cast(pc.floor_temporal(column, unit="millisecond"), TIME).view(pa.int64())


def _records(columns: dict[str, list[Any]]) -> Iterator[data_pb2.PlainRecord]:
    names = ("key", "value", "timestamp", "headers")
    for key, value, time_ms, headers in zip(*(columns[name] for name in names), strict=True):
        yield data_pb2.PlainRecord(
            key=key,
            value=value,
            timestamp_ms=time_ms,
            headers=[common_pb2.Header(**header) for header in headers or ()],
        )


def _raise_of(answer: Any) -> None:
    """The error of one entry of an answer, if it has one."""
    if answer.HasField("error"):
        raise from_proto_error(answer.error)
