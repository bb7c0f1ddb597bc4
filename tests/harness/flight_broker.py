"""`logd start` with the Flight door, and a gRPC door that refuses the streams which that has.

    python -m harness.flight_broker start --flight-listen auto --data-dir DATA_DIR ...

So no stream comes through gRPC in silence, be it of the SDK in a test or of `logctl`.
"""

from logd.broker import broker_process
from logd.broker.doors.grpc_door.grpc_server import GrpcServer
from logd.main import main
from logd.model.errors import BrokerUnreachable
from logd.model.seams import Clock
from logd.rpc.dispatcher import Dispatcher
from logd.rpc.listener import FLIGHT
from logd.rpc.rpc import RequestContext, Rpc, ServerStream, StreamRpc
from logd.system.background_tasks import BackgroundTasks


class StreamlessGrpcServer(GrpcServer):
    """Refuses streams as a broker that is just dying: a client that found the other door dead at a
    kill may come here, and shall try again."""

    def __init__(self, dispatcher: Dispatcher, clock: Clock, tasks: BackgroundTasks) -> None:
        for method, rpc in dispatcher.rpcs.items():
            dispatcher.rpcs[method] = _without_stream(rpc)
        super().__init__(dispatcher, clock, tasks)


def _without_stream(rpc: Rpc) -> Rpc:
    if isinstance(rpc, StreamRpc) and FLIGHT.has(rpc.method):
        return StreamRpc(rpc.method, _refuse, rpc.operation)
    return rpc


async def _refuse(context: RequestContext, stream: ServerStream) -> None:
    raise BrokerUnreachable("streams come through Flight here")


def refuse_streams_of_grpc() -> None:
    """For every broker that this process runs from now on."""
    vars(broker_process)["GrpcServer"] = StreamlessGrpcServer


if __name__ == "__main__":
    refuse_streams_of_grpc()
    main()
