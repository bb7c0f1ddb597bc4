"""Flips and torn tails in a follower's log, with hints below, at and above what it had synced.

Below its own recovery point, or below the hint of a later batch, it is damage: kept, and reported.
Above both it is a tear: cut, reported, and fetched again from the leader.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.log_bench import LARGE_SEGMENTS, LogBench
from logd.model.ids import Offset
from logd.model.topic_config import Durability

BATCHES = 8
SYNCED = 3
"""Of so many batches the recovery point tells; each has two records."""
HINTS = {"below what it had synced": 2, "at it": 2 * SYNCED, "above it": 2 * SYNCED + 4}


def follower(tmp_path: Path, hint: int, durability: Durability = "fsync") -> LogBench:
    """A log with all its batches in the file, left as by a crash."""
    config = replace(LARGE_SEGMENTS, durability=durability)
    bench = LogBench(tmp_path, config, replicated=True)
    for number in range(BATCHES):
        values = [b"%d" % number, bytes(100)]
        bench.log.append_stored(bench.stored(values, epoch=2, hint=hint))
        if number + 1 == SYNCED:
            bench.sync()
    return bench


def path_and_size(bench: LogBench) -> tuple[Path, int]:
    (path,) = bench.segment_paths()
    return path, bench.log.size_bytes // BATCHES


def is_damage(bench: LogBench, number: int, hint: int) -> bool:
    hints_count = bench.config.durability == "fsync"
    return number < SYNCED or (hints_count and number < BATCHES - 1 and 2 * number < hint)


@pytest.mark.parametrize("durability", ["fsync", "page_cache"])
@pytest.mark.parametrize("hint", HINTS.values(), ids=HINTS.keys())
@pytest.mark.parametrize("number", range(BATCHES))
@pytest.mark.parametrize("at", [20, 60, 120])
def test_a_flip(number: int, at: int, hint: int, durability: Durability, tmp_path: Path) -> None:
    bench = follower(tmp_path, hint, durability)
    path, size = path_and_size(bench)
    data = bytearray(path.read_bytes())
    data[number * size + at] ^= 4
    path.write_bytes(data)
    bench.crash()
    bases = [2 * each for each in range(BATCHES)]
    if is_damage(bench, number, hint):
        assert bench.readable() == (
            [*bases[:number], *bases[number + 1 :]],
            [(2 * number, 2 * number + 2)],
        )
        assert bench.reasons() == ["STORED_DATA_CORRUPT"]
        return
    assert bench.readable() == (bases[:number], [])
    assert bench.reasons() == ["POSSIBLE_LOSS"]
    fetched = bench.stored(*[[b"%d" % n, bytes(100)] for n in range(number, BATCHES)], epoch=3)
    bench.log.append_stored(fetched)
    assert bench.readable() == (bases, [])


@pytest.mark.parametrize("durability", ["fsync", "page_cache"])
@pytest.mark.parametrize("hint", HINTS.values(), ids=HINTS.keys())
@pytest.mark.parametrize("number", range(BATCHES))
@pytest.mark.parametrize("kept", [0, 50, 120])
def test_a_torn_tail(
    number: int, kept: int, hint: int, durability: Durability, tmp_path: Path
) -> None:
    """Only what was synced must be there: no later batch says more."""
    bench = follower(tmp_path, hint, durability)
    path, size = path_and_size(bench)
    path.write_bytes(path.read_bytes()[: number * size + kept])
    bench.crash()
    bases = [2 * each for each in range(number)]
    if number >= SYNCED:
        assert bench.readable() == (bases, [])
        assert bench.log.log_end_offset == 2 * number
        assert bench.reasons() == (["POSSIBLE_LOSS"] if kept else [])
        return
    assert bench.readable() == (bases, [(2 * number, 2 * SYNCED)])
    assert bench.reasons() == ["STORED_DATA_CORRUPT"]
    bench.log.append_stored(bench.stored([b"x"], base_offset=2 * SYNCED, epoch=3))
    assert bench.log.log_end_offset == 2 * SYNCED + 1


def test_alone_hints_count_whatever_the_durability(tmp_path: Path) -> None:
    bench = follower(tmp_path, HINTS["above it"], "page_cache")
    bench.replicated = False
    path, size = path_and_size(bench)
    data = bytearray(path.read_bytes())
    data[SYNCED * size + 60] ^= 4
    path.write_bytes(data)
    bench.crash()
    assert bench.reasons() == ["STORED_DATA_CORRUPT"]
    assert bench.log.committed_end == Offset(2 * BATCHES)
