import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from logd.model.errors import (
    Conflict,
    DataDirectoryLocked,
    LogdError,
    LogReadOnly,
    StorageFull,
    StoredDataCorrupt,
    UnsupportedVersion,
)
from logd.model.seams import Delete, KeyValue, MetadataEvent, Put
from logd_replication.sqlite_database import (
    CHANGES_KEPT_BYTES_MAX,
    CHANGES_KEPT_MAX,
    SqliteDatabase,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metadata.sqlite"


def filled(path: Path) -> tuple[list[KeyValue], int]:
    database = SqliteDatabase(str(path))
    for i in range(12):
        database.apply((), [Put(f"topics/{i:02}", b"value of topic %02d " % i * 8)])
    database.apply((), [Delete("topics/03"), Put("topics/04", b"changed")])
    found = database.range("")
    database.close()
    return found


def contents(path: Path) -> tuple[tuple[list[KeyValue], int], list[MetadataEvent]]:
    database = SqliteDatabase(str(path))
    try:
        return database.range(""), database.changes_after("", 0)[0]
    finally:
        database.close()


def test_what_was_committed_is_there_after_a_crash(path: Path) -> None:
    database = SqliteDatabase(str(path))
    database.apply((), [Put("a", b"1")])
    copy = path.with_name("copy.sqlite")
    copy.write_bytes(path.read_bytes())  # the file alone: no commit stands in a journal only
    assert SqliteDatabase(str(copy)).get("a") == KeyValue("a", b"1", 1, 1)
    database.close()


COMMITTER = """
import sys
from logd.model.seams import Put
from logd_replication.sqlite_database import SqliteDatabase
database = SqliteDatabase(sys.argv[1])
for number in range(1, 1_000_000):
    database.apply((), [Put(f"{part}/{number % 50}", b"%d" % number) for part in "ab"])
    print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_was_acknowledged_outlives_a_kill(path: Path, seed: int) -> None:
    command = [sys.executable, "-c", COMMITTER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(random.Random(seed).randrange(1, 120)):
            process.stdout.readline()
        process.kill()
        acknowledged = [line for line in process.stdout if line.endswith("\n")]
    database = SqliteDatabase(str(path))
    entries, revision = database.range("")
    database.close()
    assert revision >= int(acknowledged[-1]) if acknowledged else revision >= 1
    a, b = ([e.value for e in entries if e.key.startswith(part)] for part in "ab")
    assert a == b, "half a transaction"
    assert str(revision).encode() in a


def interrupted(path: Path) -> tuple[bytes, bytes]:
    """File and journal as a kill leaves them amid a transaction, some of it in the file already."""
    files: list[bytes] = []

    def operations() -> Iterator[Put]:
        for i in range(12):
            yield Put(f"topics/{i:02}", b"not acknowledged" * 300)
        files.extend(Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-journal"))

    database = SqliteDatabase(str(path))
    database._connection.execute("PRAGMA cache_size = 1")
    database.apply((), operations())  # type: ignore[arg-type]
    database.close()
    return files[0], files[1]


@pytest.mark.slow
def test_no_flipped_bit_after_a_kill_goes_unnoticed(path: Path) -> None:
    filled(path)
    before, committed = contents(path), path.read_bytes()
    sound = interrupted(path)
    journal_path = Path(f"{path}-journal")
    assert sound[0] != committed and len(sound[1]) > 4096
    chance, noticed = random.Random(4), 0
    for number in range(401):
        files = [bytearray(each) for each in sound]
        if number:  # first with nothing flipped
            which = files[number % 2]
            at = chance.randrange(len(which) if number % 4 else 64)
            which[at] ^= 1 << chance.randrange(8)
        path.write_bytes(files[0])
        journal_path.write_bytes(files[1])
        try:
            assert contents(path) == before, f"flip {number} changed what is read"
        except (StoredDataCorrupt, UnsupportedVersion):
            assert number, "nothing is damaged"
            noticed += 1
        except LogdError as error:
            assert error.reason in ("SYNC_FAILED", "LOG_READ_ONLY"), f"flip {number}: {error}"
        journal_path.unlink(missing_ok=True)
    assert noticed > 10


@pytest.mark.parametrize("table", ["entries", "changes"])
def test_a_row_that_vanished_is_noticed(path: Path, table: str) -> None:
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"DELETE FROM {table} WHERE key = ?", (b"topics/07",))
    connection.close()
    with pytest.raises(StoredDataCorrupt, match="rows are missing"):
        SqliteDatabase(str(path))


def test_a_transaction_that_fails_leaves_nothing(path: Path) -> None:
    database = SqliteDatabase(str(path))
    database.apply((), [Put("a", b"1")])
    with pytest.raises(AttributeError):
        database.apply((), [Put("b", b""), None])  # type: ignore[list-item]
    assert database.range("") == ([KeyValue("a", b"1", 1, 1)], 1)
    assert database.apply((), [Put("b", b"")])[0] == 2
    database.close()


def test_leased_keys_are_dropped_by_lease(path: Path) -> None:
    database = SqliteDatabase(str(path))
    database.apply((), [Put("b", b"", 1), Put("a", b"", 1), Put("c", b"", 2), Put("d", b"")])
    assert [event.key for event in database.drop_leased([1, 7])] == ["a", "b"]
    assert database.drop_leased([1]) == []
    assert [event.key for event in database.drop_leased(None)] == ["c"]
    assert [entry.key for entry in database.range("")[0]] == ["d"]
    database.close()


def test_changes_are_kept_short_by_number(path: Path) -> None:
    database = SqliteDatabase(str(path))
    for _ in range(12):
        database.apply((), [Put(f"k{i}", b"") for i in range(100)])
    kept, revision = database.changes_after("", 2)
    assert revision == 12 and len(kept) == CHANGES_KEPT_MAX
    with pytest.raises(Conflict):
        database.changes_after("", 1)
    database.close()


@pytest.mark.slow
def test_changes_are_kept_short_by_size(path: Path) -> None:
    database = SqliteDatabase(str(path))
    value = bytes(CHANGES_KEPT_BYTES_MAX // 8)
    for _ in range(12):
        database.apply((), [Put("k", value)])
    kept, _ = database.changes_after("", 5)
    assert [event.revision for event in kept] == [6, 7, 8, 9, 10, 11, 12]
    with pytest.raises(Conflict):
        database.changes_after("", 4)
    database.close()


def test_a_flipped_byte_in_a_value_names_its_key(path: Path) -> None:
    filled(path)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"value of topic 07")
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoredDataCorrupt, match="key 'topics/07'") as caught:
        SqliteDatabase(str(path))
    assert caught.value.details["key"] == "topics/07"


def test_a_flipped_byte_in_any_copy_of_a_key_is_noticed(path: Path) -> None:
    filled(path)
    sound = path.read_bytes()
    copies = [match.start() for match in re.finditer(b"topics/07", sound)]
    assert len(copies) == 3, "in the entry, in the index over keys and in the change"
    for at in copies:
        damaged = bytearray(sound)
        damaged[at + 8] ^= 8
        path.write_bytes(damaged)
        with pytest.raises(StoredDataCorrupt):
            SqliteDatabase(str(path))


def test_a_revision_that_was_tampered_with_is_noticed(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE store SET revision = 3")
    connection.close()
    with pytest.raises(StoredDataCorrupt, match="revision"):
        SqliteDatabase(str(path))


@pytest.mark.slow
def test_no_flipped_byte_goes_unnoticed(path: Path) -> None:
    filled(path)
    before, sound = contents(path), path.read_bytes()
    noticed = 0
    for at in range(0, len(sound), 11):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            assert contents(path) == before, f"byte {at} changed what is read"
        except (StoredDataCorrupt, UnsupportedVersion):
            noticed += 1
        except LogdError as error:
            assert error.reason in ("SYNC_FAILED", "LOG_READ_ONLY"), f"byte {at}: {error}"
        for left in path.parent.glob("metadata.sqlite-*"):
            left.unlink()
    assert noticed > 30


@pytest.mark.parametrize("data", [b"no database at all", bytes(4096)])
def test_a_file_that_is_no_database_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(StoredDataCorrupt, match=r"metadata\.sqlite"):
        SqliteDatabase(str(path))


def test_rows_whose_types_changed_are_corrupt(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE entries SET value = 'text' WHERE key = ?", (b"topics/05",))
    connection.close()
    with pytest.raises(StoredDataCorrupt, match="key 'topics/05'"):
        SqliteDatabase(str(path))


def test_another_process_is_kept_out(path: Path) -> None:
    database = SqliteDatabase(str(path))
    database.apply((), [Put("a", b"")])
    with pytest.raises(DataDirectoryLocked):
        SqliteDatabase(str(path))
    database.close()
    SqliteDatabase(str(path)).close()


@pytest.mark.parametrize("version", [1, 99])
def test_another_layout_is_refused(path: Path, version: int) -> None:
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(UnsupportedVersion, match=f"layout {version}"):
        SqliteDatabase(str(path))


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(LogReadOnly, match="folder"):
        SqliteDatabase(str(tmp_path / "nowhere" / "metadata.sqlite"))


def test_a_full_disk_is_a_typed_error_and_passes(path: Path) -> None:
    database = SqliteDatabase(str(path))
    database.apply((), [Put("a", b"1")])
    pages = database._connection.execute("PRAGMA page_count").fetchone()[0]
    database._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFull):
        database.apply((), [Put("b", bytes(1 << 16))])
    assert database.get("a") == KeyValue("a", b"1", 1, 1)
    database._connection.execute("PRAGMA max_page_count = 100000")
    assert database.apply((), [Put("b", bytes(1 << 16))])[0] == 2
    database.close()
