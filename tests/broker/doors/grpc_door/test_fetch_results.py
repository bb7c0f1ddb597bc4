"""A joined message of heads and batches is what the generated parser, and ours, understand."""

from hypothesis import given
from hypothesis import strategies as st

from logd.broker.doors.grpc_door.fetch_results import fetch_result_head
from logd.broker.ports import Fetched
from logd.model.errors import OffsetOutOfRange
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd.wire.fetch_response import read_fetch_response, write_fetch_response
from logd_proto.v1 import data_pb2

FETCHED = st.builds(
    Fetched,
    topic_partition=st.builds(
        TopicPartition,
        st.binary(min_size=16, max_size=16).map(TopicId),
        st.integers(0, 1 << 31).map(PartitionId),
    ),
    high_watermark=st.integers(-1, 1 << 62).map(Offset),
    log_start_offset=st.integers(0, 1 << 62).map(Offset),
    next_offset=st.integers(0, 1 << 62).map(Offset),
    leader_epoch=st.integers(-1, 1 << 30).map(LeaderEpoch),
    batches=st.binary(max_size=400).map(memoryview),
    error=st.none() | st.just(OffsetOutOfRange("gone", log_start_offset=4)),
)


@given(st.integers(0, (1 << 64) - 1), st.lists(FETCHED, max_size=5))
def test_the_generated_parser_reads_the_same_fields(
    correlation_id: int, results: list[Fetched]
) -> None:
    told = [(fetch_result_head(each), each.batches) for each in results]
    message = write_fetch_response(correlation_id, told)
    response = data_pb2.FetchStreamResponse.FromString(message)
    assert response.correlation_id == correlation_id
    assert len(response.results) == len(results)
    for got, sent in zip(response.results, results, strict=True):
        assert (got.topic_id, got.partition) == tuple(sent.topic_partition)
        assert got.high_watermark == got.last_stable_offset == sent.high_watermark
        assert (got.log_start_offset, got.next_offset) == (sent.log_start_offset, sent.next_offset)
        assert (got.leader_epoch, got.batches) == (sent.leader_epoch, bytes(sent.batches))
        assert got.HasField("error") == (sent.error is not None)
        if sent.error is not None:
            assert (got.error.reason, dict(got.error.details)) == (
                "OFFSET_OUT_OF_RANGE",
                {"log_start_offset": "4"},
            )
    answer = read_fetch_response(message)
    assert (answer.correlation_id, answer.more) == (correlation_id, False)
    for ours, sent in zip(answer.fetched, results, strict=True):
        assert (ours.topic_id, ours.partition) == tuple(sent.topic_partition)
        assert (ours.high_watermark, ours.next_offset) == (sent.high_watermark, sent.next_offset)
        assert (ours.log_start_offset, ours.batches) == (sent.log_start_offset, sent.batches)
        assert type(ours.error) is type(sent.error)
