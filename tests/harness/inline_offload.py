"""An offload without threads."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class InlineOffload:
    """Implements `logd.model.seams.Offload`: work runs at once, where it was submitted."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    def close(self) -> None: ...
