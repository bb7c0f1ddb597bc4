"""The process around a broker: loop, signals, diagnostics, the one line on stdout, the exit."""

import asyncio
import gc
import socket
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from logd.broker.broker import Broker
from logd.broker.config import BrokerConfig, is_every_address, is_loopback, split_address
from logd.broker.diagnostics import configure_diagnostics
from logd.broker.doors.grpc_door.grpc_server import GrpcServer
from logd.broker.event_rates import EventRates
from logd.broker.loop_watch import LoopWatch
from logd.broker.printed_lines import PrintedLines
from logd.broker.start_progress import StartProgress
from logd.broker.wiring import Seams, open_broker
from logd.model.errors import InvalidConfig
from logd.rpc.listener import FLIGHT, PUBLIC
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
    broker = await _open(config, seams)
    server = GrpcServer(broker.dispatcher(PUBLIC), seams.clock, seams.tasks)
    try:
        port = await server.start(config.listen)
        flight, flight_port = _open_flight_door(config, broker)
        address = _advertised(config, port)
        advertised_host = split_address(address)[0]
        broker.announce(address, f"{advertised_host}:{flight_port}" if flight else "")
        server.set_serving(True)
    except BaseException:
        await server.stop(grace_s=0)
        await broker.close()
        raise
    stop = asyncio.Event()
    signals.serving(partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set))
    watch = LoopWatch(at_tick=rates.tell)
    gc.collect()
    gc.freeze()  # what a start made stays: no collection need ever look at it again
    gc.set_threshold(*GC_THRESHOLDS)
    watch.start()
    listening = f"{config.listen_host}:{port}"
    announce(f"logd serves on {listening}")
    logger.info("serving", address=listening, data_dir=config.data_dir)
    _warn_of_others(config, listening, address)
    await stop.wait()
    logger.info("draining", timeout_ms=config.drain_timeout_ms)
    server.set_serving(False)
    await _drain(broker, [server, *filter(None, [flight])])
    watch.stop()


async def _open(config: BrokerConfig, seams: Seams) -> Broker:
    """Says what it waits for where that takes long."""
    progress = StartProgress()
    telling = asyncio.ensure_future(progress.tell())
    try:
        return await open_broker(config, seams, progress.begin)
    finally:
        telling.cancel()


def _advertised(config: BrokerConfig, port: int) -> str:
    """What clients shall connect to: never every address, which is none."""
    host = config.listen_host
    return config.advertise or f"{socket.gethostname() if is_every_address(host) else host}:{port}"


def _warn_of_others(config: BrokerConfig, listening: str, advertised: str) -> None:
    """There is neither TLS nor a login yet."""
    addresses = [listening, *filter(None, [config.flight_address])]
    others = [each for each in addresses if not is_loopback(split_address(each)[0])]
    if others:
        logger.warning(
            "anybody who reaches this broker may read, write and delete",
            listen=", ".join(others),
            advertised=advertised,
            hint="listen on loopback or a network you trust; clients are told the advertised "
            "address, which --advertise sets",
        )


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
    door = FlightServer(broker.dispatcher(FLIGHT), broker.cluster_id)
    return door, door.start(config.flight_address)


class _Door(Protocol):
    async def stop(self, grace_s: float) -> None: ...


async def _drain(broker: Broker, doors: Sequence[_Door]) -> None:
    """Answer what waits, close the doors, sync all, release the lock. StopSignals keeps the bound
    on it, and on the pools' threads ending after it."""
    await broker.drain()
    await asyncio.gather(*(door.stop(grace_s=1.0) for door in doors))
    await broker.close()
