"""Deliberate bugs: each is found by the simulation, and soon."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from simulation.mutated_tree import ROOT, MutatedTree

SEEDS = 300
MUTATIONS = sorted((Path(__file__).parent / "mutations").glob("*.patch"))
RARE = sorted((Path(__file__).parent / "mutations" / "rare").glob("*.patch"))
"""Found by one seed in hundreds, by another after each change of the code: soak looks for them."""
SEEDS_OF_RARE = 2000
_FOUND = re.compile(r"^seed (\d+): ", re.MULTILINE)


def likely_seed(patch: Path) -> int:
    """The seed that found it last time: it is tried first."""
    found = re.search(r"^Found by seed (\d+)\.$", patch.read_text(), re.MULTILINE)
    assert found is not None, f"{patch.name} does not say which seed has found it"
    return int(found[1])


def test_there_are_enough() -> None:
    assert len(MUTATIONS) >= 8


@pytest.mark.parametrize("patch", [*MUTATIONS, *RARE], ids=lambda patch: patch.stem)
def test_a_mutation_still_fits(patch: Path) -> None:
    """Told in milliseconds, and of the rare ones too, which only a soak tries."""
    tried = subprocess.run(
        ["git", "apply", "--check", str(patch)], cwd=ROOT, capture_output=True, text=True
    )
    assert tried.returncode == 0, f"make {patch.name} anew: {tried.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("patch", MUTATIONS, ids=lambda patch: patch.stem)
def test_a_mutation_is_found(tmp_path: Path, patch: Path, say: Callable[[str], None]) -> None:
    """Fails too where the patch no longer fits: then it has to be made anew."""
    tree = MutatedTree(tmp_path, patch)
    seed = likely_seed(patch)
    assert seed < SEEDS
    finding = tree.first_finding(seed, seed + 1) or tree.first_finding(0, SEEDS)
    assert finding, f"{SEEDS} seeds have not found it"
    found = _FOUND.search(finding)
    assert found is not None, finding
    say(f"mutation: {patch.stem}: found by seed {found[1]}")


@pytest.mark.soak
@pytest.mark.parametrize("patch", [*MUTATIONS, *RARE], ids=lambda patch: patch.stem)
def test_the_first_seed_that_finds_a_mutation(
    tmp_path: Path, patch: Path, say: Callable[[str], None]
) -> None:
    seeds = SEEDS_OF_RARE if patch in RARE else SEEDS
    found = _FOUND.search(MutatedTree(tmp_path, patch).first_finding(0, seeds))
    assert found is not None
    say(f"mutation: {patch.stem}: first found by seed {found[1]}")
