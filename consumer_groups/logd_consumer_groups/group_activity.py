"""What groups are doing right now: who runs, how fast they commit. In memory, lost at a restart."""

from collections.abc import Collection, Sequence

from logd.model.errors import LogdError
from logd.model.group import CommitRequest, Consumer, GroupConsumer
from logd.model.ids import Offset, TopicPartition
from logd.model.seams import Clock
from logd_consumer_groups.core.commit_rates import CommitRates
from logd_consumer_groups.core.consumers_seen import ConsumersSeen


class GroupActivity:
    """Gives ConsumersSeen and CommitRates the time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._consumers = ConsumersSeen()
        self._rates = CommitRates()

    def committed(self, request: CommitRequest, results: Sequence[LogdError | None]) -> str:
        """Note what was accepted of a commit; the id of another consumer of the same, or ""."""
        now_ms = self._clock.monotonic_ms()
        accepted = [c for c, e in zip(request.commits, results, strict=True) if e is None]
        for commit in accepted:
            self._rates.observe(request.group, commit.topic_partition, commit.offset, now_ms)
        if request.leaving or request.member_epoch is not None:
            return ""
        return self._consumers.saw(
            request.group,
            request.consumer,
            [commit.topic_partition for commit in accepted],
            now_ms=now_ms,
            wall_ms=self._clock.wall_ms(),
        )

    def fetched(
        self, group: str, consumer: Consumer, partitions: Collection[TopicPartition]
    ) -> str:
        """Note who asks where to read; the id of another consumer of the same, or ""."""
        return self._consumers.saw(
            group,
            consumer,
            partitions,
            now_ms=self._clock.monotonic_ms(),
            wall_ms=self._clock.wall_ms(),
            takes_only_these=True,
        )

    def left(self, group: str, consumer: Consumer) -> None:
        """The consumer has ended."""
        self._consumers.left(group, consumer)

    def running(self, group: str) -> tuple[GroupConsumer, ...]:
        """Consumers seen in the last 30 s, sorted by id."""
        return tuple(self._consumers.running(group, self._clock.monotonic_ms()))

    def groups(self) -> list[str]:
        """Groups with a running consumer."""
        return self._consumers.groups(self._clock.monotonic_ms())

    def rate(self, group: str, where: TopicPartition, log_start_offset: Offset) -> float | None:
        """Records/s that the group commits; None: not known."""
        now_ms = self._clock.monotonic_ms()
        return self._rates.rate(group, where, now_ms, log_start_offset=log_start_offset)

    def forget_rates(self, group: str) -> None:
        """The group was rewound or deleted: what it commits from now on starts anew."""
        self._rates.forget(group)
