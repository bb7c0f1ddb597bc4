"""Small file systems that fill up: a tmpfs, and an ext4 on a loop device. Mounting takes root."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

Kind = Literal["tmpfs", "ext4"]
KINDS: tuple[Kind, ...] = ("tmpfs", "ext4")
FILLED_AT_ONCE_BYTES = 1 << 20
SMALLEST_WRITE_BYTES = 512


class SmallDisk:
    """Mounted at `path`. `fill` is what another program does to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free

    def fill(self) -> None:
        """Write a file until not a byte fits any more."""
        descriptor = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        size = FILLED_AT_ONCE_BYTES
        try:
            while size >= SMALLEST_WRITE_BYTES:
                try:
                    os.write(descriptor, bytes(size))
                    os.fsync(descriptor)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
        finally:
            os.close(descriptor)

    def unfill(self) -> None:
        """Remove that file."""
        self._filler.unlink()


@contextmanager
def small_disk(kind: Kind, path: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Mounts it at `path`, which is made. Raises MountRefused where that is not allowed here."""
    path.mkdir()
    if kind == "tmpfs":
        _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(path))
    else:
        image = path.with_suffix(".img")
        with image.open("wb") as file:
            file.truncate(size_bytes)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        _run("mount", "-o", "loop", str(image), str(path))
    try:
        yield SmallDisk(path)
    finally:
        _run("umount", "--lazy", str(path))


class MountRefused(Exception):
    """Why there is no small disk on this machine."""


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError as error:
        raise MountRefused(str(error)) from error
    if done.returncode != 0:
        raise MountRefused(f"{' '.join(command)}: {done.stderr.strip()}")
