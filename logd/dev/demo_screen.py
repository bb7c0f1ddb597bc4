"""What the demo shows: steps, commands as typed, progress, the table at the end."""

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

QUIET_STEPS = 4
"""Off a terminal progress is a line at each quarter instead of a bar."""


class StepProgress:
    """Records done out of a known number; `rate` once it is over."""

    def __init__(self, console: Console, what: str, total: int) -> None:
        self.done = 0
        self._console = console
        self._what = what
        self._total = total
        self._started = time.perf_counter()
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("  {task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f} records"),
                TimeElapsedColumn(),
                console=console,
            )
            self._task = self._bar.add_task(what, total=total)
            self._bar.start()

    def update(self, done: int) -> None:
        before, self.done = self.done, done
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
            return
        quarter = max(1, self._total // QUIET_STEPS)
        if done // quarter > before // quarter:
            percent = 100 * done // max(1, self._total)
            self._console.print(f"  {self._what}: {percent} % ({done:,} records)")

    def stop(self) -> str:
        """End it; '858,237 records in 3.2 s: 268,199 records/s'."""
        if self._bar is not None:
            self._bar.stop()
        seconds = time.perf_counter() - self._started
        return f"{self.done:,} records in {seconds:.1f} s: {self.done / seconds:,.0f} records/s"


class DemoScreen:
    """Everything goes to stdout."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._steps = 0

    def step(self, title: str) -> None:
        self._steps += 1
        self._console.print(f"\n[bold]{self._steps}. {title}[/bold]")

    def command(self, words: Sequence[str], *, background: bool = False) -> None:
        end = " &" if background else ""
        self._console.print(f"  [cyan]$ {shlex.join(words)}{end}[/cyan]")

    def say(self, text: str) -> None:
        self._console.print(f"  {text}", markup=False)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[StepProgress]:
        progress = StepProgress(self._console, what, total)
        try:
            yield progress
        except BaseException:
            progress.stop()
            raise
        self.say(progress.stop())

    def table(self, rows: Sequence[tuple[str, int, int, int, bool]]) -> None:
        """Rows of read, files, records, bytes, equal."""
        table = Table("read", title="\nWhat went in and what came out")
        for name in ("files", "records", "bytes"):
            table.add_column(name, justify="right")
        table.add_column("equal")
        for read, files, records, size, equal in rows:
            verdict = "[green]equal[/green]" if equal else "[red]NOT EQUAL[/red]"
            table.add_row(read, f"{files:,}", f"{records:,}", f"{size:,}", verdict)
        self._console.print(table)
