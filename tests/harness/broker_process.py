"""A real broker in a process of its own: start, kill, stop, pause, start again on the same port.

Tests that ask for the `door` fixture run once for each door that streams can come through.
"""

import contextlib
import fcntl
import functools
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

Door = Literal["grpc", "flight"]

door: Door = "grpc"
"""Through which the streams of brokers come that are made from now on: with "grpc" the other one is
shut, with "flight" gRPC refuses streams."""
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
TESTS = Path(__file__).parents[1]
"""Where a broker's process finds this package."""


FIRST_PORT, PORTS_PER_PROCESS, PORT_BLOCKS = 12_000, 500, 40
"""Below those that the system gives to whoever asks for any (32768 and up, on Linux)."""
_ports = itertools.cycle(range(PORTS_PER_PROCESS))
_lock_files: list[IO[str]] = []


def free_port() -> int:
    """One that is kept over restarts, as a user's broker keeps its own: no other process of tests,
    of this run or of another, takes it meanwhile, and no connection is given it."""
    first = _first_port()
    for number in itertools.islice(_ports, PORTS_PER_PROCESS):
        port = first + number
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as brokers do
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


@functools.cache
def _first_port() -> int:
    """Of a block that is this process's as long as it lives."""
    for number in range(PORT_BLOCKS):
        path = Path(tempfile.gettempdir()) / f"logd-tests-ports-{number}.lock"
        with contextlib.suppress(OSError):  # another's
            file = path.open("a")
            _lock_files.append(file)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return FIRST_PORT + number * PORTS_PER_PROCESS
    raise RuntimeError(f"{PORT_BLOCKS} processes of tests have all the ports")


def python_path() -> str:
    """For a process that imports the harness: before what this one was given."""
    return os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))


class BrokerProcess:
    """`with BrokerProcess(directory) as broker: ... broker.address`; its stderr goes to a file."""

    def __init__(
        self, directory: Path, *flags: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = directory / "data"
        self.stderr_path = directory / "broker.stderr"
        self.address = f"127.0.0.1:{free_port()}"
        self.starts = 0
        self.door = door
        self._environment = {**os.environ, "PYTHONPATH": python_path(), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        if self.door == "flight":
            self.command = [sys.executable, "-m", "harness.flight_broker", "start"]
            self.command += ["--flight-listen", "auto"]
        else:
            self.command = [sys.executable, "-m", "logd.main", "start"]
        self.command += ["--data-dir", str(self.data_dir), "--listen", self.address, *flags]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self.kill()
        self._close_stdout()
        if kind is not None:
            print("the broker's stderr:", self.stderr(), sep="\n")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and wait for the line that says that it serves."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._close_stdout()
        with self.stderr_path.open("ab") as stderr:
            self._process = subprocess.Popen(
                self.command, stdout=subprocess.PIPE, stderr=stderr, env=self._environment
            )
        self.starts += 1
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if self.address.encode() not in line:
            code = self._process.wait(START_TIMEOUT_S)
            self._close_pipe()
            raise RuntimeError(f"the broker ended with {code}: {line!r}\n{self.stderr()}")

    def _close_stdout(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._close_pipe()

    def _close_pipe(self) -> None:
        assert self._process is not None
        if self._process.stdout is not None:
            self._process.stdout.close()

    def restart(self) -> None:
        """SIGKILL, then start on the same data and port."""
        self.kill()
        self.start()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self.wait_until_dead()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stderr(self) -> str:
        return self.stderr_path.read_text("utf-8", "replace")

    def wait_until_dead(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        assert self._process is not None
        deadline = time.monotonic() + timeout_s
        while (code := self._process.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the broker still runs after {timeout_s} s")
            time.sleep(0.01)
        self._close_pipe()
        return code
