"""Verbs of the registry in process, on the memory store: operations per second of one core.

Run: python benchmarks/registry.py
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from minikube_py.client.base import STRATEGIC_PATCH
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Key, Obj, copy
from minikube_py.registry.base import Context, ListOptions, Patch, WatchOptions
from minikube_py.testing.inprocess import local_cluster

PODS, WATCHERS = 3000, 100


def pod(name: str) -> Obj:
    """A pod of usual size."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web", "tier": "front"}},
        "spec": {
            "containers": [
                {
                    "name": "web",
                    "image": "registry.example/web:1.2.3",
                    "ports": [{"containerPort": 8080, "name": "http"}],
                    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                    "readinessProbe": {"httpGet": {"path": "/", "port": 8080}},
                }
            ]
        },
    }


async def timed(name: str, count: int, work: Callable[[int], Awaitable[object]]) -> None:
    """Print how often `work` is done in a second of CPU time (a busy machine does not count)."""
    start = time.process_time()
    for number in range(count):
        await work(number)
    spent = time.process_time() - start
    print(f"{name:<42}{count / spent:>12,.0f}/s {spent / count * 1e6:>10.1f} µs")


async def main() -> None:
    clients = await local_cluster()
    registry, client = clients.registry, clients.named("bench")
    context = Context(field_manager="bench")
    bodies = [pod(f"p-{number}") for number in range(PODS)]

    async def get(number: int) -> None:
        registry.get(Pod, "default", f"p-{number}")

    async def lists(number: int) -> None:
        registry.list(Pod, "", ListOptions())

    async def selected(number: int) -> None:
        registry.list(Pod, "", ListOptions(labels="app=web"))

    async def update(number: int) -> None:
        changed = copy(registry.decoded(registry.get(Pod, "default", f"p-{number}")))
        changed["metadata"]["labels"]["round"] = "1"
        await registry.update(Pod, "default", f"p-{number}", changed, context)

    async def status(number: int) -> None:
        changed = copy(registry.decoded(registry.get(Pod, "default", f"p-{number}")))
        changed["status"]["phase"] = "Running"
        await registry.update(Pod, "default", f"p-{number}", changed, context, "status")

    async def strategic(number: int) -> None:
        patch = Patch(STRATEGIC_PATCH, {"metadata": {"annotations": {"round": "2"}}})
        await registry.patch(Pod, "default", f"p-{number}", patch, context)

    await timed("create a pod", PODS, lambda n: registry.create(Pod, "default", bodies[n], context))
    await timed("get", PODS, get)
    await timed(f"list {PODS}", 200, lists)
    await timed(f"list {PODS} by label", 50, selected)
    await timed("update", PODS, update)
    await timed("update status", PODS, status)
    await timed("strategic patch", PODS, strategic)
    await timed("create by the local client", 1000, lambda n: client.create(Pod, pod(f"q-{n}")))

    watches = [
        registry.watch(Pod, "", WatchOptions(resource_version=str(registry.revision))) for _ in range(WATCHERS)
    ]

    async def fan_out(number: int) -> None:
        patch = Patch(STRATEGIC_PATCH, {"metadata": {"annotations": {"round": f"w{number}"}}})
        await registry.patch(Pod, "default", "p-1", patch, context)
        for watch in watches:
            await anext(watch)

    await timed(f"patch seen by {WATCHERS} watchers", 200, fan_out)
    for watch in watches:
        watch.close()
    await timed("delete", PODS, lambda n: client.delete(Pod, Key("default", f"p-{n}")))


if __name__ == "__main__":
    asyncio.run(main())
