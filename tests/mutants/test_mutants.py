"""`make mutate` on a tree of one module: what is changed, what is noticed, what never ends."""

from pathlib import Path

import pytest

from mutants.mutant import Mutant, sample
from mutants.run_mutants import run

MODULE = """
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    limit: int | None


def is_late(n: int) -> bool:
    return n > 3


def sevenfold(n):
    return n * 7


def counted(n):
    while n > 0:
        n = n - 1
    return n
"""
TEST = """
from logd_partitions.letters import counted, is_late, sevenfold

def test_it():
    assert [is_late(n) for n in (2, 3, 4)] == [False, False, True]
    sevenfold(1)
"""
CONFIG = """
[tool.pytest.ini_options]
addopts = ["--import-mode=importlib"]
asyncio_default_fixture_loop_scope = "function"
"""
PATH = "partitions/logd_partitions/letters.py"
OWN_TEST = "tests/partitions/test_letters.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "pyproject.toml": CONFIG,
        "partitions/logd_partitions/__init__.py": "",
        PATH: MODULE,
        OWN_TEST: TEST,
        "tests/partitions/test_others.py": "",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def line_of(code: str) -> int:
    return MODULE.splitlines().index(code) + 1


def test_a_seed_gives_a_sample_of_all_places_but_those_that_no_test_can_see(tree: Path) -> None:
    mutants = sample(tree, "partitions/logd_partitions", 100, 1)
    assert mutants == sample(tree, "partitions/logd_partitions", 100, 1)
    assert mutants[:3] == sample(tree, PATH, 3, 1), "a beginning is a smaller sample"
    assert mutants != sample(tree, "partitions/logd_partitions", 100, 2)
    lines = {mutant.line for mutant in mutants}
    assert line_of("    return n > 3") in lines
    assert not {line_of("    limit: int | None")} & lines
    assert all(mutant.code(MODULE) != MODULE for mutant in mutants)


def at(code: str, operator: str) -> Mutant:
    return Mutant(PATH, line_of(code), f"core/{operator}", 0)


LATE = at("    return n > 3", "ReplaceComparisonOperator_Gt_GtE")
SEVENFOLD = at("    return n * 7", "ReplaceBinaryOperator_Mul_Add")
ENDLESS = at("        n = n - 1", "ReplaceBinaryOperator_Sub_Add")


@pytest.mark.slow
def test_what_no_test_notices_is_named_with_its_difference(tree: Path) -> None:
    told: list[str] = []
    run(tree, "partitions", [LATE, SEVENFOLD], 60, told.append)
    first, second, survivor, difference, score = told
    assert f"killed: {PATH}:{LATE.line} " in first + second
    assert f"survived: {PATH}:{SEVENFOLD.line} " in first + second
    assert survivor == f"\nsurvived: {PATH}:{SEVENFOLD.line} {SEVENFOLD.operator}"
    assert "-    return n * 7\n+    return n + 7\n" in difference
    assert score == "\n50.0%: 1 of 2 mutants killed, 0 as they never ended"
    assert (tree / PATH).read_text() == MODULE, "the tree itself is left alone"


@pytest.mark.slow
def test_a_mutant_that_never_ends_is_killed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutants.mutant_trial.MORE_S_MAX", 0)
    monkeypatch.setattr("mutants.mutant_trial.TIMES_MAX", 1)
    with (tree / OWN_TEST).open("a") as test:
        test.write("    assert counted(3) == 0\n")
    told: list[str] = []
    run(tree, "partitions", [ENDLESS], 60, told.append)
    assert told[-1] == "\n100.0%: 1 of 1 mutants killed, 1 as they never ended"


@pytest.mark.slow
def test_nothing_is_tried_where_no_time_is_left_or_the_tests_fail_already(tree: Path) -> None:
    told: list[str] = []
    run(tree, "partitions", [LATE], 0, told.append)
    assert told == ["\n0.0%: 0 of 0 mutants killed, 0 as they never ended"]
    (tree / "tests/partitions/test_others.py").write_text("def test_broken():\n    assert False\n")
    with pytest.raises(RuntimeError, match="test_broken"):
        run(tree, "partitions", [LATE], 60, told.append)
