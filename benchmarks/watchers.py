"""Many watchers of one API server: how soon an event reaches the last one, and what one costs the server.

    .venv/bin/python benchmarks/watchers.py [--watchers 10000]

The server process (uvloop, durable SQLite store) and the client process are those of benchmarks/apiserver.py;
watchers connect with TLS. Printed are the p99 of the time from a change's request to its arrival at
all of 1,000 watchers, and the server's resident memory for each of many idle watchers.
"""

import argparse
import asyncio
import multiprocessing as mp
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).parent))

import apiserver

CHANGES = 40
AT_ONCE = 100
"""Connections that are opened together."""
ONE = "&fieldSelector=metadata.name%3Dwatched"
FLOOD_WATCHERS, FLOOD_WRITERS, FLOOD_SECONDS = 100, 32, 4.0


class Quiet(apiserver.Watcher):
    """A watcher that notes when its answer began, and when its last event came."""

    def __init__(self, path: str, seen: Callable[[], None]) -> None:
        super().__init__(path, seen)
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self.begun.done():
            self.begun.set_result(None)
        super().data_received(data)


async def opened(
    folder: Path, port: int, count: int, seen: Callable[[], None], selected: str = ONE
) -> list[Any]:
    """Watchers of the selected ConfigMaps (only one, as a rule) that have been answered."""
    loop, tls = asyncio.get_running_loop(), apiserver.tls_context(folder)
    path = f"{apiserver.NAMESPACE}/configmaps?watch=1{selected}&resourceVersion="
    path += await apiserver.revision(folder, port)
    transports = []
    for start in range(0, count, AT_ONCE):
        made = await asyncio.gather(
            *(
                loop.create_connection(lambda: Quiet(path, seen), "127.0.0.1", port, ssl=tls)
                for _ in range(min(AT_ONCE, count - start))
            )
        )
        await asyncio.gather(*(watcher.begun for _, watcher in made))
        transports += [transport for transport, _ in made]
    return transports


async def latency(folder: Path, port: int, count: int) -> list[float]:
    """Seconds from a change's request to the last of `count` watchers, sorted."""
    received, expected, reached = 0, 0, asyncio.Event()

    def seen() -> None:
        nonlocal received
        received += 1
        if received >= expected:
            reached.set()

    transports = await opened(folder, port, count, seen)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=apiserver.tls_context(folder))
    taken = []
    for number in range(CHANGES):
        await asyncio.sleep(0.05)
        received, expected = 0, count
        reached.clear()
        began = time.perf_counter()
        body = {"metadata": {"labels": {"n": f"{number}-{time.time_ns()}"}}}
        patch = "application/merge-patch+json"
        writer.write(apiserver.request("PATCH", f"{apiserver.NAMESPACE}/configmaps/watched", body, patch))
        await asyncio.wait_for(reached.wait(), 30)
        taken.append(time.perf_counter() - began)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
    for transport in transports:
        transport.close()
    writer.close()
    return sorted(taken)


async def flood(folder: Path, port: int) -> tuple[float, float]:
    """Events delivered per second, and changes made per second, while FLOOD_WRITERS create ConfigMaps for
    FLOOD_SECONDS and FLOOD_WATCHERS watch them all; the clock stops when the last watcher has seen the last."""
    loop, tls = asyncio.get_running_loop(), apiserver.tls_context(folder)
    received, expected, reached = 0, 1 << 60, asyncio.Event()

    def seen() -> None:
        nonlocal received
        received += 1
        if received >= expected:
            reached.set()

    transports = await opened(folder, port, FLOOD_WATCHERS, seen, "")
    await asyncio.sleep(0.5)  # each watcher's own begin may have been the first change
    began, received = time.perf_counter(), 0
    until = began + FLOOD_SECONDS
    made = await asyncio.gather(
        *(
            loop.create_connection(
                lambda n=n: apiserver.Connection(apiserver.maker("create", n), until),
                "127.0.0.1",
                port,
                ssl=tls,
            )
            for n in range(FLOOD_WRITERS)
        )
    )
    await asyncio.gather(*(writer.done for _, writer in made))
    changes = sum(len(writer.taken) for _, writer in made)
    written = time.perf_counter()
    expected = changes * FLOOD_WATCHERS
    if received < expected:
        await asyncio.wait_for(reached.wait(), 30)
    ended = time.perf_counter()
    for transport in transports:
        transport.close()
    return received / (ended - began), changes / (written - began)


async def hold(folder: Path, port: int, count: int, pipe: Any) -> None:
    """Hold `count` watchers until the pipe says so."""
    transports = await opened(folder, port, count, lambda: None)
    pipe.send(len(transports))
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    for transport in transports:
        transport.close()


def client_process(folder: str, port: int, watchers: int, pipe: Any) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(hold(Path(folder), port, watchers, pipe))
        pipe.send(runner.run(latency(Path(folder), port, min(1000, watchers))))
        pipe.send(runner.run(flood(Path(folder), port)))


def server_process(folder: str, pipe: Any) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    apiserver.server_process(folder, pipe)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watchers", type=int, default=10_000)
    options = parser.parse_args()
    context = mp.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        to_server, server_end = context.Pipe()
        to_client, client_end = context.Pipe()
        server = context.Process(target=server_process, args=(folder, server_end))
        server.start()
        port, _ = to_server.recv()
        client = context.Process(target=client_process, args=(folder, port, options.watchers, client_end))
        before = resident(server.pid or 0)
        client.start()
        count = to_client.recv()
        each = (resident(server.pid or 0) - before) / count / 1024
        print(f"{count} watchers over TLS: {each:.1f} KiB each", flush=True)
        to_client.send("end")
        taken = to_client.recv()
        middle, last = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
        print(f"event to 1,000 watchers: p50 {middle * 1000:.0f} ms, p99 {last * 1000:.0f} ms", flush=True)
        delivered, written = to_client.recv()
        print(
            f"{FLOOD_WATCHERS} watchers, {FLOOD_WRITERS} writers: {delivered:,.0f} events/s delivered "
            f"of {written:,.0f} changes/s",
            flush=True,
        )
        client.join(30)
        to_server.send("stop")
        server.join(30)


if __name__ == "__main__":
    main()
