import errno
from pathlib import Path

import pytest

from harness.door_bench import door_bench
from harness.faulty_file_system import Fault, FaultyFileSystem
from harness.manual_clock import ManualClock
from logd.broker.metadata_repair import carry_out, check_metadata, planned_rebuild
from logd.model.errors import DataDirectoryLocked, InvalidConfig, StoredDataCorrupt

CLOCK = ManualClock()


async def prepare(tmp_path: Path) -> str:
    """A stopped broker's directory with a topic in it."""
    async with door_bench(tmp_path) as bench:
        await bench.topic("orders", 2)
        await bench.produce("orders", b"a", partition=1)
    return str(tmp_path / "data")


async def test_a_failure_on_the_way_leaves_the_old_file_in_its_place(tmp_path: Path) -> None:
    directory, fs = await prepare(tmp_path), FaultyFileSystem()
    file = Path(directory, "metadata.sqlite")
    before = file.read_bytes()
    for call, path in (("open", "aside"), ("rename", "rebuilt")):
        fs.faults.append(Fault(call, path, errno.EIO))
        with planned_rebuild(fs, CLOCK, directory) as plan, pytest.raises(OSError, match="Input"):
            carry_out(fs, plan)
        assert file.read_bytes() == before
    with planned_rebuild(fs, CLOCK, directory) as plan:
        carry_out(fs, plan)
    assert file.read_bytes() != before
    kept = [Path(name) for _, name in plan.aside]
    assert [path.read_bytes() for path in kept] == [before]
    assert not Path(directory, "metadata.sqlite.rebuilt").exists()
    async with door_bench(tmp_path) as bench:
        (result,) = await bench.fetch("orders", (1, 0))
        assert [record.value for record in result.records] == [b"a"]


async def test_a_check_names_the_key_and_changes_nothing(tmp_path: Path) -> None:
    directory, fs = await prepare(tmp_path), FaultyFileSystem()
    file = Path(directory, "metadata.sqlite")
    assert check_metadata(fs, directory) == []
    assert check_metadata(fs, f"{directory}/orders-1") == [], "a partition has none"
    before = file.read_bytes()
    damaged = before.replace(b'"name":"orders"', b'"name":"orderz"')
    assert damaged != before
    file.write_bytes(damaged)
    names = sorted(path.name for path in Path(directory).iterdir())
    [found] = check_metadata(fs, directory)
    assert (found.severity, found.path) == ("error", str(file))
    assert "topics/" in found.message and str(file) in found.message
    assert sorted(path.name for path in Path(directory).iterdir()) == names
    assert file.read_bytes() == damaged
    file.unlink()
    [found] = check_metadata(fs, directory)
    assert "missing" in found.message
    file.touch()
    assert check_metadata(fs, directory), "SQLite takes an empty file for a new store"


async def test_records_of_which_nothing_tells_the_topic_are_not_left_out_unasked(
    tmp_path: Path,
) -> None:
    directory, fs = await prepare(tmp_path), FaultyFileSystem()
    Path(directory, "orders-1", "partition.json").write_bytes(b"")
    with (
        pytest.raises(StoredDataCorrupt, match=r"orders-1 are: restore .* or say --leave-out"),
        planned_rebuild(fs, CLOCK, directory),
    ):
        pass
    with planned_rebuild(fs, CLOCK, directory, leave_out=True) as plan:
        assert plan.survey.topics == {}
    async with door_bench(tmp_path) as bench:
        await bench.produce("orders", b"b", partition=0)
    Path(directory, "orders-1", "partition.json").unlink()
    with planned_rebuild(fs, CLOCK, directory) as plan:
        assert list(plan.survey.topics) == ["orders"], "its other partition tells"


async def test_partition_files_that_have_changed_places_tell_of_their_topics(
    tmp_path: Path,
) -> None:
    directory, fs = await prepare(tmp_path), FaultyFileSystem()
    async with door_bench(tmp_path) as bench:
        await bench.topic("other")
        await bench.produce("other", b"c")
    first, second = (Path(directory, name, "partition.json") for name in ("orders-1", "other-0"))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    with planned_rebuild(fs, CLOCK, directory) as plan:
        assert sorted(plan.survey.topics) == ["orders", "other"]


async def test_it_needs_the_directory_for_itself(tmp_path: Path) -> None:
    directory, fs = await prepare(tmp_path), FaultyFileSystem()
    with planned_rebuild(fs, CLOCK, directory):
        with pytest.raises(DataDirectoryLocked), planned_rebuild(fs, CLOCK, directory):
            pass
    with planned_rebuild(fs, CLOCK, directory) as plan:
        assert list(plan.survey.topics) == ["orders"]
    with pytest.raises(InvalidConfig), planned_rebuild(fs, CLOCK, str(tmp_path)):
        pass
