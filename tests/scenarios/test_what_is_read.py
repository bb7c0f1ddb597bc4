"""What storage reads from the disk, where, and how much: seen through the FileSystem seam."""

import random
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault, FaultyFileSystem
from harness.host_bench import HostBench, at, host_bench, offsets_of
from harness.log_bench import LogBench
from logd.model.topic_config import TopicConfig
from logd_partitions.segment import log_segment
from logd_partitions.sync.sync_progress import SNAPSHOT_INTERVAL_BYTES

MIB = 1 << 20
ALWAYS = 10**9


def log_bytes_read(bench: LogBench) -> int:
    found = sum(size for path, _, size in bench.fs.reads if path.endswith(".log"))
    bench.fs.reads.clear()
    return found


@pytest.mark.slow
def test_an_unclean_start_reads_what_lies_behind_the_recovery_point_not_the_log(
    tmp_path: Path,
) -> None:
    bench = LogBench(tmp_path, TopicConfig(segment_bytes=64 * MIB))
    value = random.Random(1).randbytes(MIB - 4096)
    for number in range(160):
        bench.append([value], producer=(5, 0, number))
        if number % 4 == 3:
            bench.sync()
    for number in range(160, 163):
        bench.append([value], producer=(5, 0, number))
    log_bytes_read(bench)
    log = bench.crash()
    assert log.log_end_offset == 163
    # Behind the point: 3 MiB. The producers' snapshot is older, by what one interval and one sync
    # may append. All of it twice: bodies are checked, then headers taken.
    behind = 3 * MIB + SNAPSHOT_INTERVAL_BYTES + 4 * MIB
    assert 3 * MIB < log_bytes_read(bench) <= 2 * behind
    bench.append([value] * 2, producer=(5, 0, 163))
    bench.stop()
    assert log_bytes_read(bench) == 0
    bench.point = None  # as without recovery-points
    bench.open()
    assert log_bytes_read(bench) > 162 * MIB


class WatchingFileSystem(FaultyFileSystem):
    """Notes reads and maps of segments, and whether a pool carried them out."""

    bench: HostBench

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, bool]] = []

    def match(self, call: str, path: str) -> Fault | None:
        if path.endswith(".log") and call in ("pread", "map"):
            in_pool = self.bench.cold_read.running or self.bench.maintenance.running
            self.seen.append((call, in_pool))
        return super().match(call, path)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("cold", ["after a restart", "far behind the end"])
async def test_a_cold_read_is_neither_on_the_loop_nor_through_a_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cold: str, cached: bool
) -> None:
    fs = WatchingFileSystem()
    async with host_bench(tmp_path, fs) as bench:
        fs.bench = bench
        (where,) = await bench.topic("orders", segment_bytes="1MiB")
        for _ in range(5):
            await bench.produce(where, bytes(30_000))
        if cold == "far behind the end":
            monkeypatch.setattr(log_segment, "HOT_BYTES_MAX", 1000)
            await read_all(bench, fs, where, cached)
            return
    async with host_bench(tmp_path, fs) as bench:
        fs.bench = bench
        await read_all(bench, fs, where, cached)


async def read_all(bench: HostBench, fs: WatchingFileSystem, where: object, cached: bool) -> None:
    """All but the last batch, which is hot where it was appended in this run."""
    (found,) = await bench.fetch(at(where, 0), max_bytes=1)  # type: ignore[arg-type]
    fs.seen.clear()
    if not cached:
        fs.faults.append(Fault("pread_cached", ".log", times=ALWAYS))
    before = bench.cold_read.runs
    for offset in range(4):
        (found,) = await bench.fetch(at(where, offset), max_bytes=1)  # type: ignore[arg-type]
        assert offsets_of(found) == [offset] and found.error is None
    runs = bench.cold_read.runs - before
    if cached:
        assert (runs, fs.seen) == (0, [])
    else:
        assert runs == 4
        assert set(fs.seen) == {("pread", True)}
