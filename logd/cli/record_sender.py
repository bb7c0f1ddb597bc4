"""Sends the records of an input, paced and bounded, and accounts for every acknowledgement."""

import asyncio
import copy
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from logd.cli.error_report import BadUsage, InputFailed, PartialFailure, first_of
from logd.cli.input_blocks import input_blocks
from logd.cli.invocation import Invocation
from logd.cli.output import Json, counted, to_json
from logd.cli.pace import Pace
from logd.cli.record_parser import NewRecord, RecordParser
from logd.cli.send_progress import SendProgress
from logd.cli.times import Rate, format_size
from logd.model.errors import LogdError

if TYPE_CHECKING:
    from logd_client import Producer
    from logd_client.record_handle import RecordHandle, RecordHandles

CHUNK_RECORDS = 4096
"""Records that are sent before others are looked at; one chunk's echo is flushed together."""

CHUNKS_UNACKNOWLEDGED_MAX = 32
"""Bounds the handles held: 131,072 records; their bytes are bounded by the producer's buffer."""


class RecordSender:
    """Reads, sends and awaits acknowledgements at the same time.

    `constant` is what the flags fix: its key, headers, time and partition go into each record that
    has none of its own. A failure ends the run: PartialFailure if records were acknowledged before.
    """

    def __init__(
        self,
        invocation: Invocation,
        producer: "Producer",
        topic: str,
        constant: NewRecord,
        rate: Rate | None,
    ) -> None:
        self.records = 0
        self.bytes = 0
        self._invocation = invocation
        self._producer = producer
        self._topic = topic
        self._constant = constant
        self._pace = Pace(rate) if rate else None
        self._echoes = invocation.output.chosen == "jsonl"
        self._is_plain = not constant.headers
        self._unacknowledged: asyncio.Queue[_Chunk | None] = asyncio.Queue()
        self._free = asyncio.Semaphore(CHUNKS_UNACKNOWLEDGED_MAX)
        self._started_s = asyncio.get_running_loop().time()
        self._seconds = 0.0
        self._failure: Exception | None = None

    async def send_input(self, descriptor: int, parser: RecordParser) -> None:
        """Send everything that the descriptor gives, and wait until it is acknowledged."""
        try:
            with SendProgress(descriptor, self) as progress:
                async with asyncio.TaskGroup() as tasks:
                    sending = tasks.create_task(self._send(descriptor, parser, progress))
                    await self._acknowledge(sending, progress)
                if self._failure is not None:
                    raise self._failure
        except* BrokenPipeError:
            raise BrokenPipeError from None
        except* Exception as group:
            error = first_of(group)
            if self.records == 0:
                raise error from None
            done = f"{counted(self.records, 'record')} acknowledged"
            raise PartialFailure(done, error) from None
        self._seconds = asyncio.get_running_loop().time() - self._started_s

    def summary(self) -> Json:
        """What was done. Bytes are those of keys and values."""
        return {
            "topic": self._topic,
            "records": self.records,
            "bytes": self.bytes,
            "seconds": round(self._seconds, 3),
        }

    def summary_text(self) -> str:
        """The same for people."""
        seconds = max(self._seconds, 0.001)
        rates = f"{self.records / seconds:.0f}/s, {format_size(self.bytes / seconds)}/s"
        return (
            f"{counted(self.records, 'record')}, {format_size(self.bytes)}, to '{self._topic}' in "
            f"{seconds:.1f}s ({rates})"
        )

    async def _send(self, descriptor: int, parser: RecordParser, progress: SendProgress) -> None:
        try:
            async for block in input_blocks(descriptor):
                await self._send_all(parser, parser.feed(block))
                progress.read(len(block))
            await self._send_all(parser, parser.finish())
        except (LogdError, BadUsage, InputFailed) as error:
            self._failure = error  # raised once what was sent before is acknowledged
        self._unacknowledged.put_nowait(None)

    async def _send_all(self, parser: RecordParser, records: Iterator[NewRecord]) -> None:
        """Send in chunks; records before one that cannot be read are sent before its error."""
        most = min(CHUNK_RECORDS, self._pace.chunk_records) if self._pace else CHUNK_RECORDS
        while True:
            chunk: list[NewRecord] = []
            numbers: list[int] = []
            try:
                for record in islice(records, most):
                    chunk.append(record)
                    numbers.append(parser.count)
            finally:
                if chunk:
                    await self._send_chunk(chunk, numbers)
            if not chunk:
                return

    async def _send_chunk(self, chunk: list[NewRecord], numbers: list[int]) -> None:
        await self._free.acquire()
        handles: Sequence[RecordHandle] = []
        failure = None
        try:
            if self._is_plain and not any(map(_has_own, chunk)):
                handles = await self._send_values([each.value for each in chunk])
            else:
                handles = sent = []
                for each in chunk:
                    sent.append(await self._send_one(each))
        except LogdError as error:
            handles = handles or error.added
            at = int(error.details.get("index", len(handles)))
            if at > len(handles):  # none is added where one is too large: those before it can be
                handles = await self._send_values([each.value for each in chunk[:at]])
            failure = _placed(error, f"record {numbers[at]}")
        size_bytes = sum(self._size_bytes(each) for each in chunk[: len(handles)])
        self._unacknowledged.put_nowait(_Chunk(handles, numbers, size_bytes))
        if failure is not None:
            raise failure
        if self._pace:
            await self._pace.wait(len(chunk), size_bytes)

    def _size_bytes(self, record: NewRecord) -> int:
        key = self._constant.key if record.key is None else record.key
        return len(record.value or b"") + len(key or b"")

    async def _send_values(self, values: list[bytes | None]) -> "RecordHandles":
        """Many at once: at a fraction of the cost of one by one."""
        key, time_ms = self._constant.key, self._constant.timestamp_ms
        return await self._producer.send_many(
            self._topic,
            values,
            None if key is None else [key] * len(values),
            partition=self._constant.partition,
            timestamps_ms=None if time_ms is None else [time_ms] * len(values),
        )

    async def _send_one(self, record: NewRecord) -> "RecordHandle":
        constant = self._constant
        timestamp_ms = constant.timestamp_ms
        return await self._producer.send(
            self._topic,
            record.value,
            record.key if record.key is not None else constant.key,
            partition=record.partition if record.partition is not None else constant.partition,
            headers=[*record.headers, *constant.headers] or None,
            timestamp_ms=record.timestamp_ms if timestamp_ms is None else timestamp_ms,
        )

    async def _acknowledge(self, sending: "asyncio.Task[None]", progress: SendProgress) -> None:
        """Account for all that was sent; once a record failed, no more is."""
        while (chunk := await self._unacknowledged.get()) is not None:
            await self._settle(chunk, sending)
            self._free.release()
            self.bytes += chunk.size_bytes
            self._invocation.output.stream.flush()
            progress.show()
            if sending.cancelling():
                await asyncio.wait([sending])
                self._unacknowledged.put_nowait(None)

    async def _settle(self, chunk: "_Chunk", sending: "asyncio.Task[None]") -> None:
        stream = self._invocation.output.stream
        for handle, number in zip(chunk.handles, chunk.numbers, strict=False):
            if self._echoes and not handle.done():
                stream.flush()  # what is acknowledged is shown before the next batch is
            try:
                receipt = await handle
            except LogdError as error:
                self._failure = self._failure or _placed(error, f"the batch with record {number}")
                sending.cancel()
                continue
            self.records += 1
            if self._echoes:
                row = {
                    "topic": receipt.topic,
                    "partition": receipt.partition,
                    "offset": receipt.offset,
                }
                stream.write(to_json(row) + "\n")


class _Chunk(NamedTuple):
    """Records on their way. `numbers` in the input; those behind the last handle were not sent."""

    handles: "Sequence[RecordHandle]"
    numbers: list[int]
    size_bytes: int


def _placed(error: LogdError, place: str) -> LogdError:
    """The error, with where in the input it is."""
    told = copy.copy(error)
    told.message = f"{place} of the input: {error.message}"
    told.details = {
        name: value for name, value in error.details.items() if name not in ("added", "index")
    }
    return told


def _has_own(record: NewRecord) -> bool:
    """Whether a record has more of its own than a value."""
    return bool(record.headers) or record[1:2] + record[3:] != (None, None, None)
