"""Who waits for the outcomes of records, and the failures that nobody has been told of."""

import asyncio
from collections.abc import Iterable

from logd.model.errors import LogdError
from logd_client.core.outcomes import with_outcome
from logd_client.core.producer_batch import ProducerBatch

FAILED_BATCHES_KEPT_MAX = 100
"""Failed batches that the next flush may have to tell of; each is also logged."""


class FlushWaiters:
    """The flushes of one producer, on its event loop."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], set[ProducerBatch]] = {}
        self._failed: list[ProducerBatch] = []

    async def wait(self, pending: set[ProducerBatch]) -> None:
        """Until all of them are settled."""
        flushed = asyncio.get_running_loop().create_future()
        self._waiting[flushed] = pending
        try:
            await flushed
        finally:
            del self._waiting[flushed]

    def failed(self, batch: ProducerBatch) -> None:
        """The next flush has to tell of it, unless a handle does before."""
        if len(self._failed) < FAILED_BATCHES_KEPT_MAX:
            self._failed.append(batch)

    def settled(self, batches: Iterable[ProducerBatch]) -> None:
        """Their outcomes are known."""
        if not self._waiting:
            return
        for flushed, pending in self._waiting.items():
            pending.difference_update(batches)
            if not pending and not flushed.done():
                flushed.set_result(None)

    def raise_untold(self) -> None:
        """Raises the first failure since the last call that no handle has told."""
        failed, self._failed = self._failed, []
        for batch in failed:
            if not batch.told and isinstance(batch.outcome, LogdError):
                batch.told = True
                raise with_outcome(batch.outcome, unknown=batch.outcome.outcome_unknown)
