import random
from dataclasses import replace
from pathlib import Path

import pytest

from harness.log_bench import LARGE_SEGMENTS, SMALL_SEGMENTS, LogBench, written_log
from logd.model.ids import Offset
from logd_partitions.core.offset_index import OffsetIndex


def test_every_flipped_bit_is_found_and_the_rest_is_served(tmp_path: Path) -> None:
    bench = written_log(tmp_path, 40, SMALL_SEGMENTS)
    bench.log.apply_retention(None)
    whole = {int(header.base_offset): batch for header, batch in bench.read_all()}
    generator = random.Random(7)
    for number, path in enumerate(bench.segment_paths()):
        data = path.read_bytes()
        used = len(data.rstrip(b"\0"))
        for at in generator.sample(range(used), 60):
            flipped = bytearray(data)
            flipped[at] ^= 1 << generator.randrange(8)
            path.write_bytes(flipped)
            assert bench.point is not None
            bench.point = replace(bench.point, open=at % 2 == 0)
            bench.open()
            good, bad = bench.readable()
            assert len(bad) == 1 and len(good) == len(whole) - 1, (number, at)
            assert set(good) | {bad[0][0]} == set(whole), "the one that was hit, and no other"
            for base_offset in good:
                assert bench.read_at(base_offset, 1)[0][1] == whole[base_offset]
            path.write_bytes(data)


@pytest.mark.parametrize("kind", ["index", "timeindex", "manifest"])
@pytest.mark.parametrize("clean", [False, True])
def test_damaged_indexes_never_lead_astray(tmp_path: Path, kind: str, clean: bool) -> None:
    bench = written_log(tmp_path, 60, replace(LARGE_SEGMENTS, segment_bytes=20_000))
    for _ in range(30):
        bench.append([bytes(4000)] * 3)
        bench.clock.advance(10)
    bench.sync()
    bench.log.apply_retention(None)
    whole = bench.read_all()
    times = [header.append_timestamp_ms for header, _ in whole]
    generator = random.Random(1)
    paths = sorted(bench.path.glob(f"*.{kind}"))
    assert len(paths) > 10

    def check() -> None:
        bench.log.close()
        assert bench.point is not None
        bench.point = replace(bench.point, open=not clean)
        bench.open()
        for header, batch in generator.sample(whole, 5):
            assert bench.read_at(header.base_offset, 1)[0] == (header, batch)
            found = bench.log.find_offset_by_time(
                header.append_timestamp_ms, False, bench.log.log_end_offset
            )
            first = times.index(header.append_timestamp_ms)
            assert found == (whole[first][0].base_offset, header.append_timestamp_ms)
        assert bench.reasons() == []

    for path in generator.sample(paths, 8):
        data = path.read_bytes()
        for _ in range(4):
            flipped = bytearray(data)
            flipped[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            path.write_bytes(flipped)
            check()
        path.write_bytes(b"")
        check()
        path.write_bytes(data[:-7])
        check()
        path.unlink()
        check()
        path.write_bytes(data)
    bench.log.apply_retention(None)
    assert bench.read_all() == whole


def wrong_index(bench: LogBench, shift: int) -> bytes:
    """An index that is whole in itself, but points to other batches, or to where none begins."""
    index, position = OffsetIndex(Offset(0)), 0
    for header, batch in bench.read_all()[:-1]:
        if position > 0:
            index.add(Offset(header.base_offset - shift % 8), position + shift // 8)
        position += len(batch)
    return index.to_bytes(position, bench.log.log_end_offset)


@pytest.mark.parametrize("shift", [2, 6, 80], ids=["a batch", "three batches", "bytes"])
def test_indexes_are_only_hints(tmp_path: Path, shift: int) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for number in range(300):
        bench.append([bytes(1000), b"%d" % number])
        bench.clock.advance(1)
    bench.log.roll()
    bench.append()
    bench.sync()
    bench.log.apply_retention(None)
    whole = bench.read_all()[:-1]
    [index_path] = bench.path.glob("*.index")
    index_path.write_bytes(wrong_index(bench, shift))
    for header, batch in [*whole[::37], *whole[45:75]]:
        bench.open()
        assert bench.read_at(header.base_offset, 1)[0] == (header, batch)
        reads = len(bench.fs.reads)
        assert bench.read_at(header.base_offset, 1)[0] == (header, batch)
        assert len(bench.fs.reads) <= reads + 1, "the index was made again, once"
        bench.open()
        found = bench.log.find_offset_by_time(header.append_timestamp_ms, False, Offset(600))
        assert found == (header.base_offset, header.append_timestamp_ms)
    assert bench.log.problems() == []
