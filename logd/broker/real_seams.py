"""The operating system, as a broker sees it: the seams of production."""

import os

from logd.broker.broker_pools import BrokerPools
from logd.broker.descriptor_watch import DescriptorWatch
from logd.broker.wiring import Seams
from logd.model.seams import MetadataStore
from logd.system.background_tasks import BackgroundTasks
from logd.system.open_descriptors import count_open_descriptors, descriptor_limit
from logd.system.os_file_system import OsFileSystem
from logd.system.system_clock import SystemClock
from logd.system.system_random import SystemRandom
from logd.system.thread_offload import ThreadOffload
from logd_partitions.sync.flusher import FLUSH_THREADS
from logd_replication.sqlite_metadata_store import SqliteMetadataStore

COLD_READ_THREADS = 4
MAINTENANCE_THREADS = 4


def real_seams() -> Seams:
    """Clocks, files, threads and an embedded metadata store. One call a process."""
    clock = SystemClock()
    pools = BrokerPools(
        flush=ThreadOffload("flush", FLUSH_THREADS),
        cold_read=ThreadOffload("cold-read", COLD_READ_THREADS),
        maintenance=ThreadOffload("maintenance", MAINTENANCE_THREADS),
        metadata=ThreadOffload("metadata", 1),
    )

    tasks = BackgroundTasks(clock)

    async def open_metadata(path: str, must_exist: bool) -> MetadataStore:
        return await SqliteMetadataStore.open(
            path, clock, pools.metadata, tasks, must_exist=must_exist
        )

    descriptors = DescriptorWatch(clock, count_open_descriptors, descriptor_limit)
    return Seams(
        clock,
        SystemRandom(),
        OsFileSystem(),
        pools,
        tasks,
        open_metadata,
        os.getpid(),
        [descriptors.problems],
    )
