"""How a comparison harness starts a broker of logd; `load/README.md` says what the harness gives.

The broker's Python is LOGD_PYTHON, by default that of this checkout's `.venv`.
"""

import os
import subprocess
from pathlib import Path

from peer import Peer

ROOT = Path(__file__).resolve().parents[2]


class System(Peer):  # type: ignore[misc]
    """One broker with its defaults; how durable a topic is, its client says."""

    options: tuple[str, ...] = ()
    program: tuple[str, ...] = ("-m", "logd.main")

    def launch(self, index: int) -> "subprocess.Popen[bytes]":
        assert self.brokers == 1, "one broker so far"
        python = os.environ.get("LOGD_PYTHON") or ROOT / ".venv" / "bin" / "python"
        command = [python, *self.program, "start", "--data-dir", self.dir / "data"]
        process: subprocess.Popen[bytes] = self.spawn(
            [*command, "--listen", self.address, *self.options]
        )
        return process
