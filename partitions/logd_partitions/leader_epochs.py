"""At which offset each leader epoch of a partition began (KIP-101): the file `leader-epochs`.

    at  type  field
     0  4s    magic 'LGLE'
     4  u16   version           2
     6  u16   0
     8  16s   topic_id          whose it is: a file of another partition counts as damaged
    24  i32   partition
    28  u32   count
    32        count entries of 12 bytes:
              i32  epoch         rises strictly
              i64  start_offset  rises strictly: offset of the epoch's first batch, or where the
                                 log ended when an epoch began that has none yet
     +  u32   crc               CRC-32C of everything before it

Little-endian. Version 1 lacks topic_id and partition. Made with the partition's directory, without
entries, so that it tells whose that is where `partition.json` is damaged; then replaced whole by
rename. It sums up what the headers of batches say:
one that is missing or damaged, or lacks the newest epoch, is made again by a scan, so `flush` need
not precede an acknowledgement. After a crash what it says above the recovered end is cut off.
"""

import struct
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from crc32c import crc32c

from logd.model.errors import StoredDataCorrupt, UnsupportedVersion
from logd.model.ids import NO_LEADER_EPOCH, LeaderEpoch, Offset, TopicPartition
from logd.model.seams import FileSystem
from logd_partitions.atomic_file import read_file, write_atomically
from logd_partitions.core.file_owner import OWNER, NamedOwner, is_foreign, read_owner

EPOCHS_FILE = "leader-epochs"
MAGIC = b"LGLE"
VERSION = 2

_HEAD = struct.Struct("<4sHH")
_COUNT = struct.Struct("<I")
_ENTRY = struct.Struct("<iq")
_CRC = struct.Struct("<I")

_start = attrgetter("start_offset")
_epoch = attrgetter("epoch")


class EpochEntry(NamedTuple):
    """`epoch` holds from `start_offset` to the next entry's, or to the log's end."""

    epoch: LeaderEpoch
    start_offset: Offset


class EpochEnd(NamedTuple):
    """The largest epoch not above the one asked for, and the offset (exclusive) where it ended."""

    epoch: LeaderEpoch
    end_offset: Offset


class LeaderEpochs:
    """The epochs of one partition, in memory, with `flush` to its file.

    Changes under the log's lock; `flush` blocks and may run in a pool, one at a time.
    """

    def __init__(self, fs: FileSystem, path: str, owner: TopicPartition) -> None:
        self._fs = fs
        self._path = path
        self._owner = owner
        self._entries: tuple[EpochEntry, ...] = ()
        self._flushed: tuple[EpochEntry, ...] = ()

    def load(self) -> None:
        """Read the file; none means no epochs.

        Raises StoredDataCorrupt (then make them again from the batches), UnsupportedVersion,
        OSError.
        """
        try:
            data = read_file(self._fs, self._path)
            _, entries = decode_epochs(data, self._path, self._owner)
        except FileNotFoundError:
            entries = ()
        self._entries = self._flushed = entries

    @property
    def entries(self) -> tuple[EpochEntry, ...]:
        """Oldest first; epochs and start offsets rise strictly."""
        return self._entries

    def latest(self) -> LeaderEpoch:
        """The newest epoch; NO_LEADER_EPOCH before the first."""
        return self._entries[-1].epoch if self._entries else NO_LEADER_EPOCH

    def assign(self, epoch: LeaderEpoch, start_offset: Offset) -> bool:
        """`epoch` begins at `start_offset`, where the log ends: a leader has taken office, or the
        batch that comes has it. Whether that is new; nothing changes if not."""
        latest = self.latest()
        if epoch == latest:
            return False
        assert epoch > latest, f"leader epoch {epoch} after {latest}: epochs do not fall"
        kept = self._entries
        if kept and kept[-1].start_offset >= start_offset:
            assert kept[-1].start_offset == start_offset, "an epoch begins at the log's end"
            kept = kept[:-1]  # it never had a batch
        self._entries = (*kept, EpochEntry(epoch, start_offset))
        return True

    def epoch_at(self, offset: Offset) -> LeaderEpoch:
        """The epoch that `offset` was written in; NO_LEADER_EPOCH below the first entry."""
        at = bisect_right(self._entries, offset, key=_start)
        return self._entries[at - 1].epoch if at else NO_LEADER_EPOCH

    def end_offset_for(self, epoch: LeaderEpoch, log_end: Offset) -> EpochEnd | None:
        """Where `epoch`, or the largest known one below it, ended.

        A replica that knows `epoch` as its last truncates to there. None where no answer can be
        given: the epoch is newer than any known here, or older than all.
        """
        if epoch > self.latest():
            return None
        at = bisect_right(self._entries, epoch, key=_epoch)
        if at == 0:
            return None
        end = self._entries[at].start_offset if at < len(self._entries) else log_end
        return EpochEnd(self._entries[at - 1].epoch, end)

    def begin_with(self, entries: Sequence[EpochEntry]) -> None:
        """Forget all; these are the epochs of the log that takes this one's place."""
        assert all(
            a < b for before, after in pairwise(entries) for a, b in zip(before, after, strict=True)
        )
        self._entries = tuple(entries)

    def truncate_to(self, offset: Offset) -> None:
        """The log now ends at `offset`: forget epochs that began there or later."""
        self._entries = tuple(e for e in self._entries if e.start_offset < offset)

    def advance_log_start(self, offset: Offset) -> None:
        """The log now starts at `offset`: the epoch that holds there begins there."""
        at = bisect_right(self._entries, offset, key=_start)
        if at:
            held = EpochEntry(self._entries[at - 1].epoch, offset)
            self._entries = (held, *self._entries[at:])

    def flush(self) -> None:
        """Write the file if anything changed since. Blocking. Raises OSError."""
        entries = self._entries
        if entries != self._flushed:
            write_atomically(self._fs, self._path, encode_epochs(self._owner, entries))
            self._flushed = entries


def encode_epochs(owner: TopicPartition, entries: Sequence[EpochEntry] = ()) -> bytes:
    """The file's bytes."""
    head = _HEAD.pack(MAGIC, VERSION, 0) + OWNER.pack(*owner) + _COUNT.pack(len(entries))
    data = head + b"".join(_ENTRY.pack(*entry) for entry in entries)
    return data + _CRC.pack(crc32c(data))


def decode_epochs(
    data: bytes, path: str, owner: NamedOwner = None
) -> tuple[NamedOwner, tuple[EpochEntry, ...]]:
    """Whose it is, which has to be `owner` if that is given, and the entries.

    Raises StoredDataCorrupt, UnsupportedVersion.
    """
    if len(data) < _HEAD.size + _COUNT.size + _CRC.size or data[:4] != MAGIC:
        raise _corrupt(path)
    if _CRC.unpack_from(data, len(data) - _CRC.size)[0] != crc32c(data[: -_CRC.size]):
        raise _corrupt(path)
    _, version, _ = _HEAD.unpack_from(data)
    if version > VERSION:
        raise UnsupportedVersion(
            f"{path} has version {version}, this program knows {VERSION}: use a newer logd",
            field="version",
        )
    try:
        named, at = (None, _HEAD.size) if version == 1 else read_owner(data, _HEAD.size)
        (count,) = _COUNT.unpack_from(data, at)
    except struct.error:
        raise _corrupt(path) from None
    if owner is not None and is_foreign(named, owner):
        raise StoredDataCorrupt(f"{path} is another partition's", segment=path)
    at += _COUNT.size
    if len(data) != at + count * _ENTRY.size + _CRC.size:
        raise _corrupt(path)
    body = memoryview(data)[at : -_CRC.size]
    entries = (EpochEntry(LeaderEpoch(e), Offset(s)) for e, s in _ENTRY.iter_unpack(body))
    return named, tuple(entries)


def _corrupt(path: str) -> StoredDataCorrupt:
    return StoredDataCorrupt(
        f"{path} does not match its checksum; it is made again from the batches", segment=path
    )
