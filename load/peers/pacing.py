"""A steady rate, and the age of a value: one monotonic clock for all processes of a machine."""

import struct
import time
from collections.abc import Iterator

_CLOCK = struct.Struct("<q")


def stamp(size: int) -> bytes:
    """A value of `size` bytes, 8 at least, that knows when it was made."""
    return _CLOCK.pack(time.monotonic_ns()).ljust(size, b"\0")


def age(value: bytes | None) -> float:
    """Seconds since stamp() made it."""
    (made_ns,) = _CLOCK.unpack_from(value or b"")
    return (time.monotonic_ns() - int(made_ns)) / 1e9


def schedule(rate: int, count: int) -> Iterator[float]:
    """When each of `count` records is due, by time.monotonic(): `rate` a second from now on."""
    start = time.monotonic()
    for number in range(count):
        yield start + number / rate


def sleep_until(due: float) -> None:
    """Returns at once if that is past."""
    time.sleep(max(0.0, due - time.monotonic()))
