"""Records of one partition on their way: filled by an OpenBatch, encoded once, answered once."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from logd.model.batch_codecs import compress
from logd.model.batch_decoder import decode_batch
from logd.model.batch_encoder import BatchDraft, Headers, draft_batch, with_producer
from logd.model.errors import LogdError
from logd.model.ids import ProducerEpoch, ProducerId
from logd.model.record_batch import Codec
from logd.model.seams import Buffer
from logd.model.timestamp_runs import TimestampRuns


class BatchReceipt(msgspec.Struct, frozen=True):
    """What the broker said of a batch. `base_offset` None: a duplicate too old to be known."""

    base_offset: int | None
    leader_epoch: int
    append_timestamp_ms: int
    duplicate: bool
    replicas: int
    replicas_synced: int


class Moved(msgspec.Struct, frozen=True):
    """The batch's records went to other batches: record i is record `places[i][1]` of
    `places[i][0]`."""

    places: Sequence[tuple["ProducerBatch", int]]


class ProducerBatch:
    """One batch, to `partition` of `topic`. Its OpenBatch fills the columns, and as it closes says
    what is in them: from then on they never change.

    `outcome` is None until the batch is settled, then final; whoever sets it also completes
    `future`, which is the only thing that awaits it. `in_doubt`: an attempt may have been appended
    without our knowing; never cleared, since a late copy of that attempt may still be on its way.
    `told`: a handle has given its failure to the application. `value_bytes_max`: all values are
    known to be bytes, none longer; the encoder need not look at them again. `base_sequence`: its
    first record's sequence number; -1: none yet, or none any more. `is_compressing`: it cannot be
    sent before `end_compressing`. Sizes in bytes, times in ms: `opened_ms` monotonic, those of
    records wall.
    """

    __slots__ = (
        "_draft",
        "_encoded",
        "_identity",
        "_origins",
        "_pending",
        "base_sequence",
        "correlation_id",
        "future",
        "headers",
        "in_doubt",
        "is_compressing",
        "keys",
        "opened_ms",
        "outcome",
        "partition",
        "pinned",
        "record_count",
        "reserved_bytes",
        "sent_ms",
        "times",
        "told",
        "topic",
        "tries_corrupt",
        "value_bytes_max",
        "values",
    )

    def __init__(
        self, topic: str, partition: int, future: Any, opened_ms: int, stamp_ms: int
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.future = future
        self.opened_ms = opened_ms
        self.times = TimestampRuns(stamp_ms)
        self.values: list[bytes | None] = []
        self.keys: list[bytes | None] | None = None
        self.headers: list[Headers] | None = None
        self.pinned: set[int] | None = None
        self.value_bytes_max: int | None = None
        self.reserved_bytes = 0
        self.record_count = 0
        self.correlation_id = 0
        self.sent_ms = 0
        self.in_doubt = False
        self.is_compressing = False
        self.tries_corrupt = 0
        self.told = False
        self.outcome: BatchReceipt | Moved | LogdError | None = None
        self.base_sequence = -1
        self._identity = (ProducerId(-1), ProducerEpoch(-1))
        self._draft: BatchDraft | None = None
        self._encoded: bytes | None = None
        self._origins: list[ProducerBatch] = []
        self._pending = 0

    def pin(self, indexes: Iterable[int]) -> None:
        """These records were sent to this very partition, whatever their keys."""
        if self.pinned is None:
            self.pinned = set()
        self.pinned.update(indexes)

    def pin_all(self) -> None:
        """All its records stay in this partition."""
        self.pinned = set(range(self.record_count))

    def number(self, identity: tuple[ProducerId, ProducerEpoch], base_sequence: int) -> None:
        """Give it a producer identity and sequence; it may be encoded under another already."""
        if self._encoded is not None and (identity, base_sequence) != (
            self._identity,
            self.base_sequence,
        ):
            self._encoded = with_producer(self._encoded, *identity, base_sequence)
        self._identity, self.base_sequence = identity, base_sequence

    def unnumber(self) -> None:
        """Its number is not the one it will have; allowed only while nothing is in doubt."""
        assert not self.in_doubt, "a batch in doubt is known to the broker by its number"
        self.base_sequence = -1

    def encoded(self, codec: Codec) -> bytes:
        """The bytes to send. From the first call on the columns are gone: one copy is kept.

        Raises LogdError where the records cannot be encoded.
        """
        if self._encoded is None:
            draft = self._drafted()
            body = draft.body if codec is Codec.NONE else [compress(b"".join(draft.body), codec)]
            self._seal(draft, body, codec)
        assert self._encoded is not None
        return self._encoded

    def begin_compressing(self, codec: Codec) -> bytes | None:
        """The body, for another thread to compress: `end_compressing` takes it back, and until then
        the batch may be anything but sent. None: `encoded` has to do all itself."""
        if codec is Codec.NONE or self._encoded is not None:
            return None
        try:
            self._draft = self._drafted()
        except LogdError:
            return None  # encoded() raises it where it can be told
        self.is_compressing = True
        return b"".join(self._draft.body)

    def end_compressing(self, body: bytes | None, codec: Codec) -> None:
        """None: it failed, and `encoded` has to try."""
        draft, self._draft, self.is_compressing = self._draft, None, False
        if draft is not None and body is not None and self.outcome is None:
            self._seal(draft, [body], codec)

    def _drafted(self) -> BatchDraft:
        return draft_batch(
            self.values,
            keys=self.keys,
            timestamps_ms=self.times,
            headers=self.headers,
            value_bytes_max=self.value_bytes_max,
        )

    def _seal(self, draft: BatchDraft, body: Sequence[Buffer], codec: Codec) -> None:
        self._encoded = draft.sealed(body, codec, *self._identity, self.base_sequence)
        self.values, self.headers = [], None
        if self.keys is not None:
            self.keys = []

    def unpack(self) -> None:
        """Put the columns back, so that the records can go elsewhere."""
        if self._encoded is None:
            return
        decoded = decode_batch(self._encoded)
        self.values = list(decoded.values)
        self.keys = None if decoded.keys is None else list(decoded.keys)
        self.headers = None if decoded.headers is None else list(decoded.headers)
        self.times = TimestampRuns(decoded.timestamps_ms[0])
        for index, time_ms in enumerate(decoded.timestamps_ms):
            if time_ms != self.times.times_ms[-1]:
                self.times.begin(index, time_ms)
        self._encoded = None

    def move(self, places: Sequence[tuple["ProducerBatch", int]]) -> None:
        """Its records have gone to `places`; it is settled once all those batches are."""
        self.outcome = Moved(places)
        targets = dict.fromkeys(batch for batch, _ in places)
        self._pending = len(targets)
        for target in targets:
            target._origins.append(self)
        self.values, self.keys, self.headers = [], None, None
        self._encoded = None

    def settle(self, outcome: BatchReceipt | LogdError) -> "list[ProducerBatch]":
        """Its outcome is known. Gives the batches whose futures are to be completed now."""
        assert self.outcome is None, "a batch is settled once"
        self.outcome = outcome
        self.values, self.keys, self.headers = [], None, None
        self._encoded = None
        return [self, *self._settle_origins()] if self._origins else [self]

    def _settle_origins(self) -> "list[ProducerBatch]":
        settled: list[ProducerBatch] = []
        for origin in self._origins:
            origin._pending -= 1
            if origin._pending == 0:
                settled += [origin, *origin._settle_origins()]
        return settled

    def outcome_of(
        self, index: int
    ) -> tuple["ProducerBatch", int, BatchReceipt | LogdError | None]:
        """Where record `index` ended up: its batch, its index there, and that batch's outcome."""
        batch: ProducerBatch = self
        outcome = batch.outcome
        while isinstance(outcome, Moved):
            batch, index = outcome.places[index]
            outcome = batch.outcome
        return batch, index, outcome
