"""What only the SQLite store promises: restarts, full disks, damaged files, locks."""

import asyncio
import os
import random
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from minikube_py.store.base import Delete, Event, Put, StoreDamaged, StoreLocked, StoreUnavailable
from minikube_py.store.sqlite import Durability, SqliteStore
from minikube_py.store.sqlite.database import Connection
from minikube_py.store.state import Retention

PODS = "/registry/pods/"
VALUE = b"a value that is easy to find in the file"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@asynccontextmanager
async def opened(path: Path, **settings: Retention) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path, **settings)  # type: ignore[arg-type]
    try:
        yield store
    finally:
        await store.close()


async def fill(store: SqliteStore, count: int) -> None:
    await asyncio.gather(*(store.commit([Put(f"{PODS}p{i}", VALUE + b" %d" % i)]) for i in range(count)))


def row_count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM log").fetchone()[0])


async def test_a_restart_changes_nothing(path: Path) -> None:
    """After reopening, revisions, values, pages of the past and watch replays are what they were."""
    async with opened(path) as store:
        await fill(store, 20)
        await store.commit([Delete(PODS + "p3"), Put(PODS + "p4", b"4"), Put("/registry/nodes/n", b"n")])
        await store.commit([Put(PODS + "p3", b"again"), Delete(PODS + "p5", value=lambda r: _value(r))])
        await store.compact(21)
        before = (store.revision, store.compacted, store.list(""), store.list("", revision=21))
        events = list(await anext(store.watch("", after=21)))
    async with opened(path) as store:
        assert (store.revision, store.compacted, store.list(""), store.list("", revision=21)) == before
        assert await anext(store.watch("", after=21)) == events
        (entry,) = await store.commit([Put(PODS + "new", b"")])
        assert entry is not None and entry.revision == before[0] + 1


def _value(revision: int):  # type: ignore[no-untyped-def]
    from minikube_py.store.base import Value

    return Value(b"last state at %d" % revision)


async def test_a_restart_after_compacting_everything_keeps_the_revision(path: Path) -> None:
    """The revision does not fall where even the last deletion's row is gone."""
    async with opened(path) as store:
        await store.commit([Put(PODS + "a", b"1")])
        await store.commit([Delete(PODS + "a")])
        await store.compact(2)
    assert row_count(path) == 0
    async with opened(path) as store:
        assert (store.revision, store.compacted, store.list("").entries) == (2, 2, [])


async def test_compaction_deletes_the_rows(path: Path) -> None:
    """Superseded and deleted keys leave the file, rows of commits over several keys too."""
    async with opened(path) as store:
        for i in range(10):
            await store.commit([Put(f"{PODS}p{j}", b"%d" % i) for j in range(100)])
        await store.commit([Delete(f"{PODS}p{j}") for j in range(40)])
        await store.compact(store.revision)
    assert row_count(path) == 60


async def test_what_a_crash_left_undeleted_goes_at_the_next_start(path: Path) -> None:
    """Rows below the compacted revision that nobody can ask for are deleted after reopening."""
    async with opened(path) as store:
        for i in range(5):
            await store.commit([Put(PODS + "x", b"other"), Put(PODS + "a", b"%d" % i)])
        await store.commit([Delete(PODS + "x")])
        await store._database.compact(5)  # and dies before it deletes a row
    assert row_count(path) == 11
    async with opened(path) as store:
        assert [e.data for e in store.list("", revision=5).entries] == [b"4", b"other"]
        await store.commit([Put(PODS + "b", b"")])
        await store.commit([Put(PODS + "b", b"")])
    assert row_count(path) == 11 - 8 + 2


async def test_large_commits_are_atomic(path: Path) -> None:
    """A commit of more rows than one statement takes, and a crowd of commits, survive reopening."""
    async with opened(path) as store:
        await store.commit([Put(f"{PODS}big/{i}", b"%d" % i) for i in range(2000)])
        await fill(store, 3000)
    async with opened(path) as store:
        assert (len(store.list(PODS).entries), store.revision) == (5000, 3001)


async def test_nothing_is_seen_before_it_is_durable(path: Path) -> None:
    """While its transaction runs, a commit shows in no read, and other writers are answered as if it were
    not there until it is."""
    async with opened(path) as store:
        first = asyncio.ensure_future(store.commit([Put(PODS + "a", b"1", expected=0)]))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(store.commit([Put(PODS + "a", b"2", expected=0)]))
        await asyncio.sleep(0)
        assert (store.get(PODS + "a"), store.revision, second.done()) == (None, 0, False)
        refused = (await asyncio.gather(first, second, return_exceptions=True))[1]
        assert str(refused) == f"{PODS}a is at revision 1, not 0"


@contextmanager
def file_size_limit(size: int) -> Iterator[Callable[[], None]]:
    """No file of this process may grow beyond `size` bytes, until the callable lifts that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    lift = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))  # noqa: E731
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield lift
    finally:
        lift()


async def write_until_it_fails(store: SqliteStore, writer: int) -> tuple[int, str]:
    """How many commits of this writer were acknowledged, and the error of the next."""
    for count in range(10_000):
        try:
            await store.commit([Put(f"{PODS}w{writer}", b"%d " % count + bytes(2000))])
        except StoreUnavailable as error:
            return count, str(error)
    raise AssertionError("the disk was never full")


async def check_full_disk(path: Path, lift: Callable[[], None]) -> None:
    events: list[Event] = []
    async with opened(path) as store:
        store.subscribe(PODS, events.append)
        ends = await asyncio.gather(*(write_until_it_fails(store, writer) for writer in range(16)))
        acknowledged = {f"{PODS}w{writer}": count for writer, (count, _) in enumerate(ends) if count}
        assert {e.key: int(e.data.split()[0]) + 1 for e in store.list("").entries} == acknowledged
        assert len(events) == store.revision == sum(acknowledged.values())
        assert all("state.db could not be written" in error for _, error in ends)
        lift()
        (entry,) = await store.commit([Put(PODS + "after", b"there is room again")])
        assert entry is not None and entry.revision == len(events)
        entries = store.list("").entries
    async with opened(path) as store:
        assert store.list("").entries == entries


async def test_a_write_that_does_not_fit_is_never_acknowledged(path: Path) -> None:
    """Where a file cannot grow, commits fail, what was acknowledged stays, and writes come back with room."""
    with file_size_limit(700_000) as lift:
        await check_full_disk(path, lift)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
async def test_a_full_file_system(tmp_path: Path) -> None:
    """The same on a file system that is full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        grow = ["mount", "-o", "remount,size=64m", str(disk)]
        await check_full_disk(disk / "state.db", lambda: subprocess.run(grow, check=True) and None)
    finally:
        subprocess.run(["umount", disk], check=True)


async def test_commits_upon_a_failed_one_fail_too(path: Path) -> None:
    """What was staged upon a commit that failed fails with it; the overlay is gone, its revisions are free."""
    async with opened(path) as store:
        await store.commit([Put(PODS + "a", b"1")])
        with file_size_limit(1):
            ops = [
                Put(PODS + "a", b"2", expected=1),
                Put(PODS + "a", b"3", expected=2),
                Put(PODS + "a", b"4", 1),
            ]
            ends = await asyncio.gather(*(store.commit([op]) for op in ops), return_exceptions=True)
        assert [type(end) for end in ends] == [StoreUnavailable] * 3
        (entry,) = await store.commit([Put(PODS + "a", b"5", expected=1)])
        assert entry is not None and (entry.revision, entry.data) == (2, b"5")


async def test_a_second_opener_is_refused(path: Path) -> None:
    """Opening a file that is in use says so, harms the first, and works once that is closed."""
    async with opened(path) as store:
        for _ in range(2):
            with pytest.raises(StoreLocked, match=r"state\.db is in use by another process"):
                await SqliteStore.open(path)
        await store.commit([Put(PODS + "a", b"1")])
    async with opened(path) as store:
        assert store.revision == 1


async def test_the_file_is_private(path: Path) -> None:
    """The database and its write-ahead log, which hold Secrets, are for their owner only."""
    async with opened(path) as store:
        await fill(store, 1)
        modes = {name.name: name.stat().st_mode & 0o777 for name in path.parent.iterdir()}
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db.lock": 0o600}


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    """A path that cannot be opened gives an error that names it."""
    with pytest.raises(StoreUnavailable, match=r"none/state\.db cannot be opened: .*No such file"):
        await SqliteStore.open(tmp_path / "none" / "state.db")


async def test_normal_durability_is_a_setting(path: Path) -> None:
    """NORMAL sets SQLite's synchronous to 1, FULL (the default) to 2."""
    for settings, expected in (({}, 2), ({"durability": Durability.NORMAL}, 1)):
        async with opened(path, **settings) as store:  # type: ignore[arg-type]
            assert (await store._database._run("PRAGMA synchronous"))[0][0] == expected


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def execute(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "value": (lambda p: flip(p, p.read_bytes().index(VALUE) + 5), "fails its checksum"),
    "key": (lambda p: flip(p, p.read_bytes().index(b"/registry/pods/p7") + 16), "fails its checksum|lost"),
    "header": (lambda p: flip(p, 3), "does not begin as a SQLite database"),
    "page size": (lambda p: flip(p, 16), "is damaged"),
    "cut short": (lambda p: os.truncate(p, 3 * 8192), "is damaged"),
    "no database": (lambda p: p.write_text("apiVersion: v1\n"), "does not begin as a SQLite database"),
    "lost row": (
        lambda p: execute(p, "DELETE FROM log WHERE id = 30 << 16"),
        "between revisions 30 and 31 are lost",
    ),
    "lost tables": (lambda p: execute(p, "DROP TABLE compaction"), "is damaged"),
    "compacted": (lambda p: execute(p, "UPDATE compaction SET revision = 7"), "compacted revision fails"),
    "other program": (lambda p: execute(p, "PRAGMA application_id = 1"), "not one of minikube-py"),
    "newer format": (lambda p: execute(p, "PRAGMA user_version = 9"), "has format 9, and this program knows 1"),
    "empty beside a log": (
        lambda p: (p.write_bytes(b""), p.with_name(p.name + "-wal").write_bytes(b"x")),
        "is empty, but state.db-wal is not",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_file_is_refused(path: Path, damage: str) -> None:
    """Each damage is refused with an error that names the file and what is wrong, and unlocks it again."""
    async with opened(path) as store:
        await fill(store, 200)
    inflict, message = DAMAGES[damage]
    inflict(path)
    for _ in range(2):
        with pytest.raises(StoreDamaged, match=message) as refused:
            await SqliteStore.open(path)
        assert str(path) in str(refused.value)


@pytest.mark.timeout(60)
async def test_no_flipped_bit_is_ever_served(path: Path, tmp_path: Path) -> None:
    """A bit flipped anywhere in the file is refused, or lay where nothing is stored."""
    async with opened(path) as store:
        await fill(store, 60)
        await store.commit([Delete(f"{PODS}p{i}") for i in range(10)])
        await store.compact(30)
        expected = (store.list("").entries, store.list("", revision=40).entries)
    rng, size, refused = random.Random(7), path.stat().st_size, 0
    copy = tmp_path / "copy.db"
    for offset in [*range(100), *rng.choices(range(100, size), k=150)]:
        shutil.copy(path, copy)
        flip(copy, offset)
        try:
            async with opened(copy) as store:
                assert (store.list("").entries, store.list("", revision=40).entries) == expected
        except StoreDamaged:
            refused += 1
    assert refused > 10


def test_a_cursor_is_closed_where_it_was_made() -> None:
    """What executemany gives back holds no statement, which another thread could reset while it is used."""
    connection = sqlite3.connect(":memory:", factory=Connection, isolation_level=None)
    connection.execute("CREATE TABLE log (id INTEGER)")
    cursor = connection.executemany("INSERT INTO log VALUES (?)", [(1,), (2,)])
    with pytest.raises(sqlite3.ProgrammingError, match="closed cursor"):
        cursor.fetchone()
    assert connection.execute("SELECT count(*) FROM log").fetchone() == (2,)
    connection.close()
