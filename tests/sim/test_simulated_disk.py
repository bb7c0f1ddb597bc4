from collections import Counter

import pytest

from logd.sim.disk_faults import DiskFaults
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_disk import SimulatedDisk
from logd.sim.simulated_file import SimulatedFile
from logd.sim.simulated_file_system import SimulatedFileSystem
from logd.sim.simulated_process import SimulatedProcess
from logd.sim.trace import Trace

SEEDS = range(200)


class Machine:
    """A disk, and the process that uses it."""

    def __init__(self, seed: int = 0, capacity_bytes: int = 1 << 20) -> None:
        random = SeededRandom(seed)
        self.disk = SimulatedDisk(random.fork("disk"), capacity_bytes)
        self.fs = SimulatedFileSystem(
            self.disk,
            SimulatedProcess("one"),
            DiskFaults(random.fork("faults")),
            random.fork("files"),
            Trace(lambda: 0.0),
        )

    def write(self, path: str, data: bytes, *, sync: bool = False, mode: str = "create") -> None:
        file = self.fs.open(path, mode)  # type: ignore[arg-type]
        file.pwrite([data], 0)
        if sync:
            file.datasync()

    def read(self, path: str) -> bytes | None:
        found = self.disk.find(path)
        return bytes(found.data) if isinstance(found, SimulatedFile) else None


def after_power_loss(prepare: str) -> Counter[tuple[bytes | None, ...]]:
    """What the files 'a', 'b' and 'c' hold after a power failure, over many seeds."""
    found: Counter[tuple[bytes | None, ...]] = Counter()
    for seed in SEEDS:
        machine = Machine(seed)
        PREPARED[prepare](machine)
        machine.disk.lose_power()
        found[tuple(map(machine.read, ("/a", "/b", "/c")))] += 1
    return found


def synced(machine: Machine) -> None:
    machine.write("/a", b"whole", sync=True)
    machine.fs.sync_directory("/")


def no_name(machine: Machine) -> None:
    machine.write("/a", b"whole", sync=True)


def no_data(machine: Machine) -> None:
    machine.write("/a", b"whole")
    machine.fs.sync_directory("/")


def replaced(machine: Machine) -> None:
    machine.write("/a", b"old", sync=True)
    machine.fs.sync_directory("/")
    machine.write("/b", b"new", sync=True)
    machine.fs.rename("/b", "/a")


def two_renames(machine: Machine) -> None:
    machine.write("/b", b"1", sync=True)
    machine.write("/c", b"2", sync=True)
    machine.fs.sync_directory("/")
    machine.fs.rename("/b", "/a")
    machine.fs.unlink("/c")


PREPARED = {each.__name__: each for each in (synced, no_name, no_data, replaced, two_renames)}


def test_what_is_synced_with_its_name_stays() -> None:
    assert set(after_power_loss("synced")) == {(b"whole", None, None)}


def test_a_name_that_is_not_synced_may_be_gone() -> None:
    assert set(after_power_loss("no_name")) == {(b"whole", None, None), (None, None, None)}


def test_data_that_is_not_synced_may_be_torn_at_any_byte() -> None:
    found = {files[0] for files in after_power_loss("no_data")}
    assert {b"", b"w", b"wh", b"who", b"whol", b"whole"} <= found
    assert b"\0" * 5 in found, "the size is there, the page is not"


def test_a_rename_is_there_whole_or_not_at_all() -> None:
    found = set(after_power_loss("replaced"))
    assert {(b"old", None, None), (b"new", None, None)} <= found
    assert {files[0] for files in found} == {b"old", b"new"}


def test_changes_of_other_names_reach_the_disk_in_any_order() -> None:
    found = set(after_power_loss("two_renames"))
    assert (None, b"1", None) in found, "the removal without the rename before it"
    assert (b"1", None, b"2") in found, "the rename alone"


def test_a_write_is_seen_in_a_map_until_its_process_dies() -> None:
    machine = Machine()
    machine.write("/a", bytes(100))
    file = machine.fs.open("/a", "write")
    mapped = file.map(100)
    file.pwrite([b"later"], 95)
    assert bytes(mapped.view[95:]) == b"later"
    with pytest.raises(AssertionError, match="SIGBUS"):
        file.truncate(50)
    machine.fs.process.die()
    mapped_file = machine.disk.find("/a")
    assert isinstance(mapped_file, SimulatedFile)
    mapped_file.resize(50)


def test_pages_of_a_failed_sync_are_seen_until_the_cache_is_dropped() -> None:
    gone = 0
    for seed in SEEDS:
        machine = Machine(seed)
        machine.write("/a", b"old", sync=True)
        machine.fs.sync_directory("/")
        machine.fs.faults.rates = {"datasync": 1.0}
        with pytest.raises(OSError):
            machine.write("/a", b"new", sync=True, mode="write")
        machine.fs.faults.clear()
        file = machine.fs.open("/a", "write")
        file.datasync()
        assert machine.read("/a") == b"new", "the page cache has it"
        file.drop_cache()
        gone += machine.read("/a") != b"new"
    assert 0 < gone < len(SEEDS), "a later sync that succeeds did not write it"


def test_a_full_disk_takes_what_fits() -> None:
    machine = Machine(capacity_bytes=8192)
    machine.write("/a", b"x" * 5000)
    with pytest.raises(OSError, match="No space"):
        machine.write("/b", b"y")
    machine.write("/a", b"z" * 8192, mode="write")
    machine.fs.unlink("/a")
    assert machine.fs.free_bytes("/") == 8192


def test_a_flipped_bit_shows_once_the_page_is_read_from_the_disk() -> None:
    machine = Machine()
    machine.write("/a", b"\0", sync=True)
    machine.fs.sync_directory("/")
    file = machine.disk.find("/a")
    assert isinstance(file, SimulatedFile)
    file.flip_bit(3)
    assert machine.read("/a") == b"\0"
    machine.disk.lose_power()
    assert machine.read("/a") == b"\x08"
