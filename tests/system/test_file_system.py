"""The contract of FileSystem, for the real one and the simulated one."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from logd.model.seams import FileSystem
from logd.sim.disk_faults import DiskFaults
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_disk import SimulatedDisk
from logd.sim.simulated_file_system import SimulatedFileSystem
from logd.sim.simulated_process import SimulatedProcess
from logd.sim.trace import Trace
from logd.system.os_file_system import OsFileSystem
from logd_partitions.directory.partition_directories import make_directories


def simulated() -> SimulatedFileSystem:
    random = SeededRandom()
    disk = SimulatedDisk(random, 1 << 30)
    process = SimulatedProcess("test")
    return SimulatedFileSystem(disk, process, DiskFaults(random), random, Trace(lambda: 0.0))


@pytest.fixture(params=["os", "simulated"])
def fs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileSystem]:
    made: FileSystem = OsFileSystem() if request.param == "os" else simulated()
    make_directories(made, str(tmp_path))
    yield made


def make(fs: FileSystem, path: Path, data: bytes = b"") -> str:
    file = fs.open(str(path), "create")
    if data:
        assert file.pwrite([data], 0) == len(data)
    file.close()
    return str(path)


def test_open_modes(fs: FileSystem, tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    for mode in ("read", "write"):
        with pytest.raises(FileNotFoundError):
            fs.open(path, mode)
    make(fs, tmp_path / "a", b"abc")
    with pytest.raises(FileExistsError):
        fs.open(path, "create")
    reading = fs.open(path, "read")
    assert reading.pread(10, 0) == b"abc"
    with pytest.raises(OSError) as caught:
        reading.pwrite([b"x"], 0)
    assert caught.value.errno == errno.EBADF
    reading.close()


def test_a_gathering_write_lands_in_order_at_its_place(fs: FileSystem, tmp_path: Path) -> None:
    file = fs.open(str(tmp_path / "a"), "create")
    assert file.pwrite([b"head", memoryview(b"xbodyx")[1:5], bytearray(b"!")], 3) == 9
    assert file.pread(100, 0) == b"\0\0\0headbody!"
    assert file.pread(4, 7) == b"body"
    assert file.pread(4, 12) == b""
    assert file.size() == 12
    file.close()


def test_allocate_grows_with_zeros_and_keeps_what_is_there(fs: FileSystem, tmp_path: Path) -> None:
    file = fs.open(make(fs, tmp_path / "a", b"abc"), "write")
    file.allocate(0, 8192)
    assert (file.size(), file.pread(8192, 0)) == (8192, b"abc" + bytes(8189))
    file.truncate(2)
    assert (file.size(), file.pread(10, 0)) == (2, b"ab")
    file.close()


def test_a_map_shows_later_writes_and_outlives_its_file(fs: FileSystem, tmp_path: Path) -> None:
    file = fs.open(make(fs, tmp_path / "a", bytes(4096)), "write")
    view = file.map(4096)
    file.pwrite([b"later"], 100)
    assert bytes(view.view[100:105]) == b"later"
    assert view.view.readonly
    file.close()
    assert bytes(view.view[100:105]) == b"later"
    view.close()
    with pytest.raises(ValueError, match="length"):
        file = fs.open(str(tmp_path / "a"), "read")
        try:
            file.map(4097)
        finally:
            file.close()


def test_cached_reads_are_whole_or_none(fs: FileSystem, tmp_path: Path) -> None:
    file = fs.open(make(fs, tmp_path / "a", b"x" * 10_000), "write")
    file.datasync()
    assert file.pread_cached(5000, 5000) in (b"x" * 5000, None)
    assert file.pread_cached(5000, 6000) is None, "shorter than asked is not an answer"
    file.drop_cache()
    assert file.pread(10_000, 0) == b"x" * 10_000
    file.close()


def test_names(fs: FileSystem, tmp_path: Path) -> None:
    folder = str(tmp_path / "d")
    fs.make_directory(folder)
    with pytest.raises(FileExistsError):
        fs.make_directory(folder)
    first = make(fs, tmp_path / "d" / "b", b"1")
    second = make(fs, tmp_path / "d" / "a", b"22")
    assert (fs.list(folder), fs.size(second)) == (["a", "b"], 2)
    with pytest.raises(OSError):
        fs.remove_directory(folder)
    fs.rename(second, first)
    assert (fs.list(folder), fs.size(first)) == (["b"], 2)
    fs.sync_directory(folder)
    fs.sync_file_system(folder)
    fs.unlink(first)
    fs.remove_directory(folder)
    assert not fs.exists(folder)
    with pytest.raises(FileNotFoundError):
        fs.sync_file_system(folder)


def test_space(fs: FileSystem, tmp_path: Path) -> None:
    assert 0 < fs.free_bytes(str(tmp_path)) <= fs.total_bytes(str(tmp_path))


def test_a_lock_keeps_others_out(fs: FileSystem, tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    lock = fs.lock(path, b"mine")
    with pytest.raises(BlockingIOError):
        fs.lock(path, b"again")
    file = fs.open(path, "read")
    assert file.pread(100, 0) == b"mine", "who lost the race writes nothing"
    file.close()
    lock.release()
    fs.lock(path, b"again").release()


def test_removing_what_is_not_there(fs: FileSystem, tmp_path: Path) -> None:
    for call in (fs.unlink, fs.remove_directory, fs.list, fs.sync_directory, fs.size):
        with pytest.raises(FileNotFoundError):
            call(str(tmp_path / "nothing"))
