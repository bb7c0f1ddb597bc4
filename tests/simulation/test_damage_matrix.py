"""Every pair and triple of small files, damaged together: nothing is lost, no offset given twice.

`damages.py` lists what can be done to one file. All segments are whole, so whatever is done beside
them, each start serves all that was acknowledged, or refuses it and says how to go on.
"""

import functools
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations, islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import structlog

from simulation.damage_bench import Written, check_damaged, write
from simulation.damages import Damage, all_damages, can_meet

pytestmark = pytest.mark.slow

CHUNKS = 8
"""Of each kind: a test each, for as many processors."""
DRAWN_TRIPLES = 500
ENDS = {"a clean stop": False, "a kill": True}

Case = tuple[str, tuple[Damage, ...]]


@functools.cache
def _room() -> TemporaryDirectory[str]:
    """In memory where it can be; one a process."""
    memory = Path("/dev/shm")
    return TemporaryDirectory(dir=memory if memory.is_dir() else None)


@functools.cache
def written_until(end: str) -> Written:
    return write(Path(_room().name) / end, killed=ENDS[end])


def cases(count: int) -> Iterator[Case]:
    """Every way to damage `count` files, after both ways to stop."""
    for end in ENDS:
        for damages in combinations(all_damages(written_until(end).directory), count):
            if can_meet(*damages):
                yield end, damages


def broken_promises(case: Case) -> list[str]:
    """Of one case; quietly, since thousands of starts would tell of what they repair."""
    end, damages = case
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    room = Path(_room().name) / "room"
    findings = check_damaged(written_until(end), room, damages)
    return [f"after {end}, {', '.join(map(str, damages))}: {each}" for each in findings]


def check_chunk(chosen: Iterable[Case], chunk: int) -> int:
    """How many cases this chunk of them has."""
    mine = list(islice(chosen, chunk, None, CHUNKS))
    for case in mine:
        assert not (findings := broken_promises(case)), findings
    return len(mine)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_one_file_or_two_are_damaged(chunk: int, say: Callable[[str], None]) -> None:
    singles, pairs = check_chunk(cases(1), chunk), check_chunk(cases(2), chunk)
    say(f"damage matrix: {singles} files and {pairs} pairs of files, chunk {chunk}")


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_three_files_are_damaged(chunk: int, say: Callable[[str], None]) -> None:
    drawn = random.Random(0).sample(list(cases(3)), DRAWN_TRIPLES)
    say(f"damage matrix: {check_chunk(drawn, chunk)} drawn triples of files, chunk {chunk}")


@pytest.mark.soak
def test_every_three_files_are_damaged(say: Callable[[str], None]) -> None:
    """On all processors: over an hour of one."""
    triples = list(cases(3))
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for findings in pool.map(broken_promises, triples, chunksize=200):
            assert not findings, findings
    say(f"damage matrix: all {len(triples)} triples of files")
