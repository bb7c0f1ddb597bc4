"""The compressing thread of a producer: what it gives back, and that its loop waits for it."""

import asyncio
import threading
import time
from collections.abc import Iterable

import pytest

from harness.manual_clock import ManualClock
from logd.model.batch_codecs import compress
from logd.model.batch_decoder import decode_batch
from logd.model.key_ranges import KeyRouter, even_ranges
from logd.model.record_batch import Codec
from logd.sim.seeded_random import SeededRandom
from logd_client.batch_compressor import COMPRESSED_APART_BYTES_MIN, BatchCompressor
from logd_client.core.accumulator import Accumulator, AccumulatorLimits
from logd_client.core.backoff import Backoff
from logd_client.core.partition_lane import PartitionLane
from logd_client.core.producer_batch import ProducerBatch
from logd_client.core.topic_lanes import Routing, TopicLanes


def full_batches(count: int, value_bytes: int = 100_000) -> list[ProducerBatch]:
    """Each of four records, its number in every byte of them."""
    limits = AccumulatorLimits(5 * value_bytes, 1 << 30, 0, 5)
    accumulator = Accumulator(limits, ManualClock(), object, lambda ms: None)
    routing = Routing(b"t" * 16, KeyRouter(even_ranges(1)), (0,), 1, 0, 1 << 24)
    topic = TopicLanes(
        "orders",
        routing,
        accumulator,
        lambda topic, partition: PartitionLane(topic, partition, Backoff(1, 1, SeededRandom())),
    )
    batches = []
    for number in range(count):
        for _ in range(4):
            topic.add(bytes([number]) * value_bytes)
        batches += [batch for _, batch in accumulator.drain_all()]
    return batches


def compress_all(batches: list[ProducerBatch], codec: Codec) -> list[ProducerBatch]:
    """Those that came back, in the order in which they did."""
    done: list[ProducerBatch] = []

    async def run() -> None:
        compressor = BatchCompressor(codec, done.append)
        compressor.begin(batches)
        while any(batch.is_compressing for batch in batches):
            await asyncio.sleep(0.001)
        compressor.close()

    asyncio.run(run())
    return done


def threads_since(before: Iterable[threading.Thread]) -> set[threading.Thread]:
    """Those that were begun since; a compressor that was closed before may still be ending its."""
    return set(threading.enumerate()) - set(before)


@pytest.mark.parametrize("codec", [Codec.LZ4, Codec.ZSTD])
def test_large_batches_come_back_in_order_as_if_compressed_here(codec: Codec) -> None:
    batches, same = full_batches(5), full_batches(5)
    assert compress_all(batches, codec) == batches
    for number, (batch, other) in enumerate(zip(batches, same, strict=True)):
        assert batch.values == [], "the columns are kept no longer than needed"
        encoded = batch.encoded(codec)
        assert encoded == other.encoded(codec)
        assert decode_batch(encoded).values == [bytes([number]) * 100_000] * 4


def test_small_batches_and_those_without_a_codec_need_no_thread() -> None:
    before = threading.enumerate()
    small = full_batches(1, COMPRESSED_APART_BYTES_MIN // 8)
    for batches, codec in ((small, Codec.ZSTD), (full_batches(1), Codec.NONE)):
        assert compress_all(batches, codec) == []
        assert decode_batch(batches[0].encoded(codec)).values
    assert threads_since(before) == set()


def test_a_large_batch_behind_a_small_one_is_compressed_apart() -> None:
    small, large = full_batches(1, COMPRESSED_APART_BYTES_MIN // 8), full_batches(1)
    assert compress_all([*small, *large], Codec.ZSTD) == large


def test_where_no_thread_can_be_started_batches_are_compressed_as_they_are_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As at the interpreter's exit."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    batches = full_batches(2)
    assert compress_all(batches, Codec.ZSTD) == []
    for number, batch in enumerate(batches):
        assert decode_batch(batch.encoded(Codec.ZSTD)).values == [bytes([number]) * 100_000] * 4


def test_the_loop_is_at_most_one_batch_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what is compressed waits for the interpreter, and what waits takes memory."""
    steps: list[str] = []

    def step(body: bytes, codec: Codec) -> bytes:
        steps.append("begun")
        time.sleep(0.01)
        steps.append("done")
        return body

    async def run() -> None:
        compressor = BatchCompressor(Codec.LZ4, lambda _: None)
        compressor.begin(full_batches(3))
        assert steps[:4] == ["begun", "done", "begun", "done"]
        compressor.close()

    monkeypatch.setattr("logd_client.batch_compressor.compress", step)
    asyncio.run(run())


def test_a_failure_leaves_the_batch_as_it_was_and_the_thread_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed: list[bytes] = []

    def fail_once(body: bytes, codec: Codec) -> bytes:
        if not failed:
            failed.append(body)
            raise MemoryError
        return compress(body, codec)

    monkeypatch.setattr("logd_client.batch_compressor.compress", fail_once)
    batches = full_batches(2)
    assert compress_all(batches, Codec.LZ4) == batches
    assert [len(batch.values) for batch in batches] == [4, 0]
    assert decode_batch(batches[0].encoded(Codec.LZ4)).values == [bytes([0]) * 100_000] * 4


def test_a_batch_that_was_given_up_meanwhile_stays_so() -> None:
    [batch] = full_batches(1)
    body = batch.begin_compressing(Codec.LZ4)
    batch.move([(batch, 0)] * 4)
    batch.end_compressing(body, Codec.LZ4)
    assert not batch.is_compressing and batch.values == []
    assert batch._encoded is None


def test_a_loop_that_closes_under_it_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()

    def compress_late(body: bytes, codec: Codec) -> bytes:
        assert closed.wait(10)
        return body

    async def run() -> None:
        BatchCompressor(Codec.ZSTD, lambda _: None).begin(full_batches(1))

    monkeypatch.setattr("logd_client.batch_compressor.compress", compress_late)
    before = threading.enumerate()
    asyncio.run(run())
    [thread] = threads_since(before)
    closed.set()
    thread.join(10)
    assert not thread.is_alive()
