"""Which consumers are running, as far as their commits and fetches of offsets tell."""

from collections.abc import Collection
from dataclasses import dataclass, field

from logd.model.errors import InvalidConfig
from logd.model.group import CONSUMER_SEEN_MS, Consumer, GroupConsumer
from logd.model.ids import TopicPartition

CONSUMERS_PER_GROUP_MAX = 1000
"""Beyond it the one unseen for longest is forgotten."""
SEEN_MAX = 200_000
"""Consumers and their partitions in all groups, some 150 bytes each: 30 MB. Beyond it as well."""
CONSUMER_ID_BYTES_MAX = 256

_Name = tuple[str, str]
"""Group and consumer id."""


@dataclass(slots=True)
class _Seen:
    consumer: Consumer
    seen_ms: int = 0
    seen_wall_ms: int = 0
    first_call: int = 0
    last_call: int = 0
    partitions: set[TopicPartition] = field(default_factory=set)

    @property
    def size(self) -> int:
        return 1 + len(self.partitions)


class ConsumersSeen:
    """In memory only; forgotten after `CONSUMER_SEEN_MS`. `now_ms` is on the monotonic clock.

    Anybody can name groups and consumers, so every call forgets what is too old, whosever it is.
    """

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, _Seen]] = {}
        self._order: dict[_Name, None] = {}  # as last seen; so are the consumers of each group
        self._size = 0
        self._calls = 0

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

        A consumer takes what it commits, and exactly what it fetches offsets of. Another is told of
        once it was seen since this one came: what was killed a moment ago is not seen again, and
        the one in its place is alone.
        """
        if not consumer.consumer_id:
            return ""
        self._forget_old(now_ms)
        self._calls += 1
        known = self._forget((group, consumer.consumer_id))
        one = known or _Seen(consumer, first_call=self._calls)
        one.consumer, one.seen_ms, one.seen_wall_ms = consumer, now_ms, wall_ms
        one.last_call = self._calls
        if takes_only_these:
            one.partitions.clear()
        one.partitions.update(partitions)
        seen = self._remember(group, one)
        others = (
            consumer_id
            for consumer_id, other in seen.items()
            if other.last_call > one.first_call
            and other is not one
            and not other.partitions.isdisjoint(one.partitions)
        )
        return min(others, default="")

    def left(self, group: str, consumer: Consumer) -> None:
        """Forget a consumer that said goodbye."""
        self._forget((group, consumer.consumer_id))

    def running(self, group: str, now_ms: int) -> list[GroupConsumer]:
        """Sorted by id."""
        self._forget_old(now_ms)
        return [
            GroupConsumer(
                consumer_id, one.consumer.peer, one.seen_wall_ms, tuple(sorted(one.partitions))
            )
            for consumer_id, one in sorted(self._groups.get(group, {}).items())
        ]

    def groups(self, now_ms: int) -> list[str]:
        """Groups with a running consumer, sorted."""
        self._forget_old(now_ms)
        return sorted(self._groups)

    def _remember(self, group: str, one: _Seen) -> dict[str, _Seen]:
        """Its group, once all bounds are kept."""
        seen = self._groups.setdefault(group, {})
        seen[one.consumer.consumer_id] = one
        self._order[group, one.consumer.consumer_id] = None
        self._size += one.size
        if len(seen) > CONSUMERS_PER_GROUP_MAX:
            self._forget((group, next(iter(seen))))
        while self._size > SEEN_MAX:
            self._forget(next(iter(self._order)))
        return seen

    def _forget_old(self, now_ms: int) -> None:
        while self._order:
            group, consumer_id = oldest = next(iter(self._order))
            if now_ms - self._groups[group][consumer_id].seen_ms < CONSUMER_SEEN_MS:
                return
            self._forget(oldest)

    def _forget(self, name: _Name) -> _Seen | None:
        group, consumer_id = name
        seen = self._groups.get(group, {})
        one = seen.pop(consumer_id, None)
        if one is not None:
            del self._order[name]
            self._size -= one.size
            if not seen:
                del self._groups[group]
        return one


def check_consumer(consumer: Consumer) -> None:
    """Raises InvalidConfig."""
    if len(consumer.consumer_id.encode()) > CONSUMER_ID_BYTES_MAX:
        raise InvalidConfig(
            f"a consumer_id has {CONSUMER_ID_BYTES_MAX} bytes at most", field="consumer_id"
        )
