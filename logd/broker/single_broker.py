"""The cluster as a broker alone sees it: itself, and what is wrong with it."""

from collections.abc import Callable, Sequence

from logd.broker.ports import ClusterInfo
from logd.model.cluster import BrokerDescription, HealthProblem

FEATURES = ("fsync", "idempotent_producer", "offsets_rewind", "plain_records")


class SingleBroker:
    """Implements `ports.Cluster`."""

    def __init__(self, cluster_id: str, sources: Sequence[Callable[[], Sequence[HealthProblem]]]):
        self._cluster_id = cluster_id
        self._sources = sources
        self._brokers: tuple[BrokerDescription, ...] = ()

    def announce(self, broker: BrokerDescription) -> None:
        """Once it is known where the broker listens."""
        self._brokers = (broker,)

    def info(self) -> ClusterInfo:
        return ClusterInfo(
            cluster_id=self._cluster_id,
            brokers=self._brokers,
            controller=self._brokers[0].broker_id if self._brokers else 0,
            features=FEATURES,
            metadata="sqlite",
        )

    def problems(self) -> Sequence[HealthProblem]:
        return [problem for source in self._sources for problem in source()]
