"""Copies a data directory, whether or not its broker runs: `logctl segments backup`.

What was acknowledged before the copy began is in it, and a broker starts on it as after a kill. The
order makes it so:

1. recovery points: what they call synced is in the files that are copied after them
2. the list of partitions, then metadata: every topic with files is in it. A broker may be writing
   metadata meanwhile, so a copy whose checksums do not hold is made again
3. the logs, the committed offsets before all others: no group stands beyond the copied records. Of
   each log its side files, then its segments; the last only up to its last whole batch, since what
   lies behind is being appended and not acknowledged yet
4. the log starts in the recovery points: retention may have moved them, and taken files, meanwhile

The copy is made under another name and gets its own by a rename: a copy that was interrupted is not
taken for a whole one.
"""

import contextlib
import time
from dataclasses import dataclass, replace

from logd.broker.metadata_repair import read_topics
from logd.broker.wiring import METADATA_FILE
from logd.model.errors import Conflict, InvalidConfig, StoredDataCorrupt
from logd.model.group import OFFSETS_TOPIC
from logd.model.ids import Offset
from logd.model.seams import File, FileSystem
from logd_partitions.atomic_file import parent_directory, read_file, write_atomically, write_fully
from logd_partitions.directory.directory_format import FILE_NAME as FORMAT_FILE
from logd_partitions.directory.log_directory import POINTS_FILE
from logd_partitions.directory.partition_directories import ORPHANED
from logd_partitions.offline.segment_tools import PartitionFiles, find_partitions
from logd_partitions.recovery.recovery_points import RecoveryPoints
from logd_partitions.segment.segment_scan import ScannedBatch, SegmentScan

CHUNK_BYTES = 4 << 20
TRIES_MAX = 100
"""Of what a broker may just be writing; an append or a transaction takes some milliseconds."""
TRY_AGAIN_S = 0.02
SUFFIX = ".unfinished"


@dataclass(frozen=True, slots=True)
class Backup:
    """What was copied."""

    directory: str
    partitions: int
    segments: int
    copied_bytes: int


def back_up(fs: FileSystem, source: str, target: str) -> Backup:
    """Copy the data directory `source` to `target`, which must not exist. Blocking.

    Raises InvalidConfig, Conflict (a topic was deleted meanwhile), StoredDataCorrupt (metadata that
    stays damaged), OSError. What was copied until then is left at `target` + SUFFIX.
    """
    source, target = source.rstrip("/"), target.rstrip("/")
    if not fs.exists(f"{source}/{FORMAT_FILE}"):
        raise InvalidConfig(
            f"{source} is no data directory: it has no {FORMAT_FILE}", field="directory"
        )
    for taken in (target, target + SUFFIX):
        if fs.exists(taken):
            raise InvalidConfig(f"{taken} is there already: name a new directory", field="target")
    copy = _Copy(fs, source, target + SUFFIX)
    copied = copy.run()
    fs.rename(target + SUFFIX, target)
    fs.sync_directory(parent_directory(target))
    return replace(copied, directory=target)


class _Copy:
    """One run of the steps above."""

    def __init__(self, fs: FileSystem, source: str, target: str) -> None:
        self._fs = fs
        self._source = source
        self._target = target
        self._segments = 0
        self._copied_bytes = 0

    def run(self) -> Backup:
        fs, source, target = self._fs, self._source, self._target
        fs.make_directory(target)
        self._file(FORMAT_FILE)
        points = self._points()
        partitions = find_partitions(fs, source)
        self._metadata()
        for files in sorted(partitions, key=lambda each: not each.name.startswith(OFFSETS_TOPIC)):
            self._partition(files)
        if fs.exists(f"{source}/{ORPHANED}"):
            self._tree(ORPHANED)
        if points is not None:
            self._write_points(points)
        fs.sync_file_system(target)
        return Backup(target, len(partitions), self._segments, self._copied_bytes)

    def _points(self) -> RecoveryPoints | None:
        """None: damaged or missing, and so they are left out: a start makes them again."""
        points = RecoveryPoints(self._fs, f"{self._source}/{POINTS_FILE}")
        with contextlib.suppress(FileNotFoundError, StoredDataCorrupt):
            points.load()
            return points
        return None

    def _write_points(self, points: RecoveryPoints) -> None:
        copied = RecoveryPoints(self._fs, f"{self._target}/{POINTS_FILE}")
        now = self._points() or points
        for point in points.all():
            later = now.get(point.topic_partition) or point
            copied.put(replace(point, log_start_offset=later.log_start_offset))
        copied.write()

    def _metadata(self) -> None:
        for attempt in range(1, TRIES_MAX + 1):
            data = read_file(self._fs, f"{self._source}/{METADATA_FILE}")
            write_atomically(self._fs, f"{self._target}/{METADATA_FILE}", data)
            try:
                read_topics(self._fs, self._target)
                return
            except StoredDataCorrupt as error:
                if attempt == TRIES_MAX:
                    message = error.message.replace(self._target, self._source)
                    raise StoredDataCorrupt(message) from None
            time.sleep(TRY_AGAIN_S)

    def _partition(self, files: PartitionFiles) -> None:
        """The segments that were there when it began, less those that retention takes meanwhile.
        The last one's indexes are left out: a start makes them again."""
        fs, name = self._fs, files.name
        fs.make_directory(f"{self._target}/{name}")
        try:
            entries = fs.list(files.path)
            segments = [entry for entry in entries if entry.endswith(".log")]
            last = segments[-1].removesuffix("log") if segments else "none"
            for entry in [entry for entry in entries if not entry.startswith(last)]:
                self._file(f"{name}/{entry}", may_be_gone=True)
            for entry in segments[-1:]:
                self._file(f"{name}/{entry}", is_last=True)
            self._segments += len(segments)
        except FileNotFoundError as error:
            raise Conflict(
                f"{files.path} went while it was copied: was its topic deleted? Try again",
                resource=files.path,
            ) from error

    def _tree(self, name: str) -> None:
        self._fs.make_directory(f"{self._target}/{name}")
        for entry in self._fs.list(f"{self._source}/{name}"):
            try:
                self._file(f"{name}/{entry}")
            except IsADirectoryError:
                self._tree(f"{name}/{entry}")

    def _file(self, name: str, *, may_be_gone: bool = False, is_last: bool = False) -> None:
        try:
            source = self._fs.open(f"{self._source}/{name}", "read")
        except FileNotFoundError:
            if may_be_gone:
                return
            raise
        with contextlib.closing(source):
            end = source.size()
            if is_last:
                base_offset = Offset(int(name.rpartition("/")[2].removesuffix(".log")))
                end = _whole_end(source, base_offset)
            target = self._fs.open(f"{self._target}/{name}", "create")
            with contextlib.closing(target):
                for at in range(0, end, CHUNK_BYTES):
                    data = source.pread(min(CHUNK_BYTES, end - at), at)
                    write_fully(target, data, at)
                    self._copied_bytes += len(data)


def _whole_end(file: File, base_offset: Offset) -> int:
    """Where the last whole batch of a segment ends; the file's end, where it is damaged for good
    behind that: so the copy tells of it as the original does."""
    for _ in range(TRIES_MAX):
        end = _whole_now(file, base_offset)
        if end is not None:
            return end
        time.sleep(TRY_AGAIN_S)
    return file.size()


def _whole_now(file: File, base_offset: Offset) -> int | None:
    """None: what stands last is no whole batch. One that stands before another was whole first."""
    last: ScannedBatch | None = None
    for item in SegmentScan(file, file.size(), bodies=False).items(0, base_offset):
        if isinstance(item, ScannedBatch):
            last = item
        elif item.end_position == file.size() and not item.zeros:
            return None
    if last is None:
        return 0
    end = last.position + last.header.batch_length
    (whole, *_) = SegmentScan(file, end, bodies=True).items(last.position, last.header.base_offset)
    return end if isinstance(whole, ScannedBatch) else None
