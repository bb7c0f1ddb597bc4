import errno
import json
from pathlib import Path

import pytest

from harness.log_directory_bench import (
    ORDERS,
    P0,
    P1,
    points,
    reasons,
    topic,
    tp,
)
from harness.log_directory_bench import LogDirectoryBench as Bench
from logd.model.errors import (
    DataDirectoryLocked,
    InvalidConfig,
    StoredDataCorrupt,
    UnsupportedVersion,
)
from logd.model.ids import Offset, PartitionId


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# Whose directory it is


def test_the_lock_goes_with_close(bench: Bench) -> None:
    directory = bench.open()
    with pytest.raises(DataDirectoryLocked):
        bench.open()
    directory.close()
    directory.close()
    bench.open().close()


def test_the_format_stands_from_the_start(bench: Bench) -> None:
    bench.open().close()
    assert bench.names() == ["format.json", "lock", "recovery-points"]
    assert json.loads((bench.root / "format.json").read_text())["layout_version"] == 1


def test_it_belongs_to_one_broker_and_one_cluster(bench: Bench) -> None:
    directory = bench.open(broker_id=3)
    assert directory.cluster_id == ""
    directory.bind_cluster("c-1")
    directory.close()
    with pytest.raises(InvalidConfig, match="belongs to broker 3"):
        bench.open(broker_id=4)
    with pytest.raises(InvalidConfig, match="belongs to cluster c-1"):
        bench.open(broker_id=3, cluster_id="c-2")
    directory = bench.open(broker_id=3)
    assert directory.cluster_id == "c-1"
    directory.bind_cluster("c-1")
    with pytest.raises(InvalidConfig):
        directory.bind_cluster("c-2")
    directory.close()


def test_a_refused_directory_is_unlocked(bench: Bench) -> None:
    bench.root.mkdir()
    (bench.root / "format.json").write_text('{"layout_version": 9, "needs": "logd 2 or newer"}')
    for _ in range(2):
        with pytest.raises(UnsupportedVersion, match="needs logd 2 or newer"):
            bench.open()


def test_partitions_without_a_format_are_not_adopted(bench: Bench) -> None:
    bench.stopped_with(b"x")
    (bench.root / "format.json").unlink()
    with pytest.raises(StoredDataCorrupt, match=r"no format\.json"):
        bench.open()


# First appends, clean stops, crashes


def test_nothing_is_made_before_the_first_append(bench: Bench) -> None:
    directory = bench.open()
    log = directory.open_log(ORDERS, P0)
    assert directory.open_log(ORDERS, P0) is log
    assert bench.names() == ["format.json", "lock", "recovery-points"]
    assert not directory.needs_sync
    bench.append(log, b"x")
    assert directory.needs_sync
    bench.sync(directory, log)
    assert not directory.needs_sync
    assert "partition.json" in bench.names("orders-0")
    assert directory.with_data() == [tp(0)]
    bench.append(log, b"y")
    assert not directory.needs_sync, "once a run"
    bench.crash()
    assert points(bench.open())[0][2], "open is on disk"


def test_what_a_start_reads_is_made_durable_first(bench: Bench) -> None:
    bench.stopped_with(b"x")
    bench.fs.synced.clear()
    bench.fs.opened.clear()
    bench.fs.fail = ("format.json", OSError(errno.EIO, "not read yet"))
    with pytest.raises(OSError, match="not read yet"):
        bench.open()
    assert bench.fs.synced == [str(bench.root)]


def test_a_directory_that_a_crash_left_unsynced_is_synced_before_it_is_served(
    bench: Bench,
) -> None:
    directory = bench.open()
    bench.append(directory.open_log(ORDERS, P0), b"never acknowledged")
    bench.crash()
    directory = bench.open()
    bench.fs.synced.clear()
    assert directory.open_log(ORDERS, P0).held_end == 1
    assert bench.fs.synced[:2] == [str(bench.root / "orders-0"), str(bench.root)]


def test_a_clean_stop_needs_no_reading(bench: Bench) -> None:
    bench.stopped_with(b"a", b"b")
    directory = bench.open()
    assert directory.unclean() == []
    assert points(directory) == {0: (2, 0, False)}
    log = directory.open_log(ORDERS, P0)
    assert (log.log_start_offset, log.synced_end_offset, log.log_end_offset) == (0, 2, 2)
    assert reasons(directory) == []
    bench.append(log, b"c")
    bench.sync(directory, log)
    directory.close()
    assert points(bench.open()) == {0: (3, 0, False)}


def test_a_start_reads_few_files_however_many_partitions(bench: Bench) -> None:
    wide = topic(partitions=20)
    directory = bench.open()
    logs = [directory.open_log(wide, PartitionId(p)) for p in range(20)]
    for log in logs:
        bench.append(log, b"x")
    bench.sync(directory, *logs)
    directory.close()
    bench.fs.opened.clear()
    directory = bench.open()
    assert len(directory.with_data()) == 20
    assert len(bench.fs.opened) <= 3
    directory.close()


def test_a_crash_leaves_what_was_open_to_be_scanned(bench: Bench) -> None:
    bench.stopped_with(b"a")
    directory = bench.open()
    log = directory.open_log(ORDERS, P1)
    bench.append(log, b"b", b"c")
    bench.sync(directory, log)
    bench.append(log, b"d")
    bench.crash()
    directory = bench.open()
    assert directory.unclean() == [tp(1)]
    log = directory.open_log(ORDERS, P1)
    assert log.log_end_offset == 3, "a kill loses nothing that was written"
    assert directory.unclean() == []
    bench.crash()
    assert bench.open().unclean() == [tp(1)], "a crash in recovery only means to do it again"


def test_of_a_first_append_that_was_never_synced_its_name_may_be_lost(bench: Bench) -> None:
    """A power failure may keep the segment and not what names it. Recovery points, which a new
    directory has at once, tell that nothing was acknowledged there: it is no damage."""
    bench.append(bench.open().open_log(ORDERS, P0), b"x")
    for name in ("partition.json", "leader-epochs"):
        (bench.root / "orders-0" / name).unlink()
    bench.crash()
    directory = bench.open()
    log = directory.open_log(ORDERS, P0)
    assert log.log_end_offset == 0
    bench.append(log, b"y")
    assert [p.reason for p in directory.problems()] == ["ORPHANED"]


def test_first_appends_share_rewrites(bench: Bench) -> None:
    wide = topic(partitions=20)
    directory = bench.open()
    logs = [directory.open_log(wide, PartitionId(p)) for p in range(20)]
    before = bench.fs.renamed.count("recovery-points")
    for log in logs:
        bench.append(log, b"x")
    bench.sync(directory, *logs)
    assert bench.fs.renamed.count("recovery-points") == before + 1
    bench.crash()
    assert len(bench.open().unclean()) == 20


def test_what_begins_during_a_sync_waits_for_the_next(bench: Bench) -> None:
    directory = bench.open()
    first, second = (directory.open_log(ORDERS, p) for p in (P0, P1))
    bench.append(first, b"x")
    assert directory.is_unsynced(first) and not directory.is_unsynced(second)
    bench.fs.on_rename = lambda: bench.append(second, b"y")
    directory.sync()
    assert directory.is_unsynced(second) and not directory.is_unsynced(first)
    directory.sync()
    assert not directory.needs_sync
    bench.crash()
    assert bench.open().unclean() == [tp(0), tp(1)]


def test_recovery_points_follow_the_synced_ends(bench: Bench) -> None:
    directory = bench.open()
    log = directory.open_log(ORDERS, P0)
    bench.append(log, b"a", b"b")
    bench.sync(directory, log)
    assert directory.collect_points()
    directory.write_points()
    assert not directory.collect_points()
    bench.crash()
    assert points(bench.open()) == {0: (2, 0, True)}


def test_a_log_start_is_durable_when_it_moves(bench: Bench) -> None:
    directory = bench.open()
    log = directory.open_log(ORDERS, P0)
    bench.append(log, b"a", b"b", b"c")
    bench.sync(directory, log)
    assert log.advance_log_start(Offset(2)) == 2
    bench.crash()
    directory = bench.open()
    assert points(directory)[0][1] == 2
    assert directory.open_log(ORDERS, P0).log_start_offset == 2


@pytest.mark.parametrize("damage", ["missing", "flipped", "empty"])
def test_lost_recovery_points_mean_a_full_scan(bench: Bench, damage: str) -> None:
    bench.stopped_with(b"a", b"b")
    file = bench.root / "recovery-points"
    if damage == "missing":
        file.unlink()
    else:
        data = file.read_bytes()
        file.write_bytes(b"" if damage == "empty" else data[:20] + b"\xff" + data[21:])
    directory = bench.open()
    assert directory.unclean() == [tp(0)]
    assert reasons(directory) == ["RECOVERY_POINTS_LOST"]
    log = directory.open_log(ORDERS, P0)
    assert log.log_end_offset == 2
    bench.append(log, b"c")
    assert directory.needs_sync, "its mark is not on disk"
    bench.sync(directory, log)
    directory.close()
    assert points(bench.open()) == {0: (3, 0, False)}
