import pytest

from logd.sim.disk_faults import DiskFaults
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_disk import SimulatedDisk
from logd.sim.simulated_file import SimulatedFile
from logd.sim.simulated_file_system import SimulatedFileSystem
from logd.sim.simulated_process import ProcessDied, SimulatedProcess
from logd.sim.trace import Trace


def make(seed: int = 0) -> tuple[SimulatedFileSystem, list[str]]:
    random = SeededRandom(seed)
    lines: list[str] = []
    disk = SimulatedDisk(random, 1 << 20)
    process = SimulatedProcess("one")
    fs = SimulatedFileSystem(
        disk, process, DiskFaults(random), random, Trace(lambda: 0.0, lines.append)
    )
    fs.crash_point.crash = process.die
    return fs, lines


def test_only_changes_count_and_the_process_dies_at_the_chosen_one() -> None:
    fs, _ = make()
    fs.crash_point.at = 3
    file = fs.open("/a", "create")
    file.pread(10, 0)
    fs.open("/a", "read")
    file.datasync()
    with pytest.raises(ProcessDied):
        fs.rename("/a", "/b")
    assert fs.crash_point.changes == 3
    assert fs.exists("/a"), "it died before"
    with pytest.raises(ProcessDied):
        fs.list("/")


def test_a_process_that_dies_in_a_write_leaves_any_part_of_it() -> None:
    left = set()
    for seed in range(60):
        fs, _ = make(seed)
        file = fs.open("/a", "create")
        fs.crash_point.at = 2
        with pytest.raises(ProcessDied):
            file.pwrite([b"abc"], 0)
        node = fs.disk.find("/a")
        assert isinstance(node, SimulatedFile)
        left.add(bytes(node.data))
    assert left == {b"", b"a", b"ab", b"abc"}


def test_a_lock_dies_with_its_process() -> None:
    fs, _ = make()
    fs.lock("/lock", b"1")
    fs.process.die()
    second = SimulatedFileSystem(
        fs.disk, SimulatedProcess("two"), fs.faults, fs.random, Trace(lambda: 0.0)
    )
    second.lock("/lock", b"2")


def test_short_writes_and_errors_come_at_their_rates() -> None:
    fs, lines = make()
    file = fs.open("/a", "create")
    fs.faults.short_writes = 1.0
    assert file.pwrite([bytes(1000)], 0) < 1000
    fs.faults.clear()
    fs.faults.rates = {"list": 1.0}
    with pytest.raises(OSError, match="Input/output"):
        fs.list("/")
    assert fs.faults.struck == 2
    assert any("fails list /" in line for line in lines)
