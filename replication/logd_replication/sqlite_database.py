"""The embedded metadata store's one SQLite file, blocking.

Tables, each row with a CRC-32C over all its other columns, since SQLite's pages carry none:

    store    one row: the store's revision, the revision up to which changes were dropped, and the
             sum of the CRCs of all rows of the other tables
    entries  key, revision of its last change, revision of its creation, lease (0: none), value
    changes  the latest changes in order, for watches that fell behind; NULL value: a deletion

Trusted after a crash: what was committed. Checked at open: every row's CRC, their sum (a row that
vanished, or came back) and SQLite's own structure; later, each row that is read. `user_version` is
the layout's version; any other is refused.

The journal is a rollback journal, emptied and synced at each commit: a commit stands in the file
itself. In a write-ahead log a single damaged bit makes SQLite drop all commits behind it without a
word. A damaged rollback journal leaves at worst a mixture of an unfinished transaction's pages and
older ones, which the sum finds.
"""

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from crc32c import crc32c

from logd.model.errors import (
    Conflict,
    DataDirectoryLocked,
    LogReadOnly,
    StorageFull,
    StoredDataCorrupt,
    SyncFailed,
    UnsupportedVersion,
)
from logd.model.seams import Compare, Delete, KeyValue, MetadataEvent, Put

LAYOUT_VERSION = 2
CHANGES_KEPT_MAX = 1000
CHANGES_KEPT_BYTES_MAX = 16 << 20

_LAYOUT = f"""
BEGIN IMMEDIATE;
CREATE TABLE store(
    id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL,
    compacted_revision INTEGER NOT NULL, crc_sum INTEGER NOT NULL,
    crc INTEGER NOT NULL);
CREATE TABLE entries(
    key BLOB PRIMARY KEY, revision INTEGER NOT NULL, create_revision INTEGER NOT NULL,
    lease_id INTEGER NOT NULL, crc INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE changes(
    id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, crc INTEGER NOT NULL,
    key BLOB NOT NULL, value BLOB);
PRAGMA user_version = {LAYOUT_VERSION};
"""
_CHANGES_TO_DROP = """
SELECT max(id) FROM (
    SELECT id, row_number() OVER latest AS place,
           sum(length(key) + coalesce(length(value), 0)) OVER latest AS bytes
    FROM changes WINDOW latest AS (ORDER BY id DESC))
WHERE place > ? OR bytes > ?
"""
_ENTRY = "SELECT key, revision, create_revision, lease_id, crc, value FROM entries"

EntryRow = tuple[bytes, int, int, int, int, bytes]


class SqliteDatabase:
    """Entries, changes and revision in one file. One thread at a time; used by the store only.

    Every method may raise StoredDataCorrupt (naming the key where there is one), StorageFull,
    SyncFailed (the outcome of the transaction is unknown) and LogReadOnly.
    """

    def __init__(self, path: str, *, must_exist: bool = False) -> None:
        """Opens or creates the file, which one process at a time can have, and checks all of it.

        Raises also DataDirectoryLocked and UnsupportedVersion. `must_exist`: a file that is not
        there is StoredDataCorrupt.
        """
        self._path = path
        if must_exist and not (Path(path).exists() and Path(path).stat().st_size):
            raise self._corrupt("it is missing or empty")
        with self._errors_translated():
            self._connection = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False
            )
        try:
            with self._errors_translated():
                self._prepare()
                self._check_all()
        except BaseException:
            self._connection.close()
            raise

    def get(self, key: str) -> KeyValue | None:
        with self._errors_translated():
            row = self._entry(key.encode())
        return None if row is None else _key_value(row)

    def range(self, prefix: str) -> tuple[list[KeyValue], int]:
        """Keys with the prefix in the order of their bytes, and the revision that they show."""
        with self._errors_translated():
            rows = self._connection.execute(
                f"{_ENTRY} WHERE key >= ? AND key < ? ORDER BY key", _bounds(prefix)
            ).fetchall()
            return [_key_value(self._checked(row)) for row in rows], self._state()[0]

    def apply(
        self, compares: Sequence[Compare], operations: Sequence[Put | Delete]
    ) -> tuple[int | None, list[MetadataEvent]]:
        """One transaction: the revision (None: a compare failed) and the events it caused.

        The revision rises by one if anything changed; deleting what is not there changes nothing.
        """
        with self._errors_translated(), self._transaction():
            if not all(self._holds(compare) for compare in compares):
                return None, []
            revision, compacted, crc_sum = self._state()
            events = []
            for operation in operations:
                event, added = self._change(operation, revision + 1)
                crc_sum += added
                if event is not None:
                    events.append(event)
            if events:
                revision += 1
                compacted, dropped = self._drop_changes(compacted)
                self._write_state(revision, compacted, crc_sum - dropped)
        return revision, events

    def fill(self, revision: int, puts: Sequence[Put]) -> None:
        """Put all into an empty store, as if `revision` changes had gone before."""
        with self._errors_translated(), self._transaction():
            assert self._state()[0] == 0, "only a new store is filled"
            crc_sum = sum(self._change(put, revision + 1)[1] for put in puts)
            self._write_state(revision + 1, revision, crc_sum)

    def drop_leased(self, lease_ids: Sequence[int] | None) -> list[MetadataEvent]:
        """Delete the keys of these leases (None: of all), in the order of the keys."""
        with self._errors_translated():
            rows = self._connection.execute(
                "SELECT key, lease_id FROM entries WHERE lease_id != 0 ORDER BY key"
            ).fetchall()
        gone = [key for key, lease_id in rows if lease_ids is None or lease_id in lease_ids]
        return self.apply((), [Delete(key.decode()) for key in gone])[1]

    def changes_after(self, prefix: str, revision: int) -> tuple[list[MetadataEvent], int]:
        """Events after `revision`, and the store's revision. Raises Conflict if some are gone."""
        with self._errors_translated():
            current, compacted, _ = self._state()
            if revision < compacted:
                raise Conflict(
                    f"the metadata store keeps changes after revision {compacted}, not those after "
                    f"{revision}; list '{prefix}' again and watch from the revision of the list",
                    compacted_revision=compacted,
                )
            rows = self._connection.execute(
                "SELECT revision, crc, key, value FROM changes"
                " WHERE revision > ? AND key >= ? AND key < ? ORDER BY id",
                (revision, *_bounds(prefix)),
            ).fetchall()
            return [self._checked_change(*row) for row in rows], current

    def close(self) -> None:
        with self._errors_translated():
            self._connection.close()

    def _prepare(self) -> None:
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = TRUNCATE", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {pragma}")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if version not in (0, LAYOUT_VERSION):
            raise UnsupportedVersion(
                f"metadata file {self._path} has layout {version}, this logd knows only "
                f"{LAYOUT_VERSION}; start it with the logd that wrote it",
                version=version,
            )
        if version == 0 and tables == 0:
            self._connection.executescript(_LAYOUT)
            self._write_state(0, 0, 0)
            self._connection.execute("COMMIT")
        elif version != LAYOUT_VERSION:
            raise self._corrupt("its layout version is missing")

    def _check_all(self) -> None:
        crc_sum = 0
        for row in self._connection.execute(_ENTRY):
            crc_sum += self._checked(row)[4]
        for row in self._connection.execute("SELECT revision, crc, key, value FROM changes"):
            self._checked_change(*row)
            crc_sum += row[1]
        if crc_sum != self._state()[2]:
            raise self._corrupt("rows are missing, or there are rows too many")
        (finding,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
        if finding != "ok":
            raise self._corrupt(finding)

    def _entry(self, key: bytes) -> EntryRow | None:
        row = self._connection.execute(f"{_ENTRY} WHERE key = ?", (key,)).fetchone()
        return None if row is None else self._checked(row)

    def _holds(self, compare: Compare) -> bool:
        row = self._entry(compare.key.encode())
        found = 0 if row is None else row[2] if compare.created else row[1]
        return found == compare.revision

    def _change(self, operation: Put | Delete, revision: int) -> tuple[MetadataEvent | None, int]:
        """The event, and what the sum of the rows' CRCs rose by."""
        key = operation.key.encode()
        before = self._entry(key)
        added = 0 if before is None else -before[4]
        value = None
        if isinstance(operation, Put):
            value = operation.value
            created = revision if before is None else before[2]
            numbers = (revision, created, operation.lease_id)
            crc = _crc(numbers, key, value)
            added += crc
            self._connection.execute(
                "INSERT OR REPLACE INTO entries"
                "(key, revision, create_revision, lease_id, crc, value) VALUES (?, ?, ?, ?, ?, ?)",
                (key, *numbers, crc, value),
            )
        elif before is None:
            return None, 0
        else:
            self._connection.execute("DELETE FROM entries WHERE key = ?", (key,))
        crc = _crc((revision,), key, value)
        self._connection.execute(
            "INSERT INTO changes(revision, crc, key, value) VALUES (?, ?, ?, ?)",
            (revision, crc, key, value),
        )
        return MetadataEvent(operation.key, value, revision), added + crc

    def _drop_changes(self, compacted: int) -> tuple[int, int]:
        """The revision up to which none are kept, and the sum of the CRCs of those dropped."""
        bounds = (CHANGES_KEPT_MAX, CHANGES_KEPT_BYTES_MAX)
        (last,) = self._connection.execute(_CHANGES_TO_DROP, bounds).fetchone()
        if last is None:
            return compacted, 0
        row = self._connection.execute("SELECT revision FROM changes WHERE id = ?", (last,))
        compacted = row.fetchone()[0]
        gone = self._connection.execute("DELETE FROM changes WHERE id <= ? RETURNING crc", (last,))
        return compacted, sum(crc for (crc,) in gone.fetchall())

    def _state(self) -> tuple[int, int, int]:
        """Revision, compacted revision, sum of the rows' CRCs."""
        row = self._connection.execute(
            "SELECT revision, compacted_revision, crc_sum, crc FROM store WHERE id = 1"
        ).fetchone()
        if row is None or not _is_sound(row[:3], b"", b"", row[3]):
            raise self._corrupt("its own revision does not match its checksum")
        return row[0], row[1], row[2]

    def _write_state(self, revision: int, compacted: int, crc_sum: int) -> None:
        numbers = (revision, compacted, crc_sum)
        self._connection.execute(
            "INSERT OR REPLACE INTO store(id, revision, compacted_revision, crc_sum, crc)"
            " VALUES (1, ?, ?, ?, ?)",
            (*numbers, _crc(numbers, b"", b"")),
        )

    def _checked(self, row: tuple[object, ...]) -> EntryRow:
        key, revision, create_revision, lease_id, crc, value = row
        if value is None or not _is_sound((revision, create_revision, lease_id), key, value, crc):
            raise self._corrupt("the value does not match its checksum", key)
        return cast(EntryRow, row)

    def _checked_change(
        self, revision: object, crc: object, key: object, value: object
    ) -> MetadataEvent:
        if not _is_sound((revision,), key, value, crc):
            raise self._corrupt("a change does not match its checksum", key)
        return MetadataEvent(
            cast(bytes, key).decode(), cast(bytes | None, value), cast(int, revision)
        )

    def _corrupt(self, finding: str, key: object = None) -> StoredDataCorrupt:
        name = key.decode(errors="backslashreplace") if isinstance(key, bytes) else key
        where = "" if name is None else f", key '{name}'"
        return StoredDataCorrupt(
            f"metadata file {self._path}{where}: {finding}. Nothing was changed; restore the file "
            "from a backup, or make it again from the partitions: logctl segments rebuild-metadata",
            file=self._path,
            key=name,
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
            text = f"metadata file {self._path}: {error}"
            if code == sqlite3.SQLITE_FULL:
                raise StorageFull(f"{text}; free some space", file=self._path) from error
            if code == sqlite3.SQLITE_BUSY:
                raise DataDirectoryLocked(
                    f"{text}; another process has it open", file=self._path
                ) from error
            if code == sqlite3.SQLITE_IOERR:
                raise SyncFailed(text, file=self._path) from error
            if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
                raise LogReadOnly(
                    f"{text}; check that its folder exists and may be written", file=self._path
                ) from error
            raise self._corrupt(str(error)) from error
        except UnicodeDecodeError as error:  # sqlite3, of a damaged table definition
            raise self._corrupt(str(error)) from error


def _bounds(prefix: str) -> tuple[bytes, bytes]:
    return prefix.encode(), prefix.encode() + b"\xff"  # UTF-8 has no byte 0xFF


def _key_value(row: EntryRow) -> KeyValue:
    return KeyValue(row[0].decode(), row[5], row[1], row[2])


def _crc(numbers: tuple[int, ...], key: bytes, value: bytes | None) -> int:
    fixed = struct.pack(
        f"<{len(numbers)}qI?", *numbers, len(key), value is None
    )  # the lengths keep key and value apart, and a deletion from an empty value
    return crc32c(value or b"", crc32c(key, crc32c(fixed)))


def _is_sound(numbers: Sequence[object], key: object, value: object, crc: object) -> bool:
    """Types too: SQLite stores any type in any column, so a flipped bit can change one."""
    whole = [number for number in numbers if isinstance(number, int)]
    if len(whole) < len(numbers) or not isinstance(key, bytes):
        return False
    return isinstance(value, bytes | None) and _crc(tuple(whole), key, value) == crc
