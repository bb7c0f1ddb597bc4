"""Which partitions a consumer reads, and where each starts: as it says itself, or its group."""

from collections.abc import Mapping, Sequence

from logd.model.errors import InvalidConfig, UnknownPartition, UnknownTopic
from logd_client.broker_connection import BrokerConnection
from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.partition_position import PartitionPosition
from logd_client.diagnostics import logger
from logd_client.group_commits import GroupCommits
from logd_client.group_session import GroupSession
from logd_client.offset_lookup import OffsetLookup

Partitions = Sequence[int] | Mapping[str, Sequence[int]] | None


class ConsumerAssignment:
    """Resolves topics to partitions, and follows topics that grow unless partitions were named. A
    member of a group only looks whether its topics exist, and joins: the rest comes by `session`.
    """

    def __init__(
        self,
        connection: BrokerConnection,
        positions: ConsumerPositions,
        lookup: OffsetLookup,
        group: GroupCommits | None,
        session: GroupSession | None,
        named: Mapping[str, Sequence[int] | None],
    ) -> None:
        """`named` is what `named_partitions` gives."""
        self._connection = connection
        self._positions = positions
        self._lookup = lookup
        self._group = group
        self._session = session
        self._named = named
        self._assigned: dict[str, int] = {}

    async def start(self) -> None:
        """Assign and place all partitions; may be repeated where it raised.

        Raises UnknownTopic, UnknownPartition, OffsetOutOfRange (auto_offset_reset is 'none'), and
        what the group's coordinator refuses.
        """
        if self._session is None:
            await self._assign()
        else:
            for topic in self._named:
                await self._connection.topic(topic)
            await self._session.join()
        self._positions.started = True
        await self._lookup.run()
        for at in self._positions:
            if at.error is not None and not at.known:
                raise at.error

    async def _assign(self) -> None:
        assigned: list[PartitionPosition] = []
        for topic, numbers in self._named.items():
            metadata = await self._connection.topic(topic)
            for number in range(metadata.partitions) if numbers is None else numbers:
                if number >= metadata.partitions:
                    raise UnknownPartition(
                        f"topic '{topic}' has no partition {number}, "
                        f"only 0 to {metadata.partitions - 1}",
                        topic=topic,
                        partition=number,
                    )
                assigned.append(self._positions.assign(topic, metadata.topic_id, number))
            self._assigned[topic] = metadata.partitions
        await self._place(assigned, added=False)

    async def follow(self) -> None:
        """Take the partitions that were added since. A topic that is gone stays as it was."""
        for topic, numbers in self._named.items():
            if numbers is not None:
                continue
            try:
                metadata = await self._connection.topic(topic)
            except UnknownTopic as error:
                logger.warning("topic_gone", topic=topic, error=error.message)
                continue
            added = [
                self._positions.assign(topic, metadata.topic_id, number)
                for number in range(self._assigned[topic], metadata.partitions)
            ]
            if added:
                self._assigned[topic] = metadata.partitions
                logger.info("partitions_added", topic=topic, partitions=metadata.partitions)
                await self._place(added, added=True)

    async def _place(self, assigned: Sequence[PartitionPosition], *, added: bool) -> None:
        if self._group is not None:
            await self._group.start(assigned, added=added)
        else:
            for at in assigned:
                self._positions.place_by_reset(at, earliest=added)


def named_partitions(
    topics: Sequence[str], partitions: Partitions, pattern: str | None
) -> dict[str, Sequence[int] | None]:
    """Topic -> its partitions, None: all. Raises InvalidConfig where these do not fit together."""
    for topic in topics:
        if not isinstance(topic, str):
            raise InvalidConfig(
                f"{topic!r} is no topic's name: Consumer('orders', 'payments', ...)", field="topics"
            )
        if ":" in topic:
            raise InvalidConfig(
                f"'{topic}' is no topic's name; an address is bootstrap_servers='{topic}', "
                "partitions are partitions=[0, 1]",
                field="topics",
            )
    if isinstance(partitions, Mapping):
        strange = [topic for topic in partitions if topics and topic not in topics]
        if strange:
            raise InvalidConfig(
                f"partitions names topic '{strange[0]}', which is not among the consumer's topics",
                field="partitions",
            )
        return {topic: partitions.get(topic) for topic in topics or partitions}
    if not topics and pattern is None:
        raise InvalidConfig(
            "a consumer reads at least one topic: Consumer('orders', ...)", field="topics"
        )
    if partitions is not None and len(dict.fromkeys(topics)) > 1:
        raise InvalidConfig(
            "partitions is a list, but there are several topics: give {topic: [partitions]}",
            field="partitions",
        )
    return dict.fromkeys(topics, partitions)
