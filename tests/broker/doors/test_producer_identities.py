"""Through every way in: only what InitProducer gave out is taken, over restarts and repairs."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from harness.faulty_file_system import FaultyFileSystem
from harness.manual_clock import ManualClock
from harness.two_doors import WAYS, Way, two_doors
from logd.broker.metadata_repair import carry_out, planned_rebuild
from logd.model.batch_encoder import encode_batch
from logd.model.ids import ProducerId
from logd.model.record_batch import HEADER_BYTES, BatchHeader, body_crc, pack_header, stamp
from logd_proto.v1 import common_pb2

INT32_MAX, INT64_MAX = (1 << 31) - 1, (1 << 63) - 1


def batch(producer_id: int, epoch: int, sequence: int, value: bytes = b"v") -> bytes:
    return encode_batch(
        [value],
        timestamps_ms=1,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
    )


def reason(answer: int | common_pb2.Error) -> str:
    return answer.reason if isinstance(answer, common_pb2.Error) else f"offset {answer}"


def never_given(mine: tuple[int, int], other: int) -> Iterable[tuple[int, int]]:
    """Ids and epochs near those that were given out, and at their ends."""
    mine_id, epoch = mine
    ids = [0, 1, 5_000, INT64_MAX, mine_id + 1, mine_id - 1, other + 1, mine_id ^ 1 << 40]
    yield from ((each, 0) for each in ids)
    yield from ((mine_id, each) for each in (epoch + 1, epoch + 2, 32_767, 32_768, INT32_MAX))


@pytest.mark.parametrize("way", WAYS)
async def test_what_was_never_given_out_is_refused(tmp_path: Path, way: Way) -> None:
    async with two_doors(tmp_path) as doors:
        topic_id = await doors.topic("orders")
        mine, (other, _) = await doors.init_producer(), await doors.init_producer()
        mine = await doors.init_producer(producer_id=mine[0], producer_epoch=mine[1])
        assert mine[1] == 1
    async with two_doors(tmp_path, seed=2) as doors:
        for sequence in (0, 7):
            for forged in never_given(mine, other):
                answer = await doors.produce(way, topic_id, batch(*forged, sequence))
                assert reason(answer) == "UNKNOWN_PRODUCER", forged
        assert reason(await doors.produce(way, topic_id, batch(*mine, 0))) == "offset 0"
        for forged in never_given(mine, other):
            answer = await doors.produce(way, topic_id, batch(*forged, 0))
            assert reason(answer) == "UNKNOWN_PRODUCER", forged
            taken = await doors.init_producer(
                producer_id=forged[0], producer_epoch=min(forged[1], 32_767)
            )
            assert taken[0] not in (forged[0], mine[0], other), "a new one"
        assert reason(await doors.produce(way, topic_id, batch(*mine, 1))) == "offset 1"
        assert reason(await doors.produce(way, topic_id, batch(other, 0, 0))) == "offset 2"


def with_producer_id(segment: Path, producer_id: int) -> None:
    """Rewrite the segment's first batch as if an older broker had taken it of this producer."""
    raw = bytearray(segment.read_bytes())
    header = BatchHeader.unpack(raw)._replace(producer_id=ProducerId(producer_id))
    changed = bytearray(pack_header(header)) + raw[HEADER_BYTES : header.batch_length]
    changed[44:48] = body_crc(changed).to_bytes(4, "little")
    stamps = {name: getattr(header, name) for name in ("leader_epoch", "base_offset")}
    changed[:HEADER_BYTES] = stamp(
        bytes(changed),
        append_timestamp_ms=header.append_timestamp_ms,
        synced_hint=header.synced_hint,
        **stamps,
    )
    raw[: header.batch_length] = changed
    segment.write_bytes(raw)


@pytest.mark.parametrize("old_id", [5_000, INT64_MAX])
async def test_ids_in_a_log_bind_no_counter(tmp_path: Path, old_id: int) -> None:
    """After a rebuild whatever the log holds is remembered, and new ids are given out."""
    async with two_doors(tmp_path) as doors:
        topic_id = await doors.topic("orders")
        (mine, _) = await doors.init_producer()
        assert reason(await doors.produce("grpc", topic_id, batch(mine, 0, 0))) == "offset 0"
    data = tmp_path / "data"
    with_producer_id(data / "orders-0" / f"{0:020}.log", old_id)
    (data / "recovery-points").unlink()
    with planned_rebuild(FaultyFileSystem(), ManualClock(), str(data)) as plan:
        carry_out(FaultyFileSystem(), plan)
    async with two_doors(tmp_path, seed=2) as doors:
        again = await doors.produce("grpc", topic_id, batch(old_id, 0, 0))
        assert reason(again) == "offset 0", "a retry over an upgrade, or a repair"
        assert reason(await doors.produce("grpc", topic_id, batch(old_id, 0, 1))) == "offset 1"
        assert (
            reason(await doors.produce("grpc", topic_id, batch(old_id, 1, 0))) == "UNKNOWN_PRODUCER"
        )
        assert (
            reason(await doors.produce("grpc", topic_id, batch(mine, 0, 0))) == "UNKNOWN_PRODUCER"
        )
        for number in range(3):
            new = await doors.init_producer()
            assert new[1] == 0 and 0 <= new[0] <= INT64_MAX
            answer = await doors.produce("grpc", topic_id, batch(*new, 0))
            assert reason(answer) == f"offset {2 + number}"
        replaced = await doors.init_producer(producer_id=old_id, producer_epoch=0)
        assert replaced[0] != old_id and replaced[1] == 0
