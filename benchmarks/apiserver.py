"""The API server over TLS beside a bare aiohttp handler that returns the same bytes, in the same run.

    .venv/bin/python benchmarks/apiserver.py [--seconds 2.0]

The server process (uvloop, durable SQLite store) holds both servers; load comes from another process over raw
TLS connections, in turns between the two. Printed are requests per second, their p99, the server's CPU per
request, and the ratio to the bare handler.
"""

import argparse
import asyncio
import gc
import multiprocessing as mp
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import uvloop
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "apiserver"))

from api_certificates import Authority, new_key

from minikube_py import collect
from minikube_py.aio.clock import SystemClock
from minikube_py.apiserver.config import ApiServerConfig
from minikube_py.apiserver.server import ApiServer
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.registry.base import ClusterFacts, Context, ListOptions
from minikube_py.registry.catalogue import Catalogue
from minikube_py.registry.resource import Registry
from minikube_py.store.base import Put
from minikube_py.store.sqlite import SqliteStore

PODS = 500
WATCHERS = 100
CHANGES = 30
NAMESPACE = "/api/v1/namespaces/default"


# The server process


def pod(number: int) -> dict[str, Any]:
    """A pod as a Deployment makes them."""
    container = {
        "name": "web",
        "image": "registry.example/web:1.27",
        "ports": [{"containerPort": 8080, "name": "http"}],
        "env": [{"name": f"SETTING_{n}", "value": "value"} for n in range(4)],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}},
    }
    labels = {"app": "web", "pod-template-hash": "6d4cf56db6"}
    return {"metadata": {"name": f"web-{number:04}", "labels": labels}, "spec": {"containers": [container]}}


class Bare:
    """Handlers that answer with given bytes, which a write commits to the store first, and send each change to
    every watcher."""

    def __init__(self, answers: dict[str, bytes], event: bytes, store: SqliteStore) -> None:
        self._answers = answers
        self._event = event
        self._store = store
        self._numbers = iter(range(10**9))
        self._watchers: list[web.StreamResponse] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path == "/watch":
            return await self._watch(request)
        if request.method != "GET":
            await request.content.read()
        if request.raw_path == "/change":
            for watcher in self._watchers:
                await watcher.write(self._event)
        body = self._answers[request.raw_path]
        if request.raw_path == "/create":
            await self._store.commit([Put(f"/registry/bare/{next(self._numbers)}", body, 0)])
        elif request.raw_path == "/patch":
            await self._store.commit([Put(f"/registry/bare/patched-{next(self._numbers) % 8}", body)])
        return web.Response(body=body, headers={"Content-Type": "application/json"})

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self._watchers.append(response)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._watchers.remove(response)
        return response


async def serve(folder: Path, pipe: Any) -> None:
    """Both servers, until the pipe says stop; each message asks for the CPU seconds used so far."""
    authority = Authority(folder)
    pair, key = authority.issue("kube-apiserver", addresses=("127.0.0.1",)), folder / "sa.key"
    authority.issue("admin", "system:masters")
    key.write_bytes(new_key())
    clock = SystemClock()
    store = await SqliteStore.open(folder / "state.db", clock)
    registry = Registry(store, Catalogue(collect.values("minikube_py.kinds", Kind)), ClusterFacts(), clock)
    config = ApiServerConfig(
        (("127.0.0.1", 0),), pair.certificate, pair.key, authority.path, key, advertise=("10.244.0.1", 8443)
    )
    server, ready = ApiServer(registry, config, clock), asyncio.Event()
    task = asyncio.create_task(server.run(ready))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    await asyncio.gather(*(registry.create(Pod, "default", pod(n), Context()) for n in range(PODS)))
    one = await registry.create(ConfigMap, "default", config_map("watched"), Context())
    items = registry.list(Pod, "default", ListOptions()).entries
    answers = {
        "/get": registry.get(Pod, "default", "web-0000").data,
        "/list": b'{"items":[' + b",".join(entry.data for entry in items) + b"]}",
        "/pages": b'{"items":[' + b",".join(entry.data for entry in items[:50]) + b"]}",
        "/create": one.data,
        "/patch": registry.get(Pod, "default", "web-0000").data,
        "/change": one.data,
    }
    bare = web.Server(
        Bare(answers, b'{"type":"MODIFIED","object":' + one.data + b"}\n", store).answer,
        access_log=None,
        handler_cancellation=True,
    )
    listener = await asyncio.get_running_loop().create_server(bare, "127.0.0.1", 0, ssl=config.server_tls())
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    pipe.send((server.addresses[0][1], listener.sockets[0].getsockname()[1]))
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, pipe.recv) != "stop":
        pipe.send(time.process_time())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    listener.close()
    await bare.shutdown(1)
    await store.close()


def server_process(folder: str, pipe: Any) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(folder), pipe))


# The load


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"text": "x" * 1024}}


def request(method: str, path: str, body: Any = None, type: str = "application/json") -> bytes:
    """The bytes of a request."""
    content = b"" if body is None else orjson.dumps(body)
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nUser-Agent: bench/1\r\n"
    if body is not None:
        head += f"Content-Type: {type}\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


class Connection(asyncio.Protocol):
    """Sends a request as soon as the last one is answered; notes how long each took."""

    def __init__(self, make: Callable[[], bytes], until: float) -> None:
        self.make, self.until = make, until
        self.taken: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head, self._missing, self._began = b"", -1, 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self._began = time.perf_counter()
        if self._began >= self.until:
            self.transport.close()
            return
        self._head, self._missing = b"", -1
        self.transport.write(self.make())

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data = self._head[:end], self._head[end + 4 :]
            if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
                self.done.set_exception(RuntimeError(self._head.decode()))
                self.transport.close()
                return
            self._missing = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        self._missing -= len(data)
        if self._missing == 0:
            self.taken.append(time.perf_counter() - self._began)
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def tls_context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    return context


async def load(folder: Path, port: int, case: str, seconds: float) -> tuple[float, float, int]:
    """Requests per second, p99 in ms, and their number."""
    loop, tls = asyncio.get_running_loop(), tls_context(folder)
    until = time.perf_counter() + 0.3 + seconds
    name, _, clients = case.partition(":")
    makers = [maker(name, n) for n in range(int(clients))]
    made = await asyncio.gather(
        *(loop.create_connection(lambda m=m: Connection(m, until), "127.0.0.1", port, ssl=tls) for m in makers)
    )
    begin = time.perf_counter()
    await asyncio.gather(*(connection.done for _, connection in made))
    taken = sorted(t for _, connection in made for t in connection.taken)
    return len(taken) / (time.perf_counter() - begin), taken[int(len(taken) * 0.99)] * 1000, len(taken)


def maker(case: str, number: int) -> Callable[[], bytes]:
    """Makes the requests of one connection."""
    if case.startswith("/"):
        body = {"create": config_map("x"), "patch": LABEL}.get(case[1:])
        fixed = request("GET" if body is None else "POST", case, body)
        return lambda: fixed
    if case in READS:
        fixed = request("GET", f"{NAMESPACE}/pods{READS[case]}")
        return lambda: fixed
    counter, stamp = iter(range(10**9)), time.time_ns()
    if case == "create":
        return lambda: request(
            "POST", f"{NAMESPACE}/configmaps", config_map(f"c{stamp}-{number}-{next(counter)}")
        )
    path = f"{NAMESPACE}/pods/web-{number:04}"
    patch = "application/merge-patch+json"
    return lambda: request("PATCH", path, {"metadata": {"labels": {"n": str(next(counter))}}}, patch)


READS = {"get": "/web-0000", "list": "", "pages": "?limit=50"}
LABEL = {"metadata": {"labels": {"n": "1"}}}


class Watcher(asyncio.Protocol):
    """Counts the lines it receives."""

    def __init__(self, path: str, seen: Callable[[], None]) -> None:
        self.path, self.seen = path, seen
        self._last = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(request("GET", self.path))

    def data_received(self, data: bytes) -> None:
        for _ in range((self._last + data).count(b"}\n")):
            self.seen()
        self._last = data[-1:]


async def fan_out(folder: Path, port: int, bare: bool) -> tuple[float, float, int]:
    """Changes per second that reach every watcher, p99 in ms from the request to the last watcher."""
    loop, tls = asyncio.get_running_loop(), tls_context(folder)
    received, expected, reached = 0, 0, asyncio.Event()

    def seen() -> None:
        nonlocal received
        received += 1
        if received >= expected:
            reached.set()

    path = f"{NAMESPACE}/configmaps?watch=1&fieldSelector=metadata.name%3Dwatched&resourceVersion="
    path = "/watch" if bare else path + str(await revision(folder, port))
    watchers = await asyncio.gather(
        *(
            loop.create_connection(lambda: Watcher(path, seen), "127.0.0.1", port, ssl=tls)
            for _ in range(WATCHERS)
        )
    )
    await asyncio.sleep(0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    taken = []
    for number in range(CHANGES):
        expected = received + WATCHERS
        reached.clear()
        begin = time.perf_counter()
        if bare:
            writer.write(request("POST", "/change", LABEL))
        else:
            body = {"metadata": {"labels": {"n": f"{number}-{time.time_ns()}"}}}
            patch = "application/merge-patch+json"
            writer.write(request("PATCH", f"{NAMESPACE}/configmaps/watched", body, patch))
        await asyncio.wait_for(reached.wait(), 10)
        taken.append(time.perf_counter() - begin)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
    for transport, _ in watchers:
        transport.close()
    writer.close()
    return 1 / statistics.median(taken), sorted(taken)[int(CHANGES * 0.99)] * 1000, CHANGES


async def revision(folder: Path, port: int) -> str:
    """The resourceVersion of the last change."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls_context(folder))
    writer.write(request("GET", f"{NAMESPACE}/configmaps?limit=1"))
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
    writer.close()
    return str(orjson.loads(body)["metadata"]["resourceVersion"])


def load_process(pipe: Any) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        while (job := pipe.recv()) != "stop":
            name, *arguments = job
            pipe.send(runner.run({"load": load, "fan_out": fan_out}[name](*arguments)))


# The comparison


@dataclass
class Result:
    rate: float
    p99: float
    cpu: float  # microseconds of the server's CPU for each request


def compare(run: Callable[[bool], Result], rounds: int) -> tuple[Result, Result]:
    """The median of each side, measured in turns so that a busy machine slows both."""
    results: dict[bool, list[Result]] = {True: [], False: []}
    for number in range(rounds):
        for bare in (True, False) if number % 2 else (False, True):
            results[bare].append(run(bare))

    def middle(found: list[Result]) -> Result:
        return sorted(found, key=lambda result: result.rate)[len(found) // 2]

    return middle(results[False]), middle(results[True])


TITLES = {
    "get:16": "GET a pod, 16 clients",
    "list:4": f"LIST {PODS} pods, 4",
    "pages:4": "the same, limit=50",
    "create:1": "CREATE ConfigMap 1 KB, 1",
    "create:32": "the same, 32",
    "patch:8": "PATCH a pod's label, 8",
    "watch": f"change to {WATCHERS} watchers",
}
"""What is measured, and by how many clients."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.8, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="one case: get, list, pages, create, patch or watch")
    options = parser.parse_args()
    context = mp.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        to_server, server_end = context.Pipe()
        to_load, load_end = context.Pipe()
        server = context.Process(target=server_process, args=(folder, server_end))
        client = context.Process(target=load_process, args=(load_end,))
        server.start()
        client.start()
        port, bare_port = to_server.recv()

        def cpu() -> float:
            to_server.send("cpu")
            return to_server.recv()

        def measure(job: tuple[Any, ...]) -> Result:
            before = cpu()
            to_load.send(job)
            rate, p99, number = to_load.recv()
            return Result(rate, p99, (cpu() - before) / number * 1e6)

        print(
            f"{'':28}{'req/s':>9}{'p99 ms':>9}{'CPU us':>9}{'bare/s':>10}{'p99 ms':>9}{'CPU us':>9}{'ratio':>8}"
        )
        for case, title in TITLES.items():
            if options.only not in ("", case.partition(":")[0]):
                continue

            def run(bare: bool, case: str = case) -> Result:
                place = Path(folder), bare_port if bare else port
                if case == "watch":
                    return measure(("fan_out", *place, bare))
                return measure(("load", *place, f"/{case}" if bare else case, options.seconds))

            ours, bare = compare(run, options.rounds)
            print(
                f"{title:28}{ours.rate:9.0f}{ours.p99:9.2f}{ours.cpu:9.0f}"
                f"{bare.rate:10.0f}{bare.p99:9.2f}{bare.cpu:9.0f}{ours.rate / bare.rate:8.2f}",
                flush=True,
            )
        to_load.send("stop")
        to_server.send("stop")
        client.join(10)
        server.join(10)


if __name__ == "__main__":
    main()
