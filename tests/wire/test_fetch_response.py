"""FetchStream's messages as bytes, against the generated code."""

import random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from harness.raw_fields import raw_fields
from logd.model.errors import LogdError, NotLeader, OffsetOutOfRange, UnsupportedVersion
from logd.model.varint import write_varint
from logd.wire.fetch_response import read_fetch_response, write_fetch_response
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
    parsed = read_fetch_response(answer.SerializeToString())
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
    body = b"\x1a" + write_varint(len(message)) + message
    (mine,) = read_fetch_response(body).fetched
    assert mine == read_fetch_response(
        data_pb2.FetchStreamResponse(results=[result]).SerializeToString()
    ).fetched[0]._replace(error=mine.error)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_a_typed_error(message: bytes) -> None:
    try:
        read_fetch_response(message)
    except LogdError as error:
        assert isinstance(error, UnsupportedVersion)


def test_batches_are_views_of_the_message_and_errors_are_typed() -> None:
    answer = data_pb2.FetchStreamResponse(correlation_id=7)
    answer.results.add(topic_id=b"t" * 16, batches=b"B" * 50)
    refused = answer.results.add(topic_id=b"t" * 16, partition=1, next_offset=40)
    refused.error.reason, refused.error.message = "OFFSET_OUT_OF_RANGE", "gone"
    message = answer.SerializeToString()
    given, failed = read_fetch_response(message).fetched
    assert given.batches.obj is message
    assert isinstance(failed.error, OffsetOutOfRange)
    assert failed.error.details == {"next_offset": "40"}


def test_an_answer_that_is_cut_is_refused() -> None:
    answer = data_pb2.FetchStreamResponse(results=[data_pb2.FetchResult(batches=b"B" * 50)])
    with pytest.raises(UnsupportedVersion, match="no FetchStreamResponse"):
        read_fetch_response(answer.SerializeToString()[:-1])


def test_golden_bytes_of_both_directions() -> None:
    results = [
        (
            data_pb2.FetchResult(
                topic_id=b"t" * 16,
                partition=3,
                high_watermark=1000,
                log_start_offset=1,
                last_stable_offset=1000,
                next_offset=970,
                leader_epoch=4,
            ),
            b"BBBB",
        ),
        (
            data_pb2.FetchResult(
                topic_id=b"u" * 16, next_offset=-1, error=common_pb2.Error(reason="NOT_LEADER")
            ),
            b"",
        ),
    ]
    raw = bytes.fromhex(
        "08ac02"
        "1a27 0a10 74747474747474747474747474747474 1003 18e807 2001 28e807 30ca07 3804"
        "7a04 42424242"
        "1a2b 0a10 75757575757575757575757575757575 30ffffffffffffffffff01"
        "4a0c 0a0a 4e4f545f4c4541444552"
        "2001"
    )
    assert write_fetch_response(300, results, more=True) == raw
    answer = read_fetch_response(raw)
    assert (answer.correlation_id, answer.throttle_ms, answer.more) == (300, 0, True)
    first, second = answer.fetched
    assert first == (b"t" * 16, 3, 1000, 1, 970, None, memoryview(b"BBBB"))
    assert second[:5] == (b"u" * 16, 0, 0, 0, -1) and isinstance(second.error, NotLeader)


@given(st.integers(0, (1 << 64) - 1), st.lists(results, max_size=4), st.booleans())
def test_what_is_written_is_read_by_generated_code(
    correlation_id: int, sent: list[data_pb2.FetchResult], more: bool
) -> None:
    heads = []
    for result in sent:
        head = data_pb2.FetchResult()
        head.CopyFrom(result)
        head.ClearField("batches")
        heads.append((head, result.batches))
    message = write_fetch_response(correlation_id, heads, more=more)
    expected = data_pb2.FetchStreamResponse(correlation_id=correlation_id, results=sent, more=more)
    assert data_pb2.FetchStreamResponse.FromString(message) == expected
    assert message == expected.SerializeToString(deterministic=True)


@given(
    st.lists(raw_fields([1, 2, 3, 4, 5, 6, 7, 8, 15, 100], st.binary(max_size=20)), max_size=3),
    raw_fields([1, 2, 4, 5, 100], st.binary(max_size=5)),
)
def test_odd_fields_are_read_as_generated_code_reads_them(odd: list[bytes], more: bytes) -> None:
    raw = b"".join(b"\x1a" + write_varint(len(result)) + result for result in odd) + more
    try:
        expected = data_pb2.FetchStreamResponse.FromString(raw)
    except DecodeError:
        with pytest.raises(UnsupportedVersion):
            read_fetch_response(raw)
        return
    answer = read_fetch_response(raw)
    assert answer.correlation_id == expected.correlation_id
    assert (answer.throttle_ms, answer.more) == (expected.throttle_ms, expected.more)
    assert [
        (each.topic_id, each.partition, each.high_watermark, each.log_start_offset)
        for each in answer.fetched
    ] == [
        (each.topic_id, each.partition, each.high_watermark, each.log_start_offset)
        for each in expected.results
    ]
    assert [(each.next_offset, bytes(each.batches)) for each in answer.fetched] == [
        (each.next_offset, each.batches) for each in expected.results
    ]


def test_an_error_that_is_none_makes_the_answer_none() -> None:
    """It came as a DecodeError once, which nothing waits for."""
    with pytest.raises(UnsupportedVersion, match="no FetchStreamResponse"):
        read_fetch_response(bytes.fromhex("1a03 4a01 ff"))
