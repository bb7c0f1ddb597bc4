"""What is printed on stderr, as events: grpc prints tracebacks there, and Python its warnings."""

import io

import structlog

BEGUN_BYTES_MAX = 10_000
"""Kept of a line that does not end."""


class PrintedLines(io.TextIOBase):
    """Stands for sys.stderr: each line is an event of the library "stderr"."""

    def __init__(self) -> None:
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        self._begun = self._begun[-BEGUN_BYTES_MAX:]
        for line in filter(None, lines):
            structlog.get_logger().warning(line, library="stderr")
        return len(text)
