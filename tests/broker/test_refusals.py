"""What a broker refuses for reasons of its own stands in its health, and in a line on stderr."""

import ast
import asyncio
import errno
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from harness.faulty_file_system import Fault, FaultyFileSystem
from harness.local_broker import LocalBroker, local_broker
from harness.manual_clock import ManualClock
from logd.broker.refusals import GROUPS_MAX, SEVERITIES, TOLD_MS, TWO_CONSUMERS, Refusals
from logd.model.batch_encoder import encode_batch
from logd.model.errors import ERRORS, LogdError, Overloaded, StorageFull
from logd.rpc.calls import CALLS
from logd_proto.v1 import common_pb2, data_pb2, groups_pb2, topics_pb2

ROOT = Path(__file__).parents[2]
SOURCES = ("logd", "partitions", "replication", "consumer_groups", "client")
ORDERS = common_pb2.TopicRef(name="orders")


class Case:
    """A broker with a topic, and a disk that can be full or fail."""

    def __init__(self, local: LocalBroker, disk: FaultyFileSystem) -> None:
        self.local, self.disk = local, disk
        self.topic_id = b""

    async def call(self, method: str, request: Any) -> Any:
        path = f"/logd.v1.{method}"
        raw = await self.local.transport.unary("", path, request.SerializeToString())
        return CALLS[path].response_type.FromString(raw)

    async def create(self, name: str, partitions: int = 1) -> bytes:
        request = topics_pb2.CreateTopicRequest(name=name, partitions=partitions)
        topic_id: bytes = (await self.call("TopicService/CreateTopic", request)).topic.topic_id
        return topic_id

    async def produce(self, size: int = 10) -> str:
        """The reason it was refused for."""
        record = data_pb2.PlainRecord(value=bytes(size))
        request = data_pb2.ProduceRequest(topic=ORDERS, records=[record], acks=data_pb2.ACKS_LEADER)
        answer = await self.call("DataService/Produce", request)
        reason: str = answer.receipts[0].error.reason
        return reason

    async def wait_for_records(self) -> Any:
        request = data_pb2.FetchRequest(
            topic=ORDERS, positions=[data_pb2.FetchPosition()], min_bytes=1, max_wait_ms=1000
        )
        return await self.call("DataService/Fetch", request)

    async def commit(self, group: str = "g", count: int = 1, consumer: str = "") -> Any:
        offset = groups_pb2.OffsetCommit(topic_id=self.topic_id, offset=0)
        request = groups_pb2.CommitOffsetsRequest(
            group=group, offsets=[offset] * count, consumer_id=consumer
        )
        return await self.call("GroupService/CommitOffsets", request)

    async def join(self) -> None:
        session = groups_pb2.SessionRequest(
            group="g", member_id="m", subscription=groups_pb2.Subscription(topics=["orders"])
        )
        await self.call("GroupService/Heartbeat", groups_pb2.HeartbeatRequest(session=session))

    async def on_stream(self, name: str, *requests: Any) -> bytes | None:
        """The stream's first answer. Raises what ends it."""
        stream = await self.local.transport.stream("", f"/logd.v1.DataService/{name}")
        try:
            for request in requests:
                await stream.send(request.SerializeToString())
            return await stream.receive()
        finally:
            await stream.close()

    def told(self) -> list[tuple[str, str, str]]:
        return [(p.severity, p.reason, p.resource) for p in self.local.broker.problems()]


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    disk = FaultyFileSystem()
    async with local_broker(tmp_path, disk) as local:
        found = Case(local, disk)
        found.topic_id = await found.create("orders")
        yield found


async def waiting_fetches(case: Case, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("logd.broker.core.purgatory.WAITING_FETCHES_MAX", 0)
    await case.wait_for_records()


async def waited_for(case: Case, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("logd.broker.core.purgatory.WAITED_FOR_MAX", 0)
    await case.wait_for_records()


async def plain_decodes(case: Case, patch: pytest.MonkeyPatch) -> None:
    await case.produce()
    patch.setattr("logd.broker.doors.grpc_door.plain_fetches.HELD_BYTES_MAX", -1)
    rpc = case.local.transport.dispatcher.rpcs["/logd.v1.DataService/Fetch"]
    service: Any = inspect.unwrap(rpc.handler)
    service.__self__._plain_fetches._held_bytes = 1  # as if another were being decoded
    await case.wait_for_records()


async def partitions_of_a_stream(case: Case, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("logd.broker.doors.grpc_door.fetch_stream.POSITIONS_PER_STREAM_MAX", 0)
    position = data_pb2.FetchPartition(topic_id=case.topic_id)
    await case.on_stream("FetchStream", data_pb2.FetchStreamRequest(partitions=[position]))


async def requests_of_a_stream(case: Case, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("logd.broker.doors.grpc_door.fetch_stream.REQUESTS_PENDING_MAX", 0)
    await case.on_stream("FetchStream", data_pb2.FetchStreamRequest())


async def partitions(case: Case, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("logd_replication.topic_catalog.PARTITIONS_MAX", 20)
    await case.create("many", 30)


async def groups(case: Case, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("logd_consumer_groups.group_coordinator.GROUPS_PER_PARTITION_MAX", 0)
    await case.commit()


async def offsets_of_a_commit(case: Case, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("logd_consumer_groups.core.offset_commits.OFFSETS_PER_COMMIT_MAX", 0)
    await case.commit()


async def bytes_of_a_group(case: Case, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("logd_consumer_groups.core.offset_commits.GROUP_STATE_BYTES_MAX", 0)
    await case.commit()


async def members_of_a_group(case: Case, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("logd_consumer_groups.core.session_messages.MEMBERS_PER_GROUP_MAX", 0)
    await case.join()


async def topics_of_a_member(case: Case, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("logd_consumer_groups.core.session_messages.TOPICS_PER_MEMBER_MAX", 0)
    await case.join()


async def partitions_held(case: Case, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("logd_consumer_groups.core.session_messages.HELD_MAX", -1)
    await case.join()


async def topics_asked_for(case: Case, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("logd_consumer_groups.log_survey.SELECTED_MAX", 0)
    selection = groups_pb2.TopicPartitions(topic=ORDERS, partitions=[0])
    await case.call(
        "GroupService/FetchOffsets", groups_pb2.FetchOffsetsRequest(group="g", topics=[selection])
    )


def produce_entry(case: Case) -> data_pb2.ProduceStreamRequest:
    batch = encode_batch([b"x"], timestamps_ms=1)
    entry = data_pb2.ProduceEntry(correlation_id=1, topic_id=case.topic_id, batch=batch)
    return data_pb2.ProduceStreamRequest(entries=[entry])


async def no_descriptors(case: Case, patch: pytest.MonkeyPatch) -> None:
    case.disk.faults.append(Fault("open", "orders-0", errno.EMFILE, times=1000))
    await case.on_stream("ProduceStream", produce_entry(case))


async def no_memory(case: Case, patch: pytest.MonkeyPatch) -> None:
    case.disk.faults.append(Fault("allocate", "orders-0", errno.ENOMEM, times=1000))
    await case.produce()


async def disk_full(case: Case, patch: pytest.MonkeyPatch) -> None:
    case.disk.free = 0
    await case.on_stream("ProduceStream", produce_entry(case))


async def broken_disk(case: Case, patch: pytest.MonkeyPatch) -> None:
    case.disk.faults.append(Fault("datasync", "orders-0", errno.EIO))
    await case.produce()


async def draining(case: Case, patch: pytest.MonkeyPatch) -> None:
    await case.local.broker.drain()
    await case.produce()


async def two_consumers(case: Case, patch: pytest.MonkeyPatch) -> None:
    for consumer in ("one", "two", "one"):
        await case.commit(consumer=consumer)


STATES: dict[tuple[str, str, str], Callable[[Case, pytest.MonkeyPatch], Awaitable[None]]] = {
    ("warning", "OVERLOADED", "waiting_fetches_max"): waiting_fetches,
    ("warning", "OVERLOADED", "waited_for_max"): waited_for,
    ("warning", "OVERLOADED", "held_bytes_max"): plain_decodes,
    ("warning", "OVERLOADED", "positions_per_stream_max"): partitions_of_a_stream,
    ("warning", "OVERLOADED", "requests_pending_max"): requests_of_a_stream,
    ("warning", "OVERLOADED", "partitions_max"): partitions,
    ("warning", "OVERLOADED", "groups_per_partition_max"): groups,
    ("warning", "OVERLOADED", "OFFSETS_PER_COMMIT_MAX"): offsets_of_a_commit,
    ("warning", "OVERLOADED", "GROUP_STATE_BYTES_MAX"): bytes_of_a_group,
    ("warning", "OVERLOADED", "members_per_group_max"): members_of_a_group,
    ("warning", "OVERLOADED", "topics_per_member_max"): topics_of_a_member,
    ("warning", "OVERLOADED", "held_max"): partitions_held,
    ("warning", "OVERLOADED", "selected_max"): topics_asked_for,
    ("warning", "OVERLOADED", "open files"): no_descriptors,
    ("warning", "OVERLOADED", "memory"): no_memory,
    ("error", "STORAGE_FULL", "requests"): disk_full,
    ("error", "LOG_READ_ONLY", "data"): broken_disk,
    ("warning", "BROKER_DRAINING", "requests"): draining,
    ("warning", TWO_CONSUMERS, "group:g"): two_consumers,
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: f"{state[1]} {state[2]}")
async def test_it_stands_in_health(
    case: Case, monkeypatch: pytest.MonkeyPatch, state: tuple[str, str, str]
) -> None:
    assert case.told() == []
    with capture_logs() as lines:
        try:
            async with asyncio.timeout(60):
                await STATES[state](case, monkeypatch)
        except LogdError as error:
            assert error.reason == state[1]
    reason = state[1]
    told = [(s, r, w.rpartition("/")[2]) for s, r, w in case.told()]
    assert state in told
    assert reason in {line.get("reason") for line in lines} or reason == "LOG_READ_ONLY"
    monkeypatch.undo()
    case.disk.faults.clear()
    case.disk.free = None
    case.local.clock.advance(TOLD_MS)
    lasts = {"LOG_READ_ONLY"}  # until a restart
    assert {r for _, r, _ in case.told()} == {reason} & lasts


def test_every_limit_of_the_code_has_a_row() -> None:
    limits = set()
    sources = (path for name in SOURCES for path in (ROOT / name).rglob("*.py"))
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Overloaded":
                limits |= {ast.unparse(k.value) for k in node.keywords if k.arg == "limit"}
    names = {name.strip("'") for name in limits if name.startswith("'")}
    rows = {resource for _, reason, resource in STATES if reason == "OVERLOADED"}
    elsewhere = {
        "exchanges_max",  # of Flight: the SDK goes through gRPC then
        "RESET_PARTITIONS_MAX",  # as OFFSETS_PER_COMMIT_MAX
    }
    assert names - elsewhere == rows - {"open files", "memory"}


def test_every_reason_is_the_brokers_or_the_clients() -> None:
    """What waiting or an operator mends is the broker's own."""
    later = {"COORDINATOR_LOADING", "ACK_TIMEOUT", "SYNC_FAILED", "OVERLOADED", "BROKER_DRAINING"}
    of_many_brokers = {
        "NOT_LEADER",
        "LEADER_NOT_AVAILABLE",
        "FENCED_LEADER_EPOCH",
        "UNKNOWN_LEADER_EPOCH",
        "NOT_COORDINATOR",
        "OFFSET_NOT_AVAILABLE",
        "NOT_ENOUGH_REPLICAS",
    }
    turns = {"REBALANCE_IN_PROGRESS", "CONFLICT", "QUOTA_EXCEEDED"}
    retriable = {r for r, e in ERRORS.items() if e.retriable and e.code is not None}
    assert retriable == later | of_many_brokers | turns
    assert set(SEVERITIES) == later | {"STORAGE_FULL", "LOG_READ_ONLY", "STORED_DATA_CORRUPT"}


def test_one_line_a_minute_with_a_count() -> None:
    clock = ManualClock()
    refusals = Refusals(clock)
    with capture_logs() as lines:
        for _ in range(150):
            refusals.note(StorageFull("the disk is too full: free space", path="p"))
            clock.advance(1000)
    assert [(line["count"], line["reason"]) for line in lines] == [
        (1, "STORAGE_FULL"),
        (61, "STORAGE_FULL"),
        (121, "STORAGE_FULL"),
    ]
    [problem] = refusals.problems()
    assert problem.message == "150 times, the last 1 s ago: the disk is too full: free space"
    assert problem.since_ms == clock.wall_ms() - 150_000


def test_groups_that_clients_make_up_hide_nothing() -> None:
    refusals = Refusals(ManualClock())
    for n in range(GROUPS_MAX + 50):
        refusals._note("warning", TWO_CONSUMERS, f"group:{n}", "x" * 10_000)
    refusals.note(Overloaded("too many", limit="some_max"))
    problems = refusals.problems()
    assert len(problems) == GROUPS_MAX + 1 and problems[-1].resource == "some_max"
    assert max(len(problem.message) for problem in problems) < 500
