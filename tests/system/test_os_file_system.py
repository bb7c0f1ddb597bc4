"""What only real files have; the contract is in `test_file_system.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from logd.system.os_file_system import OsFileSystem

fs = OsFileSystem()


def test_a_dangling_link_exists(tmp_path: Path) -> None:
    os.symlink("nowhere", tmp_path / "link")
    assert fs.exists(str(tmp_path / "link"))


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
