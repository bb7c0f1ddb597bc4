"""Replay of a partition of __consumer_offsets, and snapshots cut short at every record."""

import crc32c
import pytest

from logd.model.errors import StoredDataCorrupt, UnsupportedVersion
from logd.model.group import NEVER_REWOUND
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_image import Position, RewindBody, RewindEntry
from logd_consumer_groups.core.offset_records import (
    CommitRecord,
    GroupTombstone,
    OffsetRecord,
    RewindRecord,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
)
from logd_consumer_groups.core.shard_state import ShardState

WHERE = TopicPartition(TopicId(b"t" * 16), PartitionId(0))


def commit(group: str, offset: int) -> CommitRecord:
    return CommitRecord(group, WHERE, Position(Offset(offset), 1, 1))


def reset(group: str, offset: int) -> RewindRecord:
    body = RewindBody(2, "", "", (RewindEntry(WHERE, None, Offset(offset)),))
    return RewindRecord(group, "RESET", NEVER_REWOUND, body)


class Journal:
    """A log of packed records, and the live state beside it."""

    def __init__(self) -> None:
        self.state = ShardState()
        self.pairs: list[tuple[bytes, bytes | None]] = []

    def append(self, *records: OffsetRecord) -> None:
        for record in records:
            self.pairs.append(record.pack())
            self.state.replay(Offset(len(self.pairs) - 1), LeaderEpoch(0), *self.pairs[-1])

    def replayed(self, start: int = 0, end: int | None = None) -> ShardState:
        state = ShardState()
        for index, (key, value) in enumerate(self.pairs[start:end]):
            state.replay(Offset(start + index), LeaderEpoch(0), key, value)
        state.check_complete()
        return state


def interrupted_snapshot() -> tuple[Journal, int]:
    """A snapshot of three groups with other records between its chunks; where it begins."""
    journal = Journal()
    journal.append(*(commit(name, number) for number, name in enumerate("abcd")))
    journal.append(reset("b", 9), GroupTombstone("d"))
    begin = len(journal.pairs)
    journal.append(SnapshotBegin(3))
    between: dict[str, list[OffsetRecord]] = {
        "a": [commit("a", 50), commit("b", 55), reset("c", 8)],
        "b": [commit("e", 5)],
        "c": [GroupTombstone("c")],
    }
    for index, (name, records) in enumerate(between.items()):
        image = journal.state.groups[name].image()
        journal.append(SnapshotChunk(Offset(begin), index, (image,)), *records)
    assert journal.state.open_snapshot is not None
    journal.append(journal.state.open_snapshot.end(), commit("b", 60))
    return journal, begin


def test_a_snapshot_cut_short_at_any_record_loses_nothing() -> None:
    journal, _ = interrupted_snapshot()
    for end in range(len(journal.pairs) + 1):
        live = ShardState()
        for index, (key, value) in enumerate(journal.pairs[:end]):
            live.replay(Offset(index), LeaderEpoch(0), key, value)
        assert journal.replayed(end=end).groups == live.groups
        assert live.state_bytes == sum(g.state_bytes for g in live.groups.values())


def test_a_complete_snapshot_stands_for_all_before_it() -> None:
    """Also where the log starts a little earlier, as after its exact start was lost."""
    journal, begin = interrupted_snapshot()
    assert journal.state.snapshot_offset == begin
    for start in range(1, begin):
        assert journal.replayed(start=start).groups == journal.state.groups
    trimmed = journal.replayed(start=begin)
    assert trimmed.groups == journal.state.groups
    assert trimmed.state_bytes == journal.state.state_bytes
    assert sorted(trimmed.groups) == ["a", "b", "e"]
    assert trimmed.groups["b"].rewind_epoch == 4


def test_a_log_trimmed_to_anything_else_is_refused() -> None:
    journal, begin = interrupted_snapshot()
    end = next(i for i, (key, _) in enumerate(journal.pairs) if key[1] == 7)
    for start, stop in ((begin, end), (begin + 1, len(journal.pairs)), (1, begin)):
        with pytest.raises(StoredDataCorrupt, match="no complete snapshot"):
            journal.replayed(start=start, end=stop)


@pytest.mark.parametrize("off", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_an_end_with_other_totals_completes_nothing(off: tuple[int, int, int]) -> None:
    journal = Journal()
    journal.append(commit("a", 1), SnapshotBegin(0))
    journal.append(SnapshotChunk(Offset(1), 0, (journal.state.groups["a"].image(),)))
    assert journal.state.open_snapshot is not None
    end = journal.state.open_snapshot.end()
    journal.append(
        SnapshotEnd(
            end.begin_offset,
            end.chunks + off[0],
            end.groups + off[1],
            end.chunks_crc32c ^ off[2],
        )
    )
    assert journal.state.snapshot_offset == -1
    assert journal.state.groups["a"].committed(WHERE) == 1


def test_a_record_of_a_newer_version_stops_the_replay() -> None:
    with pytest.raises(UnsupportedVersion):
        ShardState().replay(Offset(0), LeaderEpoch(0), b"\x01\x10", b"\x01")


def test_an_end_holds_the_checksum_of_all_chunks_as_they_stand_in_the_log() -> None:
    """Of no others: one that belongs to another snapshot does not count."""
    journal = Journal()
    journal.append(commit("a", 1), commit("b", 2), SnapshotBegin(0))
    for index, name in enumerate("ab"):
        journal.append(SnapshotChunk(Offset(2), index, (journal.state.groups[name].image(),)))
    journal.append(SnapshotChunk(Offset(9), 0, (journal.state.groups["a"].image(),)))
    values = [value for _, value in journal.pairs[3:5] if value is not None]
    assert journal.state.open_snapshot is not None
    assert journal.state.open_snapshot.end() == SnapshotEnd(
        Offset(2), 2, 2, crc32c.crc32c(b"".join(values))
    )
