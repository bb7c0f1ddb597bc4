"""Says on stderr what a start waits for, where it takes long."""

import asyncio
from collections.abc import Callable

import structlog

logger = structlog.get_logger()

FIRST_TOLD_S = 2.0
TOLD_AGAIN_S = 10.0

Step = Callable[[], str]
"""What is being done, and how far it is, at the moment it is asked."""
Steps = Callable[[Step], object]


def unwatched(step: Step) -> None:
    """Steps of a start that nobody waits for."""


class StartProgress:
    """One a start. `begin` is a Steps."""

    def __init__(self) -> None:
        self._step: Step = lambda: "nothing yet"

    def begin(self, step: Step) -> None:
        self._step = step

    async def tell(self) -> None:
        """Until it is cancelled."""
        waited_s = FIRST_TOLD_S
        await asyncio.sleep(FIRST_TOLD_S)
        while True:
            logger.warning("still starting", waits_for=self._step(), seconds=int(waited_s))
            await asyncio.sleep(TOLD_AGAIN_S)
            waited_s += TOLD_AGAIN_S
