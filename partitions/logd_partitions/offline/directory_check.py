"""Checks every byte of a data directory that has a checksum: `logctl segments verify DIR`.

It reads and reports, and changes nothing: what a start of the broker would repair (indexes, a torn
tail) is a warning, what it would answer DATA_LOSS for is an error.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from logd.model.cluster import Severity
from logd.model.errors import LogdError, StoredDataCorrupt
from logd.model.ids import NO_LEADER_EPOCH, LeaderEpoch, Offset, TopicPartition
from logd.model.seams import FileSystem
from logd_partitions.atomic_file import read_file
from logd_partitions.core.file_owner import NamedOwner
from logd_partitions.core.offset_index import OffsetIndex
from logd_partitions.core.producer_state import SNAPSHOT_FILE, ProducerState
from logd_partitions.core.time_index import TimeIndex
from logd_partitions.directory.directory_format import read_format
from logd_partitions.leader_epochs import EPOCHS_FILE, decode_epochs
from logd_partitions.offline.segment_tools import (
    PartitionFiles,
    data_directory_of,
    find_partitions,
    used_by,
)
from logd_partitions.recovery.recovery_points import RecoveryPoint, RecoveryPoints
from logd_partitions.segment.segment_manifest import SegmentManifest, matches_file
from logd_partitions.segment.segment_scan import Damage, ScannedBatch, SegmentScan


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One thing wrong. `offset`: from which on; `position`: in the file, in bytes."""

    severity: Severity
    reason: str
    path: str
    message: str
    offset: Offset | None = None
    position: int | None = None


@dataclass(slots=True)
class CheckReport:
    """What was looked at and what was found. `used_by`: a process that may be writing to it."""

    partitions: int = 0
    segments: int = 0
    batches: int = 0
    checked_bytes: int = 0
    used_by: str = ""
    findings: list[CheckFinding] = field(default_factory=list)

    @property
    def is_damaged(self) -> bool:
        """Whether records are lost, or nothing can be said of some: exit status 8."""
        return any(finding.severity == "error" for finding in self.findings)


def check_directory(fs: FileSystem, directory: str) -> CheckReport:
    """Check all below `directory`: a data directory, or a partition's. Raises InvalidConfig,
    OSError where a directory cannot be read; a file that cannot is a finding."""
    partitions = find_partitions(fs, directory)
    report = CheckReport(partitions=len(partitions))
    check = _DirectoryCheck(fs, report)
    directory = directory.rstrip("/") or "/"
    data_directory = data_directory_of(fs, directory)
    if data_directory is None and directory not in [each.path for each in partitions]:
        data_directory = directory  # whose format.json is missing
    if data_directory is not None:
        report.used_by = used_by(fs, data_directory)
        check.directory(data_directory)
    for partition in partitions:
        check.partition(partition)
    return report


class _DirectoryCheck:
    """Collects findings into a report."""

    def __init__(self, fs: FileSystem, report: CheckReport) -> None:
        self._fs = fs
        self._report = report
        self._points: dict[TopicPartition, RecoveryPoint] = {}

    def directory(self, path: str) -> None:
        self._checked(f"{path}/format.json", lambda _: read_format(self._fs, path), "error")
        points_path = f"{path}/recovery-points"
        points = RecoveryPoints(self._fs, points_path)
        self._checked(points_path, lambda _: points.load(), "warning")
        self._points = {point.topic_partition: point for point in points.all()}
        orphaned = f"{path}/.orphaned"
        if self._fs.exists(orphaned):
            for name in self._fs.list(orphaned):
                message = (
                    "set aside, since it was not what its name says; put it back with "
                    "'logctl segments adopt', or remove it"
                )
                self._add("warning", "ORPHANED", f"{orphaned}/{name}", message)

    def partition(self, files: PartitionFiles) -> None:
        point = None
        if files.descriptor is None:
            message = f"{files.problem}; whose partition this is is not known"
            self._add("error", "STORED_DATA_CORRUPT", f"{files.path}/partition.json", message)
        else:
            point = self._points.get(files.descriptor.topic_partition)
            its_name = f"{files.descriptor.topic_name}-{files.descriptor.topic_partition.partition}"
            if files.name != its_name:
                message = f"it is {its_name}, renamed or copied: the broker would set it aside"
                self._add("error", "ORPHANED", files.path, message)
        names = self._fs.list(files.path)
        owner = files.descriptor.topic_partition if files.descriptor is not None else None
        self._summaries(files.path, names, owner)
        self._segments(files, names, point)
        for name in names:
            if name.endswith(".cut"):
                message = "a recovery cut these bytes off; records in them may have been lost"
                self._add("warning", "POSSIBLE_LOSS", f"{files.path}/{name}", message)

    def _summaries(self, path: str, names: list[str], owner: NamedOwner) -> None:
        """Files that the broker makes again from the batches."""
        epochs_path = f"{path}/{EPOCHS_FILE}"
        loads: dict[str, Callable[[bytes], object]] = {
            EPOCHS_FILE: lambda data: decode_epochs(data, epochs_path, owner),
            SNAPSHOT_FILE: lambda data: ProducerState.from_bytes(data, owner),
        }
        for name, load in loads.items():
            if name in names:
                self._checked(f"{path}/{name}", load, "warning")

    def _segments(
        self, files: PartitionFiles, names: list[str], point: RecoveryPoint | None
    ) -> None:
        bases = files.bases
        synced = point.next_offset if point is not None else Offset(0)
        expected, epoch = bases[0] if bases else Offset(0), NO_LEADER_EPOCH
        if point is not None and bases and bases[0] > point.log_start_offset:
            self._lost(files.segment_path(bases[0]), point.log_start_offset, bases[0], None)
        for base_offset in bases:
            path = files.segment_path(base_offset)
            if base_offset > expected:
                self._lost(path, expected, base_offset, 0)
            elif base_offset < expected:
                message = f"offsets from {base_offset} to {expected} stand twice"
                self._add("error", "STORED_DATA_CORRUPT", path, message, base_offset, 0)
            is_last = base_offset == bases[-1]
            try:
                expected, epoch = self._segment(path, base_offset, epoch, synced, is_last)
            except OSError as error:
                self._add("error", "STORED_DATA_CORRUPT", path, f"unreadable: {error}", base_offset)
                continue
            if not is_last:
                self._indexes(path, base_offset, names)
                self._manifest(files, base_offset, names)
        if expected < synced:
            path = files.segment_path(bases[-1]) if bases else files.path
            self._lost(path, expected, synced, None)

    def _segment(
        self, path: str, base_offset: Offset, epoch: LeaderEpoch, synced: Offset, is_last: bool
    ) -> tuple[Offset, LeaderEpoch]:
        """Check one segment; the next offset expected and the leader epoch at its end."""
        expected, tail = base_offset, None
        self._report.segments += 1
        file = self._fs.open(path, "read")
        try:
            size = file.size()
            for item in SegmentScan(file, size, bodies=True).items(0, base_offset, epoch):
                if isinstance(item, ScannedBatch):
                    if tail is not None:
                        self._lost(path, expected, item.header.base_offset, tail.position)
                        tail = None
                    self._report.batches += 1
                    self._report.checked_bytes += item.header.batch_length
                    expected, epoch = item.header.next_offset, item.header.leader_epoch
                else:
                    tail = item
        finally:
            file.close()
        if tail is not None and not tail.zeros:
            self._tail(path, tail, synced, is_last)
        return expected, epoch

    def _tail(self, path: str, tail: Damage, synced: Offset, is_last: bool) -> None:
        """Bytes behind the last batch of a segment that are not merely reserved space."""
        offset, end = tail.expected_offset, tail.end_position
        if not is_last or offset < synced:
            message = f"bytes {tail.position} to {end} are no intact batch; they are not served"
            self._add("error", "STORED_DATA_CORRUPT", path, message, offset, tail.position)
            return
        message = (
            f"bytes {tail.position} to {end} are the rest of an interrupted append that nobody was "
            "told is on disk: the next start cuts them off"
        )
        self._add("warning", "TORN_TAIL", path, message, offset, tail.position)

    def _indexes(self, path: str, base_offset: Offset, names: list[str]) -> None:
        """The indexes of a sealed segment. Those that are missing are made at their first use."""
        size = self._fs.size(path)
        loads: dict[str, Callable[[bytes], object]] = {
            "index": lambda data: OffsetIndex.from_sealed(memoryview(data), base_offset, size),
            "timeindex": lambda data: TimeIndex.from_sealed(memoryview(data), size),
        }
        for kind, load in loads.items():
            index_path = f"{path.removesuffix('.log')}.{kind}"
            if index_path.rpartition("/")[2] in names:
                self._checked(index_path, load, "warning")

    def _manifest(self, files: PartitionFiles, base_offset: Offset, names: list[str]) -> None:
        """Whether a sealed segment's bytes are those that were sealed."""
        path, descriptor = files.segment_path(base_offset), files.descriptor
        manifest_path = f"{path.removesuffix('.log')}.manifest"
        if manifest_path.rpartition("/")[2] not in names:
            return
        try:
            manifest = SegmentManifest.from_bytes(read_file(self._fs, manifest_path), manifest_path)
            named = manifest.topic_partition, manifest.base_offset
            if descriptor is not None and named != (descriptor.topic_partition, base_offset):
                raise StoredDataCorrupt(f"{manifest_path} is another segment's")
        except (OSError, LogdError, ValueError) as error:
            message = f"{error}; remove it, and the broker makes it again"
            self._add("warning", "STORED_DATA_CORRUPT", manifest_path, message)
            return
        file = self._fs.open(path, "read")
        try:
            is_sealed = matches_file(manifest, file)
        finally:
            file.close()
        if not is_sealed:
            message = (
                "its bytes are not those that were sealed: size or checksum in the manifest differ"
            )
            self._add("error", "STORED_DATA_CORRUPT", path, message, base_offset, 0)

    def _checked(self, path: str, load: Callable[[bytes], object], severity: Severity) -> None:
        try:
            load(read_file(self._fs, path))
        except (OSError, LogdError, ValueError) as error:
            repair = "; the broker makes it again" if severity == "warning" else ""
            self._add(severity, "STORED_DATA_CORRUPT", path, f"{error}{repair}")

    def _lost(self, path: str, start: Offset, end: Offset, position: int | None) -> None:
        message = f"offsets {start} up to {end} are missing or damaged"
        self._add("error", "STORED_DATA_CORRUPT", path, message, start, position)

    def _add(
        self,
        severity: Severity,
        reason: str,
        path: str,
        message: str,
        offset: Offset | None = None,
        position: int | None = None,
    ) -> None:
        finding = CheckFinding(severity, reason, path, message, offset, position)
        self._report.findings.append(finding)
