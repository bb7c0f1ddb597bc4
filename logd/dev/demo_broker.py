"""The demo's broker: a real process, started, killed and stopped as a person would."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

STOP_TIMEOUT_S = 15


class DemoBroker:
    """`logd start` on a data directory and a port of its own; never outlives `close`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        data = os.path.relpath(self.directory / "data")
        return ["logd", "start", "--data-dir", data, "--listen", self.address]

    @property
    def program(self) -> list[str]:
        """What runs as `logd`."""
        return [sys.executable, "-m", "logd.main"]

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Returns once it serves. Raises RuntimeError with its last words."""
        errors = self.directory / "broker.log"
        with errors.open("ab") as stderr:
            self._process = subprocess.Popen(
                [*self.program, *self.command[1:]],
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C reaches the demo, which ends the broker itself
            )
        assert self._process.stdout is not None
        if self.address.encode() not in self._process.stdout.readline():
            self.kill()
            raise RuntimeError(f"the broker did not start:\n{errors.read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL: no chance to write anything any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def close(self) -> None:
        """SIGTERM, and SIGKILL if that does not end it in time."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
        self.kill()
