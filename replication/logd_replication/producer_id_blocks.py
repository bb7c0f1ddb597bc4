"""Identities of idempotent producers, given out in persisted blocks."""

import asyncio

from logd.model.errors import Conflict, InvalidConfig
from logd.model.ids import ProducerEpoch, ProducerId
from logd.model.seams import Compare, MetadataStore, Put
from logd_replication.metadata_schema import (
    PRODUCER_IDS_KEY,
    ProducerIdsValue,
    decode_value,
    encode_value,
)

PRODUCER_IDS_PER_BLOCK = 1000
PRODUCER_EPOCH_MAX = (1 << 15) - 1
BLOCK_ATTEMPTS_MAX = 16


class ProducerIdBlocks:
    """Implements `logd.broker.ports.ProducerIds`.

    A block of ids is taken from the store before its first id is given out; what a stopped broker
    had left of its block is given up: no id is ever used twice. Epochs are not kept here: the
    partitions enforce them, each by the highest it has seen of a producer id.
    """

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self._next_id = 0
        self._block_end = 0
        self._taking_block = asyncio.Lock()

    async def init_producer(
        self, producer_id: ProducerId | None, producer_epoch: ProducerEpoch
    ) -> tuple[ProducerId, ProducerEpoch]:
        """A new id with epoch 0 for None, else the same id with its epoch raised.

        A new id too at the end of the epochs, and for an id that this cluster never gave out.
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
        if producer_epoch == PRODUCER_EPOCH_MAX or not await self._was_given_out(producer_id):
            return await self._new_id(), ProducerEpoch(0)
        return producer_id, ProducerEpoch(producer_epoch + 1)

    async def _new_id(self) -> ProducerId:
        async with self._taking_block:
            if self._next_id == self._block_end:
                self._next_id, self._block_end = await self._take_block()
            self._next_id += 1
            return ProducerId(self._next_id - 1)

    async def _was_given_out(self, producer_id: ProducerId) -> bool:
        """Of another broker's block it is enough that it was taken."""
        if self._next_id <= producer_id < self._block_end:
            return False
        return producer_id < self._block_end or producer_id < (await self._taken())[0]

    async def _take_block(self) -> tuple[int, int]:
        for _ in range(BLOCK_ATTEMPTS_MAX):
            start, revision = await self._taken()
            end = start + PRODUCER_IDS_PER_BLOCK
            put = Put(PRODUCER_IDS_KEY, encode_value(ProducerIdsValue(end)))
            if await self._store.transact([Compare(PRODUCER_IDS_KEY, revision)], [put]) is not None:
                return start, end
        raise Conflict(
            f"other brokers took blocks of producer ids {BLOCK_ATTEMPTS_MAX} times in a row"
        )

    async def _taken(self) -> tuple[int, int]:
        """The first id in no block yet, and the key's revision."""
        entry = await self._store.get(PRODUCER_IDS_KEY)
        if entry is None:
            return 0, 0
        return decode_value(entry, ProducerIdsValue).next_producer_id, entry.revision
