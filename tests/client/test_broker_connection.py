import asyncio

import pytest

from harness.fake_broker import FakeBroker
from harness.fake_transport import FakeTransport
from harness.manual_clock import ManualClock
from harness.virtual_time import in_virtual_time
from logd.model.errors import (
    BrokerUnreachable,
    ClientClosed,
    CoordinatorLoading,
    InvalidConfig,
    RequestTimeout,
    UnknownTopic,
)
from logd.model.seams import Clock
from logd.sim.seeded_random import SeededRandom
from logd_client.broker_connection import BrokerConnection, parse_addresses
from logd_proto.v1 import cluster_pb2, topics_pb2


def connect(transport: FakeTransport, clock: Clock | None = None) -> BrokerConnection:
    return BrokerConnection(
        "a:1,b:2",
        client_id="test",
        retry_backoff_ms=1,
        transport=transport,
        clock=clock,
        random=SeededRandom(),
    )


@pytest.fixture
def transport() -> FakeTransport:
    broker = FakeBroker()
    broker.create_topic("orders", partitions=3)
    return FakeTransport(broker)


def test_addresses() -> None:
    assert parse_addresses("a:1, b:2 ,[::1]:96,a:1") == ("a:1", "b:2", "[::1]:96")
    assert parse_addresses(["x:9600"]) == ("x:9600",)
    wrongs: list[str | list[str]] = ["", "http://x:1", "x", "[::1]", "x:0", "x:99999", ":1", []]
    for wrong in wrongs:
        with pytest.raises(InvalidConfig, match="bootstrap_servers"):
            parse_addresses(wrong)
    for wrong, instead in (("::1:9600", r"write \[::1\]:9600"), ("a:1;b:2", "write a:1,b:2")):
        with pytest.raises(InvalidConfig, match=instead):
            parse_addresses(wrong)


async def test_metadata_is_that_of_now(transport: FakeTransport) -> None:
    connection = connect(transport)
    topic = await connection.topic("orders")
    assert (topic.partitions, topic.open_partitions) == (3, (0, 1, 2))
    assert topic.config["message_bytes_max"] == str(8 << 20)
    transport.broker.add_partitions("orders", 4)
    assert (await connection.topic("orders")).partitions == 4
    with pytest.raises(UnknownTopic):
        await connection.topic("nothing")


async def test_the_next_address_is_tried_and_kept(transport: FakeTransport) -> None:
    transport.down_addresses = {"a:1"}
    connection = connect(transport)
    await connection.topic("orders")
    await connection.topic("orders")
    assert [address for address, _ in transport.calls] == ["a:1", "b:2", "b:2"]
    assert connection.address == "b:2"


def test_the_error_says_what_was_waited_for_and_which_addresses_were_tried(
    transport: FakeTransport,
) -> None:
    transport.is_down = True
    with pytest.raises(BrokerUnreachable) as caught:
        in_virtual_time(lambda clock: connect(transport, clock).topic("orders"))
    assert "DescribeTopic after 30000 ms" in str(caught.value)
    assert "a:1: no broker" in str(caught.value) and "b:2: no broker" in str(caught.value)
    assert set(caught.value.details["addresses"].split(",")) == {"a:1", "b:2"}


async def test_a_retriable_answer_is_retried(transport: FakeTransport) -> None:
    transport.refusals = [CoordinatorLoading("wait"), CoordinatorLoading("wait")]
    await connect(transport).topic("orders")
    assert len(transport.calls) == 3


async def test_what_must_not_be_repeated_is_sent_once_to_a_broker_that_answers(
    transport: FakeTransport,
) -> None:
    transport.down_addresses = {"a:1"}
    connection = connect(transport)
    request, response = topics_pb2.DeleteTopicRequest(), topics_pb2.DeleteTopicResponse
    transport.lost_calls = {"DeleteTopic"}
    with pytest.raises(RequestTimeout):
        await connection.call("TopicService/DeleteTopic", request, response, retry=False)
    assert transport.calls == [
        ("a:1", "GetClusterInfo"),
        ("b:2", "GetClusterInfo"),
        ("b:2", "DeleteTopic"),
    ]


async def test_time_runs_out_on_the_injected_clock(transport: FakeTransport) -> None:
    transport.is_down = True
    clock = ManualClock()
    connection = BrokerConnection("a:1", client_id="x", transport=transport, clock=clock)
    call = asyncio.create_task(
        connection.call(
            "ClusterService/GetClusterInfo",
            cluster_pb2.GetClusterInfoRequest(),
            cluster_pb2.GetClusterInfoResponse,
            timeout_ms=1_000,
        )
    )
    while not transport.calls:
        await asyncio.sleep(0)
    clock.advance(1_000)
    with pytest.raises(BrokerUnreachable):
        await call


async def test_after_close_every_call_says_so(transport: FakeTransport) -> None:
    connection = connect(transport)
    await connection.close()
    await connection.close()
    for call in (connection.topic("orders"), connection.stream("DataService/ProduceStream")):
        with pytest.raises(ClientClosed):
            await call
