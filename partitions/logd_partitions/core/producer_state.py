"""What a partition remembers of idempotent producers, so that a retry is appended once.

Per producer id: its epoch and its last 16 batches. A batch is classified by how its epoch and its
sequence stand to that; `VERDICTS` says what follows, and nothing else decides (KIP-98, KIP-360).

Snapshot (`producers.snapshot`, written by the partition log at each roll and clean stop):

    at  type  field
     0  4s    magic 'LGPS'
     4  u16   version             2
     6  u16   0
     8  16s   topic_id            whose it is: a file of another partition counts as damaged
    24  i32   partition
    28  i64   next_offset         batches below it are in the snapshot; recovery replays the rest
    36  i64   refuse_unknown_below
    44  u32   count               producers follow, the one that appended longest ago first
    48        each producer: i64 producer_id, i32 producer_epoch, u32 sequences_before, u16 batches,
              u16 0, then its batches, oldest first: i32 base_sequence, u32 sequence_count,
              i64 base_offset, i64 append_timestamp_ms
     +  u32   crc                 CRC-32C of everything before it

Little-endian. Version 1 lacks topic_id and partition. Nothing in it is trusted if the CRC is wrong.
"""

import struct
from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import Literal, NamedTuple, NoReturn

from crc32c import crc32c

from logd.model.errors import (
    OutOfOrderSequence,
    ProducerFenced,
    StoredDataCorrupt,
    UnknownProducer,
    UnsupportedVersion,
)
from logd.model.ids import NO_PRODUCER, Offset, ProducerEpoch, ProducerId, TopicPartition
from logd.model.record_batch import BatchHeader
from logd_partitions.core.file_owner import OWNER, NamedOwner, is_foreign, read_owner
from logd_partitions.core.producer_identities import ANY_IDENTITY, ProducerIdentities

SNAPSHOT_FILE = "producers.snapshot"
MAGIC = b"LGPS"
VERSION = 2
BATCHES_REMEMBERED = 16
IN_FLIGHT_BATCHES_MAX = 8
assert IN_FLIGHT_BATCHES_MAX < BATCHES_REMEMBERED, "a retry of what is in flight is remembered"
SEQUENCE_END = 1 << 31
"""Sequences are 0 .. 2^31 - 1, then 0 again."""
PRODUCER_EXPIRY_MS = 7 * 86_400_000
PRODUCERS_MAX = 50_000
"""Above it the producer that appended longest ago is forgotten early: 50,000 others have appended
since, which takes far longer than a producer retries."""
NO_TIMESTAMP = -1
NOTHING_LOST = ProducerId(0)

_HEAD = struct.Struct("<4sHH")
_NUMBERS = struct.Struct("<qqI")
_PRODUCER = struct.Struct("<qiIHH")
_BATCH = struct.Struct("<iIqq")
_CRC = struct.Struct("<I")


class EpochIs(Enum):
    """How a batch's producer stands to what is remembered."""

    LOST = auto()
    """Nothing is remembered, and something may have been forgotten."""
    UNKNOWN = auto()
    """Nothing is remembered, since there was nothing or it expired."""
    HIGHER = auto()
    SAME = auto()
    LOWER = auto()


class SequenceIs(Enum):
    """How a batch's first sequence stands to the expected one (0 but for EpochIs.SAME)."""

    EXPECTED = auto()
    REMEMBERED = auto()
    """A batch in the window begins at it and is as long."""
    OLDER = auto()
    """All of it precedes the window."""
    OTHER = auto()


class Verdict(Enum):
    APPEND = auto()
    ANSWER_AGAIN = auto()
    DUPLICATE = auto()
    OUT_OF_ORDER = auto()
    UNKNOWN_PRODUCER = auto()
    FENCED = auto()


VERDICTS: dict[tuple[EpochIs, SequenceIs], Verdict] = {
    (EpochIs.LOST, SequenceIs.EXPECTED): Verdict.UNKNOWN_PRODUCER,
    (EpochIs.LOST, SequenceIs.OTHER): Verdict.UNKNOWN_PRODUCER,
    (EpochIs.UNKNOWN, SequenceIs.EXPECTED): Verdict.APPEND,
    (EpochIs.UNKNOWN, SequenceIs.OTHER): Verdict.UNKNOWN_PRODUCER,
    (EpochIs.HIGHER, SequenceIs.EXPECTED): Verdict.APPEND,
    (EpochIs.HIGHER, SequenceIs.OTHER): Verdict.OUT_OF_ORDER,
    (EpochIs.SAME, SequenceIs.EXPECTED): Verdict.APPEND,
    (EpochIs.SAME, SequenceIs.REMEMBERED): Verdict.ANSWER_AGAIN,
    (EpochIs.SAME, SequenceIs.OLDER): Verdict.DUPLICATE,
    (EpochIs.SAME, SequenceIs.OTHER): Verdict.OUT_OF_ORDER,
    (EpochIs.LOWER, SequenceIs.EXPECTED): Verdict.FENCED,
    (EpochIs.LOWER, SequenceIs.OTHER): Verdict.FENCED,
}
"""Every pair that can occur; with no remembered batches a sequence is EXPECTED or OTHER."""


class Duplicate(NamedTuple):
    """The answer that a batch got when it was appended.

    Older than the window: `base_offset` is None and `append_timestamp_ms` NO_TIMESTAMP.
    """

    base_offset: Offset | None
    record_count: int
    append_timestamp_ms: int


class RememberedBatch(NamedTuple):
    base_sequence: int
    sequence_count: int
    base_offset: Offset
    append_timestamp_ms: int


class _Producer:
    """`batches` is never empty for long. `sequences_before`: of this epoch, before the window; at
    most half the circle."""

    __slots__ = ("batches", "producer_epoch", "sequences_before")

    def __init__(
        self,
        producer_epoch: ProducerEpoch,
        sequences_before: int,
        batches: Sequence[RememberedBatch] = (),
    ) -> None:
        self.producer_epoch = producer_epoch
        self.sequences_before = sequences_before
        self.batches = deque(batches)

    def add(self, batch: RememberedBatch) -> None:
        self.batches.append(batch)
        if len(self.batches) > BATCHES_REMEMBERED:
            gone = self.batches.popleft()
            passed = (self.batches[0].base_sequence - gone.base_sequence) % SEQUENCE_END
            self.sequences_before = min(self.sequences_before + passed, SEQUENCE_END // 2)

    @property
    def next_sequence(self) -> int:
        last = self.batches[-1]
        return (last.base_sequence + last.sequence_count) % SEQUENCE_END

    @property
    def append_timestamp_ms(self) -> int:
        return self.batches[-1].append_timestamp_ms


class ProducerState:
    """The producers of one partition. Pure; `check`, then `record` what was appended.

    `refuse_unknown_below`: ids below it (given out before the state was lost) are not taken for
    new; 0 where nothing was lost.
    """

    def __init__(self, refuse_unknown_below: ProducerId = NOTHING_LOST) -> None:
        self.refuse_unknown_below = refuse_unknown_below
        self._producers: dict[ProducerId, _Producer] = {}

    def __len__(self) -> int:
        return len(self._producers)

    def given_out_from(self, first_id: ProducerId) -> None:
        """Ids from it on are new, also where ids began anew after the state was lost."""
        self.refuse_unknown_below = min(self.refuse_unknown_below, first_id)

    def check(
        self, header: BatchHeader, identities: ProducerIdentities = ANY_IDENTITY
    ) -> Duplicate | None:
        """None: append it. A Duplicate: do not, and answer this.

        What has appended here under this epoch was given it: `identities` is asked of others.

        Raises OutOfOrderSequence (details: expected), UnknownProducer (detail needs_new_id where
        raising the epoch does not help), ProducerFenced (details: current_epoch).
        """
        if header.producer_id == NO_PRODUCER:
            return None
        producer = self._producers.get(header.producer_id)
        epoch_is = self._classify_epoch(header, producer)
        same = producer if epoch_is is EpochIs.SAME else None
        sequence_is, found = _classify_sequence(header, same)
        verdict = VERDICTS[epoch_is, sequence_is]
        if verdict is Verdict.APPEND:
            if same is None:
                identities.check(header.producer_id, header.producer_epoch)
            return None
        if verdict is Verdict.ANSWER_AGAIN:
            assert found is not None
            return Duplicate(found.base_offset, header.record_count, found.append_timestamp_ms)
        if verdict is Verdict.DUPLICATE:
            return Duplicate(None, header.record_count, NO_TIMESTAMP)
        expected = same.next_sequence if same else 0
        _refuse(verdict, header, producer, expected=expected, lost=epoch_is is EpochIs.LOST)

    def record(self, header: BatchHeader, base_offset: Offset, append_timestamp_ms: int) -> None:
        """The batch stands in the log at `base_offset`; also in replay, which checks nothing.

        In replay the first batch of a producer may be any, and after compaction the next may leave
        a gap: what the log holds is what happened.
        """
        producer_id = header.producer_id
        if producer_id == NO_PRODUCER:
            return
        producer = self._producers.pop(producer_id, None)
        if producer is None or producer.producer_epoch != header.producer_epoch:
            before = min(header.base_sequence, SEQUENCE_END // 2)
            producer = _Producer(header.producer_epoch, before)
        # A compacted batch keeps the sequences it was produced with: its deltas tell how many.
        producer.add(
            RememberedBatch(
                header.base_sequence, header.last_offset_delta + 1, base_offset, append_timestamp_ms
            )
        )
        self._producers[producer_id] = producer  # last in the order of appends
        if len(self._producers) > PRODUCERS_MAX:
            del self._producers[next(iter(self._producers))]

    def expire(self, now_ms: int) -> int:
        """Forget producers whose last append is over 7 days before `now_ms`; how many went.

        `now_ms` is compared with append times, so it is the wall clock.
        """
        expired = 0
        while self._producers:
            producer_id, producer = next(iter(self._producers.items()))
            if producer.append_timestamp_ms >= now_ms - PRODUCER_EXPIRY_MS:
                break
            del self._producers[producer_id]
            expired += 1
        return expired

    def to_bytes(self, owner: TopicPartition, next_offset: Offset) -> bytes:
        """The snapshot of what is remembered of all batches below `next_offset`."""
        count = len(self._producers)
        numbers = _NUMBERS.pack(next_offset, self.refuse_unknown_below, count)
        parts = [_HEAD.pack(MAGIC, VERSION, 0), OWNER.pack(*owner), numbers]
        for producer_id, producer in self._producers.items():
            epoch, before = producer.producer_epoch, producer.sequences_before
            parts.append(_PRODUCER.pack(producer_id, epoch, before, len(producer.batches), 0))
            parts += [_BATCH.pack(*batch) for batch in producer.batches]
        data = b"".join(parts)
        return data + _CRC.pack(crc32c(data))

    @staticmethod
    def from_bytes(data: bytes, owner: NamedOwner = None) -> "tuple[ProducerState, Offset]":
        """The state and next_offset of a snapshot, which has to be `owner`'s if that is given.

        Raises StoredDataCorrupt, UnsupportedVersion.
        """
        named = snapshot_owner(data)
        if owner is not None and is_foreign(named, owner):
            raise StoredDataCorrupt("a producer snapshot is another partition's")
        at = _HEAD.size + (OWNER.size if named is not None else 0)
        try:
            next_offset, refuse_unknown_below, count = _NUMBERS.unpack_from(data, at)
            state = ProducerState(ProducerId(refuse_unknown_below))
            at += _NUMBERS.size
            for _ in range(count):
                at = state._unpack_producer(data, at)
        except struct.error:
            raise _corrupt() from None
        if at != len(data) - _CRC.size:
            raise _corrupt()
        return state, Offset(next_offset)

    def _unpack_producer(self, data: bytes, at: int) -> int:
        """Take in the producer at `at`; where the next begins."""
        producer_id, epoch, before, batch_count, _ = _PRODUCER.unpack_from(data, at)
        at += _PRODUCER.size
        if not 0 < batch_count <= BATCHES_REMEMBERED:
            raise _corrupt()
        places = range(at, at + batch_count * _BATCH.size, _BATCH.size)
        batches = [RememberedBatch(*_BATCH.unpack_from(data, place)) for place in places]
        self._producers[ProducerId(producer_id)] = _Producer(epoch, before, batches)
        return places.stop

    def _classify_epoch(self, header: BatchHeader, producer: _Producer | None) -> EpochIs:
        if producer is None:
            lost = header.producer_id < self.refuse_unknown_below
            return EpochIs.LOST if lost else EpochIs.UNKNOWN
        if header.producer_epoch == producer.producer_epoch:
            return EpochIs.SAME
        higher = header.producer_epoch > producer.producer_epoch
        return EpochIs.HIGHER if higher else EpochIs.LOWER


def snapshot_owner(data: bytes) -> NamedOwner:
    """Whose snapshot it says it is. Raises StoredDataCorrupt, UnsupportedVersion."""
    if len(data) < _HEAD.size + _CRC.size or data[:4] != MAGIC:
        raise _corrupt()
    if _CRC.unpack_from(data, len(data) - _CRC.size)[0] != crc32c(data[: -_CRC.size]):
        raise _corrupt()
    _, version, _ = _HEAD.unpack_from(data)
    if version > VERSION:
        raise UnsupportedVersion(
            f"a producer snapshot has version {version}, this program knows {VERSION}: "
            "use a newer logd",
            field="version",
        )
    try:
        return None if version == 1 else read_owner(data, _HEAD.size)[0]
    except struct.error:
        raise _corrupt() from None


def _classify_sequence(
    header: BatchHeader, producer: _Producer | None
) -> tuple[SequenceIs, RememberedBatch | None]:
    """With the remembered batch where it is one. `producer` None: the epoch starts here."""
    sequence, count = header.base_sequence, header.record_count
    if producer is None:
        return (SequenceIs.EXPECTED if sequence == 0 else SequenceIs.OTHER), None
    expected = producer.next_sequence
    if sequence == expected:
        return SequenceIs.EXPECTED, None
    for batch in reversed(producer.batches):
        if batch.base_sequence == sequence and batch.sequence_count == count:
            return SequenceIs.REMEMBERED, batch
    # Sequences wrap: what is less than half the circle behind the expected one is the past.
    behind = (expected - sequence) % SEQUENCE_END
    window = (expected - producer.batches[0].base_sequence) % SEQUENCE_END
    farthest = min(window + producer.sequences_before, SEQUENCE_END // 2)
    if sequence >= 0 and window + count <= behind <= farthest:
        return SequenceIs.OLDER, None
    return SequenceIs.OTHER, None


def _refuse(
    verdict: Literal[Verdict.OUT_OF_ORDER, Verdict.UNKNOWN_PRODUCER, Verdict.FENCED],
    header: BatchHeader,
    producer: _Producer | None,
    *,
    expected: int,
    lost: bool,
) -> NoReturn:
    producer_id, sequence = header.producer_id, header.base_sequence
    if verdict is Verdict.OUT_OF_ORDER:
        raise OutOfOrderSequence(
            f"producer {producer_id} sent sequence {sequence}, but {expected} is next here: "
            "an earlier batch is missing",
            expected=expected,
        )
    if verdict is Verdict.FENCED:
        assert producer is not None
        raise ProducerFenced(
            f"producer {producer_id} has epoch {header.producer_epoch}, but a newer instance with "
            f"epoch {producer.producer_epoch} has written here",
            current_epoch=producer.producer_epoch,
        )
    if lost:
        raise UnknownProducer(
            f"what this partition remembered of producer {producer_id} was lost with a damaged "
            "file: take a new producer id",
            needs_new_id="true",
        )
    raise UnknownProducer(
        f"nothing is remembered of producer {producer_id}, and its sequence is {sequence}: "
        "raise its epoch and begin at sequence 0",
    )


def _corrupt() -> StoredDataCorrupt:
    return StoredDataCorrupt("a producer snapshot does not match its checksum")
