"""FetchStream's messages as bytes, against the generated code."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import LogdError, OffsetOutOfRange, UnsupportedVersion
from logd_client.core.fetch_session import FetchPlan, Upsert
from logd_client.fetch_wire import FetchLimits, parse_answer, serialize_request
from logd_proto.v1 import common_pb2, data_pb2

int64 = st.integers(-(1 << 63), (1 << 63) - 1)
results = st.builds(
    data_pb2.FetchResult,
    topic_id=st.binary(max_size=16),
    partition=st.integers(0, (1 << 32) - 1),
    high_watermark=int64,
    log_start_offset=int64,
    next_offset=int64,
    leader_epoch=st.integers(-1, 5),
    batches=st.binary(max_size=300),
    error=st.none() | st.builds(common_pb2.Error, reason=st.just("LEADER_NOT_AVAILABLE")),
)
answers = st.builds(
    data_pb2.FetchStreamResponse,
    correlation_id=st.integers(0, (1 << 63) - 1),
    throttle_ms=st.integers(0, (1 << 32) - 1),
    results=st.lists(results, max_size=4),
)


@given(answers)
def test_answers_are_read_as_generated_code_reads_them(
    answer: data_pb2.FetchStreamResponse,
) -> None:
    parsed = parse_answer(answer.SerializeToString())
    assert (parsed.correlation_id, parsed.throttle_ms) == (
        answer.correlation_id,
        answer.throttle_ms,
    )
    for mine, theirs in zip(parsed.fetched, answer.results, strict=True):
        assert mine.topic_id == theirs.topic_id and mine.partition == theirs.partition
        assert mine.high_watermark == theirs.high_watermark
        assert mine.log_start_offset == theirs.log_start_offset
        assert mine.next_offset == theirs.next_offset
        assert bytes(mine.batches) == theirs.batches
        assert (mine.error is not None) == theirs.HasField("error")


@given(results, st.integers(0, 1 << 30))
def test_fields_may_come_in_any_order_and_unknown_ones_are_skipped(
    result: data_pb2.FetchResult, seed: int
) -> None:
    fields = [
        data_pb2.FetchResult(**{field.name: value}).SerializeToString()
        for field, value in result.ListFields()
    ]
    unknown = [b"\xf8\x07\x01", b"\xf9\x07" + b"8bytes!!", b"\xfa\x07\x02hi", b"\xfd\x07four"]
    shuffled = fields + unknown
    random.Random(seed).shuffle(shuffled)
    message = b"".join(shuffled)
    body = b"\x1a" + _varint(len(message)) + message
    (mine,) = parse_answer(body).fetched
    assert mine == parse_answer(
        data_pb2.FetchStreamResponse(results=[result]).SerializeToString()
    ).fetched[0]._replace(error=mine.error)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_a_typed_error(message: bytes) -> None:
    try:
        parse_answer(message)
    except LogdError as error:
        assert isinstance(error, UnsupportedVersion)


def test_batches_are_views_of_the_message_and_errors_are_typed() -> None:
    answer = data_pb2.FetchStreamResponse(correlation_id=7)
    answer.results.add(topic_id=b"t" * 16, batches=b"B" * 50)
    refused = answer.results.add(topic_id=b"t" * 16, partition=1, next_offset=40)
    refused.error.reason, refused.error.message = "OFFSET_OUT_OF_RANGE", "gone"
    message = answer.SerializeToString()
    given, failed = parse_answer(message).fetched
    assert given.batches.obj is message
    assert isinstance(failed.error, OffsetOutOfRange)
    assert failed.error.details == {"next_offset": "40"}


def test_an_answer_that_is_cut_is_refused() -> None:
    answer = data_pb2.FetchStreamResponse(results=[data_pb2.FetchResult(batches=b"B" * 50)])
    with pytest.raises(UnsupportedVersion, match="no FetchStreamResponse"):
        parse_answer(answer.SerializeToString()[:-1])


def test_requests_carry_what_changed_and_the_limits() -> None:
    plan = FetchPlan(9, [Upsert(b"t" * 16, 2, 1 << 40)], [(b"u" * 16, 3)])
    limits = FetchLimits(1, 1000, 100, 500, data_pb2.ISOLATION_READ_COMMITTED)
    request = data_pb2.FetchStreamRequest.FromString(serialize_request(plan, limits))
    assert request == data_pb2.FetchStreamRequest(
        correlation_id=9,
        partitions=[
            data_pb2.FetchPartition(topic_id=b"t" * 16, partition=2, offset=1 << 40, max_bytes=100)
        ],
        forget=[data_pb2.ForgetPartition(topic_id=b"u" * 16, partition=3)],
        min_bytes=1,
        max_bytes=1000,
        max_wait_ms=500,
        isolation=data_pb2.ISOLATION_READ_COMMITTED,
        in_parts=True,
    )


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
