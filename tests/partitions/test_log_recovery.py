from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault
from harness.log_bench import (
    LARGE_SEGMENTS,
    SMALL_SEGMENTS,
    LogBench,
    written_log,
)
from logd.model.errors import LogReadOnly
from logd.model.ids import Offset
from logd_partitions.core.producer_state import BATCHES_REMEMBERED
from logd_partitions.core.time_index import TimeIndex
from logd_partitions.sync import sync_progress


@pytest.mark.parametrize("reserved", [0, 4096])
def test_a_tail_that_was_written_whole_is_kept(tmp_path: Path, reserved: int) -> None:
    bench = written_log(tmp_path)
    bench.append([b"kept"])
    path = bench.segment_paths()[-1]
    path.write_bytes(path.read_bytes()[: bench.log.size_bytes] + bytes(reserved))
    bench.crash()
    assert bench.log.held_end == 17, "it is synced before readers see it"
    assert bench.reasons() == []
    assert path.stat().st_size == bench.log.size_bytes, "reserved space is given back"


def test_the_tail_is_synced_before_it_counts(tmp_path: Path) -> None:
    bench = written_log(tmp_path)
    bench.append([b"kept"])
    path = bench.segment_paths()[-1]
    path.write_bytes(path.read_bytes()[: bench.log.size_bytes])
    bench.fs.faults.append(Fault("datasync", ".log"))
    with pytest.raises(LogReadOnly):
        bench.crash()


def test_damage_below_the_recovery_point_is_kept_and_never_served(tmp_path: Path) -> None:
    bench = written_log(tmp_path)
    path = bench.segment_paths()[-1]
    data = bytearray(path.read_bytes())
    third = bench.read_at(4)[0]
    position = bytes(data).index(third[1])
    data[position + 100] ^= 4
    path.write_bytes(data)
    bench.crash()
    for _ in range(3):
        assert bench.readable() == ([0, 2, 6, 8, 10, 12, 14], [(4, 6)])
        assert bench.reasons() == ["STORED_DATA_CORRUPT"]
        assert path.read_bytes()[: len(data)].rstrip(b"\0") == bytes(data).rstrip(b"\0")
        bench.crash()
    appended = bench.append([b"goes on"])
    assert appended.base_offset == 16
    assert bench.segment_paths()[-1].name == f"{16:020d}.log", "in a new segment"
    bench.sync()
    bench.stop()
    assert bench.readable() == ([0, 2, 6, 8, 10, 12, 14, 16], [(4, 6)])


@pytest.mark.parametrize("hint_known_by", ["recovery point", "later batch"])
def test_lost_synced_data_is_corruption_however_it_is_known(
    tmp_path: Path, hint_known_by: str
) -> None:
    bench = written_log(tmp_path)
    before = bench.read_all()
    bench.append([b"witness"])
    path = bench.segment_paths()[-1]
    data = bytearray(path.read_bytes())
    position = bytes(data).index(before[3][1])
    data[position : position + len(before[3][1])] = bytes(len(before[3][1]))
    path.write_bytes(data)
    if hint_known_by == "later batch":
        bench.point = None
    bench.crash()
    assert bench.readable() == ([0, 2, 4, 8, 10, 12, 14, 16], [(6, 8)])


@pytest.mark.parametrize("has_manifest", [True, False])
def test_an_emptied_segment_is_lost_if_it_was_finished_else_torn(
    tmp_path: Path, has_manifest: bool
) -> None:
    bench = written_log(tmp_path)
    point = bench.point
    bench.log.roll()
    bench.append([b"a", b"b"])
    bench.log.roll()
    bench.sync()
    if has_manifest:
        bench.log.apply_retention(None)
    bench.point = point  # the latest is a second old
    bench.segment_paths()[1].write_bytes(b"")
    bench.crash()
    if has_manifest:
        assert bench.readable()[1] == [(16, 18)] and bench.reasons() == ["STORED_DATA_CORRUPT"]
        assert bench.append([b"next"]).base_offset == 18
    else:
        assert bench.readable()[1] == [] and bench.reasons() == ["POSSIBLE_LOSS"]


def test_a_log_without_its_segments_says_so(tmp_path: Path) -> None:
    bench = written_log(tmp_path)
    end = bench.log.log_end_offset
    bench.stop()
    for path in bench.segment_paths():
        path.unlink()
    bench.stop()
    assert bench.reasons() == ["STORED_DATA_CORRUPT"]
    assert bench.log.find_offset_by_time(0, False, end) == (0, None)
    assert bench.readable() == ([], [(0, 16)])
    assert bench.append([b"next"]).base_offset == 16


def test_a_lost_synced_end_leaves_no_offset_to_be_given_twice(tmp_path: Path) -> None:
    bench = written_log(tmp_path)
    path = bench.segment_paths()[-1]
    batches = bench.read_all()
    end = sum(len(batch) for _, batch in batches[:5])
    path.write_bytes(path.read_bytes()[:end])
    bench.crash()
    for _ in range(2):
        assert (bench.log.log_end_offset, bench.log.log_start_offset) == (16, 0)
        assert bench.readable() == ([0, 2, 4, 6, 8], [(10, 16)])
        bench.crash()
    assert bench.append([b"x"]).base_offset == 16
    bench.crash()
    assert bench.readable() == ([0, 2, 4, 6, 8, 16], [(10, 16)])


def test_producers_and_epochs_are_as_before(tmp_path: Path) -> None:
    for config in (SMALL_SEGMENTS, LARGE_SEGMENTS):
        root = tmp_path / str(config.segment_bytes)
        root.mkdir()
        bench = written_log(root, 100, config)
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


def test_a_snapshot_of_batches_that_are_gone_does_not_tell_of_their_successors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk forgets a synced batch; another producer's takes its offset, and is sent again."""
    monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES", 1)
    monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES_PER_PRODUCER", 1)
    bench = LogBench(tmp_path)
    bench.append([b"gone"], producer=(1, 0, 0))
    point = bench.point
    bench.sync()
    bench.point = point
    path = bench.segment_paths()[-1]
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    bench.crash()
    assert bench.reasons() == ["POSSIBLE_LOSS"]
    bench.append([b"next"], producer=(2, 0, 0), epoch=2)
    bench.crash()
    assert bench.append([b"next"], producer=(2, 0, 0), epoch=2).duplicate


def test_leader_epochs_of_batches_that_are_gone_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES", 1)
    bench = LogBench(tmp_path)
    bench.append()
    bench.sync()
    point = bench.point
    bench.log.roll()
    bench.append([b"gone"])
    bench.append([b"gone too"], epoch=2)
    bench.sync()
    bench.point = point
    path = bench.segment_paths()[-1]
    path.write_bytes(b"\1" * bench.log.size_bytes)
    bench.crash()
    assert bench.log.leader_epochs.latest() == 1
    assert bench.append(epoch=3).base_offset == 3


def test_entries_written_behind_are_only_hints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES", 0)
    monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES_PER_PRODUCER", 0)
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for number in range(300):
        bench.append([bytes(8000), b"%d" % number], producer=(1, 0, 2 * number))
        bench.clock.advance(1)
        if number % 70 == 0:
            bench.sync()
    bench.sync()
    before = bench.read_all()
    [index_path] = bench.path.glob("*.index")
    data = bytearray(index_path.read_bytes())
    assert len(data) > 200 * 8, "entries were written behind"
    times = next(bench.path.glob("*.timeindex")).read_bytes()
    whole = TimeIndex.from_unsealed(times, Offset(0), Offset(1 << 40))
    assert 25 < len(whole) == len(times) // 24, "each once, in order"
    for at in range(4, len(data), 8):  # each position 8 bytes too high, so still rising
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "little") + 8).to_bytes(4, "little")
    index_path.write_bytes(data)
    bench.crash()
    assert bench.reasons() == []
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
    assert bench.log.advance_log_start(Offset(3)) == 3
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
        good, bad = bench.readable()
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


def test_only_what_is_above_the_recovery_point_is_read(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for _ in range(300):
        bench.append([bytes(100_000)])
        bench.sync()
    bench.append([bytes(100)])
    bench.fs.reads.clear()
    allocated = bench.segment_paths()[-1].stat().st_size
    bench.crash()
    assert bench.log.log_end_offset == 301
    reads = [(at, size) for path, at, size in bench.fs.reads if path.endswith(".log")]
    assert min(at for at, _ in reads) > 13 << 20, "the producers were saved 16 MiB ago"
    assert sum(size for _, size in reads) < 1.5 * (allocated - (13 << 20))


def test_a_start_goes_on_in_the_segment_that_was_synced_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES", 0)
    monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES_PER_PRODUCER", 0)
    bench = LogBench(tmp_path, SMALL_SEGMENTS)
    for _ in range(40):
        bench.append([bytes(1000)])
        bench.sync()
    bench.append([bytes(100)])
    bench.fs.reads.clear()
    bench.crash()
    names = [path.name for path in bench.segment_paths()]
    read = {Path(path).name for path, _, _ in bench.fs.reads if path.endswith(".log")}
    assert len(names) > 10 and read <= set(names[-2:])


def test_space_that_nobody_gave_back_is_cut_from_the_segment_that_has_it(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, SMALL_SEGMENTS)
    bench.append([bytes(1000)])
    bench.sync()
    for _ in range(12):
        bench.append([bytes(1000)])
    before, paths = bench.read_all(), bench.segment_paths()
    sizes = [path.stat().st_size for path in paths[:-1]]
    assert len(sizes) > 2
    with paths[1].open("ab") as file:
        file.write(bytes(512))
    bench.crash()
    assert (bench.reasons(), bench.read_all()) == ([], before)
    assert [path.stat().st_size for path in paths[:-1]] == sizes
