"""Files emptied, cut, overwritten, moved and doubled: every kind of file, every kind of damage."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.directory_survey import survey_directory
from harness.door_bench import door_bench
from harness.prepared_data import LOG_START, PreparedData
from harness.survey_verdict import Touched, Verdict, judge_survey
from logd.model.errors import StoredDataCorrupt

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quiet")]

FILES = {
    "first segment": "rolled-0/00000000000000000000.log",
    "sealed segment": "rolled-0/00000000000000000020.log",
    "last segment": "rolled-0/00000000000000000080.log",
    "large segment": "large-0/00000000000000000000.log",
    "recovery points": "recovery-points",
    "metadata": "metadata.sqlite",
    "index": "rolled-0/00000000000000000040.index",
    "timeindex": "rolled-0/00000000000000000040.timeindex",
    "manifest": "rolled-0/00000000000000000040.manifest",
    "index of the active segment": "large-0/00000000000000000000.index",
    "leader epochs": "rolled-0/leader-epochs",
    "snapshot": "rolled-0/producers.snapshot",
    "partition.json": "rolled-0/partition.json",
    "format.json": "format.json",
}
OTHER_AFTER_A_KILL = tuple(FILES)[:6]
"""Of the others it is all the same how the broker ended."""


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 + 1])


def foreign(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def moved(path: Path) -> None:
    path.rename(path.with_name(path.name + ".bak"))


def lengthened(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"and more of it\n")


DAMAGES: dict[str, Callable[[Path], None]] = {
    each.__name__: each for each in (empty, cut, foreign, moved, lengthened)
}


TOUCHED = {
    "first segment": Touched("rolled", range(0, 20)),
    "sealed segment": Touched("rolled", range(20, 40)),
    "last segment": Touched("rolled", range(80, 120)),
    "large segment": Touched("large", range(0, 360)),
}
"""What a segment holds: all of it may be lost, and nothing else."""


def expected_verdicts(kind: str, damage: str, killed: bool) -> set[Verdict]:
    """ "Unseen" is what leaves no trace: a file that need not be there, hints, and a tail that
    SQLite does not look at, or, after a kill, its main file where the journal has the pages. Cut is
    what lies behind the recovery point where no manifest says that it was synced."""
    if kind in TOUCHED:
        if damage == "lengthened":
            return {"repaired"}
        unfinished = kind == "large segment" or damage == "moved"
        return {"cut", "reported"} if killed and unfinished else {"reported"}
    if kind == "index of the active segment":
        return {"unseen"}
    if kind == "format.json":
        return {"refused"}
    if kind == "metadata":
        if damage == "lengthened":
            return {"unseen"}
        return {"refused", "unseen"} if killed else {"refused"}
    needed = kind in ("partition.json", "recovery points")
    return {"unseen"} if damage == "moved" and not needed else {"repaired"}


@pytest.fixture
def copy(prepared: PreparedData, room: Path) -> Path:
    """A directory with a copy of what was prepared in `data`."""
    directory = room / "copy"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(prepared.directory / "data", directory / "data")
    return directory


CASES = [
    (end, kind, damage)
    for end, kinds in (("clean stop", tuple(FILES)), ("kill", OTHER_AFTER_A_KILL))
    for kind in kinds
    for damage in DAMAGES
]


@pytest.mark.parametrize(("prepared", "kind", "damage"), CASES, indirect=["prepared"])
async def test_a_damaged_file_is_repaired_or_told(
    prepared: PreparedData, copy: Path, kind: str, damage: str
) -> None:
    DAMAGES[damage](copy / "data" / FILES[kind])
    survey = await survey_directory(copy, prepared)
    verdict = judge_survey(prepared, survey, TOUCHED.get(kind, Touched()))
    assert verdict in expected_verdicts(kind, damage, prepared.killed)


COPIES: dict[str, tuple[str, str, Touched, set[Verdict]]] = {
    "a segment over another": (
        "rolled-0/00000000000000000000.log",
        "rolled-0/00000000000000000020.log",
        Touched("rolled", range(20, 40)),
        {"reported"},
    ),
    "a segment between others": (
        "rolled-0/00000000000000000020.log",
        "rolled-0/00000000000000000060.log",
        Touched("rolled", range(60, 80)),
        {"reported", "repaired"},
    ),
    "a segment behind the last": (
        "rolled-0/00000000000000000020.log",
        "rolled-0/00000000000000000500.log",
        Touched(),
        {"repaired"},
    ),
    "an index over another": (
        "rolled-0/00000000000000000040.index",
        "rolled-0/00000000000000000080.index",
        Touched(),
        {"repaired"},
    ),
    "a partition beside the others": ("rolled-0", "rolled-1", Touched(), {"repaired"}),
    "a partition with another name": ("large-0", "other-0", Touched(), {"repaired"}),
}
"""Name -> what is copied, where to, what may be lost, and what becomes of it."""


@pytest.mark.parametrize("name", COPIES)
async def test_a_doubled_file_is_told_and_never_read_twice(
    prepared: PreparedData, copy: Path, name: str
) -> None:
    source, target, touched, expected = COPIES[name]
    path = copy / "data" / source
    (shutil.copytree if path.is_dir() else shutil.copyfile)(path, copy / "data" / target)
    survey = await survey_directory(copy, prepared)
    assert judge_survey(prepared, survey, touched) in expected


@pytest.mark.parametrize("told_by_others", [True, False])
async def test_a_partition_with_anothers_identity_is_known_by_its_other_files(
    prepared: PreparedData, copy: Path, told_by_others: bool
) -> None:
    data = copy / "data"
    shutil.copyfile(data / "rolled-0/partition.json", data / "large-0/partition.json")
    if not told_by_others:
        (data / "large-0/leader-epochs").unlink()
        (data / "large-0/producers.snapshot").unlink(missing_ok=True)
    survey = await survey_directory(copy, prepared)
    if told_by_others:
        assert judge_survey(prepared, survey, Touched()) == "repaired"
        return
    assert isinstance(survey.logs["large"].error, StoredDataCorrupt)
    assert isinstance(survey.logs["large"].appended, StoredDataCorrupt), "nothing takes its place"
    told = [each.resource for each in survey.problems if each.reason == "STORED_DATA_CORRUPT"]
    assert [where for where in told if where != "requests"] == ["large:0"], "beside those refused"
    assert not (data / ".orphaned").exists()
    assert survey.logs["rolled"].records == prepared.records["rolled"][LOG_START:]


async def test_a_copied_partition_is_not_taken_for_that_of_a_new_topic(
    prepared: PreparedData, copy: Path
) -> None:
    shutil.copytree(copy / "data" / "large-0", copy / "data" / "other-0")
    async with door_bench(copy) as bench:
        await bench.topic("other")
        [receipt] = await bench.produce("other", b"first")
        assert receipt.offset == 0
        [fetched] = await bench.fetch("other", (0, 0))
        assert fetched.high_watermark == 1
    assert [path.name for path in (copy / "data" / ".orphaned").iterdir()] == ["1-other-0"]
