"""The progress bar of a long input, on a terminal only."""

import os
import stat
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LONG_INPUT_BYTES = 4 << 20
"""Below it an input is done before anybody could read a bar."""


class Counts(Protocol):
    """What the bar shows besides the bytes read."""

    records: int


class SendProgress:
    """A bar on stderr for an input that is not typed by hand; silent off a terminal."""

    def __init__(self, descriptor: int, counts: Counts) -> None:
        state = os.fstat(descriptor)
        self._total = state.st_size if stat.S_ISREG(state.st_mode) else None
        self._shows = sys.stderr.isatty() and not os.isatty(descriptor)
        self._counts = counts
        self._read_bytes = 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def read(self, count: int) -> None:
        """So many bytes more were read."""
        self._read_bytes += count
        if self._shows and self._bar is None and self._read_bytes > LONG_INPUT_BYTES:
            self._start()

    def show(self) -> None:
        """Bring the bar up to date."""
        if self._bar is not None and self._task is not None:
            acknowledged = f"{self._counts.records:,} acknowledged"
            self._bar.update(self._task, completed=self._read_bytes, description=acknowledged)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("sending", total=self._total)
        self._bar.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
