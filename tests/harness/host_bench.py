"""A PartitionHost on real files, with topics in a real store; syncs and reads can be held up."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from harness.faulty_file_system import FaultyFileSystem
from harness.inline_offload import InlineOffload
from harness.manual_clock import ManualClock
from harness.open_store import open_store
from logd.broker.broker_pools import BrokerPools
from logd.broker.partition_host import PartitionHost
from logd.broker.ports import Fetched, FetchInterrupt, FetchPosition, FetchWait, Receipt
from logd.model.batch_encoder import encode_batch
from logd.model.errors import LogdError
from logd.model.ids import (
    BrokerId,
    LeaderEpoch,
    Offset,
    PartitionId,
    ProducerEpoch,
    ProducerId,
    TopicPartition,
)
from logd.model.record_batch import split_batches
from logd.sim.seeded_random import SeededRandom
from logd.system.background_tasks import BackgroundTasks
from logd_partitions.directory.log_directory import LogDirectory
from logd_replication.producer_id_blocks import ProducerIdBlocks
from logd_replication.topic_catalog import TopicCatalog

T = TypeVar("T")

ACK_TIMEOUT_MS = 60_000


class GatedOffload:
    """Implements `Offload`: work runs inline, once the gate is open; `waiting` is what waits.

    `running`: whether the caller is this pool's work.
    """

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.runs = 0
        self.running = False

    async def run(self, work: Callable[[], T]) -> T:
        self.runs += 1
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        self.running = True
        try:
            return work()
        finally:
            self.running = False

    def close(self) -> None: ...


class HostBench:
    """`host` with its parts in reach. Made by `host_bench`."""

    def __init__(
        self,
        directory: LogDirectory,
        catalog: TopicCatalog,
        producer_ids: ProducerIdBlocks,
        fs: FaultyFileSystem,
        clock: ManualClock,
        tasks: BackgroundTasks,
    ) -> None:
        self.fs = fs
        self.clock = clock
        self.tasks = tasks
        self.directory = directory
        self.catalog = catalog
        self.producer_ids = producer_ids
        self.flush = GatedOffload()
        self.cold_read = GatedOffload()
        self.maintenance = GatedOffload()
        pools = BrokerPools(self.flush, self.cold_read, self.maintenance, InlineOffload())
        self.host = PartitionHost(
            directory, catalog, pools, self.clock, BrokerId(0), LeaderEpoch(1), tasks
        )

    async def topic(self, name: str, partitions: int = 1, **config: str) -> list[TopicPartition]:
        """A new topic's partitions."""
        topic = await self.catalog.create(name, partitions, config)
        return [TopicPartition(topic.topic_id, PartitionId(n)) for n in range(partitions)]

    def append(
        self, where: TopicPartition, *values: bytes, timeout_ms: int = ACK_TIMEOUT_MS
    ) -> list[Receipt | LogdError]:
        """Append one batch to an open partition; what is answered comes into the list."""
        return self.append_encoded(where, self.batch(*values), timeout_ms=timeout_ms)

    def append_encoded(
        self,
        where: TopicPartition,
        batch: bytes,
        *,
        timeout_ms: int = ACK_TIMEOUT_MS,
        partitioning_epoch: int | None = None,
    ) -> list[Receipt | LogdError]:
        answers: list[Receipt | LogdError] = []
        self.host.append(
            where,
            batch,
            answers.append,
            acks="all",
            timeout_ms=timeout_ms,
            partitioning_epoch=partitioning_epoch,
        )
        return answers

    def batch(self, *values: bytes, producer: tuple[int, int, int] = (-1, -1, -1)) -> bytes:
        """`producer`: id, epoch, first sequence."""
        return encode_batch(
            list(values),
            timestamps_ms=self.clock.wall_ms(),
            producer_id=producer[0],
            producer_epoch=producer[1],
            base_sequence=producer[2],
        )

    async def new_producer(self) -> ProducerId:
        """An id that was given out, with epoch 0."""
        return (await self.producer_ids.init_producer(None, ProducerEpoch(0)))[0]

    async def produce(self, where: TopicPartition, *values: bytes) -> Receipt | LogdError:
        """Open, append, and wait for the answer."""
        await self.host.open(where)
        answered: asyncio.Future[Receipt | LogdError]
        answered = asyncio.get_running_loop().create_future()
        self.host.append(
            where,
            self.batch(*values),
            answered.set_result,
            acks="all",
            timeout_ms=ACK_TIMEOUT_MS,
        )
        return await answered

    async def fetch(
        self,
        positions: Sequence[FetchPosition] | FetchPosition,
        interrupt: FetchInterrupt | None = None,
        **wait: int,
    ) -> list[Fetched]:
        """The results, with their batches copied."""
        if isinstance(positions, FetchPosition):
            positions = [positions]
        found = await self.host.fetch(positions, FetchWait(**wait), interrupt or FetchInterrupt())
        return [
            Fetched(
                f.topic_partition,
                f.high_watermark,
                f.log_start_offset,
                f.next_offset,
                f.leader_epoch,
                bytes(f.batches),
                f.error,
            )
            for f in found
        ]

    async def turns(self, count: int = 10) -> None:
        """Let the loop run what is ready."""
        for _ in range(count):
            await asyncio.sleep(0)


def at(where: TopicPartition, offset: int = 0, **fields: int) -> FetchPosition:
    return FetchPosition(where, Offset(offset), **fields)  # type: ignore[arg-type]


def offsets_of(fetched: Fetched) -> list[int]:
    """The first offset of each batch."""
    return [header.base_offset for header, _ in split_batches(fetched.batches)]


@asynccontextmanager
async def host_bench(root: Path, fs: FaultyFileSystem | None = None) -> AsyncIterator[HostBench]:
    """A host on `root`, opened again where it was used before; a clean stop at the end."""
    root.mkdir(parents=True, exist_ok=True)
    fs = fs or FaultyFileSystem()
    clock = ManualClock()
    directory = LogDirectory.open(fs, clock, str(root / "data"), broker_id=BrokerId(0))
    store = await open_store(root, clock)
    tasks = BackgroundTasks(clock)
    catalog = TopicCatalog(store, SeededRandom(1), clock, tasks, [BrokerId(0)])
    producer_ids = await ProducerIdBlocks.open(store, SeededRandom(2))
    directory.identities = producer_ids
    bench = HostBench(directory, catalog, producer_ids, fs, clock, tasks)
    try:
        await catalog.load(bench.host)
        catalog.on_changed(bench.host.topic_changed)
        await bench.host.recover()
        yield bench
    finally:
        for pool in (bench.flush, bench.cold_read, bench.maintenance):
            pool.gate.set()
        await bench.host.drain()
        directory.close()
        await store.close()
