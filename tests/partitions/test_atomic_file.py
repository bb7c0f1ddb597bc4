from pathlib import Path

import pytest

from logd.model.seams import OpenMode
from logd.system.os_file_system import OsFile, OsFileSystem
from logd_partitions.atomic_file import (
    TEMPORARY_SUFFIX,
    parent_directory,
    read_file,
    write_atomically,
)


class RecordingFileSystem(OsFileSystem):
    """The real one, with its calls noted, at most 3 bytes a write, and one call that fails."""

    def __init__(self, fail: str = "") -> None:
        self.calls: list[str] = []
        self._fail = fail

    def note(self, call: str) -> None:
        self.calls.append(call)
        if call == self._fail:
            raise OSError(5, call)

    def open(self, path: str, mode: OpenMode) -> OsFile:
        self.note(f"open {mode}")
        return RecordingFile(super().open(path, mode), self)

    def rename(self, source: str, target: str) -> None:
        self.note("rename")
        super().rename(source, target)

    def sync_directory(self, path: str) -> None:
        self.note("sync_directory")
        super().sync_directory(path)


class RecordingFile(OsFile):
    def __init__(self, file: OsFile, fs: RecordingFileSystem) -> None:
        super().__init__(file._descriptor)
        self._fs = fs

    def pwrite(self, buffers, at):  # type: ignore[no-untyped-def]
        self._fs.note("pwrite")
        return super().pwrite([buffers[0][:3]], at)

    def datasync(self) -> None:
        self._fs.note("datasync")
        super().datasync()


def test_writes_reads_and_replaces(tmp_path: Path) -> None:
    fs, path = OsFileSystem(), str(tmp_path / "file")
    write_atomically(fs, path, b"first")
    assert read_file(fs, path) == b"first"
    write_atomically(fs, path, memoryview(b"second and longer"))
    assert read_file(fs, path) == b"second and longer"
    assert fs.list(str(tmp_path)) == ["file"]


def test_the_order_of_sync_and_rename(tmp_path: Path) -> None:
    fs = RecordingFileSystem()
    write_atomically(fs, str(tmp_path / "file"), b"12345")
    assert fs.calls == ["open create", "pwrite", "pwrite", "datasync", "rename", "sync_directory"]
    assert (tmp_path / "file").read_bytes() == b"12345"


@pytest.mark.parametrize("call", ["open create", "pwrite", "datasync", "rename"])
def test_a_failed_call_leaves_the_old_file(tmp_path: Path, call: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=call):
        write_atomically(RecordingFileSystem(fail=call), str(path), b"new")
    assert path.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_a_left_over_temporary_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / f"file{TEMPORARY_SUFFIX}").write_bytes(b"half of something much longer")
    write_atomically(OsFileSystem(), str(tmp_path / "file"), b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(OsFileSystem(), str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("path", "directory"), [("a/b", "a"), ("/a/b/", "/a"), ("/a", "/"), ("a", ".")]
)
def test_parent_directory(path: str, directory: str) -> None:
    assert parent_directory(path) == directory
