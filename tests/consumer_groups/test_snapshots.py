"""When snapshots are due, and their chunks."""

from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_image import Position
from logd_consumer_groups.core.offset_records import CommitRecord
from logd_consumer_groups.core.shard_state import ShardState
from logd_consumer_groups.core.snapshots import (
    CHUNK_BYTES_MAX,
    LOG_BYTES_MIN,
    SnapshotWriter,
    snapshot_is_due,
)


def state_of(groups: dict[str, int]) -> ShardState:
    """Groups with so many partitions, each with a note of 1 KiB."""
    state = ShardState()
    for name, partitions in groups.items():
        for number in range(partitions):
            where = TopicPartition(TopicId(b"t" * 16), PartitionId(number))
            position = Position(Offset(1), 1, 1, metadata="n" * 1024)
            state.replay(Offset(0), LeaderEpoch(0), *CommitRecord(name, where, position).pack())
    return state


def test_a_snapshot_is_due_past_both_bounds() -> None:
    assert not snapshot_is_due(LOG_BYTES_MIN, 0)
    assert snapshot_is_due(LOG_BYTES_MIN + 1, 0)
    assert not snapshot_is_due(4 * LOG_BYTES_MIN, LOG_BYTES_MIN)
    assert snapshot_is_due(4 * LOG_BYTES_MIN + 1, LOG_BYTES_MIN)


def test_chunks_are_bounded_and_hold_whole_groups() -> None:
    groups = {f"g{number}": 100 for number in range(12)} | {"large": 700, "small": 1}
    state = state_of(groups)
    writer = SnapshotWriter(state, Offset(9))
    chunks = []
    while (chunk := writer.next_chunk()) is not None:
        chunks.append(chunk)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        size = len(chunk.pack()[1])
        assert size <= CHUNK_BYTES_MAX or [g.name for g in chunk.groups] == ["large"]
    images = [image for chunk in chunks for image in chunk.groups]
    assert {image.name: len(image.offsets) for image in images} == groups
    assert len(images) == len(groups) and len(chunks) == 5


def test_groups_deleted_meanwhile_are_left_out() -> None:
    state = state_of({"a": 300, "b": 300, "c": 1})
    writer = SnapshotWriter(state, Offset(0))
    first = writer.next_chunk()
    assert first is not None and [g.name for g in first.groups] == ["a"]
    del state.groups["b"]
    second = writer.next_chunk()
    assert second is not None and [g.name for g in second.groups] == ["c"]
    assert writer.next_chunk() is None
