"""The demo's real input: every file of a folder, as lines with their endings kept."""

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PIECE_BYTES_MAX = 1 << 20
SKIPPED_FOLDERS = {"site-packages", "__pycache__"}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file's path below its folder, and its SHA-256. `lines` reads it, `key` is its records'."""

    root: Path
    path: str
    sha256: str
    size_bytes: int
    line_count: int

    @property
    def key(self) -> bytes:
        """The path as the file system has it, which need not be UTF-8."""
        return os.fsencode(self.path)

    def lines(self) -> list[bytes]:
        return split_lines((self.root / self.path).read_bytes())


def split_lines(data: bytes) -> list[bytes]:
    """Lines with their endings: LF, CR LF or CR alone; joined they are the data again.

    What is longer than a record may be comes in pieces: binary files have lines of any length.
    """
    lines = data.splitlines(keepends=True)
    if len(data) <= PIECE_BYTES_MAX or max(map(len, lines)) <= PIECE_BYTES_MAX:
        return lines
    return [
        line[at : at + PIECE_BYTES_MAX]
        for line in lines
        for at in range(0, len(line), PIECE_BYTES_MAX)
    ]


def standard_library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def find_source_files(root: Path, pattern: str) -> Iterator[SourceFile]:
    """Every regular file below `root` that matches, in order of path."""
    for file in sorted(root.rglob(pattern)):
        relative = file.relative_to(root)
        if SKIPPED_FOLDERS.intersection(relative.parts) or file.is_symlink() or not file.is_file():
            continue
        data = file.read_bytes()
        yield SourceFile(
            root,
            relative.as_posix(),
            hashlib.sha256(data).hexdigest(),
            len(data),
            len(split_lines(data)),
        )
