"""One machine with one broker on it: it is started, killed, loses power, and is started again."""

import asyncio

from logd.broker.broker import Broker
from logd.broker.broker_pools import BrokerPools
from logd.broker.config import BrokerConfig
from logd.broker.wiring import Seams, open_broker
from logd.model.seams import MetadataStore
from logd.rpc.listener import PUBLIC
from logd.sim.disk_faults import DiskFaults
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_clock import SimulatedClock
from logd.sim.simulated_disk import SimulatedDisk
from logd.sim.simulated_file_system import SimulatedFileSystem
from logd.sim.simulated_network import SimulatedNetwork
from logd.sim.simulated_offload import SimulatedOffload, Slowness
from logd.sim.simulated_process import SimulatedProcess
from logd.sim.trace import Trace
from logd.sim.virtual_loop import VirtualLoop
from logd.system.background_tasks import BackgroundTasks
from logd_replication.sqlite_database import SqliteDatabase
from logd_replication.sqlite_metadata_store import SqliteMetadataStore

ADDRESS = "broker:9600"
DATA_DIR = "/data"
CAPACITY_BYTES = 256 << 20


class KeptDatabase(SqliteDatabase):
    """A store in memory that stands for the machine's SQLite file: each transaction is durable once
    it is made. How SQLite keeps that promise on a disk is proven elsewhere, on real files."""

    def __init__(self) -> None:
        super().__init__(":memory:")

    def close(self) -> None:
        return None


class SimulatedMachine:
    """`broker` is None while none is up. `network` is what clients are given as their transport."""

    def __init__(self, loop: VirtualLoop, random: SeededRandom, trace: Trace) -> None:
        self.clock = SimulatedClock(loop)
        self.disk = SimulatedDisk(random.fork("disk"), CAPACITY_BYTES)
        self.faults = DiskFaults(random.fork("faults"))
        self.network = SimulatedNetwork(random.fork("network"), trace)
        self.slowness = Slowness()
        self.broker: Broker | None = None
        self.file_system: SimulatedFileSystem | None = None
        self.starts = 0
        self.died = asyncio.Event()
        self._random = random
        self._trace = trace
        self._database = KeptDatabase()
        self._process: SimulatedProcess | None = None
        self._dead: list[SimulatedProcess] = []
        self._ended_tasks: list[str] = []

    def ended_tasks(self) -> list[str]:
        """Of all brokers so far: what ended in the background though it should not."""
        told = self.broker.problems() if self.broker is not None else ()
        now = [f"{p.resource}: {p.message}" for p in told if p.reason == "BACKGROUND_TASK_FAILED"]
        return self._ended_tasks + now

    async def start(self, *, crash_at: int = 0, power: bool = False) -> bool:
        """Start a broker; whether it serves now: it may die on the way, or refuse to (LogdError).

        `crash_at`: it dies at that change of the disk, counted from 1, with the machine if `power`.
        """
        assert self._process is None, "one broker at a time"
        self.starts += 1
        self.died.clear()
        process = self._process = SimulatedProcess(f"broker-{self.starts}")
        random = self._random.fork(process.name)
        self.file_system = SimulatedFileSystem(
            self.disk, process, self.faults, random.fork("files"), self._trace
        )
        self.crash_after(crash_at, power=power)
        self._trace.note("machine", "start", self.starts)
        opened = process.spawn(self._open(self._seams(random)))
        died = asyncio.ensure_future(self.died.wait())
        await asyncio.wait([opened, died], return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
        if not process.alive:
            return False
        try:
            self.broker = opened.result()
        except Exception:
            self._gone()
            raise
        self.network.serve(process, self.broker.dispatcher(PUBLIC))
        return True

    async def stop(self) -> bool:
        """A clean stop; whether the broker lived to its end."""
        process, broker = self._process, self.broker
        assert process is not None and broker is not None
        self._trace.note("machine", "stop")
        closing = process.spawn(broker.close())
        died = asyncio.ensure_future(self.died.wait())
        await asyncio.wait([closing, died], return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
        if not process.alive:
            return False
        closing.result()
        self._gone()
        return True

    def crash_after(self, changes: int, *, power: bool) -> None:
        """Let the broker die at that change of the disk, counted from now; 0: not at all."""
        assert self.file_system is not None
        point = self.file_system.crash_point
        point.crash = self.lose_power if power else self.kill
        point.at = point.changes + changes if changes else 0

    def spare(self) -> bool:
        """No death that is still planned will come; whether a broker is up."""
        if self.broker is None:
            return False
        self.crash_after(0, power=False)
        return True

    def kill(self) -> None:
        """SIGKILL: what it wrote is in the page cache, and so in its next life."""
        if self._process is not None:
            self._trace.note("machine", "kill")
            self._gone()

    def lose_power(self) -> None:
        """What was not synced may be gone, in any part."""
        if self._process is not None:
            self._trace.note("machine", "lose_power")
            self._gone()
        self.disk.lose_power()

    def bury(self) -> None:
        """At the end: let go of what the dead left."""
        for process in self._dead:
            process.bury()

    def _gone(self) -> None:
        assert self._process is not None
        self._ended_tasks = self.ended_tasks()
        self._process.die()
        self._dead.append(self._process)
        self._process = self.broker = None
        self.network.down()
        self.died.set()

    def _seams(self, random: SeededRandom) -> Seams:
        assert self.file_system is not None
        pools = BrokerPools(
            *(
                SimulatedOffload(random.fork(name), self.slowness)
                for name in ("flush", "cold_read", "maintenance", "metadata")
            )
        )

        tasks = BackgroundTasks(self.clock)

        async def open_metadata(path: str, must_exist: bool) -> MetadataStore:
            self._database.drop_leased(None)
            return SqliteMetadataStore(self._database, self.clock, pools.metadata, tasks)

        return Seams(self.clock, random, self.file_system, pools, tasks, open_metadata, self.starts)

    async def _open(self, seams: Seams) -> Broker:
        broker = await open_broker(BrokerConfig(data_dir=DATA_DIR), seams)
        broker.announce(ADDRESS)
        return broker
