"""The demo, `make demo`: real files through one broker, a kill -9 in the middle, and back again.

Every line of every file is a record, its key the file's path; a record of its own lists the files.
What comes out is put together again and compared by SHA-256. Exits non-zero if anything differs.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from logd.dev.demo_broker import DemoBroker
from logd.dev.demo_screen import DemoScreen, StepProgress
from logd.dev.demo_sharing import DemoSharing
from logd.dev.source_files import (
    SourceFile,
    find_source_files,
    split_lines,
    standard_library,
)
from logd.model.errors import LogdError
from logd_client import Consumer, Producer
from logd_client.record_batch import RecordBatch
from logd_client.record_handle import RecordHandles

FOLDER = Path(".demo")
TOPIC, GROUP, PARTITIONS = "files", "demo", 6
LIST_KEY = b"\0list of files"
"""No path has a NUL: this key is nobody else's."""
LOOK_INTERVAL_S = 0.005
READ_TIMEOUT_S = 60
LOGCTL_TIMEOUT_S = 30
COLUMN_WIDTH = 12


class Difference(Exception):
    """What came out is not what went in."""


@dataclass
class ReadBack:
    """What one read gave: the files put together, and where and when each batch was appended."""

    data: dict[bytes, bytearray] = field(default_factory=dict)
    records: int = 0
    batches: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(partition, first offset, records, append time in ms) of each batch, as it came."""


class Demo:
    """The steps, in order. Everything is in `.demo`; the broker ends with the demo."""

    def __init__(self, files: Sequence[SourceFile], where: str) -> None:
        self._files = files
        self._where = where
        self._screen = DemoScreen()
        self._broker = DemoBroker(FOLDER)
        self._rows: list[tuple[str, int, int, int, bool]] = []
        listing = b"".join(b"%s %s\0" % (file.sha256.encode(), file.key) for file in files)
        self._listing = split_lines(listing)
        self._total = sum(file.line_count for file in files) + len(self._listing)

    async def run(self) -> bool:
        """Whether everything was equal."""
        screen = self._screen
        size = sum(file.size_bytes for file in self._files)
        lines = sum(file.line_count for file in self._files)
        screen.say(f"{len(self._files):,} files, {lines:,} lines, {size:,} bytes")
        screen.say(f"from {self._where}")
        try:
            screen.step("A broker: one process, no other server")
            self._start_broker()
            screen.say(f"serving on {self._broker.address}")
            os.environ["LOGD_BOOTSTRAP"] = self._broker.address
            screen.command(["export", f"LOGD_BOOTSTRAP={self._broker.address}"])
            self._logctl("topics", "create", TOPIC, "-p", str(PARTITIONS))
            screen.step("Every line in, the broker killed half way")
            await self._produce()
            screen.step(f"All out again, as group '{GROUP}'")
            first = await self._consume("consumed", self._total)
            self._compare("first read", first)
            screen.step("Rewind the group, and read all again")
            self._reset("--to-earliest")
            again = await self._consume("replayed", self._total)
            self._compare("replay", again)
            screen.step("Rewind to a moment, and read what came since")
            await self._replay_since(first)
            screen.step("Two consumers share a group, and one is killed")
            await self._share(first)
        finally:
            self._broker.close()
        screen.table(self._rows)
        return all(equal for *_, equal in self._rows)

    def _start_broker(self) -> None:
        self._screen.command(self._broker.command, background=True)
        self._broker.start()

    def _logctl(self, *words: str) -> None:
        self._screen.command(["logctl", *words])
        done = subprocess.run(
            [sys.executable, "-m", "logd.cli.main", *words],
            capture_output=True,
            text=True,
            timeout=LOGCTL_TIMEOUT_S,
            start_new_session=True,  # Ctrl-C reaches the demo, which stops once this is done
        )
        for line in (done.stdout + done.stderr).splitlines():
            self._screen.say(line.expandtabs(COLUMN_WIDTH))
        if done.returncode:
            raise Difference(f"logctl ended with {done.returncode}")

    def _reset(self, *to: str) -> None:
        self._logctl("groups", "reset", GROUP, "--topic", TOPIC, *to, "--execute")

    async def _produce(self) -> None:
        """Send all lines; at half of the receipts, with batches in flight, SIGKILL and restart."""
        with self._screen.progress("produced", self._total) as progress:
            async with Producer(bootstrap_servers=self._broker.address, linger_ms=5) as producer:
                waiting: deque[RecordHandles] = deque()
                half_done = asyncio.Event()
                sending = asyncio.ensure_future(self._send_all(producer, waiting, half_done))
                try:
                    while not sending.done() or waiting:
                        await asyncio.sleep(LOOK_INTERVAL_S)
                        progress.update(progress.done + _take_done(waiting))
                        if not half_done.is_set() and progress.done >= self._total // 2:
                            half_done.set()
                            # Every turn of the loop: a kill later might find nothing in flight.
                            while not producer.in_flight and not sending.done():  # noqa: ASYNC110
                                await asyncio.sleep(0)
                            await self._kill_and_restart(producer, progress)
                finally:
                    sending.cancel()
                    await asyncio.wait([sending])
                sending.result()

    async def _send_all(
        self, producer: Producer, waiting: deque[RecordHandles], half_done: asyncio.Event
    ) -> None:
        """The list first; the second half only once the first is acknowledged."""
        sent = len(self._listing)
        waiting.append(await producer.send_many(TOPIC, self._listing, [LIST_KEY] * sent))
        at_once = max(1, self._total // 4)
        for file in self._files:
            lines, key = file.lines(), file.key
            for start in range(0, len(lines), at_once):
                if sent >= self._total // 2:
                    await half_done.wait()
                some = lines[start : start + at_once]
                waiting.append(await producer.send_many(TOPIC, some, [key] * len(some)))
                sent += len(some)
        await producer.flush()

    async def _kill_and_restart(self, producer: Producer, progress: StepProgress) -> None:
        in_flight = producer.in_flight
        self._screen.command(["kill", "-9", f"{self._broker.pid}"])
        self._broker.kill()
        self._screen.say(
            f"killed with {progress.done:,} records acknowledged and {in_flight} batches in flight"
        )
        self._screen.command(self._broker.command, background=True)
        await asyncio.to_thread(self._broker.start)
        self._screen.say("serving again; the producer goes on by itself")

    async def _consume(self, what: str, expected: int) -> ReadBack:
        """Read as the group until `expected` records came and nothing more is there."""
        self._screen.say(f'Consumer("{TOPIC}", group_id="{GROUP}")')
        read = ReadBack()
        with self._screen.progress(what, expected) as progress:
            async with (
                asyncio.timeout(READ_TIMEOUT_S),
                Consumer(TOPIC, bootstrap_servers=self._broker.address, group_id=GROUP) as consumer,
            ):
                await consumer.start()
                if expected:
                    async for batch in consumer.batches():
                        _take(read, batch)
                        progress.update(read.records)
                        if read.records >= expected:
                            break
                lags = [await consumer.lag(TOPIC, number) for number in range(PARTITIONS)]
        if read.records != expected or any(lags):
            raise Difference(f"{read.records:,} records came, {expected:,} were due; lag {lags}")
        return read

    def _compare(self, what: str, read: ReadBack) -> None:
        """Every file of the list, empty ones too, by SHA-256; and no file that is not listed."""
        listing = bytes(read.data.pop(LIST_KEY, b"")).split(b"\0")[:-1]
        equal = len(listing) == len(self._files)
        for entry in listing:
            sha256, _, path = entry.partition(b" ")
            data = read.data.pop(path, bytearray())
            equal &= hashlib.sha256(data).hexdigest().encode() == sha256
        equal &= not read.data
        size = sum(file.size_bytes for file in self._files)
        self._rows.append((what, len(listing), read.records, size, equal))
        self._screen.say("every file's SHA-256 is equal" if equal else "FILES DIFFER")

    async def _replay_since(self, first: ReadBack) -> None:
        """Rewind to the middle of the append times; exactly what was appended since must come."""
        times = sorted({time_ms for *_, time_ms in first.batches})
        since_ms = times[len(times) // 2]
        due = sorted(batch for batch in first.batches if batch[3] >= since_ms)
        moment = datetime.fromtimestamp(since_ms / 1000, UTC)
        self._reset("--to-datetime", moment.isoformat(timespec="milliseconds"))
        read = await self._consume("replayed", sum(records for _, _, records, _ in due))
        equal = sorted(read.batches) == due
        size = sum(map(len, read.data.values()))
        since = f"since {moment:%H:%M:%S.%f}"[:-3]
        self._rows.append((since, len(read.data), read.records, size, equal))
        self._screen.say(
            f"exactly the {read.records:,} records appended since then"
            if equal
            else "OTHER RECORDS THAN THOSE APPENDED SINCE"
        )

    async def _share(self, first: ReadBack) -> None:
        due: dict[int, set[int]] = {number: set() for number in range(PARTITIONS)}
        for partition, offset, records, _ in first.batches:
            due[partition].update(range(offset, offset + records))
        sharing = DemoSharing(self._screen, self._broker.address, TOPIC, due, FOLDER / "other")
        if not await sharing.run():
            raise Difference("records are missing")


def _take_done(waiting: deque[RecordHandles]) -> int:
    """Records at the front whose receipt has come. A failed one raises.

    Lines sent at once share a key, thus a partition: when the last is acknowledged, all are.
    """
    count = 0
    while waiting and (last := waiting[0][-1]).done():
        error = last.exception()
        if error is not None:
            raise error
        count += len(waiting.popleft())
    return count


def _take(read: ReadBack, batch: RecordBatch) -> None:
    for key, value in zip(batch.keys, batch.values, strict=True):
        assert key is not None and value is not None, "the demo writes neither"
        read.data.setdefault(key, bytearray()).extend(value)
    read.records += len(batch)
    read.batches.append((batch.partition, batch.base_offset, len(batch), batch.append_timestamp_ms))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


async def _until_terminated(demo: Demo) -> bool:
    """Ends at SIGTERM as asyncio itself does at SIGINT. An exception out of a signal's handler
    would come anywhere in the loop, and take the one wake that somebody waits for."""
    task = asyncio.current_task()
    assert task is not None, "asyncio.run makes one"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await demo.run()


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 equal, 1 something differs or failed, 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    root = Path(arguments[0]) if arguments else standard_library()
    if not root.is_dir():
        print(f"{root} is no folder", file=sys.stderr)
        return 2
    files = list(find_source_files(root, "*" if arguments else "*.py"))
    if not any(file.line_count for file in files):
        print(f"{root} has no lines to send", file=sys.stderr)
        return 2
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    try:
        return 0 if asyncio.run(_until_terminated(Demo(files, str(root)))) else 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\ninterrupted; the broker is stopped", file=sys.stderr)
        return 130
    except (Difference, LogdError, RuntimeError, OSError, TimeoutError) as error:
        print(f"\nthe demo failed: {error or type(error).__name__}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
