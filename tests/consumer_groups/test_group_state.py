"""One group, by replay."""

from logd.model.group import NEVER_REWOUND, RewindEpoch
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_image import Position, RewindBody, RewindEntry
from logd_consumer_groups.core.group_state import (
    HISTORY_ENTRIES_MAX,
    HISTORY_EVENTS_MAX,
    GroupState,
)
from logd_consumer_groups.core.offset_records import VALUE_VERSION, CommitRecord, RewindRecord


def where(number: int) -> TopicPartition:
    return TopicPartition(TopicId(b"t" * 16), PartitionId(number))


def commit(number: int, offset: int, *, back: bool = False, at_ms: int = 1) -> CommitRecord:
    actor = "c" if back else ""
    return CommitRecord("g", where(number), Position(Offset(offset), at_ms, at_ms), back, actor)


def reset(*entries: RewindEntry, undoes: int = -1) -> RewindRecord:
    body = RewindBody(5, "", "ann", entries, RewindEpoch(undoes))
    return RewindRecord("g", "RESET" if undoes < 0 else "UNDO", NEVER_REWOUND, body)


def test_a_reset_moves_all_its_partitions_and_becomes_the_epoch() -> None:
    group = GroupState("g")
    group.replay_commit(commit(0, 10))
    group.replay_rewind(
        reset(RewindEntry(where(0), Offset(10), Offset(4)), RewindEntry(where(1), None, Offset(2))),
        RewindEpoch(77),
    )
    assert (group.committed(where(0)), group.committed(where(1))) == (4, 2)
    assert group.rewind_epoch == 77
    group.replay_rewind(reset(RewindEntry(where(1), Offset(2), None), undoes=77), RewindEpoch(78))
    assert group.committed(where(1)) is None
    assert group.rewind_epoch == 78
    event, undone = group.latest_reset()
    assert event is not None and event.rewind_epoch == 77 and undone


def test_a_commit_that_goes_back_is_history_one_event_a_request() -> None:
    group = GroupState("g")
    for record in (commit(0, 10), commit(1, 10), commit(0, 3, back=True, at_ms=2)):
        group.replay_commit(record)
    group.replay_commit(commit(1, 4, back=True, at_ms=2))
    group.replay_commit(commit(1, 1, back=True, at_ms=3))
    first, second = group.history
    assert first.kind == "COMMIT" and first.rewind_epoch == NEVER_REWOUND
    assert [(e.from_offset, e.to_offset) for e in first.body.entries] == [(10, 3), (10, 4)]
    assert [(e.from_offset, e.to_offset) for e in second.body.entries] == [(4, 1)]


def test_the_history_is_bounded_and_keeps_resets_before_commits() -> None:
    group = GroupState("g")
    group.replay_rewind(reset(RewindEntry(where(0), None, Offset(100))), RewindEpoch(0))
    for at_ms in range(HISTORY_EVENTS_MAX + 5):
        group.replay_commit(commit(0, 99 - at_ms, back=True, at_ms=at_ms))
    assert len(group.history) == HISTORY_EVENTS_MAX
    assert group.latest_reset()[0] is group.history[0]
    big = tuple(
        RewindEntry(where(number), None, Offset(1)) for number in range(HISTORY_ENTRIES_MAX)
    )
    group.replay_rewind(reset(*big), RewindEpoch(500))
    assert [event.rewind_epoch for event in group.history] == [500]


def test_sizes_follow_every_change_and_an_image_restores_all() -> None:
    group = GroupState("g")
    for record in (commit(0, 10), commit(1, 10), commit(0, 3, back=True)):
        group.replay_commit(record)
    group.replay_rewind(reset(RewindEntry(where(1), Offset(10), None)), RewindEpoch(7))
    assert GroupState.of_image(group.image()) == group
    image_bytes = len(group.image().pack(VALUE_VERSION))
    assert image_bytes <= group.state_bytes <= 2 * image_bytes
