"""A broker on a disk that can be made slow, whose loop is watched closely.

    python load/watched_broker.py WORD MS start --data-dir DIR --listen HOST:PORT

A datasync of a file with WORD in its path takes MS longer. SIGUSR1 prints the longest tick since
the last one, in ms: how late the loop was for a timer that was due every 5 ms.
"""

import asyncio
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from logd.broker.broker_process import run_broker
from logd.broker.config import load_config
from logd.broker.real_seams import real_seams
from logd.dev.demo_broker import DemoBroker
from logd.model.seams import OpenMode
from logd.system.os_file_system import OsFile, OsFileSystem

TICK_S = 0.005


class WatchedBroker(DemoBroker):
    """The process, from outside."""

    def __init__(self, directory: Path, slow_word: str = "", slow_ms: int = 0) -> None:
        super().__init__(directory)
        self._slow = [slow_word, str(slow_ms)]

    @property
    def program(self) -> list[str]:
        return [sys.executable, __file__, *self._slow]

    def longest_tick_ms(self) -> float:
        """Since the last call."""
        assert self._process is not None and self._process.stdout is not None
        os.kill(self.pid, signal.SIGUSR1)
        return float(self._process.stdout.readline())


class SlowFile(OsFile):
    def __init__(self, descriptor: int, delay_s: float) -> None:
        super().__init__(descriptor)
        self._delay_s = delay_s

    def datasync(self) -> None:
        super().datasync()
        time.sleep(self._delay_s)


class SlowFileSystem(OsFileSystem):
    def __init__(self, word: str, delay_s: float) -> None:
        self._word = word
        self._delay_s = delay_s

    def open(self, path: str, mode: OpenMode) -> OsFile:
        file = super().open(path, mode)
        slow = self._delay_s and self._word in path
        return SlowFile(file._descriptor, self._delay_s) if slow else file


class TickWatch:
    """On the loop."""

    def __init__(self) -> None:
        self._longest_s = 0.0
        signal.signal(signal.SIGUSR1, lambda *_: self._tell())
        self._wait()

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + TICK_S
        loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        late_s = asyncio.get_running_loop().time() - self._due
        self._longest_s = max(self._longest_s, late_s)
        self._wait()

    def _tell(self) -> None:
        print(self._longest_s * 1000, flush=True)
        self._longest_s = 0.0


def main() -> None:
    word, slow_ms, _, _, data_dir, _, address = sys.argv[1:]
    config = load_config(None, {}, {"data_dir": data_dir, "listen": address})
    seams = replace(real_seams(), file_system=SlowFileSystem(word, int(slow_ms) / 1000))

    def serving(line: str) -> None:
        TickWatch()
        print(line, flush=True)

    sys.exit(run_broker(config, seams, serving))


if __name__ == "__main__":
    main()
