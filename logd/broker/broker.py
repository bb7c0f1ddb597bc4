"""A broker without its listeners: what wiring has built, as one thing to drain and close."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from logd.broker.maintenance import Maintenance
from logd.broker.partition_host import PartitionHost
from logd.broker.single_broker import SingleBroker
from logd.model.cluster import BrokerDescription, HealthProblem
from logd.rpc.dispatcher import Dispatcher
from logd.rpc.listener import Listener
from logd_consumer_groups.group_coordinator import GroupCoordinator


class Broker:
    """What it can be asked comes through the Dispatcher of a listener, real or simulated."""

    def __init__(
        self,
        info: BrokerDescription,
        dispatcher: Callable[[Listener], Dispatcher],
        host: PartitionHost,
        groups: GroupCoordinator,
        maintenance: Maintenance,
        cluster: SingleBroker,
    ) -> None:
        self.dispatcher = dispatcher
        self._info = info
        self._host = host
        self._groups = groups
        self._maintenance = maintenance
        self._cluster = cluster
        self._release = AsyncExitStack()

    def release_with(self, stack: AsyncExitStack) -> None:
        """What `close` releases at its end, last made first."""
        self._release = stack

    @property
    def cluster_id(self) -> str:
        return self._cluster.info().cluster_id

    def problems(self) -> Sequence[HealthProblem]:
        """What is wrong with it, as cluster health tells."""
        return self._cluster.problems()

    def announce(self, address: str, flight_address: str = "") -> None:
        """Tell the cluster where clients find this broker, and begin maintenance."""
        self._cluster.announce(replace(self._info, address=address, flight_address=flight_address))
        self._maintenance.start()

    async def drain(self) -> None:
        """Refuse new work, answer what waits, sync all. Idempotent."""
        await self._maintenance.stop()
        await self._host.drain()
        await self._groups.close()

    async def close(self) -> None:
        """Drain, then close logs, metadata and pools, and release the directory's lock."""
        await self.drain()
        await self._release.aclose()
