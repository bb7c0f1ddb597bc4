import errno
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault
from harness.log_bench import SMALL_SEGMENTS, LogBench
from logd.model.errors import LogReadOnly, StoredDataCorrupt, UnknownProducer
from logd.model.ids import Offset
from logd.model.topic_config import TopicConfig
from logd_partitions import sync_progress
from logd_partitions.offset_index import OffsetIndex
from logd_partitions.producer_state import BATCHES_REMEMBERED

LARGE_SEGMENTS = TopicConfig(segment_bytes=64 << 20)


def written(tmp_path: Path, batches: int = 8, config: TopicConfig = LARGE_SEGMENTS) -> LogBench:
    """A log of batches of two records, all synced, left as by a crash."""
    root = tmp_path / "written"
    root.mkdir()
    bench = LogBench(root, config)
    for number in range(batches):
        bench.append([b"%d" % number, bytes(number)], producer=(5, 0, 2 * number), epoch=number + 1)
        bench.clock.advance(10)
    bench.sync()
    return bench


def last_segment(bench: LogBench) -> Path:
    return bench.segment_paths()[-1]


def readable(bench: LogBench) -> tuple[list[int], list[tuple[int, int]]]:
    """Base offsets of all batches that are served, and the ranges that answer with corruption."""
    offset = bench.log.log_start_offset
    good: list[int] = []
    bad: list[tuple[int, int]] = []
    while offset < bench.log.log_end_offset:
        try:
            found = bench.read_at(offset)
            good += [header.base_offset for header, _ in found]
            offset = found[-1][0].next_offset
        except StoredDataCorrupt as error:
            next_offset = int(error.details["next_offset"])
            assert offset < next_offset <= bench.log.log_end_offset
            bad.append((int(offset), next_offset))
            offset = Offset(next_offset)
    return good, bad


def reasons(bench: LogBench) -> list[str]:
    return [problem.reason for problem in bench.log.problems()]


def test_a_torn_last_batch_is_cut_at_every_byte(tmp_path: Path) -> None:
    bench = written(tmp_path)
    point = bench.point
    before = bench.log.size_bytes
    bench.append([b"torn"])
    data = last_segment(bench).read_bytes()
    end = len(data.rstrip(b"\0"))
    for cut in range(before, end):
        bench.point = point
        for left in bench.path.glob("*.cut"):
            left.unlink()
        last_segment(bench).write_bytes(data[:cut] + bytes(len(data) - cut))
        bench.crash()
        assert bench.log.log_end_offset == 16
        assert last_segment(bench).stat().st_size == before
        kept = [left.read_bytes() for left in bench.path.glob("*.cut")]
        lost = data[before:cut].rstrip(b"\0")
        assert kept == ([lost] if lost else [])
        assert reasons(bench) == (["POSSIBLE_LOSS"] if lost else [])
    assert bench.append([b"new"]).base_offset == 16
    assert readable(bench) == ([*range(0, 16, 2), 16], [])


@pytest.mark.parametrize("reserved", [0, 4096])
def test_a_tail_that_was_written_whole_is_kept(tmp_path: Path, reserved: int) -> None:
    bench = written(tmp_path)
    bench.append([b"kept"])
    path = last_segment(bench)
    path.write_bytes(path.read_bytes()[: bench.log.size_bytes] + bytes(reserved))
    bench.crash()
    assert bench.log.high_watermark == 17, "it is synced before readers see it"
    assert reasons(bench) == []
    assert path.stat().st_size == bench.log.size_bytes, "reserved space is given back"


def test_the_tail_is_synced_before_it_counts(tmp_path: Path) -> None:
    bench = written(tmp_path)
    bench.append([b"kept"])
    path = last_segment(bench)
    path.write_bytes(path.read_bytes()[: bench.log.size_bytes])
    bench.fs.faults.append(Fault("datasync", ".log"))
    with pytest.raises(LogReadOnly):
        bench.crash()


def test_no_old_bytes_come_back_after_a_torn_tail(tmp_path: Path) -> None:
    """Two batches of one size: the first is torn, and the second, old one follows at its place."""
    bench = written(tmp_path)
    point, before = bench.point, bench.log.size_bytes
    bench.append([b"torn"])
    bench.append([b"old!"])
    path = last_segment(bench)
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


def test_damage_below_the_recovery_point_is_kept_and_never_served(tmp_path: Path) -> None:
    bench = written(tmp_path)
    path = last_segment(bench)
    data = bytearray(path.read_bytes())
    third = bench.read_at(4)[0]
    position = bytes(data).index(third[1])
    data[position + 100] ^= 4
    path.write_bytes(data)
    bench.crash()
    for _ in range(3):
        assert readable(bench) == ([0, 2, 6, 8, 10, 12, 14], [(4, 6)])
        assert reasons(bench) == ["STORED_DATA_CORRUPT"]
        assert path.read_bytes()[: len(data)].rstrip(b"\0") == bytes(data).rstrip(b"\0")
        bench.crash()
    appended = bench.append([b"goes on"])
    assert appended.base_offset == 16
    assert bench.segment_paths()[-1].name == f"{16:020d}.log", "in a new segment"
    bench.sync()
    bench.stop()
    assert readable(bench) == ([0, 2, 6, 8, 10, 12, 14, 16], [(4, 6)])


@pytest.mark.parametrize("hint_known_by", ["recovery point", "later batch"])
def test_lost_synced_data_is_corruption_however_it_is_known(
    tmp_path: Path, hint_known_by: str
) -> None:
    bench = written(tmp_path)
    before = bench.read_all()
    bench.append([b"witness"])
    path = last_segment(bench)
    data = bytearray(path.read_bytes())
    position = bytes(data).index(before[3][1])
    data[position : position + len(before[3][1])] = bytes(len(before[3][1]))
    path.write_bytes(data)
    if hint_known_by == "later batch":
        bench.point = None
    bench.crash()
    assert readable(bench) == ([0, 2, 4, 8, 10, 12, 14, 16], [(6, 8)])


def test_a_lost_synced_end_leaves_no_offset_to_be_given_twice(tmp_path: Path) -> None:
    bench = written(tmp_path)
    path = last_segment(bench)
    batches = bench.read_all()
    end = sum(len(batch) for _, batch in batches[:5])
    path.write_bytes(path.read_bytes()[:end])
    bench.crash()
    for _ in range(2):
        assert (bench.log.log_end_offset, bench.log.log_start_offset) == (16, 0)
        assert readable(bench) == ([0, 2, 4, 6, 8], [(10, 16)])
        bench.crash()
    assert bench.append([b"x"]).base_offset == 16
    bench.crash()
    assert readable(bench) == ([0, 2, 4, 6, 8, 16], [(10, 16)])


def test_a_torn_roll_takes_the_new_segment_with_it(tmp_path: Path) -> None:
    """Power went while neither the old segment's end nor the new segment was synced."""
    bench = written(tmp_path, config=SMALL_SEGMENTS)
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


def test_producers_and_epochs_are_as_before(tmp_path: Path) -> None:
    for config in (SMALL_SEGMENTS, LARGE_SEGMENTS):
        root = tmp_path / str(config.segment_bytes)
        root.mkdir()
        bench = written(root, 100, config)
        epochs = bench.log.leader_epochs.entries
        for reopen in (bench.crash, bench.stop, bench.crash):
            reopen()
            assert bench.log.leader_epochs.entries == epochs
            assert bench.append([b"99", bytes(99)], producer=(5, 0, 198), epoch=100).duplicate
        for lost in ("producers.snapshot", "leader-epochs"):
            for damage in (Path.unlink, lambda path: path.write_bytes(b"garbage")):
                for reopen in (bench.crash, bench.stop):
                    path = bench.path / lost
                    if not path.exists():
                        path.touch()
                    bench.log.close()
                    assert bench.point is not None
                    bench.point = replace(bench.point, open=reopen == bench.crash)
                    damage(path)
                    bench.open()
                    assert bench.log.leader_epochs.entries == epochs
                    again = bench.append([b"99", bytes(99)], producer=(5, 0, 198), epoch=100)
                    assert again.duplicate


def test_a_producer_whose_state_was_lost_is_not_taken_for_new(tmp_path: Path) -> None:
    bench = written(tmp_path)
    path = last_segment(bench)
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    bench.crash()
    with pytest.raises(UnknownProducer) as caught:
        bench.append(producer=(4, 0, 0))
    assert caught.value.details["needs_new_id"] == "true"
    assert not bench.append(producer=(6, 0, 0), epoch=9).duplicate


def test_every_flipped_bit_is_found_and_the_rest_is_served(tmp_path: Path) -> None:
    bench = written(tmp_path, 40, SMALL_SEGMENTS)
    bench.log.apply_retention(None)
    whole = {int(header.base_offset): batch for header, batch in bench.read_all()}
    generator = random.Random(7)
    for number, path in enumerate(bench.segment_paths()):
        data = path.read_bytes()
        used = len(data.rstrip(b"\0"))
        for at in generator.sample(range(used), 60):
            flipped = bytearray(data)
            flipped[at] ^= 1 << generator.randrange(8)
            path.write_bytes(flipped)
            assert bench.point is not None
            bench.point = replace(bench.point, open=at % 2 == 0)
            bench.open()
            good, bad = readable(bench)
            assert len(bad) == 1 and len(good) == len(whole) - 1, (number, at)
            assert set(good) | {bad[0][0]} == set(whole), "the one that was hit, and no other"
            for base_offset in good:
                assert bench.read_at(base_offset, 1)[0][1] == whole[base_offset]
            path.write_bytes(data)


@pytest.mark.parametrize("kind", ["index", "timeindex", "manifest"])
@pytest.mark.parametrize("clean", [False, True])
def test_damaged_indexes_never_lead_astray(tmp_path: Path, kind: str, clean: bool) -> None:
    bench = written(tmp_path, 60, replace(LARGE_SEGMENTS, segment_bytes=20_000))
    for _ in range(30):
        bench.append([bytes(4000)] * 3)
        bench.clock.advance(10)
    bench.sync()
    bench.log.apply_retention(None)
    whole = bench.read_all()
    times = [header.append_timestamp_ms for header, _ in whole]
    generator = random.Random(1)
    paths = sorted(bench.path.glob(f"*.{kind}"))
    assert len(paths) > 10

    def check() -> None:
        bench.log.close()
        assert bench.point is not None
        bench.point = replace(bench.point, open=not clean)
        bench.open()
        for header, batch in generator.sample(whole, 5):
            assert bench.read_at(header.base_offset, 1)[0] == (header, batch)
            found = bench.log.find_offset_by_time(
                header.append_timestamp_ms, False, bench.log.log_end_offset
            )
            first = times.index(header.append_timestamp_ms)
            assert found == (whole[first][0].base_offset, header.append_timestamp_ms)
        assert reasons(bench) == []

    for path in generator.sample(paths, 8):
        data = path.read_bytes()
        for _ in range(4):
            flipped = bytearray(data)
            flipped[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            path.write_bytes(flipped)
            check()
        path.write_bytes(b"")
        check()
        path.write_bytes(data[:-7])
        check()
        path.unlink()
        check()
        path.write_bytes(data)
    bench.log.apply_retention(None)
    assert bench.read_all() == whole


def wrong_index(bench: LogBench, shift: int) -> bytes:
    """An index that is whole in itself, but points to other batches, or to where none begins."""
    index, position = OffsetIndex(Offset(0)), 0
    for header, batch in bench.read_all()[:-1]:
        if position > 0:
            index.add(Offset(header.base_offset - shift % 8), position + shift // 8)
        position += len(batch)
    return index.to_bytes(position, bench.log.log_end_offset)


@pytest.mark.parametrize("shift", [2, 6, 80], ids=["a batch", "three batches", "bytes"])
def test_indexes_are_only_hints(tmp_path: Path, shift: int) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for number in range(300):
        bench.append([bytes(1000), b"%d" % number])
        bench.clock.advance(1)
    bench.log.roll()
    bench.append()
    bench.sync()
    bench.log.apply_retention(None)
    whole = bench.read_all()[:-1]
    [index_path] = bench.path.glob("*.index")
    index_path.write_bytes(wrong_index(bench, shift))
    for header, batch in [*whole[::37], *whole[45:75]]:
        bench.open()
        assert bench.read_at(header.base_offset, 1)[0] == (header, batch)
        reads = len(bench.fs.reads)
        assert bench.read_at(header.base_offset, 1)[0] == (header, batch)
        assert len(bench.fs.reads) <= reads + 1, "the index was made again, once"
        bench.open()
        found = bench.log.find_offset_by_time(header.append_timestamp_ms, False, Offset(600))
        assert found == (header.base_offset, header.append_timestamp_ms)
    assert bench.log.problems() == []


def test_entries_written_behind_are_only_hints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES", 0)
    monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES_PER_PRODUCER", 0)
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for number in range(300):
        bench.append([bytes(8000), b"%d" % number], producer=(1, 0, 2 * number))
        if number % 70 == 0:
            bench.sync()
    bench.sync()
    before = bench.read_all()
    [index_path] = bench.path.glob("*.index")
    data = bytearray(index_path.read_bytes())
    assert len(data) > 200 * 8, "entries were written behind"
    for at in range(4, len(data), 8):  # each position 8 bytes too high, so still rising
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "little") + 8).to_bytes(4, "little")
    index_path.write_bytes(data)
    bench.crash()
    assert reasons(bench) == []
    assert bench.read_all() == before


def test_the_producers_window_is_the_same_after_a_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES", 0)
    monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES_PER_PRODUCER", 0)
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for number in range(BATCHES_REMEMBERED):
        bench.append(producer=(7, 0, 3 * number))
    bench.sync()
    bench.crash()
    again = bench.append(producer=(7, 0, 0))
    assert (again.base_offset, again.duplicate) == (0, True)


def test_producers_outlive_the_segments_that_told_of_them(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append(producer=(7, 0, 0))
    bench.log.roll()
    bench.crash()
    assert bench.log.truncate_before(Offset(3)) == 3
    assert len(bench.segment_paths()) == 1
    bench.crash()
    assert bench.append(producer=(7, 0, 0)).duplicate
    assert bench.append(producer=(7, 0, 3)).base_offset == 3


def missing_middle(bench: LogBench) -> None:
    bench.segment_paths()[1].unlink()


def missing_first(bench: LogBench) -> None:
    bench.segment_paths()[0].unlink()


def missing_last(bench: LogBench) -> None:
    bench.segment_paths()[-1].unlink()


def empty_middle(bench: LogBench) -> None:
    bench.segment_paths()[1].write_bytes(b"")


def empty_last(bench: LogBench) -> None:
    bench.segment_paths()[-1].write_bytes(b"")


def garbage_last(bench: LogBench) -> None:
    bench.segment_paths()[-1].write_bytes(b"garbage!" * 100)


def half_middle(bench: LogBench) -> None:
    path = bench.segment_paths()[1]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def all_gone(bench: LogBench) -> None:
    for path in bench.segment_paths():
        path.unlink()


def renamed_last(bench: LogBench) -> None:
    path = bench.segment_paths()[-1]
    path.rename(path.with_name(f"{int(path.stem) + 1000:020d}.log"))


def copied_first(bench: LogBench) -> None:
    path = bench.segment_paths()[0]
    path.with_name(f"{int(path.stem) + 1:020d}.log").write_bytes(path.read_bytes())


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        missing_middle,
        missing_first,
        missing_last,
        empty_middle,
        empty_last,
        garbage_last,
        half_middle,
        all_gone,
        renamed_last,
        copied_first,
    ],
)
def test_damaged_files_are_never_wrong_data_and_never_silence(
    tmp_path: Path, damage: Callable[[LogBench], None], clean: bool
) -> None:
    bench = LogBench(tmp_path)
    for _ in range(4):
        bench.append([bytes(1000)] * 3)
        bench.append([bytes(10)] * 3)
    bench.sync()
    whole = {int(header.base_offset): batch for header, batch in bench.read_all()}
    bench.log.close()
    assert bench.point is not None
    bench.point = replace(bench.log.recovery_point(open=not clean))
    damage(bench)
    for _ in range(2):
        bench.open()
        assert (bench.log.log_start_offset, bench.log.log_end_offset >= 24) == (0, True)
        good, bad = readable(bench)
        covered = {*good, *(o for start, end in bad for o in range(start, end) if o in whole)}
        if damage is not copied_first:
            assert bad, "something is missing, and that is said"
        assert covered >= set(whole)
        for base_offset in good:
            assert bench.read_at(base_offset, 1)[0][1] == whole[base_offset]
        bench.point = bench.log.recovery_point(open=True)
    appended = bench.append([b"goes on"])
    assert appended.base_offset is not None and appended.base_offset >= 24
    bench.crash()
    assert bench.read_at(appended.base_offset)[0][0].record_count == 1


def test_an_interrupted_recovery_is_done_again(tmp_path: Path) -> None:
    """The disk fails at each call of a recovery in turn; the next one ends the same."""
    bench = written(tmp_path, config=SMALL_SEGMENTS)
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
            assert readable(copy) == (list(range(0, 16, 2)), [])
            assert len(list(copy.path.glob("*.cut"))) == 2
            if finished:
                break
    assert cases > 20


def test_a_full_disk_does_not_keep_a_torn_log_from_opening(tmp_path: Path) -> None:
    bench = written(tmp_path)
    point, before = bench.point, bench.log.size_bytes
    bench.append([b"torn"])
    data = bytearray(last_segment(bench).read_bytes())
    data[before + 100] ^= 1
    last_segment(bench).write_bytes(data)
    bench.point = point
    bench.fs.free = 0
    bench.crash()
    assert bench.log.log_end_offset == 16
    assert reasons(bench) == ["POSSIBLE_LOSS"]


def test_only_what_is_above_the_recovery_point_is_read(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for _ in range(300):
        bench.append([bytes(100_000)])
        bench.sync()
    bench.append([bytes(100)])
    bench.fs.reads.clear()
    allocated = last_segment(bench).stat().st_size
    bench.crash()
    assert bench.log.log_end_offset == 301
    reads = [(at, size) for path, at, size in bench.fs.reads if path.endswith(".log")]
    assert min(at for at, _ in reads) > 13 << 20, "the producers were saved 16 MiB ago"
    assert sum(size for _, size in reads) < 1.5 * (allocated - (13 << 20))
