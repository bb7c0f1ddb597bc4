"""A user's program in a virtual environment without logd: freshly generated stubs and grpcio only.

    python bare_stubs_program.py HOST:PORT

Creates a topic, produces plain records with keys and no partition, reads them back, commits,
rewinds, reads again. Run by test_bare_stubs.py.
"""

import importlib.util
import sys

import grpc

from logd_proto.v1 import (
    common_pb2,
    data_pb2,
    data_pb2_grpc,
    groups_pb2,
    groups_pb2_grpc,
    topics_pb2,
    topics_pb2_grpc,
)

PARTITIONS = 4
RECORDS = {f"key-{n}".encode(): f"value-{n}".encode() for n in range(100)}


def read_all(
    data: data_pb2_grpc.DataServiceStub, topic: common_pb2.TopicRef, positions: dict[int, int]
) -> tuple[dict[bytes, bytes], dict[int, int]]:
    """Every record from the positions on, and the positions after them."""
    records: dict[bytes, bytes] = {}
    positions = dict(positions)
    while True:
        request = data_pb2.FetchRequest(
            topic=topic,
            positions=[data_pb2.FetchPosition(partition=p, offset=o) for p, o in positions.items()],
            min_bytes=1,
            max_wait_ms=200,
        )
        results = data.Fetch(request, timeout=10).results
        got = 0
        for result in results:
            assert not result.HasField("error"), result.error
            positions[result.partition] = result.next_offset
            for record in result.records:
                got += 1
                assert record.key not in records, "a record came twice"
                records[record.key] = record.value
        if not got:
            return records, positions


def committed(
    groups: groups_pb2_grpc.GroupServiceStub, topic: common_pb2.TopicRef
) -> tuple[dict[int, int], int]:
    request = groups_pb2.FetchOffsetsRequest(
        group="bare", topics=[groups_pb2.TopicPartitions(topic=topic)]
    )
    answer = groups.FetchOffsets(request, timeout=10)
    return {o.partition: o.offset for o in answer.offsets}, answer.rewind_epoch


def main(address: str) -> None:
    assert importlib.util.find_spec("logd") is None, "this environment must not have logd"
    channel = grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)])
    topics = topics_pb2_grpc.TopicServiceStub(channel)  # type: ignore[no-untyped-call]
    data = data_pb2_grpc.DataServiceStub(channel)  # type: ignore[no-untyped-call]
    groups = groups_pb2_grpc.GroupServiceStub(channel)  # type: ignore[no-untyped-call]

    created = topics.CreateTopic(
        topics_pb2.CreateTopicRequest(name="bare", partitions=PARTITIONS), timeout=10
    ).topic
    assert len(created.partitions) == PARTITIONS
    topic = common_pb2.TopicRef(name="bare")

    records = [data_pb2.PlainRecord(key=k, value=v) for k, v in RECORDS.items()]
    receipts = data.Produce(
        data_pb2.ProduceRequest(topic=topic, records=records), timeout=10
    ).receipts
    assert len(receipts) == len(records)
    assert not any(r.HasField("error") for r in receipts)
    assert len({r.partition for r in receipts}) == PARTITIONS, "keys spread over partitions"
    places = {(r.partition, r.offset) for r in receipts}
    assert len(places) == len(records), "each record has a place of its own"

    start = dict.fromkeys(range(PARTITIONS), 0)
    first, positions = read_all(data, topic, start)
    assert first == RECORDS

    commits = [
        groups_pb2.OffsetCommit(topic_id=created.topic_id, partition=p, offset=o)
        for p, o in positions.items()
    ]
    results = groups.CommitOffsets(
        groups_pb2.CommitOffsetsRequest(group="bare", offsets=commits), timeout=10
    ).results
    assert not any(r.HasField("error") for r in results)
    assert committed(groups, topic)[0] == positions

    reset = groups.ResetOffsets(
        groups_pb2.ResetOffsetsRequest(
            group="bare", position=common_pb2.OffsetSpec(earliest=True), actor="bare stubs"
        ),
        timeout=10,
    )
    assert sum(p.replay_records for p in reset.partitions) == len(RECORDS)
    rewound, rewind_epoch = committed(groups, topic)
    assert rewound == start
    assert rewind_epoch == reset.rewind_epoch >= 0

    again, _ = read_all(data, topic, rewound)
    assert again == RECORDS
    print(f"{len(again)} records in and out, twice")


if __name__ == "__main__":
    main(sys.argv[1])
