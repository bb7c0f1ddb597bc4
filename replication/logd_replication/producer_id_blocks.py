"""Identities of idempotent producers: numbers given out in persisted blocks, made unguessable.

An id is

    bit 63     0
    62 .. 32   number  from 1, counted; never given out twice under one secret
    31 .. 0    tag     BLAKE2b of the number, keyed with the cluster's secret

So whether an id was given out is found by computing its tag, without a list of ids; who was given
one cannot work out another's; and ids given out later are larger. The secret and the next number
stand in the store. Where the numbers end, or there is no secret (a new cluster, metadata made
again, or that of a version which gave out bare numbers), another secret is drawn and the numbers
begin again: ids from before are known then only to the partitions that remember them.

A new id has epoch 0. The highest epoch of each id that was ever raised is persisted before it is
given out; of the last RAISED_EPOCHS_MAX of them, to bound the store. A producer whose epoch was
forgotten so is taken for one that nobody knows, and gets a new id.
"""

import asyncio
from hashlib import blake2b

from logd.model.errors import Conflict, InvalidConfig, UnknownProducer
from logd.model.ids import ProducerEpoch, ProducerId
from logd.model.seams import Compare, Delete, MetadataStore, Put, Random
from logd_replication.metadata_schema import (
    PRODUCER_EPOCHS_PREFIX,
    PRODUCER_IDS_KEY,
    ProducerEpochValue,
    ProducerIdsValue,
    decode_value,
    encode_value,
    producer_epoch_key,
)

PRODUCER_IDS_PER_BLOCK = 1000
PRODUCER_EPOCH_MAX = (1 << 15) - 1
RAISED_EPOCHS_MAX = 10_000
BLOCK_ATTEMPTS_MAX = 16
TAG_BITS = 32
NUMBER_END = 1 << 31
SECRET_BYTES = 16


class ProducerIdBlocks:
    """Implements `logd.broker.ports.ProducerIds`, and what logs ask of identities. Made by `open`.

    A block of numbers is taken from the store before its first id is given out; what a stopped
    broker had left of its block is given up.
    """

    def __init__(
        self,
        store: MetadataStore,
        random: Random,
        taken: ProducerIdsValue,
        raised: dict[ProducerId, ProducerEpoch],
    ) -> None:
        self._store = store
        self._random = random
        self._secret = bytes.fromhex(taken.secret)
        self._next = self._end = taken.next_number
        self._raised: dict[ProducerId, ProducerEpoch] = raised  # the one raised longest ago first
        self._taking_block = asyncio.Lock()
        self.first_id = ProducerId(taken.next_number << TAG_BITS)
        """Above all ids that were given out before this run, above none that is from now on."""

    @classmethod
    async def open(cls, store: MetadataStore, random: Random) -> "ProducerIdBlocks":
        """Raises StoredDataCorrupt, and Conflict if other brokers kept taking blocks."""
        taken = await _take(store, random, 0)
        entries, _ = await store.range(PRODUCER_EPOCHS_PREFIX)
        raised = {}
        for entry in sorted(entries, key=lambda entry: entry.revision):
            value = decode_value(entry, ProducerEpochValue)
            raised[ProducerId(value.producer_id)] = ProducerEpoch(value.epoch)
        return cls(store, random, taken, raised)

    def check(self, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> None:
        """Raises UnknownProducer where this id, or this epoch of it, was never given out."""
        if not self._was_given_out(producer_id, producer_epoch):
            raise UnknownProducer(
                f"producer id {producer_id} with epoch {producer_epoch} was never given out here, "
                "or long ago: take a new one",
                needs_new_id="true",
            )

    async def init_producer(
        self, producer_id: ProducerId | None, producer_epoch: ProducerEpoch
    ) -> tuple[ProducerId, ProducerEpoch]:
        """A new id with epoch 0 for None, else the same id with its epoch raised.

        A new id too at the end of the epochs, and for an id or an epoch that was never given out.
        Raises InvalidConfig for numbers that no producer can have, Conflict if other brokers kept
        taking blocks.
        """
        if producer_id is None:
            return await self._new_id(), ProducerEpoch(0)
        if producer_id < 0 or not 0 <= producer_epoch <= PRODUCER_EPOCH_MAX:
            raise InvalidConfig(
                f"no producer has id {producer_id} and epoch {producer_epoch}; ask without an id "
                f"for a new one",
                field="producer_id",
            )
        known = self._was_given_out(producer_id, producer_epoch)
        if producer_epoch == PRODUCER_EPOCH_MAX or not known:
            return await self._new_id(), ProducerEpoch(0)
        raised = ProducerEpoch(producer_epoch + 1)
        if raised > self._raised.get(producer_id, 0):  # else asked again: the answer was lost
            await self._raise(producer_id, raised)
        return producer_id, raised

    def _was_given_out(self, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> bool:
        number = producer_id >> TAG_BITS
        known = 0 < number < NUMBER_END and producer_id == _id_of(number, self._secret)
        return known and 0 <= producer_epoch <= self._raised.get(producer_id, 0)

    async def _raise(self, producer_id: ProducerId, epoch: ProducerEpoch) -> None:
        value = encode_value(ProducerEpochValue(producer_id, epoch))
        changes: list[Put | Delete] = [Put(producer_epoch_key(producer_id), value)]
        oldest = next(iter(self._raised), None)
        if oldest is not None and oldest != producer_id and len(self._raised) >= RAISED_EPOCHS_MAX:
            changes.append(Delete(producer_epoch_key(oldest)))
            del self._raised[oldest]
        await self._store.transact([], changes)
        highest = max(epoch, self._raised.pop(producer_id, epoch))
        self._raised[producer_id] = highest

    async def _new_id(self) -> ProducerId:
        async with self._taking_block:
            if self._next == self._end:
                taken = await _take(self._store, self._random, PRODUCER_IDS_PER_BLOCK)
                self._secret = bytes.fromhex(taken.secret)
                self._next = taken.next_number - PRODUCER_IDS_PER_BLOCK
                self._end = taken.next_number
            self._next += 1
            return _id_of(self._next - 1, self._secret)


def _id_of(number: int, secret: bytes) -> ProducerId:
    tag = blake2b(number.to_bytes(8), key=secret, digest_size=TAG_BITS // 8).digest()
    return ProducerId(number << TAG_BITS | int.from_bytes(tag))


async def _take(store: MetadataStore, random: Random, count: int) -> ProducerIdsValue:
    """Take `count` numbers: those before the answer's `next_number`, under its secret."""
    for _ in range(BLOCK_ATTEMPTS_MAX):
        entry = await store.get(PRODUCER_IDS_KEY)
        taken = ProducerIdsValue() if entry is None else decode_value(entry, ProducerIdsValue)
        if not taken.secret or taken.next_number + count >= NUMBER_END:
            taken = ProducerIdsValue(1, random.bytes(SECRET_BYTES).hex())
        elif not count:
            return taken
        taken = ProducerIdsValue(taken.next_number + count, taken.secret)
        compare = Compare(PRODUCER_IDS_KEY, 0 if entry is None else entry.revision)
        put = Put(PRODUCER_IDS_KEY, encode_value(taken))
        if await store.transact([compare], [put]) is not None:
            return taken
    raise Conflict(f"other brokers took blocks of producer ids {BLOCK_ATTEMPTS_MAX} times in a row")
