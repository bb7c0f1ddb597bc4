"""A directory becomes a partition's because an operator says so."""

from pathlib import Path

import pytest

from harness.log_directory_bench import ORDERS, P0, LogDirectoryBench, reasons, topic, tp
from logd.model.errors import InvalidConfig
from logd_partitions.offline.directory_adoption import adopt, check_adoptable


@pytest.fixture
def bench(tmp_path: Path) -> LogDirectoryBench:
    """Two records of ORDERS, and nothing that tells whose they are."""
    bench = LogDirectoryBench(tmp_path)
    bench.stopped_with(b"a", b"b")
    for name in ("orders-0/partition.json", "orders-0/leader-epochs"):
        (bench.root / name).write_bytes(b"")
    return bench


def adopted(bench: LogDirectoryBench, source: Path) -> str | None:
    return adopt(bench.fs, str(bench.root), str(source), ORDERS, tp(0))


def test_in_its_place(bench: LogDirectoryBench) -> None:
    (bench.root / "recovery-points").unlink()
    assert adopted(bench, bench.root / "orders-0") is None
    directory = bench.open()
    assert directory.open_log(ORDERS, P0).log_end_offset == 2
    assert reasons(directory) == ["RECOVERY_POINTS_LOST"]
    directory.close()
    assert reasons(bench.open()) == []


def test_what_stands_in_its_place_is_set_aside_and_its_point_forgotten(
    bench: LogDirectoryBench,
) -> None:
    source = bench.root / ".orphaned" / "1-orders-0"
    source.parent.mkdir()
    (bench.root / "orders-0").rename(source)
    (bench.root / "recovery-points").unlink()
    bench.stopped_with(b"c")
    assert adopted(bench, source) == str(bench.root / ".orphaned" / "2-orders-0")
    assert bench.names(".orphaned") == ["2-orders-0"]
    directory = bench.open()
    assert directory.unclean() == [tp(0)], "it is read from its start"
    log = directory.open_log(ORDERS, P0)
    assert (log.log_start_offset, log.log_end_offset) == (0, 2)
    bench.append(log, b"c")
    assert log.log_end_offset == 3


def test_a_crash_before_it_is_moved_changes_nothing(bench: LogDirectoryBench) -> None:
    source = bench.root / ".orphaned" / "1-orders-0"
    source.parent.mkdir()
    (bench.root / "orders-0").rename(source)
    (bench.root / "recovery-points").unlink()
    bench.stopped_with(b"c")
    bench.fs.fail = ("1-orders-0", OSError("killed"))
    with pytest.raises(OSError, match="killed"):
        adopted(bench, source)
    bench.fs.fail = None
    directory = bench.open()
    assert directory.open_log(ORDERS, P0).log_end_offset == 1
    directory.close()
    adopted(bench, source)
    assert bench.open().open_log(ORDERS, P0).log_end_offset == 2


def test_nothing_is_adopted_that_is_anothers_or_empty(bench: LogDirectoryBench) -> None:
    path = str(bench.root / "orders-0")
    check_adoptable(bench.fs, path, tp(0))
    (bench.root / "orders-0" / "00000000000000000000.log").write_bytes(b"")
    with pytest.raises(InvalidConfig, match="holds no records"):
        check_adoptable(bench.fs, path, tp(0))
    other = topic("other", 2)
    bench.stopped_with(b"x", of=other)
    with pytest.raises(InvalidConfig, match="another partition's"):
        check_adoptable(bench.fs, str(bench.root / "other-0"), tp(0))
    check_adoptable(bench.fs, str(bench.root / "other-0"), tp(0, other))
