"""Runs logctl commands in this process and writes what a person would have seen.

In pipe form stdout is a pipe; in terminal form stdin, stdout and stderr are a pseudo-terminal. What
differs between runs (times, ids, ports, pids) is replaced by a word for it.
"""

import io
import os
import pty
import re
import shlex
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl

from logd.cli.main import run

COLUMNS = 100
_CHANGING = (
    (r"\b[0-9a-f]{32}\b", "<id>"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "<time>"),
    (r"(?m)^( *\w+: )\"<id>\"$", r"\1<id>"),  # YAML quotes an id that begins with a digit
    (r"\b127\.0\.0\.1:\d+", "<address>"),
    (r"(\"?pid\"?[:\t ]+)\d+", r"\1<pid>"),
    (r"(<address>\t[^\t]*\t)\d+", r"\1<pid>"),
    (r"\b\d+\.\d{3}(?=\t)", "<seconds>"),
    (r" *\b\d+(\.\d+)?/s\b", "<rate>"),
    (r"(?<=␛\[1m) *IN(?=␛)", "IN"),
    (r"(\"append_rate\": )[0-9.e-]+", r"\1<rate>"),
    (r"\t(reading|no member)\n", "\t<reason>\n"),  # by when a consumer was last seen
    (r"(logctl:)[\w.-]+", r"\1<user>"),
    (r"(\"seconds\": )[0-9.]+", r"\1<seconds>"),
    (r"(to '[^']+' in )[0-9.]+s \([^)]*\)", r"\1<seconds>"),
)


class Terminal:
    """A pseudo-terminal whose other end is read by a thread, so that no write ever waits."""

    def __init__(self) -> None:
        self.descriptor, self.inner = pty.openpty()
        modes = termios.tcgetattr(self.inner)
        modes[3] &= ~termios.ECHO  # the kernel echoes when it likes: before or after a prompt
        termios.tcsetattr(self.inner, termios.TCSANOW, modes)
        ioctl(self.inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
        self._shown = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self._shown += os.read(self.descriptor, 1 << 16)
            except OSError:  # the inner end is closed
                return

    def type(self, text: str) -> None:
        """What a person types."""
        os.write(self.descriptor, text.encode())

    def end(self) -> str:
        """Close it; everything it showed."""
        os.close(self.inner)
        self._reader.join()
        os.close(self.descriptor)
        return self._shown.decode().replace("\r\n", "\n")


def in_pipe(command: str, typed: bytes = b"") -> str:
    """What the command prints off a terminal, its exit status, and what stdin gave."""
    reading, writing = os.pipe()
    os.write(writing, typed)
    os.close(writing)
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with os.fdopen(reading) as stdin, _standard_streams(stdin, out, err):
        status = run(shlex.split(command)[1:])
    out.flush()
    printed = out.buffer.getvalue().decode("utf-8", "backslashreplace")
    noted = "".join(f"[stderr] {line}\n" for line in err.getvalue().splitlines())
    return steady(f"{printed}{noted}{_status(status)}")


def in_terminal(command: str, typed: str = "") -> str:
    """What a terminal shows of the command, with its colours as escapes."""
    terminal = Terminal()
    if typed:
        terminal.type(typed)
    with (
        os.fdopen(os.dup(terminal.inner), "r") as stdin,
        os.fdopen(os.dup(terminal.inner), "w", buffering=1) as out,
        os.fdopen(os.dup(terminal.inner), "w", buffering=1) as err,
        _standard_streams(stdin, out, err),
    ):
        status = run(shlex.split(command)[1:])
    shown = re.sub(r"[ \t]+$", "", terminal.end(), flags=re.MULTILINE)
    return steady(shown.replace("\x1b", "␛") + _status(status))


def steady(text: str) -> str:
    """The text with what changes from run to run replaced."""
    for pattern, word in _CHANGING:
        text = re.sub(pattern, word, text)
    return text


def _status(status: int) -> str:
    return f"[exit {status}]\n" if status else ""


@contextmanager
def _standard_streams(stdin: object, out: object, err: object) -> Iterator[None]:
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = stdin, out, err
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
