"""Which consumers are running, as far as their commits and fetches of offsets tell."""

from collections.abc import Collection
from dataclasses import dataclass, field

from logd.model.errors import InvalidConfig
from logd.model.group import CONSUMER_SEEN_MS, Consumer, GroupConsumer
from logd.model.ids import TopicPartition

CONSUMERS_PER_GROUP_MAX = 1000
"""Beyond it the one unseen for longest is forgotten."""
CONSUMER_ID_BYTES_MAX = 256


@dataclass(slots=True)
class _Seen:
    consumer: Consumer
    seen_ms: int = 0
    seen_wall_ms: int = 0
    partitions: set[TopicPartition] = field(default_factory=set)


class ConsumersSeen:
    """In memory only; forgotten after `CONSUMER_SEEN_MS`. `now_ms` is on the monotonic clock."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, _Seen]] = {}

    def saw(
        self,
        group: str,
        consumer: Consumer,
        partitions: Collection[TopicPartition],
        *,
        now_ms: int,
        wall_ms: int,
        takes_only_these: bool = False,
    ) -> str:
        """Note a consumer; the id of another that takes one of its partitions too, or "".

        A consumer takes what it commits, and exactly what it fetches offsets of.
        """
        if not consumer.consumer_id:
            return ""
        seen = self._live(group, now_ms)
        one = seen.pop(consumer.consumer_id, None) or _Seen(consumer)
        one.consumer, one.seen_ms, one.seen_wall_ms = consumer, now_ms, wall_ms
        if takes_only_these:
            one.partitions.clear()
        one.partitions.update(partitions)
        seen[consumer.consumer_id] = one
        while len(seen) > CONSUMERS_PER_GROUP_MAX:
            del seen[next(iter(seen))]
        self._groups[group] = seen
        others = (
            consumer_id
            for consumer_id, other in seen.items()
            if other is not one and not other.partitions.isdisjoint(one.partitions)
        )
        return min(others, default="")

    def left(self, group: str, consumer: Consumer) -> None:
        """Forget a consumer that said goodbye."""
        seen = self._groups.get(group, {})
        seen.pop(consumer.consumer_id, None)
        if not seen:
            self._groups.pop(group, None)

    def running(self, group: str, now_ms: int) -> list[GroupConsumer]:
        """Sorted by id."""
        return [
            GroupConsumer(
                consumer_id, one.consumer.peer, one.seen_wall_ms, tuple(sorted(one.partitions))
            )
            for consumer_id, one in sorted(self._live(group, now_ms).items())
        ]

    def groups(self, now_ms: int) -> list[str]:
        """Groups with a running consumer, sorted."""
        return sorted(group for group in list(self._groups) if self._live(group, now_ms))

    def _live(self, group: str, now_ms: int) -> dict[str, _Seen]:
        """What is left of a group; dicts keep the order in which consumers were last seen."""
        seen = self._groups.get(group, {})
        while seen:
            oldest = next(iter(seen))
            if now_ms - seen[oldest].seen_ms < CONSUMER_SEEN_MS:
                return seen
            del seen[oldest]
        self._groups.pop(group, None)
        return {}


def check_consumer(consumer: Consumer) -> None:
    """Raises InvalidConfig."""
    if len(consumer.consumer_id.encode()) > CONSUMER_ID_BYTES_MAX:
        raise InvalidConfig(
            f"a consumer_id has {CONSUMER_ID_BYTES_MAX} bytes at most", field="consumer_id"
        )
