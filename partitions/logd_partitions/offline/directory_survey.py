"""What a data directory tells of the metadata that once stood beside it.

Read from `format.json`, the `partition.json` of each partition, and the headers of all batches. It
reads and changes nothing.
"""

from dataclasses import dataclass, field

from logd.model.errors import StoredDataCorrupt
from logd.model.ids import Offset
from logd.model.seams import FileSystem
from logd.model.topic import Topic
from logd_partitions.atomic_file import read_file
from logd_partitions.directory.directory_format import DirectoryFormat, read_format
from logd_partitions.directory.partition_descriptor import PartitionDescriptor
from logd_partitions.directory.partition_testimony import hear
from logd_partitions.leader_epochs import decode_epochs
from logd_partitions.offline.segment_tools import PartitionFiles, find_partitions
from logd_partitions.segment.segment_scan import ScannedBatch, SegmentScan


@dataclass(slots=True)
class DirectorySurvey:
    """`topics` by case-folded name, each as the newest of its partitions' files has it. `skipped`:
    what was left out, and why. `unknown`: directories of these whose records are of no topic here,
    or nothing tells of which. `highest_leader_epoch` is -1 where there is none."""

    identity: DirectoryFormat
    topics: dict[str, Topic] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    highest_leader_epoch: int = -1


def survey_directory(fs: FileSystem, directory: str) -> DirectorySurvey:
    """Look at all of a data directory, with its broker stopped. Blocking.

    Raises FileNotFoundError and StoredDataCorrupt where `format.json` does not tell whose it is,
    UnsupportedVersion, InvalidConfig (no data directory), OSError.
    """
    survey = DirectorySurvey(read_format(fs, directory))
    partitions = find_partitions(fs, directory)
    doubtful = []
    for partition in partitions:
        if _is_in_place(partition):
            _take_topic(survey, partition, partition.descriptor)
        else:
            doubtful.append((partition, hear(fs, partition.path)))
        _take_epochs(fs, survey, partition)
    # A partition.json in the wrong place still tells of its topic, if other files of a directory of
    # that name belong to it.
    attested = {
        (owner.topic_id, _topic_name(partition))
        for partition, heard in doubtful
        for owner in heard.owners
    }
    for partition, _ in doubtful:
        descriptor = partition.descriptor
        if descriptor is None:
            survey.skipped.append((partition.path, partition.problem))
        elif (descriptor.topic_partition.topic_id, descriptor.topic_name) in attested:
            _take_topic(survey, partition, descriptor)
        else:
            survey.skipped.append((partition.path, "renamed or copied: not what its name says"))
    ids = {topic.topic_id for topic in survey.topics.values()}
    survey.unknown += [
        partition.path
        for partition, heard in doubtful
        if heard.has_records
        and _topic_name(partition).casefold() not in survey.topics
        and (heard.owner is None or heard.owner.topic_id not in ids)
    ]
    return survey


def _is_in_place(partition: PartitionFiles) -> bool:
    descriptor = partition.descriptor
    return descriptor is not None and partition.name == (
        f"{descriptor.topic_name}-{descriptor.topic_partition.partition}"
    )


def _topic_name(partition: PartitionFiles) -> str:
    """That its directory has by its name."""
    return partition.name.rpartition("-")[0]


def _take_topic(
    survey: DirectorySurvey, partition: PartitionFiles, descriptor: PartitionDescriptor | None
) -> None:
    assert descriptor is not None
    try:
        topic = descriptor.topic()
    except StoredDataCorrupt as error:
        survey.skipped.append((partition.path, error.message))
        return
    known = survey.topics.get(topic.name.casefold())
    if known is not None and known.topic_id != topic.topic_id:
        kept = max(known, topic, key=lambda each: each.created_ms)
        other = topic if kept is known else known
        reason = f"its name has gone to a newer topic, {kept.topic_id.hex()}"
        survey.skipped.append((f"topic {other.topic_id.hex()} ({other.name})", reason))
        survey.topics[topic.name.casefold()] = kept
    elif known is None or known.revision < topic.revision:
        survey.topics[topic.name.casefold()] = topic


def _take_epochs(fs: FileSystem, survey: DirectorySurvey, partition: PartitionFiles) -> None:
    """The highest leader epoch, also of partitions that are left out."""
    highest = survey.highest_leader_epoch
    for base_offset in partition.bases:
        file = fs.open(partition.segment_path(base_offset), "read")
        try:
            scan = SegmentScan(file, file.size(), bodies=False)
            for item in scan.items(0, Offset(base_offset)):
                if isinstance(item, ScannedBatch):
                    highest = max(highest, item.header.leader_epoch)
        finally:
            file.close()
    try:
        path = f"{partition.path}/leader-epochs"  # retention may have emptied the log
        for entry in decode_epochs(read_file(fs, path), path)[1]:
            highest = max(highest, entry.epoch)
    except (FileNotFoundError, StoredDataCorrupt):
        pass
    survey.highest_leader_epoch = highest
