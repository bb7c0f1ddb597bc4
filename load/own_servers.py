"""The two servers that every comparison starts itself: a broker, and the raw limit."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rounds import THROUGHPUT, System

from logd.dev.demo_broker import DemoBroker

RAW = "raw"
LOGD = "logd"
LOGD_BATCH = "logd, batches"
"""send_many() and whole batches; `logd` is a call and an object a record."""


@contextmanager
def own_servers() -> Iterator[list[System]]:
    """In temporary folders, gone afterwards."""
    with TemporaryDirectory(prefix="logd-bench-") as folder:
        broker, raw = DemoBroker(Path(folder)), RawServer(Path(folder) / "raw")
        try:
            broker.start()
            raw.start()
            module = "logd_sdk_client"
            yield [
                System(LOGD, module, broker.address),
                System(LOGD_BATCH, module, broker.address, mode="batch", tasks=THROUGHPUT),
                System(RAW, "raw_client", raw.address, bytes_min=100 << 20),
            ]
        finally:
            raw.close()
            broker.close()


class RawServer(DemoBroker):
    """`peers/raw_server.py` as a process."""

    def start(self) -> None:
        """Returns once it listens."""
        self.directory.mkdir()
        program = Path(__file__).parent / "peers" / "raw_server.py"
        port = self.address.rpartition(":")[2]
        self._process = subprocess.Popen(
            [sys.executable, str(program), port, str(self.directory)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            self.kill()
            raise RuntimeError("the raw server did not start")
