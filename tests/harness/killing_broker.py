"""`logd start` on a file system that kills the process in the middle of a chosen operation.

    python killing_broker.py append:37 DATA_DIR HOST:PORT DOOR

`append:37` is SIGKILL half way through the 37th append; 0 never kills. The kinds are KINDS. A
kill -9 keeps what reached the page cache, so half of the bytes are written first: the tear is real.
DOOR is where streams come through, "grpc" or "flight".
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace

from harness.flight_broker import refuse_streams_of_grpc
from logd.broker.broker_process import run_broker
from logd.broker.config import load_config
from logd.broker.real_seams import real_seams
from logd.model.seams import Buffer, OpenMode
from logd.system.os_file_system import OsFile, OsFileSystem

KINDS = ("append", "sync", "roll", "snapshot", "recovery")


class KillPoint:
    """Counts operations of one kind and ends the process at the chosen one."""

    def __init__(self, text: str) -> None:
        kind, _, count = text.partition(":")
        assert kind in KINDS, f"{kind} is none of {KINDS}"
        self.kind = kind
        self.left = int(count)
        self.recovering = True
        self._counting = threading.Lock()

    def reached(self, kind: str) -> bool:
        if kind != self.kind:
            return False
        with self._counting:
            self.left -= 1
            return self.left == 0

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class KillingFile(OsFile):
    def __init__(self, descriptor: int, path: str, point: KillPoint) -> None:
        super().__init__(descriptor)
        self._path = path
        self._point = point

    def pwrite(self, buffers: Sequence[Buffer], at: int) -> int:
        is_log = self._path.endswith(".log")
        kind = "append" if is_log else "snapshot" if "producers" in self._path else ""
        if kind and self._point.reached(kind):
            data = b"".join(buffers)
            super().pwrite([data[: len(data) // 2]], at)
            self._point.kill()
        return super().pwrite(buffers, at)

    def pread(self, size: int, at: int) -> bytes:
        if self._path.endswith(".log") and self._point.recovering:
            if self._point.reached("recovery"):
                self._point.kill()
        return super().pread(size, at)

    def datasync(self) -> None:
        if self._path.endswith(".log") and self._point.reached("sync"):
            self._point.kill()
        super().datasync()


class KillingFileSystem(OsFileSystem):
    def __init__(self, point: KillPoint) -> None:
        self._point = point

    def open(self, path: str, mode: OpenMode) -> OsFile:
        name = path.rpartition("/")[2]
        if mode == "create" and name.endswith(".log") and int(name.removesuffix(".log")) > 0:
            if self._point.reached("roll"):
                super().open(path, mode).close()
                self._point.kill()
        return KillingFile(super().open(path, mode)._descriptor, path, self._point)


def main() -> None:
    point = KillPoint(sys.argv[1])
    flight = "off"
    if sys.argv[4] == "flight":
        refuse_streams_of_grpc()
        flight = "auto"
    settings = {"data_dir": sys.argv[2], "listen": sys.argv[3], "flight_listen": flight}
    config = load_config(None, {}, settings)
    seams = replace(real_seams(), file_system=KillingFileSystem(point))

    def serving(line: str) -> None:
        point.recovering = False
        print(line, flush=True)

    sys.exit(run_broker(config, seams, serving))


if __name__ == "__main__":
    main()
