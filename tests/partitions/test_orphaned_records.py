"""Which directories that were set aside hold records that their topic lacks."""

from pathlib import Path

import pytest

from harness.log_directory_bench import ORDERS, LogDirectoryBench, topic
from logd.model.topic import Topic
from logd_partitions.offline.orphaned_records import check_orphans


@pytest.fixture
def bench(tmp_path: Path) -> LogDirectoryBench:
    """Two records of ORDERS, and a directory for what is set aside."""
    bench = LogDirectoryBench(tmp_path)
    bench.stopped_with(b"a", b"b")
    (bench.root / ".orphaned").mkdir()
    return bench


def told(bench: LogDirectoryBench, *topics: Topic) -> list[str]:
    findings = check_orphans(bench.fs, str(bench.root), topics)
    assert all((f.severity, f.reason) == ("error", "ORPHANED") for f in findings)
    return [f"{Path(f.path).name}: {f.message}" for f in findings]


def set_aside(bench: LogDirectoryBench, name: str = "1-orders-0") -> Path:
    return (bench.root / "orders-0").rename(bench.root / ".orphaned" / name)


def test_records_that_are_nowhere_else(bench: LogDirectoryBench) -> None:
    set_aside(bench)
    [message] = told(bench, ORDERS)
    assert message.startswith("1-orders-0: records of topic 'orders', partition 0, up to offset 1")
    assert "'logctl segments adopt'" in message


def test_a_log_that_has_begun_anew_does_not_hold_them(bench: LogDirectoryBench) -> None:
    set_aside(bench)
    (bench.root / "recovery-points").unlink()
    bench.clock.advance(1)
    (aside,) = (bench.root / ".orphaned").iterdir()
    for name in ("partition.json", "leader-epochs"):
        (aside / name).unlink()  # only its name tells
    bench.stopped_with(b"c", b"d", b"e")
    assert len(told(bench, ORDERS)) == 1


def test_a_copy_is_no_loss(bench: LogDirectoryBench) -> None:
    aside = set_aside(bench)
    (bench.root / "orders-0").mkdir()
    for path in aside.iterdir():
        (bench.root / "orders-0" / path.name).write_bytes(path.read_bytes())
    assert told(bench, ORDERS) == []


def test_what_is_of_no_topic_or_holds_nothing_is_no_loss(bench: LogDirectoryBench) -> None:
    aside = set_aside(bench)
    assert told(bench, topic(number=2)) == [], "the topic of that name is another"
    assert told(bench) == []
    (bench.root / ".orphaned" / "note.txt").write_text("look at it")
    (aside / "00000000000000000000.log").write_bytes(bytes(4096))
    assert told(bench, ORDERS) == []


def test_its_files_count_for_more_than_its_name(bench: LogDirectoryBench) -> None:
    set_aside(bench, "1-other-0")
    assert "topic 'orders', partition 0" in told(bench, ORDERS, topic("other", 2))[0]
