"""What a LogDirectory makes of missing, foreign and damaged directories, and of a bad disk."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.log_directory_bench import (
    ORDERS,
    P0,
    P1,
    reasons,
    topic,
    tp,
)
from harness.log_directory_bench import LogDirectoryBench as Bench
from harness.partition_files import write_partition
from logd.model.errors import (
    LogReadOnly,
    StorageFull,
    StoredDataCorrupt,
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


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


@pytest.mark.parametrize("damaged", [b"", None], ids=["emptied", "missing"])
def test_without_points_other_files_tell_whose_a_directory_is(
    bench: Bench, damaged: bytes | None
) -> None:
    bench.stopped_with(b"a", b"b")
    damage(bench, damaged, "recovery-points", "orders-0/partition.json")
    directory = bench.open()
    assert directory.in_doubt() == [("orders", 0)]
    log = directory.open_log(ORDERS, P0)
    assert log.log_end_offset == 2
    assert reasons(directory) == ["RECOVERY_POINTS_LOST", "PARTITION_FILE_REWRITTEN"]
    assert directory.with_data() == [tp(0)]
    directory.close()
    directory = bench.open()
    assert directory.open_log(ORDERS, P0).log_end_offset == 2
    assert directory.in_doubt() == [] and reasons(directory) == []


def test_what_nothing_tells_of_is_refused_by_every_start(bench: Bench) -> None:
    """Also by those that find the recovery points which the first one made again."""
    bench.stopped_with(b"a", b"b")
    damage(bench, b"", "recovery-points", "orders-0/partition.json", "orders-0/leader-epochs")
    for _ in range(3):
        directory = bench.open()
        with pytest.raises(StoredDataCorrupt, match=r"adopt .*/orders-0'.*delete the topic"):
            directory.open_log(ORDERS, P0)
        log = directory.open_log(ORDERS, P1)
        bench.append(log, b"the others go on")
        bench.sync(directory, log)
        directory.close()
    assert ".orphaned" not in bench.names()


def test_a_topic_that_is_made_anew_does_not_meet_what_was_refused(bench: Bench) -> None:
    bench.stopped_with(b"a", b"b")
    damage(bench, b"", "recovery-points", "orders-0/partition.json", "orders-0/leader-epochs")
    directory = bench.open()
    directory.remove_topic(ORDERS)
    assert bench.names(".orphaned") == ["1-orders-0"]
    assert directory.open_log(topic(number=2), P0).log_end_offset == 0


def test_records_that_stand_aside_are_not_begun_anew(bench: Bench) -> None:
    bench.stopped_with(b"a", b"b")
    damage(bench, None, "recovery-points")
    (bench.root / ".orphaned").mkdir()
    (bench.root / "orders-0").rename(bench.root / ".orphaned" / "1-orders-0")
    (bench.root / ".orphaned" / "note.txt").write_text("look at it")
    directory = bench.open()
    with pytest.raises(StoredDataCorrupt, match=r"stand in .*/1-orders-0"):
        directory.open_log(ORDERS, P0)


def damage(bench: Bench, data: bytes | None, *names: str) -> None:
    for name in names:
        (bench.root / name).unlink()
        if data is not None:
            (bench.root / name).write_bytes(data)


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
    directory.remove_topic(ORDERS)
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
    directory.remove_topic(ORDERS)
    directory.remove_topic(topic("never", 9))


def test_a_closed_topic_is_removed_and_others_stay(bench: Bench) -> None:
    bench.stopped_with(b"a")
    bench.stopped_with(b"b", of=topic("orders-0", 2))
    directory = bench.open()
    directory.remove_topic(ORDERS)
    assert [name for name in bench.names() if name[0] == "o"] == ["orders-0-0"]
    assert directory.with_data() == [tp(0, topic("orders-0", 2))]
    directory.close()


def test_an_interrupted_removal_is_finished_by_the_next_start(bench: Bench) -> None:
    bench.stopped_with(b"a")
    (bench.root / ".deleted").mkdir()
    (bench.root / "orders-0").rename(bench.root / ".deleted" / "1-orders-0")
    directory = bench.open()
    assert bench.names(".deleted") == []
    directory.remove_topic(ORDERS)
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
    assert log.held_end == 2
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
