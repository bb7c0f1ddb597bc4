"""The demo's last step: two consumers share a topic, one is killed, and the other finishes."""

import asyncio
import subprocess
import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from logd.dev.demo_screen import DemoScreen
from logd_client import Consumer

GROUP = "pair"
TIMEOUT_S = 60
LOOK_INTERVAL_S = 0.01


class DemoSharing:
    """One consumer is a process, `logctl consume`, which writes where it has been to a file; the
    other is here. `due`: all offsets of each partition."""

    def __init__(
        self, screen: DemoScreen, address: str, topic: str, due: dict[int, set[int]], file: Path
    ) -> None:
        self._screen = screen
        self._address = address
        self._topic = topic
        self._missing = due
        self._total = sum(map(len, due.values()))
        self._file = file
        self._here = 0

    async def run(self) -> bool:
        """Whether each record came to one of them, or to both."""
        words = ["consume", self._topic, "-g", GROUP, "--format", "%p@%o\\n"]
        self._screen.command(["logctl", *words], background=True)
        other = self._start(words)
        try:
            async with asyncio.timeout(TIMEOUT_S), AsyncExitStack() as stack:
                # What it has written shows in the file alone.
                while other.poll() is None and not self._file.stat().st_size:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_INTERVAL_S)
                self._screen.say(f'Consumer("{self._topic}", group_id="{GROUP}")')
                consumer = await stack.enter_async_context(
                    Consumer(self._topic, bootstrap_servers=self._address, group_id=GROUP)
                )
                await self._read_beside(consumer, other)
                self._screen.command(["kill", "-9", f"{other.pid}"])
                other.kill()
                await asyncio.to_thread(other.wait)
                there = self._strike_out(_places(self._file))
                while any(self._missing.values()):
                    await self._read(consumer)
        finally:
            other.kill()
            other.wait()
        again = self._here + there - self._total
        self._screen.say(
            f"{there:,} records there, {self._here:,} here: all {self._total:,}, and {again:,} of "
            "them twice, which the killed one had not committed"
        )
        return not any(self._missing.values())

    def _start(self, words: list[str]) -> "subprocess.Popen[bytes]":
        with self._file.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "logd.cli.main", *words],
                stdout=output,
                start_new_session=True,  # Ctrl-C reaches the demo, which ends it
            )

    async def _read_beside(self, consumer: Consumer, other: "subprocess.Popen[bytes]") -> None:
        """Until both have their share."""
        share = len(self._missing) // 2
        while other.poll() is None:
            held = consumer.assignment
            if len(held) == share:
                self._screen.say(f"each has {share} partitions; here {_names(held)}")
                return
            await self._read(consumer)
        raise RuntimeError(f"logctl ended with {other.returncode}")

    async def _read(self, consumer: Consumer) -> None:
        for record in await consumer.poll(timeout_ms=50, max_records=5_000):
            self._here += 1
            self._missing[record.partition].discard(record.offset)

    def _strike_out(self, places: Iterable[tuple[int, int]]) -> int:
        count = 0
        for partition, offset in places:
            self._missing[partition].discard(offset)
            count += 1
        return count


def _places(file: Path) -> list[tuple[int, int]]:
    """Partition and offset of each whole line."""
    lines = file.read_bytes().rpartition(b"\n")[0].split(b"\n")
    return [(int(p), int(o)) for p, _, o in (line.partition(b"@") for line in lines if line)]


def _names(held: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{topic}:{partition}" for topic, partition in held)
