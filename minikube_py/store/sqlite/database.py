"""Database: the SQLite file, an append-only log of changes that is read once, at the start.

One row is one change of one key. Its id is `revision << 16 | place in its commit`, so rows are only ever
appended at the right edge of one b-tree and no index is needed. `created` is the key's create revision, 0 for
a deletion. `sum` is a CRC-32 over the row, so that a flipped bit is refused and never served; gaps in the
revisions after the compacted one show rows that were lost.

Every call is one hop to aiosqlite's thread: a batch goes as one INSERT of many rows, which runs as one
autocommit transaction and without Python's global lock.

While it is open, the file is held by a lock on `<file>.lock` (POSIX locks on the file itself, SQLite's way,
are lost when this process opens and closes it once more), and in SQLite's exclusive mode.
"""

import fcntl
import os
import sqlite3
import zlib
from collections.abc import AsyncIterator, Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Self

import aiosqlite

from minikube_py.store.base import StoreDamaged, StoreLocked, StoreUnavailable

Row = tuple[int, str, int, int, bytes]
"""id, key, created, sum, value."""

PLACE_BITS = 16
FORMAT = 1
APPLICATION_ID = 0x6D6B7079  # "mkpy"
PAGE_SIZE = 8192  # a 2 KB value wastes half of a 4 KB page
STATEMENT_ROWS = 512  # rows of one INSERT; SQLite allows 32766 parameters
LOAD_ROWS = 200

_MAGIC = b"SQLite format 3\0"
_CREATE = (
    "CREATE TABLE log (id INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER, sum INTEGER, value BLOB)"
)
_INSERTS = [
    "INSERT INTO log VALUES " + ",".join(["(?,?,?,?,?)"] * count) for count in range(STATEMENT_ROWS + 1)
]


class Durability(Enum):
    """When a commit is acknowledged: FULL once it is on disk; NORMAL once it is with the kernel (it survives
    kill -9, but the last commits may be lost with the machine's power)."""

    FULL = "FULL"
    NORMAL = "NORMAL"


def checksum(row_id: int, key: str, created: int, value: bytes) -> int:
    """The CRC-32 of a row."""
    return zlib.crc32(value, zlib.crc32(key.encode(), (row_id ^ row_id >> 32 ^ created) & 0xFFFFFFFF))


class Connection(sqlite3.Connection):
    """Makes `executemany` one transaction, in one call on aiosqlite's thread.

    Its cursor is closed there as well: one that is dropped on the loop's thread resets a statement that the
    other thread may be using again, which SQLite refuses as a misuse.
    """

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        self.execute("BEGIN IMMEDIATE")
        try:
            cursor = super().executemany(sql, parameters)
            cursor.close()
            self.execute("COMMIT")
        except BaseException:
            if self.in_transaction:
                self.execute("ROLLBACK")
            raise
        return cursor


class Database:
    """An open, locked and verified file; `open` makes one."""

    def __init__(self, path: Path, connection: aiosqlite.Connection, lock: int) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock  # file descriptor

    @classmethod
    async def open(cls, path: Path, durability: Durability) -> Self:
        """Open `path`, made where it is missing. Errors: StoreDamaged, StoreLocked, StoreUnavailable."""
        lock = _lock(path)
        try:
            _check_header(path)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # it holds Secrets
            connection = await aiosqlite.connect(
                path, isolation_level=None, timeout=0, factory=Connection, cached_statements=64
            )
        except BaseException as error:
            os.close(lock)
            if isinstance(error, OSError | sqlite3.OperationalError):
                raise StoreUnavailable(f"{path} cannot be opened: {error}") from error
            raise
        database = cls(path, connection, lock)
        try:
            await database._prepare(durability)
        except BaseException:
            await database.close()
            raise
        return database

    async def _prepare(self, durability: Durability) -> None:
        await self._query(f"PRAGMA page_size={PAGE_SIZE}")
        await self._query("PRAGMA locking_mode=EXCLUSIVE")
        await self._query("PRAGMA journal_mode=WAL")
        await self._query(f"PRAGMA synchronous={durability.value}")
        await self._query("PRAGMA secure_delete=FAST")  # plain zeroing doubles the cost of compaction
        await self._query(f"PRAGMA journal_size_limit={64 << 20}")
        if not (await self._query("SELECT count(*) FROM sqlite_master"))[0][0]:
            if (await self._query("PRAGMA page_count"))[0][0] > 1:
                raise damaged(self.path, "its tables are gone")
            await self._create()
        await self._verify()

    async def _create(self) -> None:
        await self._query("BEGIN EXCLUSIVE")
        await self._query(_CREATE)
        await self._query("CREATE TABLE compaction (revision INTEGER, sum INTEGER)")
        await self._query("INSERT INTO compaction VALUES (0, ?)", (_sum(0),))
        await self._query(f"PRAGMA application_id={APPLICATION_ID}")
        await self._query(f"PRAGMA user_version={FORMAT}")
        await self._query("COMMIT")

    async def _verify(self) -> None:
        if (await self._query("PRAGMA application_id"))[0][0] != APPLICATION_ID:
            raise StoreDamaged(
                f"{self.path} is a SQLite database, but not one of minikube-py; name another file"
            )
        if (version := (await self._query("PRAGMA user_version"))[0][0]) != FORMAT:
            raise StoreDamaged(
                f"{self.path} has format {version}, and this program knows {FORMAT}; "
                "use the version of minikube-py that wrote it"
            )
        if (answer := (await self._query("PRAGMA quick_check(1)"))[0][0]) != "ok":
            raise damaged(self.path, answer)

    async def compacted(self) -> int:
        """The revision up to which history is gone."""
        rows = await self._query("SELECT revision, sum FROM compaction")
        if len(rows) != 1 or rows[0][1] != _sum(rows[0][0]):
            raise damaged(self.path, "the compacted revision fails its checksum")
        revision: int = rows[0][0]
        return revision

    async def rows(self) -> AsyncIterator[Sequence[Row]]:
        """Every row in the order of the ids, in chunks. Errors: StoreDamaged."""
        last = -1
        sql = f"SELECT id, key, created, sum, value FROM log WHERE id > ? ORDER BY id LIMIT {LOAD_ROWS}"
        while True:
            rows = await self._query(sql, (last,))
            if not rows:
                return
            for row in rows:
                self._check(row)
            last = rows[-1][0]
            yield rows

    def _check(self, row: Row) -> None:
        row_id, key, created, total, value = row
        if (
            not isinstance(value, bytes)
            or not isinstance(key, str)
            or checksum(row_id, key, created, value) != total
        ):
            raise damaged(
                self.path, f"the row of {key!r} at revision {row_id >> PLACE_BITS} fails its checksum"
            )

    async def append(self, rows: Sequence[Row]) -> None:
        """Add rows in one durable transaction. Errors: StoreUnavailable, with nothing stored."""
        try:
            if len(rows) <= STATEMENT_ROWS:
                await self._run(_INSERTS[len(rows)], [field for row in rows for field in row])
            else:
                await self._connection.executemany(_INSERTS[1], rows)
        except sqlite3.Error as error:
            raise StoreUnavailable(
                f"{self.path} could not be written: {error}; nothing of it was stored"
            ) from error

    async def compact(self, revision: int) -> None:
        """Note durably that history up to `revision` is gone. Errors: StoreUnavailable."""
        await self._change("UPDATE compaction SET revision = ?, sum = ?", [(revision, _sum(revision))])

    async def delete(self, ids: Sequence[int]) -> None:
        """Delete rows in one transaction. Errors: StoreUnavailable."""
        await self._change("DELETE FROM log WHERE id = ?", [(row_id,) for row_id in ids])

    async def _change(self, sql: str, parameters: Sequence[tuple[int, ...]]) -> None:
        try:
            await self._connection.executemany(sql, parameters)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self.path} could not be written: {error}") from error

    async def _query(self, sql: str, parameters: Sequence[Any] = ()) -> Sequence[Any]:
        try:
            return await self._run(sql, parameters)
        except sqlite3.Error as error:
            raise self._translated(error) from error

    async def _run(self, sql: str, parameters: Sequence[Any] = ()) -> Sequence[Any]:
        # execute_fetchall: the cursor ends on the thread that made it, never waiting for a lock on the loop
        return list(await self._connection.execute_fetchall(sql, parameters))

    async def close(self) -> None:
        """Finish what is queued, fold the write-ahead log into the file and unlock it."""
        try:
            await self._connection.close()
        finally:
            os.close(self._lock)

    def _translated(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreLocked(f"{self.path} is in use by another process; stop that one first")
        if (
            code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
            or type(error) is sqlite3.DatabaseError
        ):
            return damaged(self.path, str(error))
        return StoreUnavailable(f"{self.path} cannot be opened: {error}")


def damaged(path: Path, why: str) -> StoreDamaged:
    """The error that names the file, what is wrong with it, and the way out."""
    return StoreDamaged(
        f"{path} is damaged: {why}. Put a copy of it (and of {path.name}-wal) back, "
        "or move it away to begin with an empty cluster"
    )


def _sum(revision: int) -> int:
    return zlib.crc32(str(revision).encode())


def _lock(path: Path) -> int:
    """The descriptor that holds the file's lock. Errors: StoreLocked, StoreUnavailable."""
    name = path.with_name(path.name + ".lock")
    try:
        lock = os.open(name, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be opened: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreLocked(f"{path} is in use by another process; stop that one first") from error
    return lock


def _check_header(path: Path) -> None:
    """Refuse what SQLite would take for an empty database and overwrite."""
    if not path.exists():
        return
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
    if magic and magic != _MAGIC:
        raise damaged(path, "it does not begin as a SQLite database")
    log = path.with_name(path.name + "-wal")
    if not magic and log.exists() and log.stat().st_size:
        raise damaged(path, f"it is empty, but {log.name} is not")
