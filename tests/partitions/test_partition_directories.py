import errno
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault, FaultyFileSystem
from logd.model.ids import PartitionId, TopicId, TopicPartition
from logd.model.key_ranges import KeyRange
from logd.model.topic import PartitionSpec, Topic
from logd.model.topic_config import TopicConfig
from logd.system.os_file_system import OsFileSystem
from logd_partitions.directory.partition_descriptor import topic_members
from logd_partitions.directory.partition_directories import PartitionDirectories


def topic(name: str, number: int) -> Topic:
    ranges = (PartitionSpec(KeyRange(0, 1 << 32)),)
    return Topic(TopicId(number.to_bytes(16, "big")), name, ranges * 3, TopicConfig())


A, B = topic("a", 1), topic("a-1", 2)
A0 = TopicPartition(A.topic_id, PartitionId(0))


def directories(tmp_path: Path) -> PartitionDirectories:
    return PartitionDirectories(OsFileSystem(), str(tmp_path))


def create(tmp_path: Path, of: Topic, *partitions: int) -> list[str]:
    made = directories(tmp_path)
    paths = [made.path_of(of.name, PartitionId(p)) for p in partitions]
    for path, partition in zip(paths, partitions, strict=True):
        where = TopicPartition(of.topic_id, PartitionId(partition))
        made.create(path, topic_members(of), where)
    made.sync_created(paths)
    return paths


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


def test_made_and_found_by_identity(tmp_path: Path) -> None:
    assert not directories(tmp_path).any()
    create(tmp_path, A, 0, 1)
    create(tmp_path, B, 0, 1)
    made = directories(tmp_path)
    assert names(tmp_path) == ["a-0", "a-1", "a-1-0", "a-1-1"]
    assert made.any()
    assert [d.topic_partition for d in made.all()] == [
        (A.topic_id, 0), (A.topic_id, 1), (B.topic_id, 0), (B.topic_id, 1)
    ]  # fmt: skip
    assert made.is_of(f"{tmp_path}/a-1", A.topic_id)
    assert made.is_of(f"{tmp_path}/a-1-1", B.topic_id)
    assert not made.is_of(f"{tmp_path}/a-1", B.topic_id)
    assert not made.is_of(f"{tmp_path}/a-2", A.topic_id)
    assert made.in_doubt() == []


def test_creation_is_repeated_after_half_of_it(tmp_path: Path) -> None:
    (tmp_path / "a-0").mkdir()
    (tmp_path / "a-0" / "partition.json").write_bytes(b"half")
    [path] = create(tmp_path, A, 0)
    assert directories(tmp_path).read(path).topic_name == "a"


def test_a_creation_that_finds_no_room_leaves_no_half_file(tmp_path: Path) -> None:
    fs = FaultyFileSystem()
    fs.faults.append(Fault("pwrite", "partition.json", errno.ENOSPC, short=10))
    made = PartitionDirectories(fs, str(tmp_path))
    path = made.path_of(A.name, PartitionId(0))
    with pytest.raises(OSError, match="No space"):
        made.create(path, topic_members(A), A0)
    assert names(tmp_path / "a-0") == ["leader-epochs"] and fs.open_files == 0
    made.create(path, topic_members(A), A0)
    assert made.read(path).topic_partition == (A.topic_id, 0)


def test_a_renamed_directory_is_told(tmp_path: Path) -> None:
    create(tmp_path, A, 0)
    (tmp_path / "a-0").rename(tmp_path / "b-0")
    assert directories(tmp_path).read(f"{tmp_path}/b-0").topic_name == "a"
    assert directories(tmp_path).all() == []
    assert not directories(tmp_path).is_of(f"{tmp_path}/b-0", A.topic_id)
    assert directories(tmp_path).in_doubt() == [("b", 0)]


def test_other_files_are_no_partitions(tmp_path: Path) -> None:
    (tmp_path / "file-0").write_bytes(b"")
    (tmp_path / "x-01").mkdir()
    (tmp_path / "lost+found").mkdir()
    assert directories(tmp_path).all() == []


def test_set_aside_keeps_everything(tmp_path: Path) -> None:
    for _ in range(2):
        [path] = create(tmp_path, A, 0)
        (tmp_path / "a-0" / "some.log").write_bytes(b"data")
        directories(tmp_path).set_aside(path)
    assert names(tmp_path) == [".orphaned"]
    assert names(tmp_path / ".orphaned") == ["1-a-0", "2-a-0"]
    assert names(tmp_path / ".orphaned" / "1-a-0") == [
        "leader-epochs",
        "partition.json",
        "some.log",
    ]


def test_deletion(tmp_path: Path) -> None:
    paths = create(tmp_path, A, 0, 1, 2)
    (tmp_path / "a-2" / "directory").mkdir()
    (tmp_path / "a-2" / "directory" / "file").write_bytes(b"")
    directories(tmp_path).delete(paths)
    assert names(tmp_path) == [".deleted"]
    assert names(tmp_path / ".deleted") == []
    directories(tmp_path).delete([])


class UnlinkFails(OsFileSystem):
    def unlink(self, path: str) -> None:
        raise PermissionError(path)

    def list(self, path: str) -> list[str]:
        if path.count("/.deleted/"):
            raise NotADirectoryError(path)
        return super().list(path)


def test_an_interrupted_deletion_is_finished(tmp_path: Path) -> None:
    paths = create(tmp_path, A, 0, 1)
    with pytest.raises(NotADirectoryError):
        PartitionDirectories(UnlinkFails(), str(tmp_path)).delete(paths)
    assert names(tmp_path) == [".deleted"]
    assert names(tmp_path / ".deleted") == ["1-a-0", "2-a-1"]
    directories(tmp_path).finish_deletions()
    assert names(tmp_path / ".deleted") == []


def test_names_of_any_length_can_be_moved(tmp_path: Path) -> None:
    [path] = create(tmp_path, topic("n" * 249, 3), 9999)
    assert "n" * 200 in directories(tmp_path).set_aside(path)
