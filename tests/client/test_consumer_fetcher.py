from logd_client.consumer_fetcher import FetchLimits, serialize_request
from logd_client.core.fetch_session import FetchPlan, Upsert
from logd_proto.v1 import data_pb2


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
