"""The process around a broker: loop, signals, diagnostics, the one line on stdout, the exit."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import structlog

from logd.broker.broker import Broker
from logd.broker.config import BrokerConfig, split_address
from logd.broker.diagnostics import configure_diagnostics
from logd.broker.doors.grpc_door.grpc_server import GrpcServer
from logd.broker.loop_watch import LoopWatch
from logd.broker.wiring import Seams, open_broker
from logd.model.errors import InvalidConfig
from logd.system.malloc_thresholds import raise_malloc_thresholds

if TYPE_CHECKING:
    from logd.broker.doors.flight_door.flight_server import FlightServer

logger = structlog.get_logger()

GC_THRESHOLDS = (50_000, 20, 100)
"""A full collection walks everything: rarer than Python's default, since little here has cycles."""
DRAIN_TIMED_OUT = 1
"""Exit status."""


def run_broker(config: BrokerConfig, seams: Seams, announce: Callable[[str], None]) -> int:
    """Run until SIGTERM or SIGINT; the exit status. Raises LogdError where it can't start.

    `announce` is given the one line with the address, once the broker serves.
    """
    raise_malloc_thresholds()
    configure_diagnostics(config.log_level, config.log_format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        status = runner.run(_serve(config, seams, announce))
    if status == DRAIN_TIMED_OUT:  # an orderly exit would wait for the pools: the bound holds
        sys.stderr.flush()
        os._exit(status)
    return status


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(config: BrokerConfig, seams: Seams, announce: Callable[[str], None]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker = await open_broker(config, seams)
    try:
        server = GrpcServer(broker.authorizer, seams.clock)
        port = await server.start(config.listen, broker.rpcs)
        flight, flight_port = _open_flight_door(config, broker)
        host = config.listen_host
        address = config.advertise or f"{host}:{port}"
        advertised_host = split_address(address)[0]
        broker.announce(address, f"{advertised_host}:{flight_port}" if flight else "")
        await server.set_serving(True)
    except BaseException:
        await broker.close()
        raise
    watch = LoopWatch()
    gc.collect()
    gc.freeze()  # what a start made stays: no collection need ever look at it again
    gc.set_threshold(*GC_THRESHOLDS)
    watch.start()
    announce(f"logd serves on {host}:{port}")
    logger.info("serving", address=f"{host}:{port}", data_dir=config.data_dir)
    await stop.wait()
    logger.info("draining", timeout_ms=config.drain_timeout_ms)
    await server.set_serving(False)
    return await _drain(config, broker, [server, *filter(None, [flight])], watch)


def _open_flight_door(config: BrokerConfig, broker: Broker) -> "tuple[FlightServer | None, int]":
    """The door and its port, where pyarrow is installed. Raises InvalidConfig."""
    if not config.flight_address:
        return None, 0
    try:
        from logd.broker.doors.flight_door.flight_server import FlightServer
    except ImportError:
        if config.flight_listen != "auto":
            raise InvalidConfig(
                "flight_listen needs pyarrow: pip install 'logd[arrow]'", field="flight_listen"
            ) from None
        return None, 0
    door = FlightServer(broker.authorizer)
    return door, door.start(config.flight_address, broker.rpcs, broker.cluster_id)


class _Door(Protocol):
    async def stop(self, grace_s: float) -> None: ...


async def _drain(
    config: BrokerConfig, broker: Broker, doors: Sequence[_Door], watch: LoopWatch
) -> int:
    """Answer what waits, close the doors, sync all, release the lock; within the bound."""
    try:
        async with asyncio.timeout(config.drain_timeout_ms / 1000):
            await broker.drain()
            await asyncio.gather(*(door.stop(grace_s=1.0) for door in doors))
            watch.stop()
            await broker.close()
    except TimeoutError:
        logger.error("the drain took too long; what is acknowledged is safe, a start will recover")
        return DRAIN_TIMED_OUT
    logger.info("stopped")
    return 0
