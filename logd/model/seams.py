"""The seams: everything through which logd touches the outside world, as Protocols.

Real implementations live in `logd.system` (MetadataStore's in `logd_replication`, a home of its
own); the simulator brings others. Nothing below wiring names an implementation.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview


class Clock(Protocol):
    """Three clocks. Durations come from `monotonic_ms`; leases from `boottime_ms`."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC; may jump either way."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds since an arbitrary start; never falls; stands still in suspend."""
        ...

    def boottime_ms(self) -> int:
        """As `monotonic_ms`, but counts suspended time."""
        ...


class Random(Protocol):
    """Randomness that a seed can replay."""

    def bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high]."""
        ...


class Offload(Protocol):
    """A bounded pool for blocking work; inline in the simulator."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` off the loop and give its result or raise its exception."""
        ...

    def close(self) -> None:
        """Wait for running work; nothing may be submitted afterwards."""
        ...


class FailedSync(OSError):
    """What a sync raises where the sync itself failed, and not something before it, such as opening
    the directory: some of what was dirty may be on the disk, and what is not may count as clean."""


class FileMap(Protocol):
    """A read-only map of the first bytes of a file."""

    view: memoryview

    def close(self) -> None:
        """Unmap. The caller guarantees that no slice of `view` is alive."""
        ...


class File(Protocol):
    """One open file. Positions and sizes in bytes. Every method may raise OSError."""

    def pwrite(self, buffers: Sequence[Buffer], at: int) -> int:
        """Gathering write; returns the bytes written, which may be fewer than asked."""
        ...

    def pread(self, size: int, at: int) -> bytes:
        """Up to `size` bytes; shorter only at the end of the file."""
        ...

    def pread_cached(self, size: int, at: int) -> bytes | None:
        """As `pread`, if it needs no disk; None where it would block or cannot tell."""
        ...

    def map(self, size: int) -> FileMap:
        """Map bytes [0, size), which must lie within the file."""
        ...

    def truncate(self, size: int) -> None:
        """Set the file's size."""
        ...

    def allocate(self, at: int, size: int) -> None:
        """Reserve disk for [at, at + size), zero-filled, growing the file if needed."""
        ...

    def datasync(self) -> None:
        """Data, and the metadata needed to read it, on stable storage. Raises FailedSync."""
        ...

    def drop_cache(self) -> None:
        """Forget cached pages, so that the next read comes from the disk."""
        ...

    def size(self) -> int:
        """The file's size."""
        ...

    def close(self) -> None: ...


class FileLock(Protocol):
    """An exclusive lock on a path, held by this process until released or dead."""

    def release(self) -> None: ...


OpenMode = Literal["read", "write", "create"]


class FileSystem(Protocol):
    """Paths are absolute or relative strings with '/'. Every method may raise OSError."""

    def open(self, path: str, mode: OpenMode) -> File:
        """read: must exist, read only. write: must exist. create: must not exist (EEXIST)."""
        ...

    def lock(self, path: str, content: bytes) -> FileLock:
        """Take the lock file at `path` and write `content`; BlockingIOError if another has it."""
        ...

    def rename(self, source: str, target: str) -> None:
        """Atomic; replaces a file at `target`. Durable only after `sync_directory`."""
        ...

    def unlink(self, path: str) -> None: ...

    def make_directory(self, path: str) -> None:
        """Create one directory; its parent exists. FileExistsError if it is there."""
        ...

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        ...

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        ...

    def exists(self, path: str) -> bool: ...

    def size(self, path: str) -> int:
        """A file's size, without opening it."""
        ...

    def sync_directory(self, path: str) -> None:
        """Make the directory's entries (creations, renames, removals) durable. Raises FailedSync,
        and OSError where the directory cannot be opened for it."""
        ...

    def sync_file_system(self, path: str) -> None:
        """syncfs: everything on the file system that holds `path`. Raises as `sync_directory`."""
        ...

    def free_bytes(self, path: str) -> int:
        """Bytes that an unprivileged process may still allocate."""
        ...

    def total_bytes(self, path: str) -> int:
        """The size of the file system that holds `path`."""
        ...


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as the store has it. `revision` is the store's revision of its last change."""

    key: str
    value: bytes
    revision: int
    create_revision: int


@dataclass(frozen=True, slots=True)
class Compare:
    """A condition of a transaction: the key's revision is exactly this (0: it does not exist).

    `created=True` compares the creation revision instead.
    """

    key: str
    revision: int
    created: bool = False


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes
    lease_id: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


@dataclass(frozen=True, slots=True)
class MetadataEvent:
    """One change. `value` None: the key was deleted."""

    key: str
    value: bytes | None
    revision: int


class MetadataStore(Protocol):
    """A small strongly consistent key-value store: SQLite embedded, etcd in a cluster.

    A transaction holds at most 128 operations and 1.5 MiB. Watches deliver every event after
    `after_revision`, in order, once.
    """

    async def get(self, key: str) -> KeyValue | None: ...

    async def range(self, prefix: str) -> tuple[list[KeyValue], int]:
        """All keys with this prefix, sorted, and the store's revision that they show."""
        ...

    async def transact(
        self, compares: Sequence[Compare], operations: Sequence[Put | Delete]
    ) -> int | None:
        """Apply all operations if all compares hold: the new revision, or None if one failed."""
        ...

    def watch(self, prefix: str, after_revision: int) -> AsyncIterator[MetadataEvent]: ...

    async def lease(self, ttl_s: int) -> int:
        """A new lease; keys put with it vanish when it ends."""
        ...

    async def keep_alive(self, lease_id: int) -> bool:
        """Renew; False if the lease has ended."""
        ...

    async def revoke(self, lease_id: int) -> None: ...

    async def close(self) -> None: ...


class TransportStream(Protocol):
    """One bidirectional stream of serialized messages. Raises LogdError when it breaks."""

    async def send(self, message: bytes) -> None: ...

    async def receive(self) -> Buffer | None:
        """The next message; None at the orderly end."""
        ...

    async def close(self) -> None:
        """Cancel; safe to call twice."""
        ...


class Transport(Protocol):
    """Calls to brokers, below gRPC: serialized protobuf messages in and out.

    `method` is a full gRPC path such as '/logd.v1.DataService/Produce'. Failures are LogdErrors; a
    connection that cannot be made or breaks is BrokerUnreachable, a missed deadline RequestTimeout.
    """

    async def unary(self, address: str, method: str, request: bytes, timeout_ms: int) -> bytes: ...

    async def stream(self, address: str, method: str) -> TransportStream: ...

    async def close(self) -> None: ...
