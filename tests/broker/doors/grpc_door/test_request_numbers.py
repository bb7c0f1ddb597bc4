"""Every number of every request about groups, topics and offsets, at the ends of what its field can
carry: the answer, or a typed error; and the broker goes on."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from harness.local_broker import LocalBroker, local_broker
from harness.local_transport import CONTEXT
from logd.model.errors import LogdError
from logd.rpc.rpc import UnaryRpc
from logd_client.admin import Admin
from logd_client.producer import Producer
from logd_proto.v1 import common_pb2, data_pb2, groups_pb2, topics_pb2

pytestmark = pytest.mark.slow

REF = common_pb2.TopicRef(name="t")
ASKED = groups_pb2.TopicPartitions(topic=REF, partitions=[0])
PLACES = {
    "offset": common_pb2.OffsetSpec(offset=1),
    "append_time": common_pb2.OffsetSpec(append_time_ms=1),
    "record_time": common_pb2.OffsetSpec(record_time_ms=1),
}
_COMMIT = groups_pb2.OffsetCommit(
    offset=1, leader_epoch=0, done_ranges=[groups_pb2.DoneRange(start=1, end=2)]
)
_PLAN = groups_pb2.OffsetPlan(offsets=[groups_pb2.PlannedOffset(topic=REF, offset=1)])


def _reset(**to: Any) -> Message:
    return groups_pb2.ResetOffsetsRequest(
        group="g", topics=[] if "plan" in to else [ASKED], validate_only=True, **to
    )


def _truncate(place: common_pb2.OffsetSpec) -> Message:
    before = topics_pb2.TruncateBefore(partition=0, before=place)
    return topics_pb2.DeleteRecordsRequest(topic=REF, partitions=[before], validate_only=True)


def _look_up(place: common_pb2.OffsetSpec) -> Message:
    return data_pb2.ListOffsetsRequest(
        topic=REF, queries=[data_pb2.OffsetQuery(partition=0, at=place)]
    )


REQUESTS: dict[str, tuple[str, Message]] = {
    "commit": (
        "GroupService/CommitOffsets",
        groups_pb2.CommitOffsetsRequest(
            group="g", topic=REF, offsets=[_COMMIT], rewind_epoch=-1, allow_rewind=True
        ),
    ),
    "fetch": (
        "GroupService/FetchOffsets",
        groups_pb2.FetchOffsetsRequest(group="g", topics=[ASKED]),
    ),
    "shift": ("GroupService/ResetOffsets", _reset(shift_by=1)),
    "duration": ("GroupService/ResetOffsets", _reset(duration_ms=1)),
    "record duration": ("GroupService/ResetOffsets", _reset(record_duration_ms=1)),
    "plan": ("GroupService/ResetOffsets", _reset(plan=_PLAN)),
    **{
        f"reset by {name}": ("GroupService/ResetOffsets", _reset(position=place))
        for name, place in PLACES.items()
    },
    **{
        f"truncate by {name}": ("TopicService/DeleteRecords", _truncate(place))
        for name, place in PLACES.items()
    },
    **{
        f"look up by {name}": ("DataService/ListOffsets", _look_up(place))
        for name, place in PLACES.items()
    },
    "create": (
        "TopicService/CreateTopic",
        topics_pb2.CreateTopicRequest(name="u", partitions=1, validate_only=True),
    ),
    "add partitions": (
        "TopicService/AddPartitions",
        topics_pb2.AddPartitionsRequest(topic=REF, total=2, validate_only=True),
    ),
    "describe partitions": (
        "TopicService/DescribePartitions",
        topics_pb2.DescribePartitionsRequest(topic=REF, partitions=[0]),
    ),
    "producer": (
        "DataService/InitProducer",
        data_pb2.InitProducerRequest(producer_id=1, producer_epoch=0),
    ),
}

ENDS = {
    FieldDescriptor.TYPE_INT64: (-(1 << 63), -1, 0, 1 << 31, (1 << 63) - 1),
    FieldDescriptor.TYPE_UINT64: (0, 1 << 63, (1 << 64) - 1),
    FieldDescriptor.TYPE_INT32: (-(1 << 31), -1, 0, (1 << 31) - 1),
    FieldDescriptor.TYPE_UINT32: (0, 1 << 31, (1 << 32) - 1),
}


def variants(message: Message) -> Iterator[tuple[str, int]]:
    """Sets each number of the message to each end in turn; gives its name and value meanwhile."""
    for field in message.DESCRIPTOR.fields:
        held = getattr(message, field.name)
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if field.is_repeated:
                for each in held if isinstance(held, Sequence) else ():
                    yield from variants(each)
            elif message.HasField(field.name):
                yield from variants(held)
        elif field.type in ENDS:
            where = field.containing_oneof
            if where is not None and message.WhichOneof(where.name) != field.name:
                continue
            for value in ENDS[field.type]:
                if field.is_repeated:
                    before, held[:] = list(held), [value]
                    yield field.name, value
                    held[:] = before
                else:
                    setattr(message, field.name, value)
                    yield field.name, value
                    setattr(message, field.name, held)


async def _answer(local: LocalBroker, method: str, request: Message) -> Message:
    rpc = local.transport.dispatcher.rpcs[f"/logd.v1.{method}"]
    assert isinstance(rpc, UnaryRpc)
    answer = await rpc.handler(CONTEXT, rpc.request_type.FromString(request.SerializeToString()))
    answer.SerializeToString()
    return answer


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_number_is_answered_or_refused(tmp_path: Path, name: str) -> None:
    method, baseline = REQUESTS[name]
    request = type(baseline)()
    request.CopyFrom(baseline)
    faults, tried = [], 0
    async with local_broker(tmp_path) as local:
        async with Admin(transport=local.transport) as admin:
            await admin.create_topic("t")
            async with Producer(transport=local.transport) as producer:
                times = [local.clock.wall_ms()] * 3
                await (await producer.send_many("t", [b"v"] * 3, timestamps_ms=times))
            await admin.commit_offsets("g", {("t", 0): 1})
            for field, value in variants(request):
                tried += 1
                try:
                    await _answer(local, method, request)
                except LogdError:
                    pass
                except Exception as error:
                    faults.append(f"{field}={value}: {error!r}")
            assert request == baseline
            if name != "producer":
                await _answer(local, method, request)
            assert [each.offset for each in await admin.fetch_offsets("g", {"t": [0]})] != [None]
    assert tried and not faults
