"""The administrator's client: topics, partitions, groups and the cluster."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self, Unpack

from logd.model.cluster import BrokerDescription, Connection, HealthProblem
from logd.model.seams import Clock, Random, Transport
from logd_client.broker_connection import BrokerConnection
from logd_client.client_config import ClientConfig, ClientSettings, parse_settings
from logd_client.descriptions import ClusterHealth, ClusterInfo
from logd_client.group_admin import GroupAdmin
from logd_client.topic_admin import TopicAdmin
from logd_proto.v1 import cluster_pb2


class Admin(TopicAdmin, GroupAdmin):
    """Everything that `logctl` can do, from Python: `async with Admin(...) as admin`.

    Settings are keyword arguments (`ClientConfig`). Every call is bounded by `request_timeout_ms`
    and then raises RequestTimeout or BrokerUnreachable. Calls that are safe to repeat are retried
    within that time; those that are not (delete, add_partitions, an executed reset) are sent once.
    Used by tasks of one event loop; any number of calls may run at once.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str | Sequence[str] | None = None,
        transport: Transport | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
        **settings: Unpack[ClientSettings],
    ) -> None:
        config = parse_settings(ClientConfig, {"bootstrap_servers": bootstrap_servers, **settings})
        self._connection = BrokerConnection(
            config.bootstrap_servers,
            client_id=config.client_id,
            request_timeout_ms=config.request_timeout_ms,
            retry_backoff_ms=config.retry_backoff_ms,
            transport=transport,
            clock=clock,
            random=random,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connection back. Safe to call twice."""
        await self._connection.close()

    async def cluster_info(self) -> ClusterInfo:
        """Brokers, features, counts."""
        answer = await self._connection.call(
            "ClusterService/GetClusterInfo",
            cluster_pb2.GetClusterInfoRequest(),
            cluster_pb2.GetClusterInfoResponse,
        )
        return ClusterInfo(
            cluster_id=answer.cluster_id,
            brokers=tuple(
                BrokerDescription(
                    broker_id=broker.broker_id,
                    address=broker.address,
                    rack=broker.rack,
                    pid=broker.pid,
                    flight_address=broker.flight_address,
                    started_ms=broker.started_ms,
                    version=broker.version,
                )
                for broker in answer.brokers
            ),
            controller=answer.controller,
            features=tuple(answer.features),
            metadata=answer.metadata,
            topics=answer.topics,
            partitions=answer.partitions,
        )

    async def list_connections(self) -> list[Connection]:
        """Producers and consumers that hold a stream open, the oldest first, at most 10,000.

        A producer does from its first record on; clients that only make single calls do not.
        """
        answer = await self._connection.call(
            "ClusterService/ListConnections",
            cluster_pb2.ListConnectionsRequest(),
            cluster_pb2.ListConnectionsResponse,
        )
        return [
            Connection(each.client_id, each.peer, each.does, each.since_ms)
            for each in answer.connections
        ]

    async def cluster_health(self) -> ClusterHealth:
        """What is wrong, if anything."""
        answer = await self._connection.call(
            "ClusterService/GetClusterHealth",
            cluster_pb2.GetClusterHealthRequest(),
            cluster_pb2.GetClusterHealthResponse,
        )
        return ClusterHealth(
            answer.status,
            tuple(
                HealthProblem(
                    severity=problem.severity,
                    reason=problem.reason,
                    resource=problem.resource,
                    message=problem.message,
                    since_ms=problem.since_ms,
                )
                for problem in answer.problems
            ),
        )
