"""The process's stdin, stdout and stderr: there even where the caller closed them, and a stdout
that tells its own troubles from all others."""

import io
import os
import select
import sys
from typing import Any, TextIO

from logd.cli.error_report import OutputFailed

STDIN, STDOUT, STDERR = 0, 1, 2


class StandardOutput(io.FileIO):
    """Raises OutputFailed, and BrokenPipeError where nobody reads any more."""

    def write(self, data: Any) -> int:
        try:
            while (count := super().write(data)) is None:  # another's O_NONBLOCK on the same pipe
                select.select([], [self], [])
        except BrokenPipeError:
            raise BrokenPipeError from None  # without a number: click would end with status 1
        except OSError as error:
            raise OutputFailed(error.errno, error.strerror) from None
        return count


def open_standard_streams() -> None:
    """Once, at process start. A descriptor that is closed is taken, so that no socket becomes the
    standard output, by one that fails when it is used; what goes to stderr is lost then."""
    for descriptor, flags in ((STDIN, os.O_WRONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # the lowest that is free: this one
    sys.stdin = sys.stdin or open(STDIN, closefd=False)
    sys.stderr = sys.stderr or open(STDERR, "w", closefd=False)
    like = sys.stdout or sys.stderr
    like.flush()
    sys.stdout = standard_output(STDOUT, like)


def standard_output(descriptor: int, like: TextIO) -> io.TextIOWrapper:
    """Text to a descriptor, which is not closed; encoded as in `like`."""
    raw = StandardOutput(descriptor, "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), like.encoding, like.errors, line_buffering=raw.isatty()
    )


def end_stdout() -> None:
    """Before the process ends: what stdout does not take is given up, in silence."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
