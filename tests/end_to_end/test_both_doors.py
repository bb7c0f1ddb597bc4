"""The same records through either door leave the same bytes, but for the leader's stamps and what
comes of the producer's id."""

import random
import time
from pathlib import Path
from typing import Literal

import pytest

from harness import broker_process
from harness.broker_process import BrokerProcess, Door
from logd.model.record_batch import HEADER_BYTES, BatchHeader
from logd_client import Admin, Producer

MASKED = [(8, 12), (24, 32), (32, 40), (44, 48), (80, 88)]
"""header_crc, append_timestamp_ms, synced_hint, body_crc, producer_id: they tell of the moment and
the producer, not of the records."""
FLUSHES = 6
"""Each is a batch, with what was added since the last."""
Codec = Literal["none", "lz4", "zstd"]


async def produce(address: str, codec: Codec, timestamp_ms: int) -> None:
    chooser = random.Random(7)
    async with Admin(bootstrap_servers=address) as admin:
        await admin.create_topic("orders")
    async with Producer(
        bootstrap_servers=address, compression_type=codec, linger_ms=60_000
    ) as producer:
        for number in range(FLUSHES):
            for count in range(50):
                size = 64 if number % 2 else chooser.choice((0, 1, 7, 64, 3000))
                await producer.send(
                    "orders",
                    None if count % 9 == 8 else chooser.randbytes(size // 2) * 2,
                    None if count % 3 else b"key %d" % count,
                    headers=[("h", b"%d" % count), ("empty", b"")] if count % 4 == 0 else None,
                    timestamp_ms=timestamp_ms + chooser.randint(0, 1000),
                )
            await producer.flush()


def masked_batches(segment: Path) -> list[bytes]:
    raw = bytearray(segment.read_bytes())
    batches, at = [], 0
    while at + HEADER_BYTES <= len(raw) and (length := BatchHeader.unpack(raw, at).batch_length):
        batch = raw[at : at + length]
        for start, end in MASKED:
            batch[start:end] = bytes(end - start)
        batches.append(bytes(batch))
        at += length
    assert not any(raw[at:]), "nothing but batches"
    return batches


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
async def test_both_doors_leave_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: Codec
) -> None:
    timestamp_ms = int(time.time() * 1000) - 10_000
    left: dict[Door, list[bytes]] = {}
    doors: tuple[Door, Door] = ("grpc", "flight")
    for door in doors:
        monkeypatch.setattr(broker_process, "door", door)
        with BrokerProcess(tmp_path / door) as broker:
            await produce(broker.address, codec, timestamp_ms)
            assert broker.stop() == 0
        left[door] = masked_batches(broker.data_dir / "orders-0" / f"{0:020}.log")
    assert len(left["grpc"]) == FLUSHES
    assert left["grpc"] == left["flight"]
