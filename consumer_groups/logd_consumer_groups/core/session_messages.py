"""What of a member's message is refused, and what a member is told."""

from collections.abc import Callable

from logd.model.errors import (
    DuplicateInstance,
    InvalidConfig,
    Overloaded,
    UnknownMember,
)
from logd.model.group import Subscription
from logd.model.group_session import (
    TIMEOUT_MS_MAX,
    Grant,
    GrantPosition,
    SessionMessage,
)
from logd.model.ids import LeaderEpoch, Offset, TopicPartition
from logd.model.topic import check_name
from logd_consumer_groups.core.assignors import ASSIGNORS
from logd_consumer_groups.core.group_state import GroupState
from logd_consumer_groups.core.member_table import Owner
from logd_consumer_groups.core.membership import Presence, static_namesake
from logd_consumer_groups.core.offset_commits import (
    GROUP_STATE_BYTES_MAX,
    check_commit_request,
)

MEMBERS_PER_GROUP_MAX = 1000
TOPICS_PER_MEMBER_MAX = 1000
PATTERN_LENGTH_MAX = 1000
HELD_MAX = 10_000
TEXT_BYTES_MAX = 256


def check_message(message: SessionMessage) -> None:
    """What needs no state. Raises InvalidName, InvalidConfig, Overloaded."""
    check_commit_request(message.commit)
    if not message.member_id:
        raise InvalidConfig("a member names itself: member_id is empty", field="member_id")
    for field, text in (("instance_id", message.instance_id), ("client_id", message.client_id)):
        if len(text.encode()) > TEXT_BYTES_MAX:
            raise InvalidConfig(f"{field} has {TEXT_BYTES_MAX} bytes at most", field=field)
    if len(message.held) > HELD_MAX:
        raise Overloaded(f"a member holds {HELD_MAX} partitions at most", limit="held_max")
    if any(len(held.problem.encode()) > TEXT_BYTES_MAX for held in message.held):
        raise InvalidConfig(f"problem has {TEXT_BYTES_MAX} bytes at most", field="problem")
    if message.subscription is not None:
        _check_subscription(message.subscription)


def _check_subscription(wants: Subscription) -> None:
    if not wants.topics and not wants.pattern:
        raise InvalidConfig(
            "a member subscribes to topics, to a pattern, or both", field="subscription"
        )
    if len(wants.topics) > TOPICS_PER_MEMBER_MAX:
        raise Overloaded(
            f"a member names {TOPICS_PER_MEMBER_MAX} topics at most; a pattern takes any number",
            limit="topics_per_member_max",
        )
    for topic in wants.topics:
        check_name(topic)
    if len(wants.pattern) > PATTERN_LENGTH_MAX:
        raise InvalidConfig(
            f"a pattern has {PATTERN_LENGTH_MAX} characters at most", field="pattern"
        )
    if wants.assignor not in ASSIGNORS:
        known = ", ".join(sorted(ASSIGNORS))
        raise InvalidConfig(
            f"there is no assignor '{wants.assignor[:60]}'; known are {known}", field="assignor"
        )
    if len(wants.rack.encode()) > TEXT_BYTES_MAX:
        raise InvalidConfig(f"a rack has {TEXT_BYTES_MAX} bytes at most", field="rack")
    for field in ("session_timeout_ms", "revocation_timeout_ms"):
        if not 1 <= getattr(wants, field) <= TIMEOUT_MS_MAX:
            raise InvalidConfig(f"{field} is 1 to {TIMEOUT_MS_MAX}", field=field)


def check_member(group: GroupState, message: SessionMessage, peer_of: Callable[[str], str]) -> None:
    """What the group refuses. `peer_of` says where a member is, if its session stands.

    Raises UnknownMember, DuplicateInstance, Overloaded.
    """
    if message.commit.leaving:
        return
    table = group.table
    namesake = static_namesake(group, message.member_id, message.instance_id)
    if namesake is not None and message.member_epoch > 0:
        here, there = message.commit.consumer.peer, peer_of(namesake.member_id)
        raise duplicate_instance(group.name, message.instance_id, here, there)
    if message.member_id in table.members:
        return
    if message.subscription is None:
        raise UnknownMember(
            f"group '{group.name}' has no member '{message.member_id}' (any more); join it: say "
            "what is subscribed to, and member_epoch 0",
            group=group.name,
            member_id=message.member_id,
        )
    if len(table.members) >= MEMBERS_PER_GROUP_MAX and namesake is None:
        raise Overloaded(
            f"group '{group.name}' has {MEMBERS_PER_GROUP_MAX} members, which is the most",
            limit="members_per_group_max",
        )
    if group.state_bytes > GROUP_STATE_BYTES_MAX:
        raise Overloaded(
            f"offsets, notes and members of group '{group.name}' take {GROUP_STATE_BYTES_MAX} "
            "bytes at most",
            limit="GROUP_STATE_BYTES_MAX",
        )


def duplicate_instance(group: str, instance_id: str, here: str, there: str) -> DuplicateInstance:
    """For the process that came first, at `here`; `there` is who came last."""
    return DuplicateInstance(
        f"'{instance_id}' of group '{group}' is another process since, at {there or 'no session'}; "
        f"this one, at {here}, must not join again: give each process a group_instance_id of its "
        "own",
        group=group,
        instance_id=instance_id,
    )


def grant_of(
    group: GroupState,
    where: TopicPartition,
    owner: Owner,
    topic: str,
    *,
    with_position: bool,
    report_at: Offset | None = None,
) -> Grant:
    """One line of what a member is told."""
    position = None
    if with_position:
        at = group.offsets.get(where)
        if at is None:
            position = GrantPosition(None, from_beginning=group.table.is_younger(where))
        else:
            epoch = None if at.leader_epoch < 0 else LeaderEpoch(at.leader_epoch)
            position = GrantPosition(at.offset, epoch, at.done_ranges, at.attempts)
    end = None if group.replay is None else group.replay.end_of(where)
    return Grant(where, topic, owner.epoch, position, report_at, end)


def holds(presence: Presence, where: TopicPartition, owner: Owner) -> bool:
    """Whether the member said that it holds this since it was granted."""
    return where in presence.held and owner.epoch <= presence.member_epoch
