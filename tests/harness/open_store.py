"""An embedded metadata store in a temporary directory, opened again as after a crash."""

from pathlib import Path

from harness.inline_offload import InlineOffload
from harness.manual_clock import ManualClock
from logd.model.seams import Clock
from logd.system.background_tasks import BackgroundTasks
from logd_replication.sqlite_metadata_store import SqliteMetadataStore


async def open_store(directory: Path, clock: Clock | None = None) -> SqliteMetadataStore:
    """The store in `directory`; close it, or let `crash_store` copy it while it is open."""
    path = str(directory / "metadata.sqlite")
    clock = clock or ManualClock()
    return await SqliteMetadataStore.open(path, clock, InlineOffload(), BackgroundTasks(clock))


def crash_store(directory: Path, left: Path) -> Path:
    """Copy to `left` what a process killed now would leave in `directory`."""
    left.mkdir(parents=True)
    for path in sorted(directory.glob("metadata.sqlite*")):
        (left / path.name).write_bytes(path.read_bytes())
    return left
