"""The handlers of GroupService, with a coordinator behind them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
import pytest_asyncio

from harness.group_bench import GroupBench
from logd.broker.authorizer import AllowAll
from logd.broker.doors.grpc_door.group_service import GroupService
from logd.broker.ports import Groups, Topics
from logd.model.errors import (
    GroupRewound,
    InconsistentTopicId,
    InvalidConfig,
    LogdError,
    UnknownGroup,
    UnknownTopic,
)
from logd.model.ids import TopicPartition
from logd.rpc.calls import bound
from logd.rpc.rpc import RequestContext, UnaryRpc
from logd_proto.v1 import common_pb2
from logd_proto.v1 import groups_pb2 as pb

CONTEXT = RequestContext("ann", "test", "1.2.3.4:5", "public", None)


@dataclass
class Door:
    """Calls by name, as the server makes them: bytes in, bytes out."""

    bench: GroupBench

    def __post_init__(self) -> None:
        groups: Groups = self.bench.groups
        topics = cast(Topics, self.bench.view)
        self.rpcs = {
            rpc.method.removeprefix("/logd.v1.GroupService/"): cast(UnaryRpc, rpc)
            for rpc in bound(GroupService(groups, topics, AllowAll()), topics)
        }

    async def call(self, method: str, request: Any) -> Any:
        rpc = self.rpcs[method]
        assert isinstance(request, rpc.request_type)
        parsed = rpc.request_type.FromString(request.SerializeToString())
        return await rpc.handler(CONTEXT, parsed)


@pytest_asyncio.fixture
async def door() -> AsyncIterator[Door]:
    bench = GroupBench()
    await bench.start()
    yield Door(bench)
    await bench.groups.close()


def commit(group: str, offsets: dict[TopicPartition, int], **fields: Any) -> Any:
    request = pb.CommitOffsetsRequest(group=group, **fields)
    for where, offset in offsets.items():
        request.offsets.add(topic_id=where.topic_id, partition=where.partition, offset=offset)
    return request


def named(name: str, *partitions: int) -> pb.TopicPartitions:
    return pb.TopicPartitions(topic=common_pb2.TopicRef(name=name), partitions=partitions)


async def test_every_call_is_served_and_names_its_group(door: Door) -> None:
    service = pb.DESCRIPTOR.services_by_name["GroupService"]
    assert set(door.rpcs) == {method.name for method in service.methods}
    for name, rpc in door.rpcs.items():
        if name == "Heartbeat":
            session = pb.SessionRequest(group="g")
            assert rpc.resource(pb.HeartbeatRequest(session=session)) == "group:g"
        elif name not in ("ListGroups", "Session"):
            assert rpc.resource(rpc.request_type(group="g")) == "group:g"


async def test_commit_and_fetch(door: Door) -> None:
    a, b = door.bench.view.add_topic("orders", 2, records=10)
    request = pb.CommitOffsetsRequest(group="g", consumer_id="c1")
    request.offsets.add(
        topic_id=a.topic_id,
        partition=0,
        offset=4,
        leader_epoch=3,
        metadata="note",
        done_ranges=[pb.DoneRange(start=5, end=6)],
    )
    request.offsets.add(topic_id=b.topic_id, partition=1, offset=-1)
    response = await door.call("CommitOffsets", request)
    assert not response.results[0].HasField("error")
    assert response.results[1].error.reason == "OFFSET_OUT_OF_RANGE"
    assert response.rewind_epoch == -1
    found = await door.call("FetchOffsets", pb.FetchOffsetsRequest(group="g"))
    (offset,) = found.offsets
    assert (offset.topic, offset.offset, offset.leader_epoch) == ("orders", 4, 3)
    assert (offset.metadata, offset.done_ranges[0].end) == ("note", 6)
    found = await door.call(
        "FetchOffsets",
        pb.FetchOffsetsRequest(group="g", topics=[named("orders", 1)], consumer_id="c2"),
    )
    assert not found.offsets[0].HasField("offset")
    assert not found.offsets[0].HasField("leader_epoch")


async def test_a_bare_stub_names_its_topic(door: Door) -> None:
    door.bench.view.add_topic("orders", 2, records=10)
    request = pb.CommitOffsetsRequest(
        group="g",
        topic=common_pb2.TopicRef(name="orders"),
        offsets=[pb.OffsetCommit(partition=1, offset=9)],
    )
    await door.call("CommitOffsets", request)
    found = await door.call("FetchOffsets", pb.FetchOffsetsRequest(group="g"))
    assert (found.offsets[0].partition, found.offsets[0].offset) == (1, 9)
    request.topic.name = "odrers"
    with pytest.raises(UnknownTopic):
        await door.call("CommitOffsets", request)
    request.ClearField("topic")
    with pytest.raises(InvalidConfig):
        await door.call("CommitOffsets", request)
    request.offsets[0].topic_id = b"short"
    with pytest.raises(InconsistentTopicId):
        await door.call("CommitOffsets", request)


async def test_a_rewind_its_history_and_its_undo(door: Door) -> None:
    (a,) = door.bench.view.add_topic("orders", records=10)
    await door.call("CommitOffsets", commit("g", {a: 8}))
    request = pb.ResetOffsetsRequest(
        group="g", position=common_pb2.OffsetSpec(offset=-5), validate_only=True
    )
    plan = await door.call("ResetOffsets", request)
    (partition,) = plan.partitions
    assert (partition.topic, partition.from_offset, partition.to_offset) == ("orders", 8, 0)
    assert partition.clamped and partition.replay_records == 8
    assert plan.rewind_epoch == -1 and not plan.HasField("at_ms")
    request.validate_only = False
    done = await door.call("ResetOffsets", request)
    assert done.partitions == plan.partitions
    with pytest.raises(GroupRewound):
        await door.call("CommitOffsets", commit("g", {a: 9}, rewind_epoch=-1))
    await door.call("CommitOffsets", commit("g", {a: 1}, rewind_epoch=done.rewind_epoch))
    undone = await door.call("UndoReset", pb.UndoResetRequest(group="g", actor="bob"))
    assert undone.partitions[0].to_offset == 8
    history = (await door.call("ListResets", pb.ListResetsRequest(group="g"))).events
    assert [(e.kind, e.actor, e.rewind_epoch) for e in history] == [
        ("UNDO", "bob", undone.rewind_epoch),
        ("RESET", "ann", done.rewind_epoch),
    ]
    assert history[1].partitions == done.partitions


async def test_every_target(door: Door) -> None:
    (a,) = door.bench.view.add_topic("orders", records=10)
    now_ms = door.bench.clock.wall_ms()
    await door.call("CommitOffsets", commit("g", {a: 8}))
    await door.call("CommitOffsets", commit("other", {a: 6}))
    spec, ref = common_pb2.OffsetSpec, common_pb2.TopicRef
    planned = [
        pb.PlannedOffset(topic=ref(name="orders"), partition=0, offset=7),
        pb.PlannedOffset(topic=ref(name="gone"), partition=0, offset=7),
    ]
    targets: list[tuple[dict[str, Any], int]] = [
        ({"position": spec(earliest=True)}, 0),
        ({"position": spec(latest=True)}, 10),
        ({"position": spec(offset=3)}, 3),
        ({"position": spec(append_time_ms=now_ms)}, 0),
        ({"position": spec(record_time_ms=now_ms)}, 10),
        ({"shift_by": -2}, 6),
        ({"duration_ms": 1000}, 0),
        ({"record_duration_ms": 1000}, 10),
        ({"to_group": "other"}, 6),
        ({"plan": pb.OffsetPlan(offsets=planned)}, 7),
        ({"current": True}, 8),
    ]
    for target, offset in targets:
        request = pb.ResetOffsetsRequest(group="g", validate_only=True, **target)
        plan = await door.call("ResetOffsets", request)
        (moved,) = [p for p in plan.partitions if not p.skipped]
        assert moved.to_offset == offset, target
        assert [p.topic for p in plan.partitions if p.skipped] == ["gone"] * ("plan" in target)
        timed = "duration_ms" in str(target) or "time_ms" in str(target)
        assert plan.HasField("at_ms") == timed
    request.group = "new"
    with pytest.raises(UnknownGroup):
        await door.call("ResetOffsets", request)
    request.create = True
    request.topics.append(named("orders"))
    assert (await door.call("ResetOffsets", request)).creates_group
    for nothing in (pb.ResetOffsetsRequest(group="g"), pb.ResetOffsetsRequest(position=spec())):
        with pytest.raises(LogdError):
            await door.call("ResetOffsets", nothing)


async def test_groups_consumers_and_lag(door: Door) -> None:
    a, b = door.bench.view.add_topic("orders", 2, records=10)
    await door.call("CommitOffsets", commit("g", {a: 8, b: 10}, consumer_id="c1"))
    (group,) = (await door.call("ListGroups", pb.ListGroupsRequest())).groups
    assert (group.group, group.state, list(group.topics)) == ("g", "ACTIVE", ["orders"])
    described = await door.call("DescribeGroup", pb.DescribeGroupRequest(group="g"))
    assert described.group == group and len(described.offsets) == 2
    (consumer,) = described.consumers
    assert (consumer.consumer_id, consumer.peer) == ("c1", "1.2.3.4:5")
    assert consumer.partitions[0].topic.name == "orders"
    assert list(consumer.partitions[0].partitions) == [0, 1]
    lags = (await door.call("DescribeLag", pb.DescribeLagRequest(group="g"))).partitions
    assert [(lag.committed, lag.lag_records, lag.reason) for lag in lags] == [
        (8, 2, "reading"),
        (10, 0, "caught up"),
    ]
    assert not lags[0].HasField("rate") and lags[1].catch_up_seconds == 0
    with pytest.raises(LogdError, match="stop them"):
        await door.call("DeleteGroup", pb.DeleteGroupRequest(group="g"))
    door.bench.clock.advance(30_000)
    deleted = await door.call("DeleteGroup", pb.DeleteGroupRequest(group="g"))
    assert deleted.offsets == 2


async def test_offsets_of_a_topic_that_is_gone_are_shown_by_id(door: Door) -> None:
    (a,) = door.bench.view.add_topic("orders", records=10)
    await door.call("CommitOffsets", commit("g", {a: 8}, consumer_id="c1"))
    door.bench.view.drop_topic(a)
    asked = pb.TopicPartitions(topic=common_pb2.TopicRef(topic_id=a.topic_id))
    found = await door.call("FetchOffsets", pb.FetchOffsetsRequest(group="g", topics=[asked]))
    assert (found.offsets[0].topic, found.offsets[0].offset) == ("", 8)
    described = await door.call("DescribeGroup", pb.DescribeGroupRequest(group="g"))
    assert described.consumers[0].partitions[0].topic.topic_id == a.topic_id
    assert not (await door.call("DescribeLag", pb.DescribeLagRequest(group="g"))).partitions
