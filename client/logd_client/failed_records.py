"""What becomes of a consumer's records that fail: counted in commits, or put aside."""

import asyncio

from logd.model.errors import DeliveryTimeout, LogdError
from logd.model.seams import Clock
from logd_client.diagnostics import logger
from logd_client.group_commits import GroupCommits
from logd_client.parked_records import ParkedRecords
from logd_client.work_record import Park, WorkRecord

PARK_AGAIN_S = 1.0


class FailedRecords:
    """Implements `parallel_records.Failures`."""

    def __init__(self, clock: Clock, parked: ParkedRecords, commits: GroupCommits | None) -> None:
        """`commits` None: what was tried is not kept, as nothing is."""
        self.clock = clock
        self._parked = parked
        self._commits = commits
        self._tried = asyncio.Event()

    async def park(self, record: WorkRecord, verdict: Park) -> None:
        """Waits for a broker as long as it takes, as reading does."""
        while True:
            try:
                await self._parked.park(record, verdict)
                return
            except LogdError as error:
                if not (error.retriable or isinstance(error, DeliveryTimeout)):
                    raise
                logger.warning("record_not_parked_yet", error=error.message)
                await asyncio.sleep(PARK_AGAIN_S)

    def attempted(self) -> None:
        self._tried.set()

    async def keep_attempts(self) -> None:
        """Commit soon after a failure, so that a restart repeats one attempt at most."""
        while self._commits is not None:
            await self._tried.wait()
            self._tried.clear()
            try:
                await self._commits.commit()
            except LogdError as error:  # the next commit tells it
                logger.debug("attempts_not_committed", error=error.message)

    async def close(self) -> None:
        await self._parked.close()
