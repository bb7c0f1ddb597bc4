"""Turns constants down for a run, so that what is rare in production happens all the time."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from logd.broker import wiring
from logd.sim.seeded_random import SeededRandom
from logd_consumer_groups import group_coordinator
from logd_consumer_groups.core import snapshots
from logd_partitions.core import offset_index
from logd_partitions.directory import log_directory, partition_directories
from logd_partitions.segment import log_segment
from logd_partitions.sync import flusher, sync_progress, sync_queue

KNOBS: tuple[tuple[ModuleType, str, tuple[int, ...]], ...] = (
    (log_segment, "TAIL_ENTRIES_MIN", (1, 4)),
    (log_segment, "HOT_BYTES_MAX", (1, 100_000)),
    (offset_index, "INDEX_INTERVAL_BYTES", (1, 1_000)),
    (sync_progress, "SNAPSHOT_INTERVAL_BYTES", (1, 50_000)),
    (sync_progress, "SNAPSHOT_INTERVAL_BYTES_PER_PRODUCER", (1,)),
    (sync_progress, "UNSYNCED_BYTES_MAX", (1_000, 200_000)),
    (sync_queue, "SYNCFS_LOGS_MIN", (2,)),
    (flusher, "PAGE_CACHE_UNSYNCED_BYTES_MAX", (1_000,)),
    (log_directory, "SYNCFS_UNCLEAN_MIN", (1, 4)),
    (partition_directories, "SYNCFS_DIRECTORIES_MIN", (2,)),
    (snapshots, "LOG_BYTES_MIN", (1_000,)),
    (snapshots, "CHUNK_BYTES_MAX", (100,)),
)
TURNED_SHARE = 0.5


@contextmanager
def turned(random: SeededRandom) -> Iterator[dict[str, int]]:
    """About half of the knobs, at values drawn from `random`; as they were afterwards."""
    before = [(module, name, getattr(module, name)) for module, name, _ in KNOBS]
    chosen: dict[str, int] = {}
    try:
        for module, name, values in KNOBS:
            value = random.pick(values)
            if random.chance(TURNED_SHARE):
                chosen[name] = value
                setattr(module, name, value)
        yield chosen
    finally:
        for module, name, value in before:
            setattr(module, name, value)


@contextmanager
def few_offsets_partitions(count: int = 3) -> Iterator[None]:
    """Every start of a broker opens and loads them all: 16 are a third of what a short case costs.
    In three, the groups of the matrices still have partitions of their own, and one has none."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (wiring, group_coordinator):
            patch.setattr(module, "OFFSETS_PARTITIONS", count)
        yield
