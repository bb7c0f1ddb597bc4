"""An Arrow Flight exchange as a stream of messages on an event loop; the same at both its ends.

A chunk with data is a message: one row, in its one column the bytes that gRPC would carry, wrapped
and not copied. A chunk with metadata alone ends the stream: THE_END, or the error, a logd.v1.Error.

pyarrow's calls block, so an exchange has two threads, and the loop sees neither: one reads until
the other end is done, one writes what `send` puts out. Both are bounded: a reader with
INBOX_MESSAGES_MAX messages that nobody took reads no further, and `send` waits while
OUTBOX_MESSAGES_MAX are not written; HTTP/2's flow control holds the other end.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.flight

from logd.model.errors import BrokerUnreachable, CorruptBatch, LogdError
from logd.model.seams import Buffer

SCHEMA = pa.schema([pa.field("message", pa.binary(), nullable=False)])
INBOX_MESSAGES_MAX = 4
OUTBOX_MESSAGES_MAX = 4
MESSAGE_BYTES_MAX = 80 << 20
"""As through gRPC: above the largest batch, so that the broker's own check answers first."""
LOOP_LOOKED_AT_S = 5.0
"""A thread that waits for its loop looks so often whether that is still open."""
HAND_OVER_S = 0.0003
"""So long `send` lets the writing thread have the interpreter. A loop that never lets it go would
make that thread wait for sys.getswitchinterval(), 5 ms, at every turn."""

THE_END = b"\0"
"""A server's last words where nothing is wrong: no logd.v1.Error begins so. (A client's end is that
it writes no more; a server's handler has to wait for it.)"""

ParseError = Callable[[bytes], LogdError]


class FlightExchange:
    """`receive`, `send`, `finish` and `cancel` are the loop's; `read_all` and `write_all` each have
    a thread of their own, which ends with the exchange.

    `parse_error` makes the LogdError of an error chunk. Who makes the server's end gives none: no
    client ends a stream with an error.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reader: Any,
        writer: Any,
        parse_error: ParseError | None = None,
    ) -> None:
        self._loop = loop
        self._reader = reader
        self._writer = writer
        self._parse_error = parse_error
        self._inbox: deque[memoryview] = deque()
        self._slots = threading.Semaphore(INBOX_MESSAGES_MAX)
        self._arrived: asyncio.Future[None] | None = None
        self._ended = False
        self._error: LogdError | None = None
        self._outbox: queue.SimpleQueue[Buffer | None] = queue.SimpleQueue()
        self._picked = threading.Lock()
        self._picked.acquire()
        self._put = 0
        self._written = 0
        self._room: asyncio.Future[None] | None = None
        self._last_words = b""
        self._finished = False

    @property
    def error(self) -> LogdError | None:
        """What ended it, if not that the other end was done. A fault of ours is its `__cause__`."""
        return self._error

    # On the loop

    async def receive(self) -> memoryview | None:
        """The next message; None when the other end is done. Raises what ended the stream."""
        while not self._inbox:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            self._arrived = self._loop.create_future()
            await self._arrived
        self._slots.release()
        return self._inbox.popleft()

    async def send(self, message: Buffer) -> None:
        """Put a message out; waits while too many are not written. Raises what ended the stream."""
        self._raise_if_over()
        self._put += 1
        self._outbox.put(message)
        self._picked.acquire(timeout=HAND_OVER_S)
        while self._put - self._written > OUTBOX_MESSAGES_MAX:
            self._room = self._loop.create_future()
            if self._put - self._written > OUTBOX_MESSAGES_MAX:  # the writer looks after counting
                await self._room
            self._room = None
            self._raise_if_over()

    def finish(self, last_words: bytes = b"") -> None:
        """Send nothing more but, if given, what ends the stream; take nothing more."""
        self._finished = True
        self._slots.release()
        self._last_words = last_words
        self._outbox.put(None)

    async def close(self) -> None:
        """A client's way to end it at once, whatever the threads wait for. Safe to call twice."""
        self._over(BrokerUnreachable("the stream was closed"))
        self.finish()
        self._reader.cancel()

    def _raise_if_over(self) -> None:
        if self._error is not None:
            raise self._error
        if self._ended and self._parse_error is not None:
            raise BrokerUnreachable("the broker has ended the stream")

    def _take(self, message: memoryview) -> None:
        if not self._finished:
            self._inbox.append(message)
            self._wake()

    def _over(self, error: LogdError | None) -> None:
        self._ended = True
        self._error = self._error or error
        self._wake()
        self._make_room()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # In the threads

    def read_all(self) -> None:
        """Until the other end is done or gone."""
        self._call(self._over, _failure_of(self._read_all))

    def finish_soon(self) -> None:
        """`finish`, once the loop has taken all that was read."""
        self._call(self.finish)

    def _read_all(self) -> None:
        try:
            while True:
                if not self._finished:
                    self._slots.acquire()
                chunk = self._reader.read_chunk()
                if chunk.data is None:
                    self._raise_end(chunk.app_metadata)
                    return
                self._call(self._take, _message_of(chunk.data))
        except StopIteration:
            pass

    def write_all(self) -> None:
        """Until `finish`. After a failure only the last words, if they still can be written."""
        if (error := _failure_of(self._write_messages)) is not None:
            self._call(self._over, error)
            while self._next_message() is not None:
                pass
        if (error := _failure_of(self._write_last_words)) is not None:
            self._call(self._over, error)

    def _write_messages(self) -> None:
        while (message := self._next_message()) is not None:
            if self._picked.locked():
                self._picked.release()
            self._writer.write_batch(_row_of(message))
            self._written += 1
            if self._room is not None:
                self._call(self._make_room)

    def _write_last_words(self) -> None:
        if self._last_words:
            self._writer.write_metadata(pa.py_buffer(self._last_words))

    def _next_message(self) -> Buffer | None:
        while True:
            try:
                return self._outbox.get(timeout=LOOP_LOOKED_AT_S)
            except queue.Empty:
                if self._loop.is_closed():
                    self._abandon()

    def _raise_end(self, metadata: Any) -> None:
        if metadata is None or self._parse_error is None:
            raise CorruptBatch("a chunk of the exchange holds no message")
        last_words = metadata.to_pybytes()
        if last_words != THE_END:
            raise self._parse_error(last_words)

    def _call(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            self._abandon()

    def _abandon(self) -> None:
        """The loop is closed: nobody waits any more, and both threads must end."""
        self.finish()
        if self._parse_error is not None:
            self._reader.cancel()


def _failure_of(work: Callable[[], None]) -> LogdError | None:
    """What a thread tells the loop, and does not raise: nobody would hear it."""
    try:
        work()
    except LogdError as refused:
        return refused
    except (pa.ArrowException, OSError) as failed:
        return BrokerUnreachable(f"the exchange broke: {failed}")
    except Exception as fault:
        error = LogdError(f"the exchange failed unexpectedly: {fault!r}")
        error.__cause__ = fault
        return error
    return None


def _row_of(message: Buffer) -> Any:
    """One row that wraps `message`."""
    ends = pa.py_buffer(b"\0\0\0\0" + len(message).to_bytes(4, "little"))
    column = pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(message)])
    return pa.RecordBatch.from_arrays([column], schema=SCHEMA)


def _message_of(data: Any) -> memoryview:
    """The bytes of the one row, as they were received. Raises CorruptBatch for anything else."""
    if data.num_rows != 1 or not data.schema.equals(SCHEMA):
        raise CorruptBatch(
            f"a chunk of the exchange has {data.num_rows} rows of {data.schema.names}, "
            "but must have one of 'message'"
        )
    try:
        data.validate(full=True)  # its offsets may point anywhere
    except pa.ArrowInvalid as error:
        raise CorruptBatch(f"a chunk of the exchange is damaged: {error}") from None
    row = data.column(0)[0]
    if not row.is_valid:
        raise CorruptBatch("a chunk of the exchange holds null")
    message = memoryview(row.as_buffer()).cast("B")
    if len(message) > MESSAGE_BYTES_MAX:
        raise CorruptBatch(
            f"a chunk of the exchange has {len(message)} bytes, but at most {MESSAGE_BYTES_MAX} "
            "are allowed"
        )
    return message
