"""`logctl` as a process."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

TIMEOUT_S = 60


class Ended(NamedTuple):
    status: int
    stdout: bytes
    stderr: str


def run_logctl(*words: str | Path, address: str = "", stdin: bytes = b"") -> Ended:
    """Run it to its end; `address`: of the broker, where it needs one."""
    done = subprocess.run(
        [sys.executable, "-m", "logd.cli.main", *map(str, words)],
        input=stdin,
        capture_output=True,
        env={**os.environ, "LOGD_BOOTSTRAP": address},
        timeout=TIMEOUT_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr.decode())
