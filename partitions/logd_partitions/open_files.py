"""The open files and maps of a data directory, bounded, so that partitions cost no descriptors.

Everything that storage reads or writes again and again opens through here, by path. The least
recently used file is closed, the least recently used map dropped, once there are too many; the next
use opens it again. What is in use is never closed, so the bounds can be passed by the number of
files that threads use at once, which their pools bound. Where the process has no descriptor left,
all that is idle gives way.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TypeVar

from logd.model.seams import File, FileMap, FileSystem, OpenMode
from logd_partitions.core.disk_errors import lacks_files

T = TypeVar("T")

FILES_MAX = 96
MAPS_MAX = 64
"""With FILES_MAX: 10,000 partitions stay under 200 descriptors and maps together."""


class OpenFile:
    """One file with its users counted; a context manager that gives the `File`."""

    __slots__ = ("_owner", "doomed", "file", "path", "users", "writable")

    def __init__(self, owner: "OpenFiles", path: str, file: File, writable: bool) -> None:
        self._owner = owner
        self.path = path
        self.file = file
        self.writable = writable
        self.users = 0
        self.doomed = False

    def __enter__(self) -> File:
        return self.file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owner.give_back(self)


class OpenFiles:
    """Files and maps by path. Safe from any thread; the lock is never held over a system call."""

    def __init__(
        self, fs: FileSystem, files_max: int = FILES_MAX, maps_max: int = MAPS_MAX
    ) -> None:
        self._fs = fs
        self._files_max = files_max
        self._maps_max = maps_max
        self._files: OrderedDict[str, OpenFile] = OrderedDict()
        self._maps: OrderedDict[str, tuple[FileMap, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def open_count(self) -> int:
        """Files and maps held now."""
        return len(self._files) + len(self._maps)

    def open(self, path: str, mode: OpenMode = "read") -> OpenFile:
        """Use as `with open_files.open(path) as file:`. Raises OSError.

        A file opened for writing also serves readers; one opened for reading is opened anew for a
        writer.
        """
        with self._lock:
            held = self._files.get(path)
            if held is not None and mode != "create" and (held.writable or mode == "read"):
                self._files.move_to_end(path)
                held.users += 1
                return held
        file = self.give_way(partial(self._fs.open, path, mode))
        opened = OpenFile(self, path, file, mode != "read")
        opened.users = 1
        with self._lock:
            closing = self._doom(path)
            self._files[path] = opened
            closing += self._over_the_bound()
        _close(closing)
        return opened

    def give_way(self, call: Callable[[], T]) -> T:
        """What `call` gives. If it lacks a descriptor, it is called again with all closed that is
        idle here. Raises what it raises then."""
        try:
            return call()
        except OSError as error:
            if not lacks_files(error):
                raise
        self.close()
        return call()

    def give_back(self, opened: OpenFile) -> None:
        """The end of a use; only OpenFile calls it."""
        with self._lock:
            opened.users -= 1
            close = opened.doomed and opened.users == 0
        if close:
            opened.file.close()

    def map(self, path: str, size: int) -> FileMap:
        """A map of at least the first `size` bytes, which must lie in the file. Raises OSError.

        Whoever takes a view of it must drop the view before anything shortens the file.
        """
        with self._lock:
            held = self._maps.get(path)
            if held is not None and held[1] >= size:
                self._maps.move_to_end(path)
                return held[0]
        with self.open(path) as file:
            fresh = self.give_way(partial(file.map, size))
        with self._lock:
            self._maps[path] = (fresh, size)
            self._maps.move_to_end(path)
            while len(self._maps) > self._maps_max:
                self._maps.popitem(last=False)
        return fresh

    def mapped(self, path: str) -> FileMap | None:
        """The map of `path` if there is one now; never touches the disk."""
        with self._lock:
            held = self._maps.get(path)
            if held is None:
                return None
            self._maps.move_to_end(path)
            return held[0]

    def drop_map(self, path: str) -> None:
        """Forget the map; the last view of it frees it."""
        with self._lock:
            self._maps.pop(path, None)

    def close_map(self, path: str) -> None:
        """Unmap now, before the file is shortened. No view of it may be alive."""
        with self._lock:
            held = self._maps.pop(path, None)
        if held is not None:
            held[0].close()

    def forget(self, path: str) -> None:
        """The file was removed or replaced: the next use opens what is there then."""
        with self._lock:
            self._maps.pop(path, None)
            closing = self._doom(path)
        _close(closing)

    def close(self) -> None:
        """Close and drop everything that is not in use."""
        with self._lock:
            paths = list(self._files)
            closing = [file for path in paths for file in self._doom(path)]
            self._maps.clear()
        _close(closing)

    def _doom(self, path: str) -> list[OpenFile]:
        """Take `path` out; gives what is to be closed at once, the last user closes the rest."""
        held = self._files.pop(path, None)
        if held is None:
            return []
        held.doomed = True
        return [held] if held.users == 0 else []

    def _over_the_bound(self) -> list[OpenFile]:
        if len(self._files) <= self._files_max:
            return []
        excess = len(self._files) - self._files_max
        idle = [path for path, held in self._files.items() if held.users == 0][:excess]
        return [file for path in idle for file in self._doom(path)]


def _close(files: list[OpenFile]) -> None:
    for opened in files:
        opened.file.close()
