"""FlightTransport against a Flight door on loopback, and against what only says it is one."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pyarrow.flight as flight
import pytest

from harness.flight_bench import (
    ADDRESS,
    CLUSTER,
    ECHO,
    JOIN_S,
    POUR,
    REFUSE,
    FlightBench,
    GrpcCalls,
    GrpcStream,
    flight_bench,
    flight_threads,
    join_flight_threads,
)
from logd.broker.doors.flight_door import flight_server
from logd.flight import flight_exchange
from logd.flight.flight_exchange import FlightExchange
from logd.model.errors import BrokerDraining, BrokerUnreachable, CorruptBatch, UnknownTopic
from logd_client import flight_transport
from logd_client.flight_transport import FlightTransport


@pytest.fixture(autouse=True)
def no_thread_leaks() -> Iterator[None]:
    yield
    join_flight_threads()


@pytest.fixture
def silent() -> Iterator[str]:
    """Takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def chatty() -> Iterator[str]:
    """Answers with what is no HTTP/2."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    with server.accept()[0] as connection:
                        connection.sendall(b"220 mail.example ESMTP\r\n" * 100)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(JOIN_S)


async def taken(door: str, cluster_id: str = CLUSTER, method: str = ECHO) -> type:
    """What the transport opens where a broker says that its Flight door is there."""
    stream = await FlightTransport(GrpcCalls(door, cluster_id), "tester").stream(ADDRESS, method)
    await stream.close()
    return type(stream)


async def test_messages_pass_both_ways_in_their_order() -> None:
    async with flight_bench() as bench:
        exchange = await bench.open(ECHO)
        messages = [bytes([n % 256]) * (n * n * 3) for n in range(300)]

        async def send() -> None:
            for message in messages:
                await exchange.send(message)

        sending = asyncio.create_task(send())
        for message in messages:
            received = await exchange.receive()
            assert received is not None and bytes(received) == message
        await sending
        [context] = bench.contexts
        assert (context.client_id, context.listener) == ("tester", "flight")
        await exchange.close()
        await bench.idle()


@pytest.mark.parametrize("door", ["", "127.0.0.1:1", "no address"])
async def test_where_no_door_is_streams_go_through_grpc(door: str) -> None:
    assert await taken(door) is GrpcStream


@pytest.fixture
def undecided() -> Iterator[str]:
    """A Flight server that takes an exchange, and never says whether."""
    decided = threading.Event()

    class Undecided(flight.FlightServerBase):  # type: ignore[misc]
        def do_exchange(self, *exchange: object) -> None:
            decided.wait()

    with Undecided("grpc://127.0.0.1:0") as server:
        yield f"127.0.0.1:{server.port}"
        decided.set()


@pytest.mark.parametrize("kind", ["silent", "undecided"])
async def test_a_door_that_does_not_answer_is_passed_over(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(flight_transport, "OPEN_TIMEOUT_MS", 50)
    assert await taken(request.getfixturevalue(kind)) is GrpcStream
    await asyncio.to_thread(join_flight_threads)


async def test_what_is_no_flight_door_is_passed_over(chatty: str) -> None:
    assert await taken(chatty) is GrpcStream


async def test_a_door_that_refuses_is_passed_over_in_silence(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with flight_bench() as bench:
        assert await taken(bench.address) is FlightExchange
        assert await taken(bench.address, cluster_id="another") is GrpcStream
        assert await taken(bench.address, method="/test/Unknown") is GrpcStream
        await asyncio.to_thread(join_flight_threads)
    assert capfd.readouterr().err == ""


async def test_an_exchange_too_many_goes_through_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    assert flight_server.EXCHANGES_MAX == 256
    monkeypatch.setattr(flight_server, "EXCHANGES_MAX", 2)
    async with flight_bench() as bench:
        first, second = await bench.open(ECHO), await bench.open(ECHO)
        assert isinstance(await bench.stream(ECHO), GrpcStream)
        await first.send(b"still served")
        assert await first.receive() is not None
        await second.close()
        async with asyncio.timeout(JOIN_S):
            while isinstance(third := await bench.stream(ECHO), GrpcStream):
                await asyncio.sleep(0)
        await first.close()
        await third.close()


async def test_what_a_handler_raises_comes_after_its_messages() -> None:
    async with flight_bench() as bench:
        exchange = await bench.open(REFUSE)
        received = await exchange.receive()
        assert received is not None and bytes(received) == b"at first"
        with pytest.raises(UnknownTopic, match="no topic is called so") as refused:
            await exchange.receive()
        assert refused.value.details == {"topic": "so"}
        with pytest.raises(UnknownTopic):
            await exchange.send(b"more")


class Garbage:
    def SerializeToString(self) -> bytes:
        return b"\xff\xff\xff"


async def test_last_words_that_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight_server, "to_proto_error", lambda error: Garbage())
    async with flight_bench() as bench:
        exchange = await bench.open(REFUSE)
        await exchange.receive()
        with pytest.raises(CorruptBatch, match=r"no logd\.v1\.Error"):
            await asyncio.wait_for(exchange.receive(), JOIN_S)
        assert await taken(bench.address, method="/test/Unknown") is GrpcStream


async def test_a_client_that_closes_while_all_its_threads_are_blocked() -> None:
    async with flight_bench() as bench:
        exchange = await bench.open(POUR)

        async def send() -> None:
            while True:
                await exchange.send(bytes(1 << 20))

        sending = asyncio.create_task(send())
        async with asyncio.timeout(JOIN_S):
            while (
                len(exchange._inbox) < flight_exchange.INBOX_MESSAGES_MAX
                or exchange._put - exchange._written <= flight_exchange.OUTBOX_MESSAGES_MAX
            ):
                await asyncio.sleep(0.01)
        await exchange.close()
        with pytest.raises(BrokerUnreachable):
            await asyncio.wait_for(sending, JOIN_S)
        await bench.idle()
        await asyncio.to_thread(join_flight_threads)


async def test_a_client_that_goes_ends_what_served_it() -> None:
    async with flight_bench() as bench:
        exchange = await bench.open(ECHO)
        await exchange.send(b"m")
        await exchange.receive()
        await exchange.close()
        await bench.idle()


async def test_a_broker_that_stops_says_so() -> None:
    async with flight_bench() as bench:
        exchange = await bench.open(ECHO)
        await exchange.send(b"m")
        await exchange.receive()
        waiting = asyncio.create_task(exchange.receive())
        await bench.server.stop(JOIN_S)
        with pytest.raises(BrokerDraining):
            await asyncio.wait_for(waiting, JOIN_S)


@pytest.mark.parametrize("kind", ["silent", "undecided"])
async def test_an_opening_that_is_given_up(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(flight_transport, "OPEN_TIMEOUT_MS", 200)
    opening = asyncio.create_task(taken(request.getfixturevalue(kind)))
    async with asyncio.timeout(JOIN_S):
        while not flight_threads():
            await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await asyncio.to_thread(join_flight_threads)


async def test_an_opening_that_is_given_up_as_it_succeeds() -> None:
    async with flight_bench() as bench:
        opening = flight_transport._Opening(bench.address, ECHO, "tester", CLUSTER)
        task = asyncio.create_task(opening.opened())
        async with asyncio.timeout(JOIN_S):
            while not opening._opened.done():
                await asyncio.sleep(0)
        assert not task.done(), "told, and not yet taken"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(join_flight_threads)


def test_a_program_that_leaves_its_loop_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight_exchange, "LOOP_LOOKED_AT_S", 0.01)

    async def serve() -> None:
        async with flight_bench() as bench:
            await asyncio.to_thread(asyncio.run, leave_open(bench))
            await bench.idle()
            await asyncio.to_thread(join_flight_threads)

    asyncio.run(serve())


async def leave_open(bench: FlightBench) -> None:
    exchange = await bench.open(ECHO)
    await exchange.send(b"m")
    await exchange.receive()
