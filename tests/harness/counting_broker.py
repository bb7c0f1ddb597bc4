"""`logd start` on a file system that counts what is opened and read until the broker serves.

    python counting_broker.py DATA_DIR HOST:PORT COUNTS

COUNTS is a file: {"opened": files, "read": bytes of segments}, written before the line that says
where the broker serves. What sqlite opens is not counted.
"""

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from logd.broker.broker_process import run_broker
from logd.broker.config import load_config
from logd.broker.real_seams import real_seams
from logd.model.seams import OpenMode
from logd.system.os_file_system import OsFile, OsFileLock, OsFileSystem


class CountingFile(OsFile):
    def __init__(self, descriptor: int, counts: Counter[str]) -> None:
        super().__init__(descriptor)
        self._counts = counts

    def pread(self, size: int, at: int) -> bytes:
        data = super().pread(size, at)
        self._counts["read"] += len(data)
        return data


class CountingFileSystem(OsFileSystem):
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(opened=0, read=0)

    def open(self, path: str, mode: OpenMode) -> OsFile:
        self.counts["opened"] += 1
        file = super().open(path, mode)
        return CountingFile(file._descriptor, self.counts) if path.endswith(".log") else file

    def lock(self, path: str, content: bytes) -> OsFileLock:
        self.counts["opened"] += 1
        return super().lock(path, content)

    def sync_directory(self, path: str) -> None:
        self.counts["opened"] += 1
        super().sync_directory(path)


def main() -> None:
    data_dir, address, counts = sys.argv[1:]
    config = load_config(None, {}, {"data_dir": data_dir, "listen": address})
    file_system = CountingFileSystem()

    def serving(line: str) -> None:
        Path(counts).write_text(json.dumps(file_system.counts))
        print(line, flush=True)

    sys.exit(run_broker(config, replace(real_seams(), file_system=file_system), serving))


if __name__ == "__main__":
    main()
