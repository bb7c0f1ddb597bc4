"""The joined message is what the generated parser understands as the same fields."""

from hypothesis import given
from hypothesis import strategies as st

from logd.broker.doors.grpc_door.fetch_wire import serialize_fetch_response
from logd.broker.ports import Fetched
from logd.model.errors import OffsetOutOfRange
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
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
    message = serialize_fetch_response(correlation_id, results)
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
