"""What `consume` reads of one partition."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logd.model.errors import UnknownPartition

if TYPE_CHECKING:
    from logd_client import Admin


@dataclass(frozen=True, slots=True)
class ReadRange:
    """Offsets [start or committed, end). `start` None: the group's committed offset counts; `end`
    None: without end."""

    topic: str
    partition: int
    start: int | None
    committed: int | None
    end: int | None

    @property
    def is_empty(self) -> bool:
        """Nothing is to be read here."""
        first = self.committed if self.start is None else self.start
        return self.end is not None and first is not None and first >= self.end


async def partitions_of(
    admin: "Admin", topic: str, wanted: tuple[int, ...] | None
) -> Sequence[int]:
    """The partitions to read. Raises UnknownTopic, UnknownPartition."""
    count = len((await admin.describe_topic(topic)).partitions)
    for number in wanted or ():
        if number >= count:
            raise UnknownPartition(
                f"topic '{topic}' has no partition {number}, only 0 to {count - 1}",
                topic=topic,
                partition=number,
            )
    return wanted or range(count)
