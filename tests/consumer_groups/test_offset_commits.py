"""What a commit is refused for."""

import pytest

from logd.model.errors import (
    CommitBehind,
    GroupRewound,
    InvalidConfig,
    InvalidName,
    LogdError,
    OffsetOutOfRange,
    Overloaded,
    UnknownTopic,
)
from logd.model.group import (
    ATTEMPTS_MAX,
    DONE_RANGES_MAX,
    METADATA_BYTES_MAX,
    NEVER_REWOUND,
    Attempts,
    CommitRequest,
    Consumer,
    DoneRange,
    OffsetCommit,
    RewindEpoch,
)
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_state import GroupState
from logd_consumer_groups.core.offset_commits import (
    GROUP_STATE_BYTES_MAX,
    OFFSET_MAX,
    CommitDecision,
    check_commit_request,
    check_rewind_epoch,
)
from logd_consumer_groups.core.offset_records import CommitRecord


def where(number: int = 0) -> TopicPartition:
    return TopicPartition(TopicId(b"t" * 16), PartitionId(number))


def decide(
    group: GroupState, *commits: OffsetCommit, now_ms: int = 50, **request: object
) -> tuple[tuple[LogdError | None, ...], list[CommitRecord]]:
    refusals: dict[TopicPartition, LogdError] = {where(9): UnknownTopic("gone")}
    asked = CommitRequest("g", commits, group.rewind_epoch, **request)  # type: ignore[arg-type]
    decision = CommitDecision(group, asked, refusals, now_ms)
    return decision.decide(), decision.records


def group_at(offset: int, number: int = 0) -> GroupState:
    group = GroupState("g")
    for record in decide(group, OffsetCommit(where(number), Offset(offset)), now_ms=10)[1]:
        group.replay_commit(record)
    return group


@pytest.mark.parametrize(
    ("current", "sent", "accepted"),
    [
        (-1, -1, True),
        (-1, None, True),
        (7, 7, True),
        (7, None, False),
        (7, 6, False),
        (-1, 7, False),
    ],
)
def test_the_rewind_epoch_must_be_the_groups(
    current: int, sent: int | None, accepted: bool
) -> None:
    group = GroupState("g", rewind_epoch=RewindEpoch(current))
    epoch = None if sent is None else RewindEpoch(sent)
    if accepted:
        check_rewind_epoch(group, epoch)
        return
    with pytest.raises(GroupRewound) as refused:
        check_rewind_epoch(group, epoch)
    assert refused.value.details["rewind_epoch"] == str(current)


@pytest.mark.parametrize("offset", [-1, OFFSET_MAX + 1])
def test_what_no_log_can_hold_is_refused(offset: int) -> None:
    (error,), records = decide(GroupState("g"), OffsetCommit(where(), Offset(offset)))
    assert isinstance(error, OffsetOutOfRange)
    assert not records


@pytest.mark.parametrize("offset", [0, 5, OFFSET_MAX])
def test_no_log_is_asked_where_it_begins_and_ends(offset: int) -> None:
    """Also what retention has removed: the consumer was there."""
    results, records = decide(GroupState("g"), OffsetCommit(where(), Offset(offset)))
    assert results == (None,) and records[0].position.offset == offset


@pytest.mark.parametrize(
    ("metadata", "done_ranges", "field"),
    [
        ("é" * (METADATA_BYTES_MAX // 2) + "x", (), "metadata"),
        ("", ((50, 50),), "done_ranges"),
        ("", ((50, 49),), "done_ranges"),
        ("", ((40, 45), (44, 50)), "done_ranges"),
        ("", ((9, 12),), "done_ranges"),
        ("", ((40, OFFSET_MAX + 1),), "done_ranges"),
        ("", tuple((20, 21) for _ in range(DONE_RANGES_MAX + 1)), "done_ranges"),
    ],
)
def test_notes_and_done_ranges_are_checked(
    metadata: str, done_ranges: tuple[tuple[int, int], ...], field: str
) -> None:
    ranges = tuple(DoneRange(*r) for r in done_ranges)
    commit = OffsetCommit(where(), Offset(10), None, metadata, ranges)
    (error,), records = decide(GroupState("g"), commit)
    assert isinstance(error, InvalidConfig) and error.details["field"] == field
    assert not records


@pytest.mark.parametrize(
    "attempts",
    [
        ((9, 1),),
        ((10, 0),),
        ((10, 1 << 32),),
        ((12, 1), (11, 1)),
        ((11, 1), (11, 1)),
        ((OFFSET_MAX, 1),),
        tuple((10 + n, 1) for n in range(ATTEMPTS_MAX + 1)),
    ],
)
def test_attempts_are_checked(attempts: tuple[tuple[int, int], ...]) -> None:
    tried = tuple(Attempts(*each) for each in attempts)
    (error,), records = decide(GroupState("g"), OffsetCommit(where(), Offset(10), attempts=tried))
    assert isinstance(error, InvalidConfig) and error.details["field"] == "attempts"
    assert not records


def test_another_attempt_is_news_and_the_commit_that_passes_it_forgets_it() -> None:
    tried = OffsetCommit(where(), Offset(20), attempts=(Attempts(20, 1),))
    group = group_at(20)
    for commit, kept in ((tried, (Attempts(20, 1),)), (OffsetCommit(where(), Offset(21)), ())):
        _, (record,) = decide(group, commit)
        assert record.position.attempts == kept
        group.replay_commit(record)
        assert decide(group, commit) == ((None,), [])


def test_everything_a_commit_says_is_kept() -> None:
    ranges = (DoneRange(12, 14), DoneRange(14, 20))
    tried = (Attempts(10, 3), Attempts(21, 1))
    commit = OffsetCommit(where(), Offset(10), LeaderEpoch(3), "note", ranges, tried)
    _, (record,) = decide(GroupState("g"), commit)
    position = record.position
    assert (position.offset, position.leader_epoch, position.metadata) == (10, 3, "note")
    assert (position.done_ranges, position.attempts) == (ranges, tried)
    assert (position.committed_ms, position.since_ms) == (50, 50)


def test_offsets_fall_only_when_asked_and_that_is_marked() -> None:
    group = group_at(20)
    (error,), records = decide(group, OffsetCommit(where(), Offset(19)))
    assert isinstance(error, CommitBehind) and error.details["committed"] == "20"
    assert not records
    results, (record,) = decide(
        group, OffsetCommit(where(), Offset(19)), allow_rewind=True, consumer=Consumer("c1")
    )
    assert results == (None,) and record.went_back and record.actor == "c1"


def test_one_commit_cannot_go_back_behind_itself() -> None:
    results, records = decide(
        GroupState("g"), OffsetCommit(where(), Offset(20)), OffsetCommit(where(), Offset(19))
    )
    assert results[0] is None and isinstance(results[1], CommitBehind)
    assert len(records) == 1


def test_one_partitions_error_leaves_the_others() -> None:
    results, records = decide(
        GroupState("g"), OffsetCommit(where(9), Offset(1)), OffsetCommit(where(), Offset(20))
    )
    assert isinstance(results[0], UnknownTopic) and results[1] is None
    assert [record.topic_partition for record in records] == [where()]


def test_what_says_nothing_new_is_not_written() -> None:
    group = group_at(20)
    assert decide(group, OffsetCommit(where(), Offset(20))) == ((None,), [])


def test_the_time_of_an_offset_outlives_a_change_of_its_done_ranges() -> None:
    _, (record,) = decide(group_at(20), OffsetCommit(where(), Offset(20), None, "new"))
    assert (record.position.since_ms, record.position.committed_ms) == (10, 50)


def test_a_group_has_a_bound_and_says_which() -> None:
    note = "n" * METADATA_BYTES_MAX
    commits = [OffsetCommit(where(100 + n), Offset(9), None, note) for n in range(1100)]
    results, records = decide(GroupState("g"), *commits)
    refused = [error for error in results if error is not None]
    assert refused and len(records) + len(refused) == len(commits)
    assert all(isinstance(e, Overloaded) for e in refused)
    assert refused[0].details["limit"] == "GROUP_STATE_BYTES_MAX"


def test_requests_are_checked_before_any_state_is() -> None:
    with pytest.raises(InvalidName):
        check_commit_request(CommitRequest("a/b", ()))
    with pytest.raises(InvalidConfig):
        check_commit_request(CommitRequest("g", (), consumer=Consumer("c" * 257)))
    commits = (OffsetCommit(where(), Offset(0)),) * 10_001
    with pytest.raises(Overloaded):
        check_commit_request(CommitRequest("g", commits, NEVER_REWOUND))


def test_a_full_group_takes_what_needs_no_more_room() -> None:
    note = "n" * METADATA_BYTES_MAX
    group = GroupState("g")
    commits = [OffsetCommit(where(100 + n), Offset(9), None, note) for n in range(1100)]
    for record in decide(group, *commits)[1]:
        group.replay_commit(record)
    group.offsets_bytes = GROUP_STATE_BYTES_MAX + METADATA_BYTES_MAX
    for smaller in (note, note[1:]):
        results, records = decide(group, OffsetCommit(where(100), Offset(10), None, smaller))
        assert results == (None,) and len(records) == 1
    (error,), _ = decide(group, OffsetCommit(where(), Offset(10)))
    assert isinstance(error, Overloaded)


def test_as_many_done_ranges_as_are_allowed_are_kept() -> None:
    ranges = tuple(DoneRange(10 + n, 11 + n) for n in range(DONE_RANGES_MAX))
    commit = OffsetCommit(where(), Offset(10), None, "", ranges)
    decision = CommitDecision(GroupState("g"), CommitRequest("g", (commit,)), {}, 50)
    assert decision.decide() == (None,)
    assert decision.records[0].position.done_ranges == ranges


def test_an_epoch_that_is_not_said_is_not_known() -> None:
    _, (record,) = decide(GroupState("g"), OffsetCommit(where(), Offset(10)))
    assert record.position.leader_epoch == -1
