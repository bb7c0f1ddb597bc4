"""grpc.health.v1, as any gRPC client knows it.

grpcio-health-checking's own holds a lock of all watchers of a service while it writes to one: a
client that reads nothing would keep the others, and a stop of the broker, waiting.
"""

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_Response = health_pb2.HealthCheckResponse


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """On the loop."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._changed = asyncio.Event()  # of now; each change has its own

    def set_serving(self, service: str, serving: bool) -> None:
        """Waits for no client."""
        self._serving[service] = serving
        self._changed.set()
        self._changed = asyncio.Event()

    def _status(self, service: str) -> Any:
        serving = self._serving.get(service)
        if serving is None:
            return _Response.SERVICE_UNKNOWN
        return _Response.SERVING if serving else _Response.NOT_SERVING

    async def Check(self, request: Any, context: Any) -> Any:
        status = self._status(request.service)
        if status == _Response.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return _Response(status=status)

    async def Watch(self, request: Any, context: Any) -> None:
        told = None
        while True:
            changed, status = self._changed, self._status(request.service)
            if status != told:
                await context.write(_Response(status=status))
                told = status
            await changed.wait()
