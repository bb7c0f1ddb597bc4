import errno
import json
from dataclasses import replace
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
from harness.partition_files import write_partition
from logd.model.errors import (
    DataDirectoryLocked,
    InvalidConfig,
    LogReadOnly,
    StorageFull,
    StoredDataCorrupt,
    UnsupportedVersion,
)
from logd.model.ids import Offset, PartitionId, TopicId


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
    assert bench.names() == ["format.json", "lock"]
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
    assert directory.open_log(ORDERS, P0).high_watermark == 1
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


def test_first_appends_share_rewrites(bench: Bench) -> None:
    wide = topic(partitions=20)
    directory = bench.open()
    logs = [directory.open_log(wide, PartitionId(p)) for p in range(20)]
    for log in logs:
        bench.append(log, b"x")
    bench.sync(directory, *logs)
    assert bench.fs.renamed.count("recovery-points") == 1
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
    assert log.truncate_before(Offset(2)) == 2
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


# Directories that are not what they should be


def test_a_directory_of_another_topic_is_set_aside(bench: Bench) -> None:
    bench.stopped_with(b"old", of=topic(number=7))
    directory = bench.open()
    log = directory.open_log(ORDERS, P0)
    assert log.log_end_offset == 0
    assert reasons(directory) == ["ORPHANED"]
    assert bench.names(".orphaned") == ["1-orders-0"]
    bench.append(log, b"new")
    bench.sync(directory, log)
    assert "partition.json" in bench.names("orders-0")
    directory.close()
    assert reasons(bench.open()) == ["ORPHANED"], "until somebody has looked at it"


def test_a_damaged_partition_file_is_written_anew_if_it_is_known_whose_it_is(
    bench: Bench,
) -> None:
    bench.stopped_with(b"a")
    (bench.root / "orders-0" / "partition.json").write_bytes(b"")
    directory = bench.open()
    assert directory.open_log(ORDERS, P0).log_end_offset == 1
    assert reasons(directory) == ["PARTITION_FILE_REWRITTEN"]
    directory.close()
    directory = bench.open()
    directory.open_log(ORDERS, P0)
    assert reasons(directory) == []


def test_a_damaged_partition_file_of_nobody_is_set_aside(bench: Bench) -> None:
    directory = bench.open()
    (bench.root / "orders-0").mkdir()
    (bench.root / "orders-0" / "x.log").write_bytes(b"something")
    assert directory.open_log(ORDERS, P0).log_end_offset == 0
    assert bench.names(".orphaned", "1-orders-0") == ["x.log"]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_missing_directory_is_not_taken_for_an_empty_log(bench: Bench, replaced: bool) -> None:
    bench.stopped_with(b"a", b"b")
    (bench.root / "orders-0").rename(bench.root / "lost")
    directory = bench.open()
    if replaced:
        write_partition(bench.root, 0, topic(number=9))
    with pytest.raises(StoredDataCorrupt, match="offsets up to 2") as caught:
        directory.open_log(ORDERS, P0)
    assert caught.value.details["next_offset"] == "2"


def test_a_changed_topic_is_written_down(bench: Bench) -> None:
    bench.stopped_with(b"a")
    directory = bench.open()
    directory.open_log(replace(ORDERS, revision=6, partitioning_epoch=2), P0)
    text = (bench.root / "orders-0" / "partition.json").read_text()
    assert json.loads(text)["partitioning_epoch"] == 2


# Deletion


def test_a_topic_is_removed_and_its_name_used_again(bench: Bench) -> None:
    bench.stopped_with(b"a", b"b")
    directory = bench.open()
    log = directory.open_log(ORDERS, P0)
    bench.append(log, b"c")
    bench.sync(directory, log)
    directory.remove_topic(ORDERS.topic_id)
    assert "orders-0" not in bench.names()
    assert bench.names(".deleted") == []
    assert directory.with_data() == []
    log = directory.open_log(topic(number=2), P0)
    assert log.log_end_offset == 0
    bench.append(log, b"new")
    bench.sync(directory, log)
    directory.close()
    assert (bench.root / "orders-0").is_dir()


def test_removing_what_was_never_written(bench: Bench) -> None:
    directory = bench.open()
    directory.open_log(ORDERS, P0)
    directory.remove_topic(ORDERS.topic_id)
    directory.remove_topic(TopicId(b"?" * 16))


def test_a_closed_topic_is_removed_and_others_stay(bench: Bench) -> None:
    bench.stopped_with(b"a")
    bench.stopped_with(b"b", of=topic("orders-0", 2))
    directory = bench.open()
    directory.remove_topic(ORDERS.topic_id)
    assert [name for name in bench.names() if name[0] == "o"] == ["orders-0-0"]
    assert directory.with_data() == [tp(0, topic("orders-0", 2))]
    directory.close()


def test_an_interrupted_removal_is_finished_by_the_next_start(bench: Bench) -> None:
    bench.stopped_with(b"a")
    (bench.root / ".deleted").mkdir()
    (bench.root / "orders-0").rename(bench.root / ".deleted" / "1-orders-0")
    directory = bench.open()
    assert bench.names(".deleted") == []
    directory.remove_topic(ORDERS.topic_id)
    assert directory.with_data() == []
    directory.close()


# A failing disk, a full disk


def test_after_a_failed_sync_nothing_is_appended_until_a_new_start(
    bench: Bench,
) -> None:
    bench.stopped_with(b"a")
    directory = bench.open()
    log, other = directory.open_log(ORDERS, P0), directory.open_log(ORDERS, P1)
    bench.append(log, b"b")
    bench.sync(directory, log)
    bench.append(log, b"in doubt")
    for _ in range(2):
        directory.mark_failed(OSError(errno.EIO, "broken"))
    for each in (log, other):
        with pytest.raises(LogReadOnly):
            bench.append(each, b"c")
    assert log.high_watermark == 2
    assert reasons(directory) == ["LOG_READ_ONLY"]
    directory.close()
    assert bench.open().unclean() == [tp(0)], "nothing was noted as closed"


def test_a_full_disk_refuses_the_first_append_and_takes_it_later(bench: Bench) -> None:
    directory = bench.open()
    log = directory.open_log(ORDERS, P0)
    bench.fs.fail = ("partition.json", OSError(errno.ENOSPC, "full"))
    with pytest.raises(StorageFull):
        bench.append(log, b"a")
    bench.fs.fail = None
    bench.append(log, b"a")
    bench.fs.fail = ("recovery-points", OSError(errno.ENOSPC, "full"))
    with pytest.raises(OSError, match="full"):
        directory.sync()
    assert directory.needs_sync, "still to be done"
    bench.fs.fail = None
    bench.sync(directory, log)
    bench.crash()
    assert bench.open().unclean() == [tp(0)]


def test_a_log_that_does_not_close_is_scanned(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = bench.open()
    log = directory.open_log(ORDERS, P0)
    bench.append(log, b"a")
    bench.sync(directory, log)

    def fail() -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(log, "close", fail)
    directory.close()
    assert bench.open().unclean() == [tp(0)]
