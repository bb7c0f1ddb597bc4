"""What an open batch holds, and what it takes of the buffer, whichever way records come in."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from logd.model.batch_decoder import decode_batch
from logd.model.record_batch import Codec
from logd_client.core.open_batch import (
    AHEAD_RECORDS_MIN,
    RECORD_OVERHEAD_BYTES,
    BufferMemory,
    OpenBatch,
)
from logd_client.core.producer_batch import ProducerBatch

LIMIT_BYTES = 40_000
BATCH_BYTES = 16_000

Step = tuple[str, int, int]
"""What comes, how many, of what length."""


class Filler:
    """Puts records into a batch as long as they fit, and remembers them."""

    def __init__(self) -> None:
        self.memory = BufferMemory(LIMIT_BYTES)
        self.open = OpenBatch(ProducerBatch("t", 0, None, 0, 0), self.memory, BATCH_BYTES)
        self.records: list[tuple[bytes | None, bytes | None]] = []
        self.is_full = False

    def one(self, count: int, length: int, key: bytes | None = None) -> None:
        """As TopicLanes.add."""
        for _ in range(count):
            value = bytes(length)
            size = RECORD_OVERHEAD_BYTES + length + len(key or b"")
            if self.open.room_bytes < size:
                self.is_full = self.is_full or not self.open.fits(size)
                if self.is_full:
                    return
                assert self.open.grant(size), "one batch is less than the buffer"
            self.open.append(size, value, key, None, 0, exact=False)
            self.records.append((key, value))

    def keyed(self, count: int, length: int) -> None:
        self.one(count, length, b"key")

    def null(self, count: int, length: int) -> None:
        size = RECORD_OVERHEAD_BYTES
        if self.is_full or not self.open.fits(size):
            self.is_full = True
        elif self.open.grant(size):
            self.open.append(size, None, None, None, 0, exact=False)
            self.records.append((None, None))

    def ahead(self, count: int, length: int) -> None:
        """As TopicLanes.add_plain, then the short way."""
        batch = self.open.batch
        self.one(1, length)
        if batch.keys is not None or len(self.open.values) < AHEAD_RECORDS_MIN or self.is_full:
            return
        self.open.begin_ahead(5)
        self.short(count, length)

    def short(self, count: int, length: int) -> None:
        """The short way of send_nowait()."""
        value = bytes(length)
        for _ in range(count):
            values = self.open.values
            if len(values) < self.open.ahead_end and length <= self.open.ahead_value_bytes:
                values.append(value)
                self.records.append((None, value))

    def many(self, count: int, length: int) -> None:
        """As TopicLanes.add_many."""
        size = RECORD_OVERHEAD_BYTES + length
        if self.is_full or not self.open.fits(size):
            self.is_full = True
            return
        assert self.open.grant(size)
        self.open.reserve(size * count)
        count = min(count, self.open.room_bytes // size)
        self.open.extend(size * count, [bytes(length)] * count, length, 0)
        self.records += [(None, bytes(length))] * count

    def check(self) -> None:
        assert 0 <= self.open.room_bytes <= self.open.reserved_bytes == self.memory.used_bytes
        assert self.memory.used_bytes <= LIMIT_BYTES


STEPS: dict[str, Callable[[Filler, int, int], None]] = {
    "one": Filler.one,
    "keyed": Filler.keyed,
    "null": Filler.null,
    "ahead": Filler.ahead,
    "short": Filler.short,
    "many": Filler.many,
}
LIVES = st.lists(
    st.tuples(
        st.sampled_from(["one", "ahead", "ahead", "short", "many", "null", "keyed"]),
        st.integers(1, 60),
        st.integers(0, 300),
    ),
    min_size=1,
    max_size=30,
)


def taken_bytes(records: list[tuple[bytes | None, bytes | None]]) -> int:
    return sum(RECORD_OVERHEAD_BYTES + len(k or b"") + len(v or b"") for k, v in records)


@given(LIVES)
def test_it_holds_what_came_and_takes_no_less_than_that_of_the_buffer(steps: list[Step]) -> None:
    filler = Filler()
    for name, count, length in steps:
        STEPS[name](filler, count, length)
        filler.check()
    if not filler.records:
        return
    batch = filler.open.close()
    assert batch.record_count == len(filler.records)
    assert filler.memory.used_bytes == batch.reserved_bytes >= taken_bytes(filler.records)
    assert filler.open.ahead_end == 0 and filler.open.values == []
    decoded = decode_batch(batch.encoded(Codec.NONE))
    keys = decoded.keys or [None] * len(decoded.values)
    assert list(zip(keys, decoded.values, strict=True)) == filler.records


def test_what_came_ahead_is_counted_at_the_next_record_that_comes_otherwise() -> None:
    filler = Filler()
    filler.one(AHEAD_RECORDS_MIN, 100)
    filler.open.begin_ahead(5)
    ahead = filler.open.ahead_end - len(filler.open.values)
    assert ahead > 1 and 19 <= filler.open.room_bytes < 100 + RECORD_OVERHEAD_BYTES
    filler.open.values.append(bytes(100))
    filler.records.append((None, bytes(100)))
    filler.keyed(1, 0)
    assert filler.open.ahead_end == 0
    used = filler.open.reserved_bytes - filler.open.room_bytes
    assert used == taken_bytes(filler.records)


def test_a_buffer_that_is_full_gives_no_room_and_keeps_its_count() -> None:
    memory = BufferMemory(1_000)
    first, other = (
        OpenBatch(ProducerBatch("t", partition, None, 0, 0), memory, BATCH_BYTES)
        for partition in range(2)
    )
    assert first.grant(600) and memory.used_bytes == 1_000, "as much as there is, for later records"
    assert not other.grant(1) and memory.used_bytes == 1_000
    first.append(600, bytes(584), None, None, 0, exact=False)
    assert first.close().reserved_bytes == memory.used_bytes == 600
    assert other.grant(400)
