"""Opens the files of a partition: which segments there are, where the log ends, what is damaged.

A partition that was cleanly closed is taken as its recovery point says. Any other is scanned from
the recovery point on, or a little before it: from the last place that the indexes written behind,
the producer snapshot and the leader epochs all cover. After a crash on the way it is done again:

1. sync what will be scanned and drop it from the page cache: what is read then is on the disk, and
   the high watermark may include it. An earlier sync that failed left pages that only look clean
2. scan, with bodies; `TailJudge` says what is a torn tail and what is corrupt
3. of a torn tail, save the bytes as `.cut`, set later segments aside, truncate
4. replay the headers that stay into indexes, leader epochs and producer state
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

import structlog

from logd.model.cluster import HealthProblem
from logd.model.errors import StoredDataCorrupt
from logd.model.ids import NO_LEADER_EPOCH, Offset, TopicPartition
from logd.model.record_batch import BatchHeader
from logd_partitions.atomic_file import TEMPORARY_SUFFIX, read_file
from logd_partitions.core.offset_index import OffsetIndex
from logd_partitions.core.producer_state import SNAPSHOT_FILE, ProducerState
from logd_partitions.core.tail_verdict import LostRange, Place, TailJudge, TailVerdict
from logd_partitions.core.time_index import NO_TIME, TimeIndex
from logd_partitions.leader_epochs import EPOCHS_FILE, LeaderEpochs
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.recovery.recovery_points import RecoveryPoint
from logd_partitions.recovery.tail_cut import COMPANIONS, cut_tail, shorten
from logd_partitions.segment.growing_indexes import GrowingIndexes
from logd_partitions.segment.log_segment import LogSegment
from logd_partitions.segment.segment_manifest import find_sealed_offset
from logd_partitions.segment.segment_reader import stored_data_corrupt
from logd_partitions.segment.segment_scan import ScannedBatch, SegmentScan

_SEGMENT_NAME = re.compile(r"(\d{20})\.log")
_COMPANION_NAME = re.compile(r"(\d{20})\.(?:" + "|".join(COMPANIONS) + ")")

logger = structlog.get_logger()


@dataclass(slots=True)
class RecoveredLog:
    """What a PartitionLog starts with. Everything in it is synced.

    The last segment is active if `appendable`; otherwise the next append makes a new one.
    `snapshot_offset`: up to where the snapshot on disk tells of producers.
    """

    segments: list[LogSegment]
    appendable: bool
    log_start_offset: Offset
    next_offset: Offset
    leader_epochs: LeaderEpochs
    producer_state: ProducerState
    snapshot_offset: Offset
    last_append_ms: int
    problems: list[HealthProblem]


class LogRecovery:
    """Recovers one partition, once. Blocking. Raises OSError, UnsupportedVersion."""

    def __init__(
        self,
        storage: PartitionStorage,
        topic_partition: TopicPartition,
        point: RecoveryPoint | None,
        *,
        hints_count: bool = True,
    ) -> None:
        """`hints_count`: where a batch says that the log was synced up to some offset, it was here.
        Else only the recovery point says so: in a page_cache topic a leader knows nothing of what
        its followers have synced."""
        self._hints_count = hints_count
        self._storage = storage
        self._topic_partition = topic_partition
        self._point = point
        self._synced_offset = point.next_offset if point is not None else Offset(0)
        self._epochs = LeaderEpochs(storage.fs, storage.file_path(EPOCHS_FILE), topic_partition)
        self._producers = ProducerState()
        self._snapshot_offset = Offset(0)
        self._producers_lost = False
        self._segments: list[LogSegment] = []
        self._problems: list[HealthProblem] = []

    def run(self) -> RecoveredLog:
        """Do all of it."""
        self._list_segments()
        if not self._segments:
            return self._open_empty()
        known = self._load_known_state()
        if self._is_clean():
            end, appendable = self._open_cleanly()
            self._epochs.truncate_to(end)
            if known < end:
                self._replay(self._headers_from(known))
            return self._recovered(end, appendable)
        verdict = self._recover_tail(min(known, self._synced_offset))
        last = self._segments[-1]
        empty = last.size == 0 and last.base_offset == verdict.next_offset
        return self._recovered(verdict.next_offset, not verdict.new_segment or empty)

    def _recovered(self, next_offset: Offset, appendable: bool) -> RecoveredLog:
        first = self._segments[0].base_offset if self._segments else next_offset
        log_start = self._point.log_start_offset if self._point is not None else first
        if next_offset < log_start:  # what was synced is gone, or it began within a batch
            next_offset, appendable = log_start, False
            if not any(segment.size for segment in self._segments):
                for segment in self._segments:
                    segment.remove()
                self._segments = []
        times = (s.time_index().last_append_ms for s in reversed(self._segments))
        last_append_ms = next((ms for ms in times if ms != NO_TIME), NO_TIME)
        return RecoveredLog(
            self._segments,
            appendable,
            log_start,
            next_offset,
            self._epochs,
            self._producers,
            self._snapshot_offset,
            last_append_ms,
            self._problems,
        )

    # What is there

    def _list_segments(self) -> None:
        """Find the segments, and sweep what interrupted removals and writes left."""
        fs, path_of = self._storage.fs, self._storage.file_path
        try:
            names = fs.list(self._storage.path)
        except FileNotFoundError:
            return
        bases = [int(match[1]) for name in names if (match := _SEGMENT_NAME.fullmatch(name))]
        log_start = self._point.log_start_offset if self._point is not None else 0
        ends = [*bases[1:], None] if bases else []
        kept = [b for b, end in zip(bases, ends, strict=True) if end is None or end > log_start]
        for name in names:
            match = _SEGMENT_NAME.fullmatch(name) or _COMPANION_NAME.fullmatch(name)
            if name.endswith(TEMPORARY_SUFFIX) or (match and int(match[1]) not in kept):
                fs.unlink(path_of(name))
        for base in kept:
            size = fs.size(path_of(f"{base:020d}.log"))
            segment = LogSegment(self._storage, Offset(base), size)
            segment.saved = all(fs.exists(segment.companion(kind)) for kind in COMPANIONS)
            self._segments.append(segment)

    def _load_known_state(self) -> Offset:
        """Load leader epochs and producers; from which offset batches have to be replayed."""
        first = self._segments[0].base_offset if self._segments else self._synced_offset
        try:
            self._epochs.load()
        except StoredDataCorrupt as error:
            logger.warning("leader_epochs_rebuilt", error=str(error))
        fs, path = self._storage.fs, self._storage.file_path(SNAPSHOT_FILE)
        try:
            saved = ProducerState.from_bytes(read_file(fs, path), self._topic_partition)
            self._producers, self._snapshot_offset = saved
            self._producers_lost = self._snapshot_offset < first
            self._producers.given_out_from(self._storage.identities.first_id)
        except (FileNotFoundError, StoredDataCorrupt) as error:
            self._snapshot_offset = first
            self._producers_lost = first > 0
            if self._producers_lost or isinstance(error, StoredDataCorrupt):
                logger.warning("producers_rebuilt", path=path, error=str(error))
        return self._snapshot_offset if self._epochs.entries else first

    def _open_empty(self) -> RecoveredLog:
        """Nothing was appended yet, or since the log was dropped whole (`start_anew`): then epochs
        and producers of before are known, unless it came to no new start."""
        self._report_missing()
        end = self._synced_offset
        if not self._storage.fs.exists(self._storage.path):  # nothing is read for nothing
            return self._recovered(end, False)
        self._load_known_state()
        self._epochs.truncate_to(end)
        if self._snapshot_offset > end:
            self._forget_snapshot(end)
            self._producers_lost = end > 0
        self._record(iter(()))
        return self._recovered(end, False)

    def _forget_snapshot(self, end: Offset) -> None:
        self._storage.fs.unlink(self._storage.file_path(SNAPSHOT_FILE))
        self._storage.fs.sync_directory(self._storage.path)
        self._producers, self._snapshot_offset = ProducerState(), end

    def _is_clean(self) -> bool:
        point, last = self._point, self._segments[-1]
        return (
            point is not None
            and not point.open
            and last.base_offset == point.segment_base_offset
            and last.size == point.position
        )

    def _open_cleanly(self) -> tuple[Offset, bool]:
        """The log's end, and whether the last segment takes appends."""
        last, end = self._segments[-1], self._synced_offset
        index, time_index = last.index(), last.time_index()
        if last.find_end() != end:  # it keeps damage at its end, or only now shows some
            return end, False
        last.open_for_append(
            index.up_to(end), time_index.growing(last.size), end, on_disk=last.indexes_on_disk
        )
        return end, True

    # After anything but a clean stop

    def _recover_tail(self, known: Offset) -> TailVerdict:
        number, indexes = self._resume(known)
        for segment in self._segments[number:]:
            with self._storage.open_files.open(segment.path, "write") as file:
                if not self._storage.is_synced:
                    file.datasync()
                file.drop_cache()
        verdict = self._scan(Place(number, indexes.position, indexes.offset))
        if verdict.cut is not None:
            self._cut(verdict.cut)
        self._epochs.truncate_to(verdict.next_offset)
        if self._snapshot_offset > verdict.next_offset:  # others will take the offsets it tells of
            self._forget_snapshot(verdict.next_offset)
            self._record(self._headers_from(self._segments[0].base_offset))
        for lost in verdict.lost:
            self._report_lost(lost)
        if not self._storage.is_synced:
            self._storage.fs.sync_directory(self._storage.path)
        self._replay(self._rebuild(number, indexes, verdict))
        return verdict

    def _resume(self, known: Offset) -> tuple[int, GrowingIndexes]:
        """The segment to scan from, and its indexes: up to the last place at or below `known` that
        their files tell of."""
        number = bisect_right(self._segments, known, key=attrgetter("base_offset")) - 1
        number = max(number, 0)
        segment = self._segments[number]
        base_offset = segment.base_offset
        try:
            fs, end = self._storage.fs, Offset(known + 1)
            data = read_file(fs, segment.companion("index"))
            index = OffsetIndex.from_unsealed(data, base_offset, end)
            data = read_file(fs, segment.companion("timeindex"))
            time_index = TimeIndex.from_unsealed(data, base_offset, end)
        except FileNotFoundError:
            return number, GrowingIndexes(base_offset)
        with segment.open() as file:
            return number, GrowingIndexes.resumed(file, index, time_index, known)

    def _scan(self, start: Place) -> TailVerdict:
        sealed = find_sealed_offset(self._storage.fs, self._topic_partition, self._segments)
        point = self._point
        # A log of which nothing was synced may begin within a batch that did not come whole.
        empty = point is not None and point.next_offset <= point.log_start_offset
        synced = Offset(0) if empty else self._synced_offset
        judge = TailJudge(max(synced, sealed), start.offset, hints_count=self._hints_count)
        epoch, rest = NO_LEADER_EPOCH, None
        position, expected = start.position, start.offset
        number = start.segment
        while number < len(self._segments):
            segment = self._segments[number]
            if segment.base_offset < judge.end and number > start.segment:
                self._set_aside(number)
                continue
            if number > start.segment:
                if segment.base_offset > judge.end:
                    before = self._segments[number - 1]
                    judge.damage(rest or Place(number - 1, before.size, judge.end))
                elif rest is not None:  # nothing is missing: space given back by no one
                    self._segments[number - 1] = shorten(
                        self._storage, self._segments[number - 1], rest.position
                    )
                position, expected = 0, segment.base_offset
            judge.segment(segment.base_offset)
            rest = None
            with segment.open() as file:
                scan = SegmentScan(file, segment.size, bodies=True)
                for item in scan.items(position, expected, epoch):
                    if isinstance(item, ScannedBatch):
                        judge.batch(item.header)
                        epoch = item.header.leader_epoch
                        continue
                    place = Place(number, item.position, item.expected_offset, item.zeros)
                    if item.end_position < segment.size:
                        judge.damage(place)
                    else:
                        rest = place
            number += 1
        if rest is not None:
            judge.damage(rest)
        elif judge.end < judge.synced_offset:
            judge.damage(Place(number - 1, self._segments[-1].size, judge.end))
        return judge.verdict()

    def _rebuild(
        self, number: int, indexes: GrowingIndexes, verdict: TailVerdict
    ) -> Iterator[BatchHeader]:
        """Make the indexes of the scanned segments anew; gives the headers on the way."""
        for segment in self._segments[number:]:
            if segment is not self._segments[number]:
                indexes = GrowingIndexes(segment.base_offset)
            for item in self._headers_in(segment, indexes.position, indexes.offset):
                indexes.add(item)
                yield item.header
            segment.adopt_indexes(indexes.index, indexes.time_index, indexes.offset)
        last = self._segments[-1]
        if not verdict.new_segment or last.size == 0:
            last.open_for_append(indexes.index, indexes.time_index, indexes.offset, on_disk=False)

    def _headers_from(self, offset: Offset) -> Iterator[BatchHeader]:
        for segment, following in zip(self._segments, [*self._segments[1:], None], strict=True):
            if following is not None and following.base_offset <= offset:
                continue
            for item in self._headers_in(segment, 0, segment.base_offset):
                if item.header.next_offset > offset:
                    yield item.header

    def _headers_in(
        self, segment: LogSegment, position: int, expected: Offset
    ) -> Iterator[ScannedBatch]:
        with segment.open() as file:
            for item in SegmentScan(file, segment.size, bodies=False).items(position, expected):
                if isinstance(item, ScannedBatch):
                    yield item
                elif item.end_position < segment.size or segment is not self._segments[-1]:
                    self._producers_lost = True

    def _replay(self, headers: Iterator[BatchHeader]) -> None:
        """Take the batches into leader epochs and producer state."""
        self._record(self._assign_epochs(headers))

    def _assign_epochs(self, headers: Iterator[BatchHeader]) -> Iterator[BatchHeader]:
        first = True
        for header in headers:
            if first:
                self._epochs.truncate_to(header.base_offset)
                first = False
            if header.leader_epoch > self._epochs.latest():
                self._epochs.assign(header.leader_epoch, header.base_offset)
            if header.next_offset > self._snapshot_offset:
                yield header

    def _record(self, headers: Iterator[BatchHeader]) -> None:
        for header in headers:
            self._producers.record(header, header.base_offset, header.append_timestamp_ms)
        if self._producers_lost:
            self._producers.refuse_unknown_below = self._storage.identities.first_id

    # What is reported and set aside

    def _cut(self, place: Place) -> None:
        given_out = self._segments[-1].base_offset > place.offset
        self._segments, saved = cut_tail(self._storage, self._segments, place)
        if saved or given_out:
            kept = f"cut off and kept in {', '.join(saved)}" if saved else "empty or missing"
            self._report(
                "warning",
                "POSSIBLE_LOSS",
                f"what stood from offset {place.offset} on was torn, and was never known to be "
                f"synced; it was {kept}",
            )

    def _report_missing(self) -> None:
        """No segment is there; whether one has to be."""
        start = self._point.log_start_offset if self._point is not None else self._synced_offset
        if start < self._synced_offset:
            error = stored_data_corrupt(self._storage.path, start, self._synced_offset)
            self._report("error", error.reason, error.message)

    def _report_lost(self, lost: LostRange) -> None:
        segment = self._segments[lost.place.segment]
        damaged = lost.place.offset, lost.next_offset
        segment.damaged.append(damaged)
        error = stored_data_corrupt(segment.path, *damaged, lost.place.position)
        self._report("error", error.reason, error.message)

    def _set_aside(self, number: int) -> None:
        segment = self._segments.pop(number)
        aside = segment.path + ".aside"
        self._storage.open_files.forget(segment.path)
        self._storage.fs.rename(segment.path, aside)
        self._report(
            "error",
            "STORED_DATA_CORRUPT",
            f"{segment.path} begins below the end of the segment before it: a copied or renamed "
            f"file? It was set aside as {aside}",
        )

    def _report(self, severity: Literal["warning", "error"], reason: str, message: str) -> None:
        partition = str(self._topic_partition)
        logger.warning("log_recovery", reason=reason, partition=partition, message=message)
        now_ms = self._storage.clock.wall_ms()
        self._problems.append(HealthProblem(severity, reason, partition, message, now_ms))
