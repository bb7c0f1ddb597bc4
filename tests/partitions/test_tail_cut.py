import errno
from pathlib import Path

from harness.faulty_file_system import Fault
from harness.log_bench import SMALL_SEGMENTS, written_log
from logd.model.errors import LogReadOnly, StoredDataCorrupt


def test_a_torn_last_batch_is_cut_at_every_byte(tmp_path: Path) -> None:
    bench = written_log(tmp_path)
    point = bench.point
    before = bench.log.size_bytes
    bench.append([b"torn"])
    data = bench.segment_paths()[-1].read_bytes()
    end = len(data.rstrip(b"\0"))
    for cut in range(before, end):
        bench.point = point
        for left in bench.path.glob("*.cut"):
            left.unlink()
        bench.segment_paths()[-1].write_bytes(data[:cut] + bytes(len(data) - cut))
        bench.crash()
        assert bench.log.log_end_offset == 16
        assert bench.segment_paths()[-1].stat().st_size == before
        kept = [left.read_bytes() for left in bench.path.glob("*.cut")]
        lost = data[before:cut].rstrip(b"\0")
        assert kept == ([lost] if lost else [])
        assert bench.reasons() == (["POSSIBLE_LOSS"] if lost else [])
    assert bench.append([b"new"]).base_offset == 16
    assert bench.readable() == ([*range(0, 16, 2), 16], [])


def test_no_old_bytes_come_back_after_a_torn_tail(tmp_path: Path) -> None:
    """Two batches of one size: the first is torn, and the second, old one follows at its place."""
    bench = written_log(tmp_path)
    point, before = bench.point, bench.log.size_bytes
    bench.append([b"torn"])
    bench.append([b"old!"])
    path = bench.segment_paths()[-1]
    data = bytearray(path.read_bytes())
    data[before + 60] ^= 1
    path.write_bytes(data)
    bench.point = point
    bench.crash()
    assert bench.log.log_end_offset == 16
    bench.append([b"new1"])
    bench.crash()
    assert bench.log.log_end_offset == 17
    assert len(list(bench.path.glob("*.cut"))) == 1


def test_a_torn_roll_takes_the_new_segment_with_it(tmp_path: Path) -> None:
    """Power went while neither the old segment's end nor the new segment was synced."""
    bench = written_log(tmp_path, config=SMALL_SEGMENTS)
    point, before = bench.point, bench.log.size_bytes
    bench.append([bytes(2000)])
    bench.append([bytes(2000)])
    old, new = bench.segment_paths()
    data = bytearray(old.read_bytes())
    data[before:] = bytes(len(data) - before)
    old.write_bytes(data)
    bench.point = point
    bench.crash()
    assert bench.log.log_end_offset == 16
    assert bench.segment_paths() == [old]
    assert [left.name for left in bench.path.glob("*.cut")] == [f"{17:020d}.0.cut"]
    assert bench.append([b"x"]).base_offset == 16
    assert not new.exists()


def test_a_full_disk_does_not_keep_a_torn_log_from_opening(tmp_path: Path) -> None:
    bench = written_log(tmp_path)
    point, before = bench.point, bench.log.size_bytes
    bench.append([b"torn"])
    data = bytearray(bench.segment_paths()[-1].read_bytes())
    data[before + 100] ^= 1
    bench.segment_paths()[-1].write_bytes(data)
    bench.point = point
    bench.fs.free = 0
    bench.crash()
    assert bench.log.log_end_offset == 16
    assert bench.reasons() == ["POSSIBLE_LOSS"]


def test_an_interrupted_recovery_is_done_again(tmp_path: Path) -> None:
    """The disk fails at each call of a recovery in turn; the next one ends the same."""
    bench = written_log(tmp_path, config=SMALL_SEGMENTS)
    point, before = bench.point, bench.log.size_bytes
    bench.append([bytes(2000)])
    bench.append([bytes(2000)])
    data = bytearray(bench.segment_paths()[0].read_bytes())
    data[before + 200] ^= 1
    bench.segment_paths()[0].write_bytes(data)
    cases = 0
    for call in ("open", "pread", "pwrite", "datasync", "rename", "truncate", "sync_directory"):
        for skip in range(40):
            root = tmp_path / f"{call}-{skip}"
            root.mkdir()
            copy = bench.copy(root)
            copy.point = point
            fault = Fault(call, error=errno.EIO, skip=skip)
            copy.fs.faults.append(fault)
            try:
                copy.open()
            except LogReadOnly:
                cases += 1
            except StoredDataCorrupt:
                cases += 1
            finished = fault.times > 0
            copy.fs.faults.clear()
            copy.point = point
            copy.open()
            assert copy.log.log_end_offset == 16
            assert copy.readable() == (list(range(0, 16, 2)), [])
            assert len(list(copy.path.glob("*.cut"))) == 2
            if finished:
                break
    assert cases > 20
