"""What 200 pods with probes every second cost the kubelet: CPU of one process, the probed servers in another.

Half of the pods are probed by HTTP, half by TCP, each for readiness and so once a second; gRPC, which makes a
connection with HTTP/2 for each question, is measured apart. Limit: 10% of a core for the 200 of either.
"""

import asyncio
import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

import grpc
import grpc.aio
import uvloop

from minikube_py.aio.clock import SystemClock
from minikube_py.kubelet.prober.probes import PodProbes, Watcher
from minikube_py.runtime.base import Container, Streams
from minikube_py.runtime.proto import health_pb2 as health
from minikube_py.runtime.simulated import SimulatedRuntime

PODS, SECONDS, LIMIT = 200, 15.0, 0.10
SERVING = health.HealthCheckResponse(status=health.HealthCheckResponse.SERVING)


async def _serve(ready: Connection) -> None:
    """Answer HTTP, TCP and gRPC; tell the ports."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(4096):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()

    async def check(request: Any, context: Any) -> Any:
        return SERVING

    http = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512)
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        check, health.HealthCheckRequest.FromString, health.HealthCheckResponse.SerializeToString
    )
    handlers = {"Check": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ready.send((http.sockets[0].getsockname()[1], port))
    await http.serve_forever()


def _server(ready: Connection) -> None:
    uvloop.run(_serve(ready))


def _action(number: int, kind: str, ports: tuple[int, int]) -> dict[str, Any]:
    if kind == "grpc":
        return {"grpc": {"port": ports[1]}}
    return {"httpGet": {"port": ports[0]}} if number % 2 else {"tcpSocket": {"port": ports[0]}}


async def measure(kind: str, ports: tuple[int, int]) -> float:
    """The share of a core that the probes of all pods take."""
    clock = SystemClock()
    streams: Streams = SimulatedRuntime(clock).streams
    pods = []
    failures: list[str] = []
    watcher = Watcher(lambda: None, lambda spec, reason, message: failures.append(message))
    for number in range(PODS):
        spec = {"name": "main", "readinessProbe": {**_action(number, kind, ports), "periodSeconds": 1}}
        container = Container(f"c{number}", "s", "main", 0, "running", "", "", time.time(), time.time())
        probes = PodProbes(f"pod-{number}", streams, clock, watcher)
        probes.sync({container.id: (container, spec)}, "127.0.0.1", {})
        pods.append(probes)
        await asyncio.sleep(1 / PODS)
    await asyncio.sleep(1.5)
    cpu, wall = time.process_time(), time.monotonic()
    await asyncio.sleep(SECONDS)
    share = (time.process_time() - cpu) / (time.monotonic() - wall)
    ready = sum(pod.verdict(f"c{number}").ready for number, pod in enumerate(pods))
    for pod in pods:
        await pod.close()
    if ready < PODS or failures:
        raise SystemExit(f"{kind}: only {ready} of {PODS} pods are ready: {failures[:1]}")
    return share


async def _measure_all(ports: tuple[int, int]) -> dict[str, float]:
    return {kind: await measure(kind, ports) for kind in ("http and tcp", "grpc")}


def main() -> None:
    """Print the shares; exit with 1 where the limit does not hold."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_server, args=(theirs,), daemon=True)
    server.start()
    try:
        shares = uvloop.run(_measure_all(ours.recv()))
    finally:
        server.terminate()
        server.join()
    for kind, share in shares.items():
        print(f"{PODS} pods, {kind} probes every second: {100 * share:.1f}% of a core")
    if max(shares.values()) > LIMIT:
        raise SystemExit(f"the limit is {LIMIT:.0%} of a core")


if __name__ == "__main__":
    main()
