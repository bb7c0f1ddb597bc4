"""Who the members of a group are and which of them has which partition, as the log tells it.

All integers are little-endian; `text` is a u16 length and UTF-8.

    member     instance_id text, client_id text, pattern text, assignor text, rack text,
               session_timeout_ms u32, revocation_timeout_ms u32, topic count u32, topics: text each
    table      epoch i64,
               member count u32, members: each member_id text, member
               owner count u32, owners: each topic_id 16 bytes, partition u32, epoch i64,
               member_id text
               topic count u32, topics first seen: each topic_id 16 bytes, partitions u32
"""

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from logd.model.group import Subscription
from logd.model.group_session import NO_GROUP_EPOCH, GroupEpoch
from logd.model.ids import PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.struct_reader import StructReader, packed_text

_TIMEOUTS_AND_COUNT = struct.Struct("<III")
_EPOCH = struct.Struct("<q")
_COUNT = struct.Struct("<I")
_OWNER = struct.Struct("<16sIq")
_SEEN = struct.Struct("<16sI")


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the log keeps it."""

    member_id: str
    subscription: Subscription
    instance_id: str = ""
    client_id: str = ""

    @property
    def size_bytes(self) -> int:
        """Its share of an image; text counts as four bytes a character."""
        wants = self.subscription
        texts = self.member_id, self.instance_id, self.client_id, wants.pattern
        return 64 + 4 * sum(map(len, texts)) + sum(2 + 4 * len(topic) for topic in wants.topics)

    def pack(self) -> bytes:
        wants = self.subscription
        texts = self.instance_id, self.client_id, wants.pattern
        return b"".join(
            (
                *map(packed_text, (*texts, wants.assignor, wants.rack)),
                _TIMEOUTS_AND_COUNT.pack(
                    wants.session_timeout_ms, wants.revocation_timeout_ms, len(wants.topics)
                ),
                *map(packed_text, wants.topics),
            )
        )

    @staticmethod
    def unpack(member_id: str, reader: StructReader) -> "Member":
        instance_id, client_id, pattern, assignor, rack = (reader.text() for _ in range(5))
        session_ms, revocation_ms, count = reader.unpack(_TIMEOUTS_AND_COUNT)
        topics = tuple(reader.text() for _ in range(count))
        wants = Subscription(topics, pattern, assignor, rack, session_ms, revocation_ms)
        return Member(member_id, wants, instance_id, client_id)


class Owner(NamedTuple):
    """Who has a partition, since the record at `epoch`."""

    member_id: str
    epoch: GroupEpoch


@dataclass(slots=True)
class MemberTable:
    """Members, owners, and how many partitions each topic had when the group first saw it.

    Only `replay_*` change it. A partition has an owner from its grant until that owner has given it
    up, or is a member no more: nobody else is granted it in between. `epoch` is of the latest
    record of all.
    """

    members: dict[str, Member] = field(default_factory=dict)
    owners: dict[TopicPartition, Owner] = field(default_factory=dict)
    owned: dict[str, set[TopicPartition]] = field(default_factory=dict)
    """`owners`, the other way round."""
    first_seen: dict[TopicId, int] = field(default_factory=dict)
    epoch: GroupEpoch = NO_GROUP_EPOCH
    members_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """Its share of an image, nearly."""
        return self.members_bytes + 64 * len(self.owners) + _SEEN.size * len(self.first_seen)

    def replay_member(self, member_id: str, member: Member | None, epoch: GroupEpoch) -> None:
        """None: it is a member no more. What it owned is freed by records of their own."""
        self.epoch = epoch
        before = self.members.pop(member_id, None)
        if before is not None:
            self.members_bytes -= before.size_bytes
        if member is not None:
            self.members[member_id] = member
            self.members_bytes += member.size_bytes

    def replay_owner(self, where: TopicPartition, member_id: str, epoch: GroupEpoch) -> None:
        """ "": nobody has it."""
        self.epoch = epoch
        before = self.owners.pop(where, None)
        if before is not None:
            owned = self.owned[before.member_id]
            owned.discard(where)
            if not owned:
                del self.owned[before.member_id]
        if member_id:
            self.owners[where] = Owner(member_id, epoch)
            self.owned.setdefault(member_id, set()).add(where)

    def replay_seen(self, topic_id: TopicId, partitions: int | None) -> None:
        """None: the topic is gone."""
        self.first_seen.pop(topic_id, None)
        if partitions is not None:
            self.first_seen[topic_id] = partitions

    def is_younger(self, where: TopicPartition) -> bool:
        """Whether the partition is younger than the group's reading of its topic."""
        return where.partition >= self.first_seen.get(where.topic_id, where.partition + 1)

    def pack(self) -> bytes:
        parts = [_EPOCH.pack(self.epoch), _COUNT.pack(len(self.members))]
        for member_id, member in sorted(self.members.items()):
            parts += (packed_text(member_id), member.pack())
        parts.append(_COUNT.pack(len(self.owners)))
        for where, owner in sorted(self.owners.items()):
            parts += (_OWNER.pack(*where, owner.epoch), packed_text(owner.member_id))
        parts.append(_COUNT.pack(len(self.first_seen)))
        parts += (_SEEN.pack(*seen) for seen in sorted(self.first_seen.items()))
        return b"".join(parts)

    @staticmethod
    def unpack(reader: StructReader) -> "MemberTable":
        table = MemberTable()
        (epoch,) = reader.unpack(_EPOCH)
        (count,) = reader.unpack(_COUNT)
        for _ in range(count):
            member_id = reader.text()
            table.replay_member(member_id, Member.unpack(member_id, reader), epoch)
        (count,) = reader.unpack(_COUNT)
        for _ in range(count):
            topic_id, number, since = reader.unpack(_OWNER)
            where = TopicPartition(TopicId(topic_id), PartitionId(number))
            table.replay_owner(where, reader.text(), GroupEpoch(since))
        (count,) = reader.unpack(_COUNT)
        for topic_id, partitions in reader.unpack_many(_SEEN, count):
            table.replay_seen(TopicId(topic_id), partitions)
        table.epoch = GroupEpoch(epoch)
        return table

    def copy(self) -> "MemberTable":
        """One that later replays do not change."""
        return MemberTable(
            dict(self.members),
            dict(self.owners),
            {member_id: set(owned) for member_id, owned in self.owned.items()},
            dict(self.first_seen),
            self.epoch,
            self.members_bytes,
        )
