"""Topics as tables, to clients that know nothing but Flight: in, out, and what is refused."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.flight as flight
import pytest

from harness.broker_process import BrokerProcess
from logd import Admin, Consumer, Producer
from logd.broker.doors.flight_door.arrow_tables import parse_bound, parse_ticket
from logd.broker.doors.flight_door.flight_server import EXCHANGES_MAX
from logd.model.arrow_batches import SCHEMA
from logd.model.errors import InvalidConfig
from logd_proto.v1 import common_pb2

pytestmark = pytest.mark.slow

PATIENCE = flight.FlightCallOptions(timeout=20)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    directory = tmp_path_factory.mktemp("flight")
    with BrokerProcess(directory, "--flight-listen", "auto") as broker:
        yield broker


@pytest.fixture
def client(broker: BrokerProcess) -> Iterator[flight.FlightClient]:
    async def address() -> str:
        async with Admin(bootstrap_servers=broker.address) as admin:
            (info,) = (await admin.cluster_info()).brokers
        return info.flight_address

    with flight.connect(f"grpc://{asyncio.run(address())}") as client:
        yield client


async def fill(broker: BrokerProcess, topic: str, batches: int, partitions: int = 1) -> None:
    """Batches of three records by turns, one of them with all a record can have."""
    async with Admin(bootstrap_servers=broker.address) as admin:
        await admin.create_topic(topic, partitions)
    async with Producer(bootstrap_servers=broker.address, compression_type="zstd") as producer:
        for number in range(batches):
            partition = number % partitions
            name = str(number).encode()
            await producer.send(topic, name, partition=partition)
            await producer.send(topic, None, key=b"gone", partition=partition)
            await producer.send(
                topic,
                name * 1000,
                key=name,
                headers=[("trace", name), ("trace", None)],
                timestamp_ms=1_700_000_000_000 + number,
                partition=partition,
            )
            await producer.flush()


def info_of(client: flight.FlightClient, *path: str) -> flight.FlightInfo:
    return client.get_flight_info(flight.FlightDescriptor.for_path(*path), PATIENCE)


def table_of(client: flight.FlightClient, *path: str) -> pa.Table:
    tickets = [endpoint.ticket for endpoint in info_of(client, *path).endpoints]
    tables = [client.do_get(ticket, PATIENCE).read_all() for ticket in tickets]
    return pa.concat_tables([SCHEMA.empty_table(), *tables])


def put(client: flight.FlightClient, topic: str, table: pa.Table) -> list[int]:
    """What was acknowledged after each batch."""
    descriptor = flight.FlightDescriptor.for_path(topic)
    writer, reader = client.do_put(descriptor, table.schema, PATIENCE)
    told = []
    with writer:
        for batch in filter(len, table.to_batches()):
            writer.write_batch(batch)
            told.append(json.loads(reader.read().to_pybytes())["acknowledged"])
    return told


def reason_of(error: flight.FlightError) -> str:
    return str(common_pb2.Error.FromString(error.extra_info).reason)


async def test_a_table_has_what_a_consumer_reads(
    broker: BrokerProcess, client: flight.FlightClient
) -> None:
    await fill(broker, "read", 7, partitions=2)
    table = await asyncio.to_thread(table_of, client, "read")
    assert table.schema == SCHEMA and len(table) == 21
    async with Consumer("read", bootstrap_servers=broker.address) as consumer:
        records = [record async for record in _first(consumer, 21)]
    records.sort(key=lambda record: (record.partition, record.offset))
    assert table["partition"].to_pylist() == [r.partition for r in records]
    assert table["offset"].to_pylist() == [r.offset for r in records]
    assert table["key"].to_pylist() == [r.key for r in records]
    assert table["value"].to_pylist() == [r.value for r in records]
    assert table["timestamp"].cast(pa.int64()).to_pylist() == [r.timestamp_ms for r in records]
    assert [[(h["name"], h["value"]) for h in of] for of in table["headers"].to_pylist()] == [
        list(r.headers) for r in records
    ]


async def _first(consumer: Consumer, count: int):  # type: ignore[no-untyped-def]
    async for record in consumer:
        yield record
        count -= 1
        if not count:
            return


async def test_a_ticket_ends_within_a_batch_and_begins_in_one(
    broker: BrokerProcess, client: flight.FlightClient
) -> None:
    await fill(broker, "cut", 4)
    ticket = {"topic": "cut", "partition": 0, "start": 4, "end": 8}
    reader = client.do_get(flight.Ticket(json.dumps(ticket).encode()), PATIENCE)
    table = await asyncio.to_thread(reader.read_all)
    assert table["offset"].to_pylist() == [4, 5, 6, 7]
    assert table["value"].to_pylist() == [None, b"1" * 1000, b"2", None]


async def test_since_and_until_are_times_of_append(
    broker: BrokerProcess, client: flight.FlightClient
) -> None:
    await fill(broker, "times", 1)
    await asyncio.sleep(0.05)
    between = datetime.now(UTC)
    await asyncio.sleep(0.05)
    async with Producer(bootstrap_servers=broker.address) as producer:
        await (await producer.send("times", b"after"))
    offsets = {
        name: (await asyncio.to_thread(table_of, client, "times", *path))["offset"].to_pylist()
        for name, path in {
            "since": [between.isoformat()],
            "until": ["", between.isoformat()],
            "since ms": [str(int(between.timestamp() * 1000))],
            "nothing": [between.isoformat(), between.isoformat()],
        }.items()
    }
    assert offsets == {"since": [3], "until": [0, 1, 2], "since ms": [3], "nothing": []}
    assert info_of(client, "times").total_records == 4


async def test_topics_are_listed_and_have_a_schema(
    broker: BrokerProcess, client: flight.FlightClient
) -> None:
    await fill(broker, "listed", 0)
    flights = await asyncio.to_thread(lambda: list(client.list_flights(options=PATIENCE)))
    assert [b"listed"] in [each.descriptor.path for each in flights]
    assert not any(b"__" in each.descriptor.path[0] for each in flights), "internal topics"
    descriptor = flight.FlightDescriptor.for_path("listed")
    assert client.get_schema(descriptor, PATIENCE).schema == SCHEMA


async def test_a_table_as_it_was_read_goes_into_another_topic(
    broker: BrokerProcess, client: flight.FlightClient
) -> None:
    await fill(broker, "from", 5)
    async with Admin(bootstrap_servers=broker.address) as admin:
        await admin.create_topic("into", 1)
    table = await asyncio.to_thread(table_of, client, "from")
    told = await asyncio.to_thread(put, client, "into", table)
    assert told == [3, 6, 9, 12, 15]
    copied = await asyncio.to_thread(table_of, client, "into")
    for name in ("key", "value", "timestamp", "headers"):
        assert copied[name].to_pylist() == table[name].to_pylist(), name


async def test_large_tables_are_parted_and_keep_their_order(
    broker: BrokerProcess, client: flight.FlightClient
) -> None:
    """Of more rows than a call takes, and of more bytes than a batch."""
    async with Admin(bootstrap_servers=broker.address) as admin:
        await admin.create_topic("large", 1)
        await admin.create_topic("wide", 1)
    numbers = pa.table({"value": pa.array([str(n) for n in range(25_000)])})
    wide = pa.table(
        {"value": pa.array([bytes([n]) * 300_000 for n in range(8)], pa.large_binary())}
    )
    assert await asyncio.to_thread(put, client, "large", numbers) == [25_000]
    assert await asyncio.to_thread(put, client, "wide", wide) == [8]
    read = await asyncio.to_thread(table_of, client, "large")
    assert read["value"].to_pylist() == [str(n).encode() for n in range(25_000)]
    assert (await asyncio.to_thread(table_of, client, "wide"))["value"].cast(
        pa.large_binary()
    ) == wide["value"]


async def test_a_topic_of_small_batches_is_written_in_such(
    broker: BrokerProcess, client: flight.FlightClient
) -> None:
    async with Admin(bootstrap_servers=broker.address) as admin:
        await admin.create_topic("small", 1, config={"message_bytes_max": "4096"})
    values = pa.table({"value": pa.array([b"%d" % n * 100 for n in range(200)])})
    assert await asyncio.to_thread(put, client, "small", values) == [200]
    assert (await asyncio.to_thread(table_of, client, "small"))["value"] == values["value"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1_700_000_000_001_999_999], pa.timestamp("ns", "UTC")), 1_700_000_000_001),
        (pa.array([1_700_000_000_001_000], pa.timestamp("us")), 1_700_000_000_001),
        (pa.array([1_700_000_000], pa.timestamp("s", "Europe/Berlin")), 1_700_000_000_000),
        (pa.array([1_700_000_000_001], pa.int64()), 1_700_000_000_001),
    ],
)
async def test_timestamps_of_any_unit_are_taken(
    broker: BrokerProcess, client: flight.FlightClient, column: pa.Array, expected: int
) -> None:
    async with Admin(bootstrap_servers=broker.address) as admin:
        await admin.create_topic("stamps", 1, if_not_exists=True)
    await asyncio.to_thread(
        put, client, "stamps", pa.table({"value": pa.array([b"x"]), "timestamp": column})
    )
    times = (await asyncio.to_thread(table_of, client, "stamps"))["timestamp"]
    assert times.cast(pa.int64()).to_pylist()[-1] == expected


ONE = pa.array([b"x"])


@pytest.mark.parametrize(
    ("topic", "table", "reason"),
    [
        ("no-such-topic", pa.table({"value": ONE}), "UNKNOWN_TOPIC"),
        ("refused", pa.table({"key": ONE}), "INVALID_CONFIG"),
        ("refused", pa.table({"value": ONE, "colour": ONE}), "INVALID_CONFIG"),
        ("refused", pa.table({"value": pa.array([[1]])}), "INVALID_CONFIG"),
        ("refused", pa.table({"value": pa.array([bytes(2 << 20)])}), "RECORD_TOO_LARGE"),
        ("refused", pa.table({"value": ONE, "timestamp": pa.array([-5])}), "INVALID_TIMESTAMP"),
    ],
)
async def test_what_cannot_be_written_is_refused_with_its_reason(
    broker: BrokerProcess, client: flight.FlightClient, topic: str, table: pa.Table, reason: str
) -> None:
    async with Admin(bootstrap_servers=broker.address) as admin:
        limit = {"message_bytes_max": "1048576"}
        await admin.create_topic("refused", 1, config=limit, if_not_exists=True)
    with pytest.raises(flight.FlightError) as refused:
        await asyncio.to_thread(put, client, topic, table)
    assert reason_of(refused.value) == reason


async def test_an_error_says_how_many_rows_were_acknowledged_before_it(
    broker: BrokerProcess, client: flight.FlightClient
) -> None:
    async with Admin(bootstrap_servers=broker.address) as admin:
        await admin.create_topic("partly", 1, config={"message_bytes_max": "1048576"})
    values = pa.array([b"a"] * 10_000 + [bytes(2 << 20)])
    with pytest.raises(flight.FlightError) as refused:
        await asyncio.to_thread(put, client, "partly", pa.table({"value": values}))
    error = common_pb2.Error.FromString(refused.value.extra_info)
    assert error.details["acknowledged"] == "10000"
    assert len(await asyncio.to_thread(table_of, client, "partly")) == 10_000


@pytest.mark.parametrize(
    ("ticket", "reason"),
    [
        (b"nonsense", "INVALID_CONFIG"),
        (b'{"topic": "t", "partition": -1, "start": 0, "end": 1}', "INVALID_CONFIG"),
        (
            b'{"topic": "t", "partition": 0, "start": 0, "end": 9223372036854775808}',
            "INVALID_CONFIG",
        ),
        (b'{"topic": "no-such", "partition": 0, "start": 0, "end": 1}', "UNKNOWN_TOPIC"),
        (b'{"topic": "short", "partition": 9, "start": 0, "end": 1}', "UNKNOWN_PARTITION"),
        (b'{"topic": "short", "partition": 0, "start": 0, "end": 99}', "OFFSET_OUT_OF_RANGE"),
        (b'{"topic": "short", "partition": 0, "start": 50, "end": 99}', "OFFSET_OUT_OF_RANGE"),
    ],
)
async def test_what_cannot_be_read_is_refused_with_its_reason(
    broker: BrokerProcess, client: flight.FlightClient, ticket: bytes, reason: str
) -> None:
    async with Admin(bootstrap_servers=broker.address) as admin:
        await admin.create_topic("short", 1, if_not_exists=True)
    with pytest.raises(flight.FlightError) as refused:
        await asyncio.to_thread(lambda: client.do_get(flight.Ticket(ticket), PATIENCE).read_all())
    assert reason_of(refused.value) == reason


@pytest.mark.parametrize("path", [[], ["a", "b", "c", "d"], ["listed", "yesterday"]])
def test_paths_that_are_none_are_refused(client: flight.FlightClient, path: list[str]) -> None:
    descriptor = flight.FlightDescriptor.for_path(*path)
    with pytest.raises(flight.FlightError) as refused:
        client.get_flight_info(descriptor, PATIENCE)
    assert reason_of(refused.value) == "INVALID_CONFIG"
    with pytest.raises(pa.ArrowException, match=r"path|time"):  # extra info is lost
        client.get_schema(descriptor, PATIENCE)


async def test_tables_that_nobody_reads_to_their_end_give_their_places_back(
    broker: BrokerProcess, client: flight.FlightClient
) -> None:
    await fill(broker, "abandoned", 1)
    (endpoint,) = info_of(client, "abandoned").endpoints
    for _ in range(EXCHANGES_MAX + 10):
        client.do_get(endpoint.ticket, PATIENCE).cancel()
    assert len(await asyncio.to_thread(table_of, client, "abandoned")) == 3


def test_bounds_and_tickets() -> None:
    default = common_pb2.OffsetSpec(latest=True)
    assert parse_bound("", default) is default
    assert parse_bound("1700000000000", default).append_time_ms == 1_700_000_000_000
    assert parse_bound("2023-11-14T22:13:20.0001Z", default).append_time_ms == 1_700_000_000_001
    assert parse_bound("9" * 30, default).append_time_ms == (1 << 63) - 1
    for text in ("yesterday", "2023-11-14T22:13:20", "-5", "²", "9" * 5_000):
        with pytest.raises(InvalidConfig):
            parse_bound(text, default)
    with pytest.raises(InvalidConfig):
        parse_ticket(b'{"topic": "t", "partition": 0, "start": 0, "end": 1, "more": 1}')
