"""What only real files have; the contract is in `test_file_system.py`."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from logd.model.seams import FailedSync
from logd.system.os_file_system import OsFile, OsFileSystem

fs = OsFileSystem()


def test_a_dangling_link_exists(tmp_path: Path) -> None:
    os.symlink("nowhere", tmp_path / "link")
    assert fs.exists(str(tmp_path / "link"))


def test_what_cannot_be_looked_at_is_not_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert not fs.exists(str(tmp_path / "none"))
    assert not fs.exists(str(tmp_path / "file" / "none"))
    with pytest.raises(OSError, match="too long"):
        fs.exists(str(tmp_path / ("x" * 300)))


def test_a_sync_tells_whether_it_was_the_sync_that_failed(tmp_path: Path) -> None:
    """A pipe is no file: it opens, and cannot be synced."""
    with pytest.raises(FileNotFoundError):
        fs.sync_directory(str(tmp_path / "none"))
    read_end, write_end = os.pipe()
    try:
        with pytest.raises(FailedSync) as failed:
            OsFile(write_end).datasync()
    finally:
        os.close(read_end)
        os.close(write_end)
    assert failed.value.errno == errno.EINVAL


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
