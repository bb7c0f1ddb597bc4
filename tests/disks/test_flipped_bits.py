"""One bit flipped, anywhere in a data directory: never wrong data, never silence."""

import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.directory_survey import survey_directory
from harness.prepared_data import TOPICS, PreparedData
from harness.survey_verdict import Touched, Verdict, judge_next_start, judge_survey
from logd.model.record_batch import HEADER_BYTES
from logd.system.os_file_system import OsFileSystem
from logd_partitions.offline.segment_tools import dump_segment

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quiet")]

KINDS: dict[str, tuple[str, int, set[Verdict]]] = {
    "header": ("*.log", 28, {"reported", "cut", "repaired"}),
    "body": ("*.log", 28, {"reported", "cut", "repaired"}),
    "reserved": ("*.log", 10, {"repaired"}),
    "index": ("rolled-0/*.index", 10, {"repaired"}),
    "timeindex": ("rolled-0/*.timeindex", 10, {"repaired"}),
    "active index": ("large-0/*index", 4, {"unseen"}),
    "manifest": ("*.manifest", 8, {"repaired"}),
    "snapshot": ("producers.snapshot", 8, {"repaired"}),
    "epochs": ("leader-epochs", 8, {"repaired"}),
    "partition": ("partition.json", 10, {"repaired"}),
    "format": ("format.json", 6, {"refused"}),
    "points": ("recovery-points", 12, {"repaired"}),
    "metadata": ("metadata.sqlite*", 20, {"refused", "unseen"}),
}
"""Kind of place -> files, flips in `make test` after each way to stop, what may become of it.

Unseen may be only what a check has no sum for: the indexes of an active segment, which are hints,
and what SQLite does not use.
"""


class Place(NamedTuple):
    """Bytes [start, end) of a file, and what damage there may cost."""

    path: Path
    start: int
    end: int
    touched: Touched


def find_places(prepared: PreparedData, kind: str) -> list[Place]:
    """Where a bit of this kind can be flipped; a clean stop leaves nothing reserved."""
    data = prepared.directory / "data"
    paths = [path for path in prepared.files() if path.match(KINDS[kind][0])]
    if kind not in ("header", "body", "reserved"):
        return [Place(path, 0, (data / path).stat().st_size, Touched()) for path in paths]
    places = []
    for path in paths:
        topic = path.parent.name.rpartition("-")[0]
        for batch in dump_segment(OsFileSystem(), str(data / path)):
            start, end, header = batch.position, batch.end_position, batch.header
            if header is None and kind == "reserved":
                places.append(Place(path, start, end, Touched()))
            elif header is not None and kind != "reserved":
                body = start + HEADER_BYTES
                start, end = (start, body) if kind == "header" else (body, end)
                offsets = range(header.base_offset, header.next_offset)
                places.append(Place(path, start, end, Touched(topic, offsets)))
    return places


async def run_flips(
    prepared: PreparedData, room: Path, kind: str, seeds: range, *, starts: int = 1
) -> Counter[Verdict]:
    verdicts: Counter[Verdict] = Counter()
    places = find_places(prepared, kind)
    for seed in seeds if places else ():
        chooser = random.Random(f"{kind} {seed}")
        path = chooser.choice(sorted({place.path for place in places}))
        place = chooser.choice([place for place in places if place.path == path])
        at, bit = chooser.randrange(place.start, place.end), chooser.randrange(8)
        copy = room / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(prepared.directory / "data", copy / "data")
        flip_bit(copy / "data" / place.path, at, bit)
        try:
            survey = await survey_directory(copy, prepared, looked_at(place.path, seed))
            verdict = judge_survey(prepared, survey, place.touched)
            assert verdict in KINDS[kind][2], verdict
            if starts > 1:
                judge_next_start(survey, await survey_directory(copy, prepared))
        except Exception as error:
            error.add_note(f"{kind}, seed {seed}: bit {bit} of byte {at} of {place.path}")
            raise
        verdicts[verdict] += 1
    return verdicts


def looked_at(path: Path, seed: int) -> Sequence[str]:
    """The topic whose file it is; both where it is no topic's, and each fourth time."""
    topic = path.parent.name.removesuffix("-0")
    return (topic,) if topic in TOPICS and seed % 4 else TOPICS


def flip_bit(path: Path, at: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        [byte] = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_flipped_bit_is_repaired_or_told(
    prepared: PreparedData, room: Path, kind: str, say: Callable[[str], None]
) -> None:
    verdicts = await run_flips(prepared, room, kind, range(KINDS[kind][1]))
    how = "a kill" if prepared.killed else "a clean stop"
    say(f"flipped bits: {kind}, after {how}: {dict(verdicts)}")


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
async def test_more_flipped_bits_and_a_second_start(
    prepared: PreparedData, room: Path, kind: str, say: Callable[[str], None]
) -> None:
    verdicts = await run_flips(prepared, room, kind, range(1000, 1300), starts=2)
    how = "a kill" if prepared.killed else "a clean stop"
    say(f"flipped bits: {kind}, after {how}: {dict(verdicts)}")
