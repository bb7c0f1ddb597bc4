"""gRPC and nothing else: every message of a stream is sent back as it is.

python load/echo_server.py HOST:PORT
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from logd.dev.demo_broker import DemoBroker

METHOD = "/echo.Echo/Echo"


class EchoServer(DemoBroker):
    """The process, from outside."""

    @property
    def program(self) -> list[str]:
        return [sys.executable, str(Path(__file__))]


class _Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    def service(self, call: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self._echo)

    async def _echo(self, _: AsyncIterator[bytes], context: Any) -> None:
        while (message := await context.read()) is not grpc.aio.EOF:
            await context.write(message)


async def _serve(address: str) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([_Echo()])
    server.add_insecure_port(address)
    await server.start()
    print(address, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[-1]))
