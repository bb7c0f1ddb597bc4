import threading
from dataclasses import replace
from pathlib import Path

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import StoredDataCorrupt, UnsupportedVersion
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd.system.os_file_system import OsFileSystem
from logd_partitions.recovery.recovery_points import RecoveryPoint, RecoveryPoints, decode_points

TOPIC = TopicId(bytes(range(16)))
POINT = RecoveryPoint(TOPIC, PartitionId(3), Offset(100), 4096, Offset(150), Offset(7), True)
GOLDEN = bytes.fromhex(
    "4c475250 0100 0000 01000000"  # magic, version, reserved, count
    "000102030405060708090a0b0c0d0e0f 03000000"  # topic id, partition
    "6400000000000000 0010000000000000 9600000000000000 0700000000000000"
    "01000000"  # open
    "5a94b8c4"
)


def points(tmp_path: Path) -> RecoveryPoints:
    return RecoveryPoints(OsFileSystem(), str(tmp_path / "recovery-points"))


def test_golden_bytes(tmp_path: Path) -> None:
    made = points(tmp_path)
    made.put(POINT)
    made.write()
    assert (tmp_path / "recovery-points").read_bytes().hex() == GOLDEN.hex()
    again = points(tmp_path)
    again.load()
    assert again.all() == [POINT]
    assert again.get(POINT.topic_partition) == POINT
    assert again.get(TopicPartition(TOPIC, PartitionId(4))) is None


def test_every_flipped_bit_and_every_cut_is_found() -> None:
    for bit in range(len(GOLDEN) * 8):
        data = bytearray(GOLDEN)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StoredDataCorrupt, match="where"):
            decode_points(bytes(data), "where")
    for size in range(len(GOLDEN)):
        with pytest.raises(StoredDataCorrupt):
            decode_points(GOLDEN[:size], "where")


@given(data=st.binary(max_size=200))
def test_a_right_checksum_over_wrong_bytes_is_an_error_too(data: bytes) -> None:
    data = GOLDEN[:12] + data
    whole = len(data) == len(GOLDEN) - 4
    try:
        assert len(decode_points(data + crc32c(data).to_bytes(4, "little"), "x")) == 1 and whole
    except StoredDataCorrupt:
        assert not whole


def test_a_newer_version_is_refused() -> None:
    data = GOLDEN[:4] + b"\x02" + GOLDEN[5:-4]
    with pytest.raises(UnsupportedVersion, match="newer logd"):
        decode_points(data + crc32c(data).to_bytes(4, "little"), "x")


def test_the_last_put_counts(tmp_path: Path) -> None:
    made = points(tmp_path)
    made.put(POINT)
    closed = replace(POINT, next_offset=Offset(200), open=False)
    made.put(closed)
    other = replace(POINT, partition=PartitionId(4))
    made.put(other)
    made.remove(TopicPartition(TOPIC, PartitionId(99)))
    made.write()
    made.put(POINT)
    made.remove(other.topic_partition)
    again = points(tmp_path)
    again.load()
    assert again.all() == [closed, other], "what was not written is not there"
    assert made.all() == [POINT]


def test_no_file_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        points(tmp_path).load()
    (tmp_path / "recovery-points").write_bytes(b"")
    with pytest.raises(StoredDataCorrupt):
        points(tmp_path).load()
    points(tmp_path).write()
    points(tmp_path).load()


class SlowFileSystem(OsFileSystem):
    """Counts rewrites; the first waits until it is released."""

    def __init__(self) -> None:
        self.renames = 0
        self.reached, self.released = threading.Event(), threading.Event()

    def rename(self, source: str, target: str) -> None:
        self.renames += 1
        self.reached.set()
        assert self.released.wait(10)
        super().rename(source, target)


def test_writes_of_many_threads_are_joined(tmp_path: Path) -> None:
    fs = SlowFileSystem()
    made = RecoveryPoints(fs, str(tmp_path / "recovery-points"))
    made.put(POINT)
    threads = [threading.Thread(target=made.write)]
    threads[0].start()
    assert fs.reached.wait(10)
    for partition in range(10, 20):  # they come while the first rewrite is under way
        made.put(replace(POINT, partition=PartitionId(partition)))
        threads.append(threading.Thread(target=made.write))
        threads[-1].start()
    fs.released.set()
    for thread in threads:
        thread.join()
    assert fs.renames == 2
    made.write()
    assert fs.renames == 2, "nothing has changed since"
    again = points(tmp_path)
    again.load()
    assert again.all() == made.all()
    assert len(again.all()) == 11


def test_a_failed_write_is_not_taken_for_done(tmp_path: Path) -> None:
    made = RecoveryPoints(OsFileSystem(), str(tmp_path / "missing" / "recovery-points"))
    made.put(POINT)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            made.write()
    (tmp_path / "missing").mkdir()
    made.write()
    assert (tmp_path / "missing" / "recovery-points").read_bytes() == GOLDEN
