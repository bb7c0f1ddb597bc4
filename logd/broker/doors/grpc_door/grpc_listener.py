"""A port of grpc.aio that is opened again when grpc's own loop behind it ends unexpectedly.

A client can end that loop: grpcio 1.85 decodes a call's path in it, not in the call's task, so one
path that is not UTF-8 closes the port for good while the process lives on.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio
import structlog

from logd.system.background_tasks import BackgroundTasks

logger = structlog.get_logger()

OPEN_AGAIN_AFTER_S = 0.1
"""Bounds, with CALLS_GO_ON_S, how many servers that have ended are held: 50."""
CALLS_GO_ON_S = 5.0
"""So long the calls of a server that has ended may go on: their clients are told to move."""
_LOOP = "AioServer._server_main_loop"


class GrpcListener:
    """`make` gives a server with all its handlers and no port."""

    def __init__(self, make: Callable[[], grpc.aio.Server], tasks: BackgroundTasks) -> None:
        self._make = make
        self._tasks = tasks
        self._address = ""
        self._servers: list[grpc.aio.Server] = []  # the one that listens, and ended ones before it
        self._stopping = False

    async def start(self, address: str) -> int:
        """Bind and serve; returns the port. Raises RuntimeError where it cannot be bound."""
        port = await self._open(address)
        self._address = f"{address.rpartition(':')[0]}:{port}"
        return port

    async def stop(self, grace_s: float) -> None:
        """Listen no more; calls have `grace_s` to end."""
        self._stopping = True
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))

    async def _open(self, address: str) -> int:
        server = self._make()
        port: int = server.add_insecure_port(address)
        before = asyncio.all_tasks()
        await server.start()
        self._servers.append(server)
        for task in asyncio.all_tasks() - before:
            if getattr(task.get_coro(), "__qualname__", "") == _LOOP:
                task.add_done_callback(self._ended)
        return port

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        if self._stopping or task.cancelled():
            return
        error = repr(task.exception())
        logger.warning("the gRPC port closed unexpectedly; it is opened again", error=error)
        self._tasks.start("grpc-listener", self._open_again(), lambda error: None)

    async def _open_again(self) -> None:
        ended = self._servers[-1]
        while not self._stopping:
            await asyncio.sleep(OPEN_AGAIN_AFTER_S)
            try:
                await self._open(self._address)
                break
            except RuntimeError as error:  # somebody took it meanwhile
                logger.error("the gRPC port does not open again", error=str(error))
        await ended.stop(CALLS_GO_ON_S)
        self._servers.remove(ended)
