from pathlib import Path

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import StoredDataCorrupt, UnsupportedVersion
from logd.model.ids import (
    NO_LEADER_EPOCH,
    LeaderEpoch,
    Offset,
    PartitionId,
    TopicId,
    TopicPartition,
)
from logd.system.os_file_system import OsFileSystem
from logd_partitions.leader_epochs import (
    EpochEnd,
    EpochEntry,
    LeaderEpochs,
    decode_epochs,
    encode_epochs,
)

OWNER = TopicPartition(TopicId(bytes(range(16))), PartitionId(3))
GOLDEN = bytes.fromhex(
    "4c474c45 0200 0000"  # magic, version, reserved
    "000102030405060708090a0b0c0d0e0f 03000000 02000000"  # topic, partition, count
    "03000000 0a00000000000000"  # epoch 3 from offset 10
    "07000000 6400000000000000"  # epoch 7 from offset 100
    "a34f9458"
)
VERSION_1 = bytes.fromhex(
    "4c474c45 0100 0000 0200000003000000 0a0000000000000007000000 64000000000000006f0bef31"
)


def epochs(tmp_path: Path, *entries: tuple[int, int]) -> LeaderEpochs:
    made = LeaderEpochs(OsFileSystem(), str(tmp_path / "leader-epochs"), OWNER)
    made.load()
    for epoch, start in entries:
        assert made.assign(LeaderEpoch(epoch), Offset(start))
    return made


def test_golden_bytes() -> None:
    entries = (EpochEntry(LeaderEpoch(3), Offset(10)), EpochEntry(LeaderEpoch(7), Offset(100)))
    assert encode_epochs(OWNER, entries) == GOLDEN
    assert decode_epochs(GOLDEN, "x", OWNER) == (OWNER, entries)
    assert decode_epochs(VERSION_1, "x", OWNER) == (None, entries)


def test_a_file_of_another_partition_counts_as_damaged() -> None:
    with pytest.raises(StoredDataCorrupt, match="x is another partition's"):
        decode_epochs(GOLDEN, "x", OWNER._replace(partition=PartitionId(2)))


def test_every_flipped_bit_and_every_cut_is_found() -> None:
    for bit in range(len(GOLDEN) * 8):
        data = bytearray(GOLDEN)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StoredDataCorrupt, match="where"):
            decode_epochs(bytes(data), "where")
    for size in range(len(GOLDEN)):
        with pytest.raises(StoredDataCorrupt):
            decode_epochs(GOLDEN[:size], "where")


def test_a_newer_version_is_refused() -> None:
    data = GOLDEN[:4] + b"\x03" + GOLDEN[5:-4]
    with pytest.raises(UnsupportedVersion, match="newer logd"):
        decode_epochs(data + crc32c(data).to_bytes(4, "little"), "x")


def test_an_epoch_is_assigned_once(tmp_path: Path) -> None:
    made = epochs(tmp_path, (1, 0))
    assert not made.assign(LeaderEpoch(1), Offset(50))
    assert made.assign(LeaderEpoch(4), Offset(60))
    assert made.entries == ((1, 0), (4, 60))
    assert made.latest() == 4
    with pytest.raises(AssertionError):
        made.assign(LeaderEpoch(3), Offset(70))
    with pytest.raises(AssertionError):
        made.assign(LeaderEpoch(5), Offset(59))


def test_an_epoch_without_a_batch_gives_way(tmp_path: Path) -> None:
    assert epochs(tmp_path, (1, 0), (2, 5), (3, 5)).entries == ((1, 0), (3, 5))


def test_what_holds_at_an_offset(tmp_path: Path) -> None:
    made = epochs(tmp_path, (1, 10), (4, 60))
    found = [made.epoch_at(Offset(o)) for o in (0, 9, 10, 59, 60, 1000)]
    assert found == [NO_LEADER_EPOCH, NO_LEADER_EPOCH, 1, 1, 4, 4]
    assert epochs(tmp_path).epoch_at(Offset(0)) == NO_LEADER_EPOCH


def test_where_an_epoch_ended(tmp_path: Path) -> None:
    made = epochs(tmp_path, (1, 10), (4, 60))

    def ended(epoch: int) -> EpochEnd | None:
        return made.end_offset_for(LeaderEpoch(epoch), Offset(99))

    assert [ended(e) for e in range(6)] == [None, (1, 60), (1, 60), (1, 60), (4, 99), None]


def test_truncation(tmp_path: Path) -> None:
    made = epochs(tmp_path, (1, 10), (4, 60), (5, 80))
    made.truncate_to(Offset(80))
    assert list(made.entries) == [(1, 10), (4, 60)]
    made.advance_log_start(Offset(5))
    assert list(made.entries) == [(1, 10), (4, 60)]
    made.advance_log_start(Offset(30))
    assert list(made.entries) == [(1, 30), (4, 60)]
    made.advance_log_start(Offset(500))
    assert list(made.entries) == [(4, 500)]
    made.truncate_to(Offset(0))
    assert not made.entries


def test_flush_and_load(tmp_path: Path) -> None:
    made = epochs(tmp_path)
    made.flush()
    assert not (tmp_path / "leader-epochs").exists(), "nothing changed, nothing to write"
    made.assign(LeaderEpoch(3), Offset(10))
    made.assign(LeaderEpoch(7), Offset(100))
    made.flush()
    assert (tmp_path / "leader-epochs").read_bytes() == GOLDEN
    assert epochs(tmp_path).entries == made.entries
    (tmp_path / "leader-epochs").write_bytes(b"rubbish")
    with pytest.raises(StoredDataCorrupt):
        epochs(tmp_path)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["append", "raise", "cut", "drop"]), st.integers(0, 30))
    )
)
def test_against_a_list_of_every_offsets_epoch(steps: list[tuple[str, int]]) -> None:
    made = LeaderEpochs(OsFileSystem(), "unused", OWNER)
    start, written, epoch = 0, list[int](), 0
    for step, number in steps:
        end = start + len(written)
        if step == "append":
            made.assign(LeaderEpoch(epoch), Offset(end))
            written += [epoch] * (number + 1)
        elif step == "raise":
            epoch += number
        elif step == "cut":
            written = written[: number if number < len(written) else len(written)]
            made.truncate_to(Offset(start + len(written)))
            epoch += 1
        else:
            dropped = min(number, max(len(written) - 1, 0))
            if written:
                start, written = start + dropped, written[dropped:]
                made.advance_log_start(Offset(start))
        for at, expected in enumerate(written):
            assert made.epoch_at(Offset(start + at)) == expected
