"""`logd start` with the Flight door, and a gRPC door that refuses streams.

    python -m harness.flight_broker start --flight-listen auto --data-dir DATA_DIR ...

So no stream comes through gRPC in silence, be it of the SDK in a test or of `logctl`.
"""

from collections.abc import Iterable

from logd.broker import broker_process
from logd.broker.doors.grpc_door.grpc_server import GrpcServer
from logd.broker.doors.grpc_door.rpc import Rpc, ServerStream, StreamRpc
from logd.broker.ports import RequestContext
from logd.main import main
from logd.model.errors import BrokerUnreachable, UnsupportedVersion

TRIES_MAX = 10
"""A client that found the other door dead at a kill may come here, and shall try again. One that
comes so often knows no other way, and shall fail."""


class StreamlessGrpcServer(GrpcServer):
    """Serves all but the streams."""

    _tries = 0

    async def start(self, address: str, rpcs: Iterable[Rpc]) -> int:
        return await super().start(address, [self._without_stream(rpc) for rpc in rpcs])

    def _without_stream(self, rpc: Rpc) -> Rpc:
        if isinstance(rpc, StreamRpc):
            return StreamRpc(rpc.method, self._refuse, rpc.operation)
        return rpc

    async def _refuse(self, context: RequestContext, stream: ServerStream) -> None:
        self._tries += 1
        if self._tries > TRIES_MAX:
            raise UnsupportedVersion("streams come through Flight here")
        raise BrokerUnreachable("streams come through Flight here")


def refuse_streams_of_grpc() -> None:
    """For every broker that this process runs from now on."""
    vars(broker_process)["GrpcServer"] = StreamlessGrpcServer


if __name__ == "__main__":
    refuse_streams_of_grpc()
    main()
