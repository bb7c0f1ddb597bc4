"""The contract of FileSystem, on real files. A model of it must pass the same."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from logd.system.os_file_system import OsFileSystem

fs = OsFileSystem()


def make(path: Path, data: bytes = b"") -> str:
    file = fs.open(str(path), "create")
    if data:
        assert file.pwrite([data], 0) == len(data)
    file.close()
    return str(path)


def test_open_modes(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    for mode in ("read", "write"):
        with pytest.raises(FileNotFoundError):
            fs.open(path, mode)
    make(tmp_path / "a", b"abc")
    with pytest.raises(FileExistsError):
        fs.open(path, "create")
    reading = fs.open(path, "read")
    assert reading.pread(10, 0) == b"abc"
    with pytest.raises(OSError) as caught:
        reading.pwrite([b"x"], 0)
    assert caught.value.errno == errno.EBADF
    reading.close()


def test_a_gathering_write_lands_in_order_at_its_place(tmp_path: Path) -> None:
    file = fs.open(str(tmp_path / "a"), "create")
    assert file.pwrite([b"head", memoryview(b"xbodyx")[1:5], bytearray(b"!")], 3) == 9
    assert file.pread(100, 0) == b"\0\0\0headbody!"
    assert file.pread(4, 7) == b"body"
    assert file.pread(4, 12) == b""
    assert file.size() == 12
    file.close()


def test_allocate_grows_with_zeros_and_keeps_what_is_there(tmp_path: Path) -> None:
    file = fs.open(make(tmp_path / "a", b"abc"), "write")
    file.allocate(0, 8192)
    assert (file.size(), file.pread(8192, 0)) == (8192, b"abc" + bytes(8189))
    file.truncate(2)
    assert (file.size(), file.pread(10, 0)) == (2, b"ab")
    file.close()


def test_a_map_shows_later_writes_and_outlives_its_file(tmp_path: Path) -> None:
    file = fs.open(make(tmp_path / "a", bytes(4096)), "write")
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


def test_cached_reads_are_whole_or_none(tmp_path: Path) -> None:
    file = fs.open(make(tmp_path / "a", b"x" * 10_000), "write")
    file.datasync()
    assert file.pread_cached(5000, 5000) in (b"x" * 5000, None)
    assert file.pread_cached(5000, 6000) is None, "shorter than asked is not an answer"
    file.drop_cache()
    assert file.pread(10_000, 0) == b"x" * 10_000
    file.close()


def test_names(tmp_path: Path) -> None:
    folder = str(tmp_path / "d")
    fs.make_directory(folder)
    with pytest.raises(FileExistsError):
        fs.make_directory(folder)
    first = make(tmp_path / "d" / "b", b"1")
    second = make(tmp_path / "d" / "a", b"22")
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


def test_a_dangling_link_exists(tmp_path: Path) -> None:
    os.symlink("nowhere", tmp_path / "link")
    assert fs.exists(str(tmp_path / "link"))


def test_space(tmp_path: Path) -> None:
    assert 0 < fs.free_bytes(str(tmp_path)) < fs.total_bytes(str(tmp_path))


def test_a_lock_keeps_others_out_and_dies_with_its_process(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    holder = f"""
import time
from logd.system.os_file_system import OsFileSystem
lock = OsFileSystem().lock({path!r}, b"other")
print("held", flush=True)
time.sleep(60)
"""
    other = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(BlockingIOError):
        fs.lock(path, b"mine")
    assert Path(path).read_bytes() == b"other", "who lost the race writes nothing"
    other.kill()
    other.wait()
    other.stdout.close()
    lock = fs.lock(path, b"mine")
    assert Path(path).read_bytes() == b"mine"
    with pytest.raises(BlockingIOError):
        fs.lock(path, b"again")
    lock.release()
    fs.lock(path, b"again").release()
