"""FlightExchange against a reader and a writer that a test holds: order, bounds, damage, ends."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from logd.flight import flight_exchange
from logd.flight.flight_exchange import (
    INBOX_MESSAGES_MAX,
    MESSAGE_BYTES_MAX,
    OUTBOX_MESSAGES_MAX,
    SCHEMA,
    FlightExchange,
)
from logd.model.errors import BrokerUnreachable, CorruptBatch, LogdError, Overloaded

JOIN_S = 10


class Chunk(NamedTuple):
    data: Any = None
    app_metadata: Any = None


class HeldReader:
    """Gives what the test puts in; an exception is raised. `cancel` is pyarrow's."""

    def __init__(self) -> None:
        self.chunks: queue.SimpleQueue[Chunk | Exception] = queue.SimpleQueue()
        self.reads = 0

    def read_chunk(self) -> Chunk:
        self.reads += 1
        chunk = self.chunks.get()
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def put(self, *messages: bytes) -> None:
        for message in messages:
            self.chunks.put(Chunk(row(message)))

    def cancel(self) -> None:
        self.chunks.put(pa.ArrowCancelled("cancelled"))


class HeldWriter:
    """Writes while `open`; then what is written is in `written`. `broken` is raised."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.written: list[bytes] = []
        self.last_words = b""
        self.broken: Exception | None = None

    def write_batch(self, batch: Any) -> None:
        self.open.wait()
        if self.broken is not None:
            raise self.broken
        self.written.append(batch.column(0)[0].as_py())

    def write_metadata(self, words: Any) -> None:
        self.last_words = words.to_pybytes()


class Held:
    """A client's end of an exchange, with its threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.reader, self.writer = HeldReader(), HeldWriter()
        parse = lambda raw: Overloaded(raw.decode(), limit="x")  # noqa: E731
        self.exchange = FlightExchange(loop, self.reader, self.writer, parse)
        works = (self.exchange.read_all, self.exchange.write_all)
        self.threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(JOIN_S)
        assert not any(thread.is_alive() for thread in self.threads), "a thread leaks"


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    """Closed at its end, whatever the test left its threads to wait for: they must end."""
    held = Held(asyncio.get_running_loop())
    yield held
    await held.exchange.close()
    held.writer.open.set()
    await asyncio.to_thread(held.join)


def row(message: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([message], pa.binary())], schema=SCHEMA)


async def until(true: Callable[[], bool]) -> None:
    """Of what a thread does, which no loop can await."""
    async with asyncio.timeout(JOIN_S):
        while not true():
            await asyncio.sleep(0)


async def some_turns() -> None:
    """Long enough for a thread to do what it must not do."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_messages_keep_their_order_both_ways(held: Held) -> None:
    messages = [b"%d" % n * n for n in range(200)]

    async def send() -> None:
        for message in messages:
            await held.exchange.send(message)

    sending = asyncio.create_task(send())
    held.reader.put(*messages)
    received = [bytes(await held.exchange.receive() or b"none") for _ in messages]
    await sending
    await until(lambda: len(held.writer.written) == len(messages))
    assert received[1:] == messages[1:] and held.writer.written == messages
    held.reader.chunks.put(StopIteration())
    assert await held.exchange.receive() is None
    assert await held.exchange.receive() is None, "and again"
    with pytest.raises(BrokerUnreachable, match="ended the stream"):
        await held.exchange.send(b"late")


async def test_a_reader_that_nobody_listens_to_reads_no_further(held: Held) -> None:
    held.reader.put(*[b"m"] * 20)
    await until(lambda: held.reader.reads == INBOX_MESSAGES_MAX)
    await some_turns()
    assert held.reader.reads == INBOX_MESSAGES_MAX
    await held.exchange.receive()
    await until(lambda: held.reader.reads == INBOX_MESSAGES_MAX + 1)
    await some_turns()
    assert held.reader.reads == INBOX_MESSAGES_MAX + 1


async def test_send_waits_while_too_much_is_not_written(held: Held) -> None:
    held.writer.open.clear()
    for _ in range(OUTBOX_MESSAGES_MAX):
        await held.exchange.send(b"m")
    waiting = asyncio.create_task(held.exchange.send(b"last"))
    await some_turns()
    assert not waiting.done()
    held.writer.open.set()
    await asyncio.wait_for(waiting, JOIN_S)
    await until(lambda: len(held.writer.written) == OUTBOX_MESSAGES_MAX + 1)


async def test_a_send_that_waits_is_told_of_the_end(held: Held) -> None:
    held.writer.open.clear()
    for _ in range(OUTBOX_MESSAGES_MAX):
        await held.exchange.send(b"m")
    waiting = asyncio.create_task(held.exchange.send(b"last"))
    await some_turns()
    held.reader.chunks.put(pa.ArrowException("the line is cut"))
    with pytest.raises(BrokerUnreachable, match="the line is cut"):
        await asyncio.wait_for(waiting, JOIN_S)


async def test_a_write_that_fails_ends_the_exchange(held: Held) -> None:
    held.writer.broken = pa.ArrowException("the line is cut")
    await held.exchange.send(b"m")
    with pytest.raises(BrokerUnreachable, match="the line is cut"):
        await asyncio.wait_for(held.exchange.receive(), JOIN_S)
    with pytest.raises(BrokerUnreachable, match="the line is cut"):
        await held.exchange.send(b"m")


async def test_an_error_chunk_is_the_error_that_comes_after_the_messages(held: Held) -> None:
    held.reader.put(b"before")
    held.reader.chunks.put(Chunk(None, pa.py_buffer(b"full")))
    assert bytes(await held.exchange.receive() or b"") == b"before"
    for _ in range(2):
        with pytest.raises(Overloaded, match="full"):
            await held.exchange.receive()


def damaged(old: bytes, new: bytes) -> pa.RecordBatch:
    """A row as it comes from a wire where its offsets were changed."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as stream:
        stream.write_batch(row(b"\xff" * 61))
    before, found, after = sink.getvalue().to_pybytes().rpartition(old)
    assert found, "the body comes last"
    return pa.ipc.open_stream(before + new + after).read_next_batch()


def ends(start: int, end: int) -> bytes:
    return b"".join(at.to_bytes(4, "little", signed=True) for at in (start, end))


OTHER_SCHEMA = pa.RecordBatch.from_pydict({"message": pa.array([b"m"], pa.large_binary())})


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk(pa.RecordBatch.from_arrays([pa.array([b"1", b"2"])], schema=SCHEMA)),
        Chunk(pa.RecordBatch.from_arrays([pa.array([], pa.binary())], schema=SCHEMA)),
        Chunk(pa.RecordBatch.from_arrays([pa.array([None], pa.binary())], schema=SCHEMA)),
        Chunk(OTHER_SCHEMA),
        Chunk(damaged(ends(0, 61), ends(0, 1 << 30))),
        Chunk(damaged(ends(0, 61), ends(-8, 61))),
        Chunk(damaged(ends(0, 61), ends(61, 0))),
        Chunk(None, None),
        Chunk(row(bytes(MESSAGE_BYTES_MAX + 1))),
    ],
    ids="two none null schema far before backwards empty large".split(),
)
async def test_a_damaged_chunk_is_a_typed_error(held: Held, chunk: Chunk) -> None:
    held.reader.chunks.put(chunk)
    with pytest.raises(CorruptBatch, match="chunk of the exchange"):
        await asyncio.wait_for(held.exchange.receive(), JOIN_S)
    await asyncio.to_thread(held.threads[0].join, JOIN_S)
    assert not held.threads[0].is_alive(), "nothing is read after it"


@pytest.mark.parametrize("thread", ["reading", "writing"])
async def test_what_fails_unexpectedly_leaves_nobody_waiting(held: Held, thread: str) -> None:
    """And is told once, to who waits: pytest fails the test if the thread raises it too."""
    fault = ValueError("a fault of ours")
    if thread == "reading":
        held.reader.chunks.put(fault)
    else:
        held.writer.broken = fault
        await held.exchange.send(b"m")
    with pytest.raises(LogdError, match="a fault of ours") as told:
        await asyncio.wait_for(held.exchange.receive(), JOIN_S)
    assert told.value.__cause__ is fault and held.exchange.error is told.value
    await held.exchange.close()
    await asyncio.to_thread(held.join)


async def test_close_while_both_threads_wait(held: Held) -> None:
    held.writer.open.clear()
    for _ in range(OUTBOX_MESSAGES_MAX):
        await held.exchange.send(b"m")
    sending = asyncio.create_task(held.exchange.send(b"last"))
    held.reader.put(*[b"m"] * 20)
    await until(lambda: held.reader.reads == INBOX_MESSAGES_MAX)
    held.writer.broken = pa.ArrowCancelled("cancelled")
    await held.exchange.close()
    await held.exchange.close()
    held.writer.open.set()
    with pytest.raises(BrokerUnreachable, match="was closed"):
        await asyncio.wait_for(sending, JOIN_S)
    await asyncio.to_thread(held.join)


async def test_finish_writes_what_was_sent_and_then_the_last_words(held: Held) -> None:
    await held.exchange.send(b"answer")
    held.exchange.finish(b"why")
    await asyncio.to_thread(held.threads[1].join, JOIN_S)
    assert (held.writer.written, held.writer.last_words) == ([b"answer"], b"why")


@pytest.mark.parametrize("waiting_for", ["a message", "room in the inbox"])
def test_a_loop_that_closes_takes_the_threads_with_it(
    monkeypatch: pytest.MonkeyPatch, waiting_for: str
) -> None:
    monkeypatch.setattr(flight_exchange, "LOOP_LOOKED_AT_S", 0.001)
    kept: list[Held] = []

    async def leave() -> None:
        kept.append(held := Held(asyncio.get_running_loop()))
        if waiting_for != "a message":
            held.reader.put(*[b"m"] * 20)
            await until(lambda: held.reader.reads == INBOX_MESSAGES_MAX)

    asyncio.run(leave())
    kept[0].join()
