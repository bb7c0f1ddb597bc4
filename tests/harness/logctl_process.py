"""`logctl` as a process."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click

from logd.cli.main import NOUNS, logctl

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


def activated() -> dict[str, str]:
    """The environment of a shell in which this one's virtual environment is active."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path}


def commands() -> list[list[str]]:
    """Every noun and every verb."""
    context = click.Context(logctl)
    found: list[list[str]] = [[]]
    for noun in NOUNS:
        command = logctl.get_command(context, noun)
        found.append([noun])
        if isinstance(command, click.Group):
            found += [[noun, verb] for verb in command.list_commands(context)]
    return found
