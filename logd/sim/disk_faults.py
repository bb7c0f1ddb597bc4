"""When the calls of a simulated disk fail."""

import errno
import os

from logd.model.seams import FailedSync
from logd.sim.seeded_random import SeededRandom

CALLS = (
    "open create pwrite pread map truncate allocate datasync rename unlink make_directory "
    "remove_directory list sync_directory sync_file_system"
).split()
"""Every call that can fail; 'create' is an open that makes a file."""


SYNCS = frozenset({"datasync", "sync_directory", "sync_file_system"})
NO_FILES = (errno.EMFILE, errno.ENFILE)
NEEDS_FILE = ("open", "create", "map", "list", "sync_directory", "sync_file_system")
"""Calls that take a descriptor, and so may find none left."""


def failed_call(call: str, number: int, path: str) -> OSError:
    """What the system raises. The syncs that open their directory first may fail in that."""
    kind = FailedSync if call in SYNCS and number not in NO_FILES else OSError
    return kind(number, os.strerror(number), path)


class DiskFaults:
    """`rates`: call -> the share of calls that fail, with one of `errnos`. The others are shares
    too: of writes that fall short, and of reads that the page cache cannot answer."""

    def __init__(self, random: SeededRandom) -> None:
        self.rates: dict[str, float] = {}
        self.errnos: tuple[int, ...] = (errno.EIO,)
        self.short_writes = 0.0
        self.cold_reads = 0.0
        self.struck = 0
        self._random = random

    def clear(self) -> None:
        """The disk is sound again."""
        self.rates, self.errnos, self.short_writes = {}, (errno.EIO,), 0.0

    def error(self, call: str) -> int | None:
        """The errno that this call ends in."""
        rate = self.rates.get(call, 0.0)
        if rate and self._random.chance(rate):
            self.struck += 1
            return self._random.pick(self.errnos)
        return None

    def written_bytes(self, size: int) -> int:
        """How much of a write is done: any part, or all but its last bytes."""
        if size > 1 and self.short_writes and self._random.chance(self.short_writes):
            self.struck += 1
            if self._random.chance(0.5):
                return max(0, size - 1 - self._random.below(8))
            return self._random.below(size)
        return size

    def is_cold(self) -> bool:
        return bool(self.cold_reads) and self._random.chance(self.cold_reads)
