"""Recovery where the state of producers is lost: which ids it takes for new."""

from pathlib import Path

import pytest

from harness.log_bench import (
    TOPIC_PARTITION,
    LogBench,
    written_log,
)
from logd.model.errors import UnknownProducer
from logd.model.ids import Offset, PartitionId, ProducerId
from logd_partitions.core.producer_state import ProducerState


@pytest.mark.parametrize("damage", ["missing", "another partition's"])
def test_a_retry_of_what_retention_took_is_not_new_to_a_log_that_lost_its_snapshot(
    tmp_path: Path, damage: str
) -> None:
    """Its producer's id is higher than all that are left in the log."""
    bench = LogBench(tmp_path)
    bench.append(producer=(9, 0, 0))
    bench.log.roll()
    bench.append(producer=(5, 0, 0))
    bench.sync()
    bench.log.advance_log_start(Offset(3))
    path = bench.path / "producers.snapshot"
    if damage == "missing":
        path.unlink()
    else:
        other = TOPIC_PARTITION._replace(partition=PartitionId(7))
        state = ProducerState.from_bytes(path.read_bytes(), TOPIC_PARTITION)[0]
        path.write_bytes(state.to_bytes(other, bench.log.log_end_offset))
    bench.identities.first_id = ProducerId(1000)
    bench.crash()
    assert bench.append(producer=(5, 0, 0)).duplicate
    with pytest.raises(UnknownProducer) as caught:
        bench.append(producer=(9, 0, 0))
    assert caught.value.details["needs_new_id"] == "true"
    assert bench.append(producer=(1000, 0, 0)).base_offset == 6


def test_a_producer_whose_state_was_lost_is_not_taken_for_new(tmp_path: Path) -> None:
    bench = written_log(tmp_path)
    path = bench.segment_paths()[-1]
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    bench.identities.first_id = ProducerId(6)
    bench.crash()
    with pytest.raises(UnknownProducer) as caught:
        bench.append(producer=(4, 0, 0))
    assert caught.value.details["needs_new_id"] == "true"
    assert not bench.append(producer=(6, 0, 0), epoch=9).duplicate


@pytest.mark.parametrize("highest", [5_000, (1 << 63) - 1])
def test_ids_in_a_damaged_log_shut_no_new_ones_out(tmp_path: Path, highest: int) -> None:
    """Also after another start whose ids begin anew, and the number that the snapshot has."""
    bench = written_log(tmp_path)
    bench.append(producer=(highest, 0, 0), epoch=9)
    bench.sync()
    path = bench.segment_paths()[0]
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    (bench.path / "producers.snapshot").unlink(missing_ok=True)
    for first, refused in ((1000, 999), (20, 19)):
        bench.identities.first_id = ProducerId(first)
        bench.crash()
        with pytest.raises(UnknownProducer) as caught:
            bench.append(producer=(refused, 0, 0), epoch=9)
        assert caught.value.details["needs_new_id"] == "true"
        assert not bench.append(producer=(first, 0, 0), epoch=9).duplicate
        assert bench.append(producer=(highest, 0, 0), epoch=9).duplicate
        bench.log.roll()
        bench.sync()
