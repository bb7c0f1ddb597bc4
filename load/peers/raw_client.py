"""The raw limit, from its client: buffers of 1 MiB, four of them under way, no records formed."""

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from pacing import age, schedule, sleep_until, stamp
from raw_server import ANSWER, LENGTH, fill

Options = dict[str, Any]
FRAME_BYTES = 1 << 20
IN_FLIGHT = 4


def version(address: str) -> str:
    """What it is; fails where nothing listens."""
    host, port = address.split(":")
    socket.create_connection((host, int(port)), timeout=5).close()
    return "sockets and a file"


def create(address: str, topic: str, partitions: int = 1, copies: int = 1) -> None:
    """The first connection makes the file."""


def delete(address: str, topic: str) -> None:
    with _open(address, "delete", topic) as connection:
        connection.recv(1)


def produce(
    address: str,
    topic: str,
    values: Sequence[bytes],
    opts: Options,
    timer: AbstractContextManager[Any],
) -> None:
    data = memoryview(b"".join(values))
    frames = [data[at : at + FRAME_BYTES] for at in range(0, len(data), FRAME_BYTES)]
    with _writer(address, topic, opts) as connection, timer:
        for number, frame in enumerate(frames):
            if number >= IN_FLIGHT:
                _answer(connection)
            connection.sendall(LENGTH.pack(len(frame)))
            connection.sendall(frame)
        for _ in frames[-IN_FLIGHT:]:
            _answer(connection)


def consume(
    address: str, topic: str, count: int, opts: Options, timer: AbstractContextManager[Any]
) -> int:
    buffer, size = bytearray(FRAME_BYTES), 0
    with timer, _open(address, "read", topic) as connection:
        while got := connection.recv_into(buffer):
            size += got
    return size


def latency(address: str, topic: str, values: Sequence[bytes], opts: Options) -> list[float]:
    took = []
    with _writer(address, topic, opts) as connection:
        for value in values:
            begin = time.perf_counter()
            connection.sendall(LENGTH.pack(len(value)) + value)
            _answer(connection)
            took.append(time.perf_counter() - begin)
    return took


def send_at(address: str, topic: str, rate: int, count: int, size: int, opts: Options) -> None:
    with _writer(address, topic, opts) as connection:
        for due in schedule(rate, count):
            sleep_until(due)
            connection.sendall(LENGTH.pack(size) + stamp(size))
            _answer(connection)


def receive(
    address: str, topic: str, count: int, ready: Callable[[], None], opts: Options
) -> list[float]:
    value, ages = bytearray(opts["size"]), []
    with _open(address, "follow", topic) as connection:
        connection.recv(1)
        ready()
        for _ in range(count):
            if not fill(connection, memoryview(value)):
                raise ConnectionError("the server went away")
            ages.append(age(bytes(value)))
    return ages


def _writer(address: str, topic: str, opts: Options) -> socket.socket:
    return _open(address, "sync" if opts["durability"] == "fsync" else "write", topic)


def _open(address: str, verb: str, topic: str) -> socket.socket:
    host, port = address.split(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(f"{verb} {topic}\n".encode())
    return connection


def _answer(connection: socket.socket) -> int:
    answer = bytearray(ANSWER.size)
    if not fill(connection, memoryview(answer)):
        raise ConnectionError("the server went away")
    return int(ANSWER.unpack(answer)[0])
