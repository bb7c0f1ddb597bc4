import os
from pathlib import Path

import pytest

from logd.model.errors import DataDirectoryLocked
from logd.system.os_file_system import OsFileSystem
from logd_partitions.directory.directory_lock import lock_directory, lock_holder


def test_one_process_at_a_time(tmp_path: Path) -> None:
    fs, path = OsFileSystem(), str(tmp_path)
    lock = lock_directory(fs, path, 4711)
    with pytest.raises(DataDirectoryLocked, match="by process 4711: stop that broker") as caught:
        lock_directory(fs, path, os.getpid())
    assert caught.value.details == {"pid": "4711", "directory": path}
    assert caught.value.exit_status == 5
    lock.release()
    lock_directory(fs, path, 4712).release()
    assert lock_holder(fs, path) == "4712"


def test_a_holder_that_cannot_be_read(tmp_path: Path) -> None:
    fs = OsFileSystem()
    assert lock_holder(fs, str(tmp_path)) == ""
    (tmp_path / "lock").write_bytes(b"\xff")
    assert lock_holder(fs, str(tmp_path)) == ""
