"""The topics: in memory for readers, changed through the metadata store."""

import asyncio
import contextlib
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

import structlog

from logd.model.errors import (
    Conflict,
    InvalidConfig,
    InvalidName,
    LogdError,
    Overloaded,
    TopicExists,
    UnknownTopic,
)
from logd.model.ids import TOPIC_ID_BYTES, BrokerId, Offset, PartitionId, TopicId, TopicPartition
from logd.model.key_ranges import even_ranges
from logd.model.seams import Clock, Compare, Delete, MetadataStore, Put, Random
from logd.model.topic import (
    PARTITIONS_PER_TOPIC_MAX,
    PartitionSpec,
    Topic,
    TopicState,
    check_name,
)
from logd.model.topic_config import TopicConfig, parse_topic_config
from logd.system.background_tasks import BackgroundTasks, awaited
from logd_replication.core.partition_splits import parents_to_ask, settled, split
from logd_replication.metadata_schema import (
    TOPICS_PREFIX,
    TopicNameValue,
    decode_topic,
    encode_topic,
    encode_value,
    topic_key,
    topic_name_key,
)

INTERNAL_PREFIX = "__"
PARTITIONS_MAX = 100_000
"""Of all topics together, some 400 bytes each in memory: so topics are bounded, too."""
HINT_NAMES_MAX = 1000
"""How many names a 'did you mean' looks at: comparing names is slow, and runs on the loop."""

ONE_BROKER = (BrokerId(0),)
logger = structlog.get_logger()


class TopicFiles(Protocol):
    """Who holds the topics' records."""

    async def remove(self, topic: Topic) -> None:
        """Close and remove all of the topic's files; succeeds if there are none."""
        ...

    async def log_end(self, topic_partition: TopicPartition) -> Offset:
        """Raises a LogdError where it cannot be told."""
        ...


class TopicCatalog:
    """Implements `logd.broker.ports.Topics`. Loop only; `load` before all else.

    A topic is created by one transaction, ready at once: its files come with the first append. A
    deletion marks the topic's key, removes the files, then drops the key and the name; if it is
    interrupted, the next `load` finishes it. Until then the name stays taken, since directories are
    named after it. In memory stands only what the store has confirmed.
    """

    def __init__(
        self,
        store: MetadataStore,
        random: Random,
        clock: Clock,
        tasks: BackgroundTasks,
        brokers: Sequence[BrokerId] = ONE_BROKER,
    ) -> None:
        """`brokers` take the replicas of new topics."""
        self._store = store
        self._random = random
        self._clock = clock
        self._tasks = tasks
        self._brokers = tuple(brokers)
        self._files: TopicFiles | None = None
        self._by_id: dict[TopicId, Topic] = {}
        self._by_folded_name: dict[str, Topic] = {}
        self._sorted: tuple[Topic, ...] | None = None
        self._listeners: list[Callable[[Topic], None]] = []
        self._changing = asyncio.Lock()
        self._deletions: dict[TopicId, asyncio.Task[Topic]] = {}

    async def load(self, files: TopicFiles) -> None:
        """Read all topics, and finish deletions that were interrupted.

        One whose files cannot be removed is left for the next start. Raises what decoding raises.
        """
        self._files = files
        entries, _ = await self._store.range(TOPICS_PREFIX)
        for entry in entries:
            self._remember(decode_topic(entry))
        for topic in [t for t in self._by_id.values() if t.state is TopicState.DELETING]:
            try:
                await self._remove(topic)
            except (LogdError, OSError) as error:
                logger.warning("topic_not_removed", topic=topic.name, error=str(error))

    def on_changed(self, listener: Callable[[Topic], None]) -> None:
        """`listener` hears of every topic created, altered, split or marked for deletion."""
        self._listeners.append(listener)

    def by_id(self, topic_id: TopicId) -> Topic:
        topic = self._by_id.get(topic_id)
        if topic is None or topic.state is not TopicState.READY:
            raise UnknownTopic(
                f"no topic has the id {topic_id.hex()}; it was deleted, or is of another cluster",
                topic_id=topic_id.hex(),
            )
        return topic

    def by_name(self, name: str) -> Topic:
        topic = self.find(name)
        if topic is not None:
            return topic
        hint = self._similar(name)
        mean = f"; did you mean '{hint}'?" if hint else ""
        raise UnknownTopic(f"topic '{name[:300]}' does not exist{mean}", topic=name, hint=hint)

    def find(self, name: str) -> Topic | None:
        topic = self._by_folded_name.get(name.casefold())
        if topic is None or topic.name != name or topic.state is not TopicState.READY:
            return None
        return topic

    def all(self) -> Sequence[Topic]:
        if self._sorted is None:
            ready = [t for t in self._by_id.values() if t.state is TopicState.READY]
            self._sorted = tuple(sorted(ready, key=lambda topic: topic.name))
        return self._sorted

    async def create(
        self,
        name: str,
        partitions: int,
        config: Mapping[str, str],
        *,
        replication_factor: int = 0,
        internal: bool = False,
        validate_only: bool = False,
    ) -> Topic:
        check_name(name)
        if name.startswith(INTERNAL_PREFIX) != internal:
            raise InvalidName(
                f"topic '{name}': names that begin with '{INTERNAL_PREFIX}' are logd's own",
                field="topic",
            )
        _check_partitions(partitions)
        replicas = self._replicas(replication_factor)
        settings = parse_topic_config(config)
        _check_in_sync(settings, len(replicas))
        async with self._changing:
            self._check_free(name)
            self._check_room(partitions)
            topic = Topic(
                topic_id=TopicId(b"" if validate_only else self._random.bytes(TOPIC_ID_BYTES)),
                name=name,
                partitions=tuple(
                    PartitionSpec(key_range, replicas=replicas)
                    for key_range in even_ranges(partitions)
                ),
                config=settings,
                internal=internal,
                created_ms=self._clock.wall_ms(),
            )
            return topic if validate_only else await self._add(topic)

    async def alter(
        self, topic_id: TopicId, config: Mapping[str, str], *, validate_only: bool = False
    ) -> Topic:
        async with self._changing:
            topic = self.by_id(topic_id)
            changed = replace(topic, config=parse_topic_config(config, topic.config))
            _check_in_sync(changed.config, len(topic.partitions[0].replicas))
            return changed if validate_only else await self._write(topic, changed)

    async def add_partitions(
        self, topic_id: TopicId, total: int, *, validate_only: bool = False
    ) -> tuple[Topic, float]:
        async with self._changing:
            topic = self.by_id(topic_id)
            _refuse_internal(topic, "keeps its number of partitions")
            _check_partitions(total)
            count = len(topic.partitions)
            if total <= count:
                raise InvalidConfig(
                    f"topic '{topic.name}' has {count} partitions; ask for more than that "
                    f"(partitions are only ever added)",
                    field="total",
                )
            self._check_room(total - count)
            changed, moved_share = split(topic, total)
            if validate_only:
                return changed, moved_share
            await self._write(topic, changed)
        return await self.settle_splits(topic_id), moved_share

    async def settle_splits(self, topic_id: TopicId) -> Topic:
        """Note where the partitions that were added last begin: `core/partition_splits.py`. Those
        stay unsettled whose parents' logs cannot be asked."""
        async with self._changing:
            topic = self.by_id(topic_id)
            assert self._files is not None, "load() comes first"
            ends: dict[PartitionId, Offset | None] = {}
            for parent in parents_to_ask(topic):
                ends[parent] = None
                with contextlib.suppress(LogdError):
                    ends[parent] = await self._files.log_end(TopicPartition(topic_id, parent))
            changed = settled(topic, ends)
            return topic if changed == topic else await self._write(topic, changed)

    async def delete(self, topic_id: TopicId, *, validate_only: bool = False) -> Topic:
        """Goes on if the caller is cancelled. Called again for a topic whose files could not be
        removed, it tries again."""
        topic = self._by_id.get(topic_id) or self.by_id(topic_id)
        _refuse_internal(topic, "cannot be deleted")
        if validate_only:
            return topic
        deletion = self._deletions.get(topic_id)
        if deletion is None:
            deletion = self._tasks.start(
                "deletion of a topic", self._delete(topic_id), awaited, answers=LogdError
            )
            self._deletions[topic_id] = deletion
            deletion.add_done_callback(lambda _: self._deletions.pop(topic_id))
        return await asyncio.shield(deletion)

    async def _delete(self, topic_id: TopicId) -> Topic:
        async with self._changing:
            topic = self._by_id[topic_id]
            topic = await self._write(topic, replace(topic, state=TopicState.DELETING))
        await self._remove(topic)
        return topic

    async def _remove(self, topic: Topic) -> None:
        assert self._files is not None, "load() comes first"
        await self._files.remove(topic)
        dropped = await self._store.transact(
            [Compare(topic_key(topic.topic_id), topic.revision)],
            [Delete(topic_key(topic.topic_id)), Delete(topic_name_key(topic.name))],
        )
        if dropped is None:
            raise _changed_meanwhile(topic)
        del self._by_id[topic.topic_id]
        del self._by_folded_name[topic.name.casefold()]
        self._sorted = None

    async def _add(self, topic: Topic) -> Topic:
        key, name_key = topic_key(topic.topic_id), topic_name_key(topic.name)
        revision = await self._store.transact(
            [Compare(key, 0), Compare(name_key, 0)],
            [
                Put(key, encode_topic(topic)),
                Put(name_key, encode_value(TopicNameValue(topic.topic_id.hex()))),
            ],
        )
        if revision is None:
            raise TopicExists(f"topic '{topic.name}' was just created", topic=topic.name)
        return self._announce(replace(topic, revision=revision))

    async def _write(self, topic: Topic, changed: Topic) -> Topic:
        key = topic_key(topic.topic_id)
        revision = await self._store.transact(
            [Compare(key, topic.revision)], [Put(key, encode_topic(changed))]
        )
        if revision is None:
            raise _changed_meanwhile(topic)
        return self._announce(replace(changed, revision=revision))

    def _announce(self, topic: Topic) -> Topic:
        self._remember(topic)
        for listener in self._listeners:
            listener(topic)
        return topic

    def _remember(self, topic: Topic) -> None:
        self._by_id[topic.topic_id] = topic
        self._by_folded_name[topic.name.casefold()] = topic
        self._sorted = None

    def _check_free(self, name: str) -> None:
        taken = self._by_folded_name.get(name.casefold())
        if taken is None:
            return
        message, hint = f"topic '{name}' exists", None
        if taken.state is TopicState.DELETING:
            message = f"topic '{taken.name}' is being deleted; try again once it is gone"
        elif taken.name != name:
            message = f"topic '{taken.name}' exists, and '{name}' differs from it only in case"
            hint = taken.name
        raise TopicExists(message, topic=taken.name, hint=hint)

    def _check_room(self, more: int) -> None:
        there = sum(len(topic.partitions) for topic in self._by_id.values())
        if there + more > PARTITIONS_MAX:
            raise Overloaded(
                f"{more} more partitions would be too many: this cluster has {there} and takes "
                f"{PARTITIONS_MAX}; delete topics that are used no more",
                limit="partitions_max",
            )

    def _replicas(self, replication_factor: int) -> tuple[BrokerId, ...]:
        there = len(self._brokers)
        if not 0 <= replication_factor <= there:
            raise InvalidConfig(
                f"replication factor {replication_factor} needs {replication_factor} brokers; "
                f"this cluster has {there}",
                field="replication_factor",
            )
        return self._brokers[: replication_factor or 1]

    def _similar(self, name: str) -> str | None:
        other_case = self._by_folded_name.get(name.casefold())
        if other_case is not None and other_case.state is TopicState.READY:
            return None if other_case.name == name else other_case.name
        near = (
            topic.name
            for topic in self.all()
            if not topic.internal and abs(len(topic.name) - len(name)) <= 3
        )
        close = difflib.get_close_matches(name, list(islice(near, HINT_NAMES_MAX)), 1)
        return close[0] if close else None


def _check_partitions(count: int) -> None:
    if not 1 <= count <= PARTITIONS_PER_TOPIC_MAX:
        raise InvalidConfig(
            f"{count} partitions, but a topic has 1 to {PARTITIONS_PER_TOPIC_MAX}",
            field="partitions",
        )


def _check_in_sync(config: TopicConfig, replicas: int) -> None:
    if config.min_insync_replicas > replicas:
        raise InvalidConfig(
            f"min_insync_replicas is {config.min_insync_replicas}, but each partition has "
            f"{replicas} replica{'s' * (replicas != 1)}: nothing could be appended",
            field="min_insync_replicas",
        )


def _refuse_internal(topic: Topic, what: str) -> None:
    if topic.internal:
        raise InvalidConfig(
            f"topic '{topic.name}' is kept by logd itself and {what}", field="topic"
        )


def _changed_meanwhile(topic: Topic) -> Conflict:
    return Conflict(
        f"topic '{topic.name}' was changed by someone else at the same time; nothing was changed",
        topic=topic.name,
    )
