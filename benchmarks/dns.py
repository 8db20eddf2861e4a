"""Cluster DNS over UDP beside a bare echo server on the same kind of loop, in the same run.

The server's process (uvloop) holds both: the DNS server over a cluster of 1,000 Services, and a protocol that
sends back a response of the same size without looking at the query. Load comes from another process, in turns.
Busy: 32 clients that each ask again as soon as they are answered, for the rate and its p99. Calm: one client,
for the latency of a single query. The server's CPU per query does not depend on what else the machine does.
"""

import asyncio
import multiprocessing as mp
import random
import socket
import statistics
import time
from dataclasses import dataclass
from typing import Any

import uvloop
from cluster import dns_query

from minikube_py.dns.server import DnsConfig, DnsServer
from minikube_py.kinds.core.service import Service
from minikube_py.testing.inprocess import local_cluster

SERVICES, CLIENTS = 1000, 32
ROUNDS, SECONDS = 5, 1.0


class Echo(asyncio.DatagramProtocol):
    """Answers every datagram with the same bytes under its id."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer[2:]
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        self._transport.sendto(data[:2] + self._answer, peer)


def free_port() -> int:
    """A UDP port of loopback that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def serve(pipe: Any) -> None:
    """Both servers until the pipe says stop; every other message asks for the CPU seconds used so far."""
    clients = await local_cluster()
    client, port = clients.named("bench"), free_port()
    for number in range(SERVICES):
        spec = {"clusterIP": f"10.96.{1 + (number >> 8)}.{number & 255}", "ports": [{"port": 80}]}
        await client.create(
            Service, {"metadata": {"name": f"web-{number}", "namespace": "default"}, "spec": spec}
        )
    server, ready = DnsServer(client, DnsConfig(["127.0.0.1"], port)), asyncio.Event()
    running = asyncio.create_task(server.run(ready))
    await ready.wait()
    answer = server.respond(dns_query("web-1.default.svc.cluster.local"), 1232)
    assert isinstance(answer, bytes)
    loop = asyncio.get_running_loop()
    echo, _ = await loop.create_datagram_endpoint(lambda: Echo(answer), local_addr=("127.0.0.1", 0))
    pipe.send({"dns": port, "echo": echo.get_extra_info("sockname")[1]})
    while await asyncio.to_thread(pipe.recv) != "stop":
        pipe.send(time.process_time())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    echo.close()


class Asker(asyncio.DatagramProtocol):
    """One client: asks, waits for the answer, asks again until the time is over."""

    def __init__(self, latencies: list[float], until: float) -> None:
        self._latencies, self._until = latencies, until
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: Any = None
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        name = f"web-{random.randrange(SERVICES)}.default.svc.cluster.local"
        self._sent = time.perf_counter()
        self._transport.sendto(dns_query(name))

    def datagram_received(self, data: bytes, _: tuple[str, int]) -> None:
        now = time.perf_counter()
        self._latencies.append(now - self._sent)
        if now < self._until:
            self._ask()
        elif not self.done.done():
            self.done.set_result(None)


async def load(port: int, clients: int) -> list[float]:
    """The latency of every query of `clients` clients over SECONDS."""
    latencies: list[float] = []
    until, loop = time.perf_counter() + SECONDS, asyncio.get_running_loop()
    made = [
        await loop.create_datagram_endpoint(lambda: Asker(latencies, until), remote_addr=("127.0.0.1", port))
        for _ in range(clients)
    ]
    async with asyncio.timeout(SECONDS + 10):
        await asyncio.gather(*(asker.done for _, asker in made))
    for transport, _ in made:
        transport.close()
    return latencies


@dataclass(frozen=True)
class Round:
    """Queries per second, p99 (s) of busy clients, median and p99 (s) of a calm one, CPU (s) per query."""

    rate: float
    p99: float
    calm: float
    calm_p99: float
    cpu: float


def p99(latencies: list[float]) -> float:
    return sorted(latencies)[int(len(latencies) * 0.99)]


def one_round(port: int, pipe: Any) -> Round:
    """Busy, then calm."""

    def spent() -> float:
        pipe.send("cpu")
        return float(pipe.recv())

    before = spent()
    busy = uvloop.run(load(port, CLIENTS))
    cpu = (spent() - before) / len(busy)
    calm = uvloop.run(load(port, 1))
    return Round(len(busy) / SECONDS, p99(busy), statistics.median(calm), p99(calm), cpu)


def run_server(pipe: Any) -> None:
    """The server process."""
    uvloop.run(serve(pipe))


def main() -> None:
    """Measure and print the table."""
    context = mp.get_context("spawn")
    pipe, theirs = context.Pipe()
    child = context.Process(target=run_server, args=(theirs,))
    child.start()
    ports = pipe.recv()
    found: dict[str, list[Round]] = {name: [] for name in ports}
    for _ in range(ROUNDS):
        for name, port in ports.items():
            found[name].append(one_round(port, pipe))
    pipe.send("stop")
    child.join()

    def median(name: str, field: str) -> float:
        return statistics.median(getattr(round, field) for round in found[name])

    print(f"UDP, {SERVICES} Services, median of {ROUNDS} rounds; the ratio is DNS to echo")
    print("| | cluster DNS | bare echo | ratio |")
    print("|---|---|---|---|")
    for title, field, factor, digits in (
        (f"queries/s, {CLIENTS} clients", "rate", 1, 0),
        (f"p99, {CLIENTS} clients, ms", "p99", 1e3, 2),
        ("median, one client, µs", "calm", 1e6, 0),
        ("p99, one client, µs", "calm_p99", 1e6, 0),
        ("server's CPU per query, µs", "cpu", 1e6, 1),
    ):
        ours, echo = median("dns", field), median("echo", field)
        print(f"| {title} | {ours * factor:,.{digits}f} | {echo * factor:,.{digits}f} | {ours / echo:.2f} |")


if __name__ == "__main__":
    main()
