"""Durable single-key commits per second (2 KB values) at 1, 16 and 256 concurrent writers.

Beside the store, in interleaved rounds of the same run on the same disk, all synced to it at each commit:
- raw SQLite: a thread without asyncio that inserts batches of as many rows as there are writers into the
  store's own table (the limit), and into the same table with one index on the key (what a store that reads
  from SQLite would need);
- etcd with its default durability over loopback, by the faster client of two: grpc.aio with hand-made
  messages, or its JSON gateway by aiohttp.
"""

import asyncio
import base64
import contextlib
import gc
import os
import shutil
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import grpc
import grpc.aio

from minikube_py.store.base import Put
from minikube_py.store.sqlite import SqliteStore

WRITERS = (1, 16, 256)
ROUNDS = 3
SECONDS = 0.6
VALUE = os.urandom(2048)
PREFIX = "/registry/pods/default/p"
TABLE = "CREATE TABLE log (id INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER, sum INTEGER, value BLOB)"
INDEX = "CREATE INDEX by_key ON log (key, id)"

Commit = Callable[[str], Awaitable[object]]


async def crowd(commit: Commit, writers: int) -> float:
    """Acknowledged commits per second of `writers` tasks, each with its own key, over SECONDS."""
    count, begin = 0, time.perf_counter()
    end = begin + SECONDS

    async def write(key: str) -> None:
        nonlocal count
        while time.perf_counter() < end:
            await commit(key)
            count += 1

    await asyncio.gather(*(write(f"{PREFIX}{writer}") for writer in range(writers)))
    return count / (time.perf_counter() - begin)


async def ours(folder: Path, writers: int) -> float:
    """The store's rate."""
    store = await SqliteStore.open(folder / "store.db")
    try:
        return await crowd(lambda key: store.commit((Put(key, VALUE),)), writers)
    finally:
        await store.close()


def raw(folder: Path, writers: int, index: bool) -> float:
    """The rate of a thread that only inserts, `writers` rows per transaction."""
    connection = sqlite3.connect(folder / f"raw{index}.db", isolation_level=None)
    for pragma in ("page_size=8192", "locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute(TABLE)
    if index:
        connection.execute(INDEX)
    insert, count, begin = "INSERT INTO log VALUES (?, ?, ?, ?, ?)", 0, time.perf_counter()
    while time.perf_counter() < begin + SECONDS:
        rows = [((count + i) << 16, f"{PREFIX}{i}", 1, 1 << 31, VALUE) for i in range(writers)]
        if writers == 1:
            connection.execute(insert, rows[0])
        else:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, rows)
            connection.execute("COMMIT")
        count += writers
    rate = count / (time.perf_counter() - begin)
    connection.close()
    return rate


def field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field shorter than 16 KiB."""
    size = len(data)
    length = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
    return bytes((number << 3 | 2,)) + length + data


@contextlib.asynccontextmanager
async def etcd(folder: Path) -> AsyncIterator[dict[str, Commit]]:
    """A running etcd's commit by each client; empty where etcd is not installed."""
    if not (program := shutil.which("etcd")):
        yield {}
        return
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        port, peer = one.getsockname()[1], two.getsockname()[1]
    urls = [f"--{name}-client-urls=http://127.0.0.1:{port}" for name in ("listen", "advertise")]
    urls += [
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
    ]
    urls += [f"--initial-cluster=default=http://127.0.0.1:{peer}", f"--data-dir={folder / 'etcd'}"]
    child = await asyncio.create_subprocess_exec(
        program, *urls, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            put = channel.unary_unary("/etcdserverpb.KV/Put")
            value, encoded = field(2, VALUE), base64.b64encode(VALUE).decode()

            async def by_gateway(key: str) -> None:
                body = {"key": base64.b64encode(key.encode()).decode(), "value": encoded}
                async with session.post(f"http://127.0.0.1:{port}/v3/kv/put", json=body) as answer:
                    await answer.read()

            await asyncio.wait_for(put(field(1, b"warm") + value, wait_for_ready=True), 10)
            yield {"grpc": lambda key: put(field(1, key.encode()) + value), "gateway": by_gateway}
    finally:
        child.kill()
        await child.wait()


async def measure(folder: Path) -> dict[tuple[str, int], float]:
    """The median rate of each rival at each number of writers."""
    rates: dict[tuple[str, int], list[float]] = {}
    async with etcd(folder) as clients:
        for _ in range(ROUNDS):
            for writers in WRITERS:
                with tempfile.TemporaryDirectory(dir=folder) as fresh:
                    here = Path(fresh)
                    rates.setdefault(("store", writers), []).append(await ours(here, writers))
                    for name, index in (("raw", False), ("raw+index", True)):
                        rate = await asyncio.to_thread(raw, here, writers, index)
                        rates.setdefault((name, writers), []).append(rate)
                for name, commit in clients.items():
                    rates.setdefault((name, writers), []).append(await crowd(commit, writers))
    return {key: statistics.median(found) for key, found in rates.items()}


async def main() -> None:
    """Measure and print the table."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as the server sets it
    with tempfile.TemporaryDirectory(prefix=".bench-store-", dir=Path.cwd()) as folder:
        rates = await measure(Path(folder))
    print(f"durable single-key commits/s, 2 KB values, median of {ROUNDS} rounds; ratios are the store's")
    print("| writers | store | raw SQLite | ratio | raw, one index | ratio | etcd | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for writers in WRITERS:
        store, plain, indexed = (rates[name, writers] for name in ("store", "raw", "raw+index"))
        row = f"| {writers} | {store:,.0f} | {plain:,.0f} | {store / plain:.2f} "
        row += f"| {indexed:,.0f} | {store / indexed:.2f} "
        if ("grpc", writers) in rates:
            client = max(("grpc", "gateway"), key=lambda name: rates[name, writers])
            rival = rates[client, writers]
            row += f"| {rival:,.0f} ({client}) | {store / rival:.2f} |"
        else:
            row += "| - | - |"
        print(row)
    if ("grpc", WRITERS[0]) not in rates:
        print("etcd is left out: it is not installed (apt-get install etcd-server).")


if __name__ == "__main__":
    if sys.platform != "win32":
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main())
