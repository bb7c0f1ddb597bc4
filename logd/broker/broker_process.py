"""The process around a broker: loop, signals, diagnostics, the one line on stdout, the exit."""

import asyncio
import gc
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from logd.broker.broker import Broker
from logd.broker.config import BrokerConfig, split_address
from logd.broker.diagnostics import configure_diagnostics
from logd.broker.doors.grpc_door.grpc_server import GrpcServer
from logd.broker.event_rates import EventRates
from logd.broker.loop_watch import LoopWatch
from logd.broker.printed_lines import PrintedLines
from logd.broker.wiring import Seams, open_broker
from logd.model.errors import InvalidConfig
from logd.system.malloc_thresholds import raise_malloc_thresholds
from logd.system.open_descriptors import raise_descriptor_limit
from logd.system.stop_signals import StopSignals

if TYPE_CHECKING:
    from logd.broker.doors.flight_door.flight_server import FlightServer

logger = structlog.get_logger()

GC_THRESHOLDS = (50_000, 20, 100)
"""A full collection walks everything: rarer than Python's default, since little here has cycles."""


def run_broker(config: BrokerConfig, seams: Seams, announce: Callable[[str], None]) -> int:
    """Run until SIGTERM or SIGINT; the exit status. Raises LogdError where it can't start.

    `announce` is given the one line with the address, once the broker serves.
    """
    raise_malloc_thresholds()
    raise_descriptor_limit()
    rates = configure_diagnostics(config.log_level, config.log_format, seams.clock)
    with redirect_stderr(PrintedLines()), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(config, seams, rates, announce))
    logger.info("stopped")
    rates.tell()
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(
    config: BrokerConfig, seams: Seams, rates: EventRates, announce: Callable[[str], None]
) -> None:
    signals = StopSignals(config.drain_timeout_ms / 1000)
    signals.listen()
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
    stop = asyncio.Event()
    signals.serving(partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set))
    watch = LoopWatch(at_tick=rates.tell)
    gc.collect()
    gc.freeze()  # what a start made stays: no collection need ever look at it again
    gc.set_threshold(*GC_THRESHOLDS)
    watch.start()
    announce(f"logd serves on {host}:{port}")
    logger.info("serving", address=f"{host}:{port}", data_dir=config.data_dir)
    await stop.wait()
    logger.info("draining", timeout_ms=config.drain_timeout_ms)
    await server.set_serving(False)
    await _drain(broker, [server, *filter(None, [flight])])
    watch.stop()


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


async def _drain(broker: Broker, doors: Sequence[_Door]) -> None:
    """Answer what waits, close the doors, sync all, release the lock. StopSignals keeps the bound
    on it, and on the pools' threads ending after it."""
    await broker.drain()
    await asyncio.gather(*(door.stop(grace_s=1.0) for door in doors))
    await broker.close()
