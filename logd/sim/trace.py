"""What happened in a simulation, in order: equal for equal seeds, to the byte."""

import hashlib
from collections.abc import Callable

Write = Callable[[str], object]


class Trace:
    """One line an event, numbered by virtual time. `digest` sums up all lines.

    `write` is given each line as it comes; without it only the digest is kept.
    """

    def __init__(self, now_s: Callable[[], float], write: Write | None = None) -> None:
        self._now_s = now_s
        self._write = write
        self._hash = hashlib.blake2b(digest_size=16)
        self.events = 0

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def note(self, subject: str, event: str, *details: object) -> None:
        """For example `note("disk", "pwrite", path, at, size)`."""
        words = " ".join(map(str, details))
        line = f"{self._now_s():.6f} {subject} {event} {words}"
        self._hash.update(line.encode())
        self.events += 1
        if self._write is not None:
            self._write(line)
