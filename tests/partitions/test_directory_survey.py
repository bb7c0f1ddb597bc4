from pathlib import Path

import pytest

from harness.log_directory_bench import ORDERS, P0, P1, LogDirectoryBench, topic, tp
from logd.model.errors import StoredDataCorrupt
from logd.model.ids import LeaderEpoch, Offset
from logd_partitions.leader_epochs import EpochEntry, encode_epochs
from logd_partitions.offline.directory_survey import survey_directory


@pytest.fixture
def bench(tmp_path: Path) -> LogDirectoryBench:
    return LogDirectoryBench(tmp_path)


def test_topics_are_those_of_the_partitions_in_their_places(bench: LogDirectoryBench) -> None:
    directory = bench.open()
    directory.bind_cluster("c-1")
    for partition in (P0, P1):
        log = directory.open_log(ORDERS, partition)
        bench.append(log, b"x")
        bench.sync(directory, log)
    directory.close()
    (bench.root / "orders-1").rename(bench.root / "copied-1")
    (bench.root / "strange-0").mkdir()
    (bench.root / "strange-0" / "partition.json").write_bytes(b"{}")
    survey = survey_directory(bench.fs, str(bench.root))
    assert survey.identity.cluster_id == "c-1"
    assert [found.topic_id for found in survey.topics.values()] == [ORDERS.topic_id]
    assert survey.topics["orders"].revision == ORDERS.revision
    assert [Path(path).name for path, _ in survey.skipped] == ["copied-1", "strange-0"]
    assert survey.highest_leader_epoch == 1


def test_a_name_is_the_newest_topics(bench: LogDirectoryBench) -> None:
    bench.stopped_with(b"old")
    bench.root.joinpath("orders-0").rename(bench.root / "aside")
    newer = topic(number=9)
    object.__setattr__(newer, "created_ms", 10)
    directory = bench.open()
    log = directory.open_log(newer, P1)
    bench.append(log, b"new")
    bench.sync(directory, log)
    directory.close()
    (bench.root / "aside").rename(bench.root / "orders-0")
    survey = survey_directory(bench.fs, str(bench.root))
    assert [found.topic_id for found in survey.topics.values()] == [newer.topic_id]
    assert ORDERS.topic_id.hex() in survey.skipped[0][0]


def test_epochs_outlive_the_batches_that_had_them(bench: LogDirectoryBench) -> None:
    bench.stopped_with(b"x")
    (bench.root / "orders-0" / "leader-epochs").write_bytes(
        encode_epochs(tp(0), [EpochEntry(LeaderEpoch(41), Offset(0))])
    )
    (bench.root / "orders-0" / "00000000000000000000.log").write_bytes(b"")
    assert survey_directory(bench.fs, str(bench.root)).highest_leader_epoch == 41


def test_without_a_format_nothing_is_known(bench: LogDirectoryBench) -> None:
    bench.stopped_with(b"x")
    (bench.root / "format.json").write_bytes(b"{")
    with pytest.raises(StoredDataCorrupt):
        survey_directory(bench.fs, str(bench.root))
