"""A broker in this process, by the production wiring, on real files; blocking work runs inline."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from harness.inline_offload import InlineOffload
from harness.local_transport import LocalTransport
from harness.manual_clock import ManualClock
from logd.broker.broker import Broker
from logd.broker.broker_pools import BrokerPools
from logd.broker.config import BrokerConfig
from logd.broker.wiring import Seams, open_broker
from logd.model.seams import FileSystem, MetadataStore
from logd.rpc.listener import PUBLIC
from logd.sim.seeded_random import SeededRandom
from logd.system.background_tasks import BackgroundTasks
from logd.system.os_file_system import OsFileSystem
from logd_replication.sqlite_metadata_store import SqliteMetadataStore


class LocalBroker:
    """`broker`, its `clock`, and a `transport` for clients."""

    def __init__(self, broker: Broker, clock: ManualClock) -> None:
        self.broker = broker
        self.clock = clock
        self.transport = LocalTransport(broker.dispatcher(PUBLIC))


@asynccontextmanager
async def local_broker(
    directory: Path,
    file_system: FileSystem | None = None,
    seed: int = 1,
    serve: Callable[[LocalBroker], Awaitable[tuple[str, str]]] | None = None,
) -> AsyncIterator[LocalBroker]:
    """`serve` opens doors, and tells the addresses of gRPC's and Flight's."""
    clock = ManualClock()
    inline = InlineOffload()

    tasks = BackgroundTasks(clock)

    def open_metadata(path: str, must_exist: bool) -> Awaitable[MetadataStore]:
        return SqliteMetadataStore.open(path, clock, inline, tasks, must_exist=must_exist)

    seams = Seams(
        clock,
        SeededRandom(seed),
        file_system or OsFileSystem(),
        BrokerPools(inline, inline, inline, inline),
        tasks,
        open_metadata,
        1,
    )
    broker = await open_broker(BrokerConfig(data_dir=str(directory / "data")), seams)
    local = LocalBroker(broker, clock)
    broker.announce(*(await serve(local) if serve else ("local:1",)))
    try:
        yield local
    finally:
        await broker.close()
    assert local.transport.faults == []
