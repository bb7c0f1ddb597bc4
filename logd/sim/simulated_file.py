"""One file of a simulated disk: what processes see of it, and what a power failure would leave."""

import weakref
from collections.abc import Sequence
from typing import NamedTuple

from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_process import SimulatedProcess

PAGE_BYTES = 4096


class Change(NamedTuple):
    """`data` was written at `at`; or (None) the size was set to `at`."""

    at: int
    data: bytes | None

    @property
    def end(self) -> int:
        return self.at + len(self.data or b"")


class SimulatedMap:
    """Implements `FileMap`: a copy that the file's writes keep up to date while `process` lives."""

    def __init__(self, data: bytearray, process: SimulatedProcess) -> None:
        self.buffer = bytearray(data)
        self.view = memoryview(self.buffer).toreadonly()
        self._process = process
        self._closed = False

    @property
    def is_live(self) -> bool:
        return not self._closed and self._process.alive

    def close(self) -> None:
        self.view.release()
        self._closed = True


class SimulatedFile:
    """`data` is the page cache, `durable` the disk, `pending` the changes that no sync has covered.

    A sync that fails leaves the pages that it did not write clean, as Linux does: they are seen
    until the cache is dropped, and no later sync writes them.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.durable = bytearray()
        self.pending: list[Change] = []
        self.linked = False
        self.locked_by: SimulatedProcess | None = None
        self._maps: list[weakref.ref[SimulatedMap]] = []

    def write(self, at: int, data: bytes) -> None:
        self._change(Change(at, data))
        for mapped in self._live_maps():
            part = data[: max(0, len(mapped.buffer) - at)]
            mapped.buffer[at : at + len(part)] = part

    def resize(self, size: int) -> None:
        """Cut off, or grow by zeros. Under a map only behind the map's end: else a reader of the
        map would get a SIGBUS, so it is asserted."""
        for mapped in self._live_maps():
            assert size >= len(mapped.buffer), "a mapped part of a file was cut off: SIGBUS"
        self._change(Change(size, None))

    def map(self, size: int, process: SimulatedProcess) -> SimulatedMap:
        """The first `size` bytes. Raises ValueError beyond the end, as mmap does."""
        if size > len(self.data):
            raise ValueError("mmap length is greater than file size")
        mapped = SimulatedMap(self.data[:size], process)
        self._maps.append(weakref.ref(mapped))
        return mapped

    def sync(self) -> None:
        for change in self.pending:
            apply(self.durable, change)
        self.pending = []

    def fail_sync(self, random: SeededRandom) -> None:
        """Some of it reached the disk; the rest counts as clean all the same."""
        self.durable = survive(self.durable, self.pending, random)
        self.pending = []

    def drop_cache(self) -> None:
        """What is clean is read from the disk again. The size is no page: it stays."""
        size = len(self.data)
        self.data = bytearray(self.durable)
        for change in self.pending:
            apply(self.data, change)
        _resize(self.data, size)

    def lose_power(self, random: SeededRandom) -> None:
        """Of what was not synced, anything may have reached the disk."""
        self.durable = survive(self.durable, self.pending, random)
        self.data = bytearray(self.durable)
        self.pending, self._maps = [], []

    def flip_bit(self, bit: int) -> None:
        """The disk forgets: bit number `bit` turns, unseen while the page is cached."""
        self.durable[bit // 8] ^= 1 << bit % 8

    def _change(self, change: Change) -> None:
        apply(self.data, change)
        self.pending.append(change)

    def _live_maps(self) -> list[SimulatedMap]:
        live = [mapped for ref in self._maps if (mapped := ref()) is not None and mapped.is_live]
        self._maps = [weakref.ref(mapped) for mapped in live]
        return live


def apply(image: bytearray, change: Change) -> None:
    """Make one change in a file's bytes."""
    if change.data is None:
        _resize(image, change.at)
        return
    if len(image) < change.end:
        _resize(image, change.end)
    image[change.at : change.end] = change.data


def survive(durable: bytearray, pending: Sequence[Change], random: SeededRandom) -> bytearray:
    """The bytes that a power failure leaves: any of the changes, the last torn at any byte, or each
    page with as many of its changes as it likes."""
    image = bytearray(durable)
    how = random.pick(("nothing", "everything", "prefix", "prefix", "pages", "pages"))
    if how == "nothing" or not pending:
        return image
    if how == "pages":
        return _scattered(image, pending, random)
    whole = len(pending) if how == "everything" else random.below(len(pending))
    for change in pending[:whole]:
        apply(image, change)
    if whole < len(pending) and (torn := pending[whole]).data:
        apply(image, Change(torn.at, torn.data[: random.below(len(torn.data) + 1)]))
    return image


def _scattered(image: bytearray, pending: Sequence[Change], random: SeededRandom) -> bytearray:
    """Pages go to the disk one by one, in any order; the size is that after some of the changes."""
    sized, size = random.below(len(pending) + 1), len(image)
    written: dict[int, int] = {}
    """Page -> how many of the changes it has."""
    for number, change in enumerate(pending):
        if change.data is None:
            if number < sized:
                _resize(image, change.at)
                size = change.at
            continue
        if number < sized:
            size = max(size, change.end)
        at = change.at
        while at < change.end:
            page = at // PAGE_BYTES
            end = min(change.end, (page + 1) * PAGE_BYTES)
            if page not in written:
                written[page] = random.below(len(pending) + 1)
            if number < written[page]:
                apply(image, Change(at, change.data[at - change.at : end - change.at]))
            at = end
    _resize(image, size)
    return image


def _resize(image: bytearray, size: int) -> None:
    if size < len(image):
        del image[size:]
    else:
        image.extend(bytes(size - len(image)))
