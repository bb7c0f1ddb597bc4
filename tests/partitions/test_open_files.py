import os
import threading
from pathlib import Path

import pytest

from harness.faulty_file_system import FaultyFileSystem
from logd_partitions.open_files import FILES_MAX, MAPS_MAX, OpenFiles


def make_files(tmp_path: Path, count: int) -> list[str]:
    paths = [tmp_path / str(number) for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%08d" % number)
    return [str(path) for path in paths]


def test_the_bounds_together_stay_under_200() -> None:
    assert FILES_MAX + MAPS_MAX < 200


def test_files_and_maps_stay_bounded(tmp_path: Path) -> None:
    fs = FaultyFileSystem()
    files = OpenFiles(fs, files_max=5, maps_max=3)
    before = len(os.listdir("/proc/self/fd"))
    for number, path in enumerate(make_files(tmp_path, 50)):
        with files.open(path) as file:
            assert file.pread(8, 0) == b"%08d" % number
        assert bytes(files.map(path, 8).view) == b"%08d" % number
    assert fs.open_files == 5 and files.open_count == 8
    assert len(os.listdir("/proc/self/fd")) - before <= 5 + 3
    files.close()
    assert fs.open_files == 0


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    fs = FaultyFileSystem()
    files = OpenFiles(fs, files_max=2, maps_max=2)
    first, second, third = make_files(tmp_path, 3)
    for path in (first, second, first, third, first):
        with files.open(path):
            pass
    assert fs.calls["open"] == 3
    with files.open(second):
        pass
    assert fs.calls["open"] == 4


def test_a_file_in_use_is_not_closed(tmp_path: Path) -> None:
    fs = FaultyFileSystem()
    files = OpenFiles(fs, files_max=1, maps_max=1)
    first, second = make_files(tmp_path, 2)
    with files.open(first) as file:
        with files.open(second):
            pass
        files.forget(first)
        assert file.pread(8, 0) == b"00000000"
    assert fs.open_files == 1, "the last user closed it"


def test_a_writer_is_not_given_a_readers_file(tmp_path: Path) -> None:
    files = OpenFiles(FaultyFileSystem())
    [path] = make_files(tmp_path, 1)
    with files.open(path) as reading, files.open(path, "write") as writing:
        assert writing.pwrite([b"x"], 0) == 1
        assert reading.pread(1, 0) == b"x"
    with files.open(path) as file:
        assert file.pwrite([b"y"], 0) == 1, "readers share the writer's"


def test_forgetting_shows_what_took_the_files_place(tmp_path: Path) -> None:
    files = OpenFiles(FaultyFileSystem())
    old, new = make_files(tmp_path, 2)
    assert bytes(files.map(old, 8).view) == b"00000000"
    with files.open(old):
        pass
    os.rename(new, old)
    files.forget(old)
    assert bytes(files.map(old, 8).view) == b"00000001"
    with files.open(old) as file:
        assert file.pread(8, 0) == b"00000001"


def test_views_outlive_a_dropped_map_and_forbid_closing_it(tmp_path: Path) -> None:
    files = OpenFiles(FaultyFileSystem())
    [path] = make_files(tmp_path, 1)
    view = files.map(path, 8).view[2:]
    files.drop_map(path)
    assert bytes(view) == b"000000"
    assert files.mapped(path) is None
    view = files.map(path, 8).view[2:]
    with pytest.raises(BufferError):
        files.close_map(path)
    view.release()


def test_a_map_grows_with_its_file(tmp_path: Path) -> None:
    files = OpenFiles(FaultyFileSystem())
    [path] = make_files(tmp_path, 1)
    assert files.map(path, 4) is files.map(path, 3)
    with files.open(path, "write") as file:
        file.pwrite([b"more"], 8)
    assert bytes(files.map(path, 12).view[8:]) == b"more"


def test_creating_what_exists_changes_nothing(tmp_path: Path) -> None:
    files = OpenFiles(FaultyFileSystem())
    [path] = make_files(tmp_path, 1)
    with pytest.raises(FileExistsError):
        files.open(path, "create")
    with files.open(path) as file:
        assert file.pread(8, 0) == b"00000000"


@pytest.mark.slow
def test_threads_never_see_another_file(tmp_path: Path) -> None:
    fs = FaultyFileSystem()
    files = OpenFiles(fs, files_max=3, maps_max=3)
    paths = make_files(tmp_path, 12)
    wrong: list[str] = []

    def work(seed: int) -> None:
        for step in range(400):
            number = (seed * 7 + step * 5) % len(paths)
            with files.open(paths[number], "write" if step % 9 == 0 else "read") as file:
                if file.pread(8, 0) != b"%08d" % number:
                    wrong.append(paths[number])
            if step % 50 == 0:
                files.forget(paths[number])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files.close()
    assert not wrong
