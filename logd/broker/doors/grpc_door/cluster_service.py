"""ClusterService: thin handlers between the wire and the ports."""

from collections.abc import Callable, Sequence

from logd.broker.ports import Cluster, Topics
from logd.model.cluster import Connection
from logd.rpc.rpc import RequestContext
from logd_proto.v1 import cluster_pb2


class ClusterService:
    """Who is there, and how it is."""

    def __init__(
        self, cluster: Cluster, topics: Topics, connections: Callable[[], Sequence[Connection]]
    ) -> None:
        self._cluster = cluster
        self._topics = topics
        self._connections = connections

    async def get_cluster_info(
        self, context: RequestContext, request: cluster_pb2.GetClusterInfoRequest
    ) -> cluster_pb2.GetClusterInfoResponse:
        info = self._cluster.info()
        topics = [topic for topic in self._topics.all() if not topic.internal]
        return cluster_pb2.GetClusterInfoResponse(
            cluster_id=info.cluster_id,
            brokers=[
                cluster_pb2.Broker(
                    broker_id=broker.broker_id,
                    address=broker.address,
                    rack=broker.rack,
                    pid=broker.pid,
                    flight_address=broker.flight_address,
                    started_ms=broker.started_ms,
                    version=broker.version,
                )
                for broker in info.brokers
            ],
            controller=info.controller,
            features=info.features,
            metadata=info.metadata,
            topics=len(topics),
            partitions=sum(len(topic.partitions) for topic in topics),
        )

    async def get_cluster_health(
        self, context: RequestContext, request: cluster_pb2.GetClusterHealthRequest
    ) -> cluster_pb2.GetClusterHealthResponse:
        problems = self._cluster.problems()
        severities = {problem.severity for problem in problems}
        status = "failed" if "error" in severities else "degraded" if severities else "healthy"
        return cluster_pb2.GetClusterHealthResponse(
            status=status,
            problems=[
                cluster_pb2.HealthProblem(
                    severity=problem.severity,
                    reason=problem.reason,
                    resource=problem.resource,
                    message=problem.message,
                    since_ms=problem.since_ms,
                )
                for problem in problems
            ],
        )

    async def list_connections(
        self, context: RequestContext, request: cluster_pb2.ListConnectionsRequest
    ) -> cluster_pb2.ListConnectionsResponse:
        return cluster_pb2.ListConnectionsResponse(
            connections=[
                cluster_pb2.Connection(
                    client_id=each.client_id,
                    peer=each.peer,
                    does=each.does,
                    since_ms=each.since_ms,
                )
                for each in self._connections()
            ]
        )
