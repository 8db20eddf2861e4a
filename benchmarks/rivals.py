"""The sides of pods.py: pods by bare CRI calls, and pods by the API as a client outside sees them.

Has no main. A pod by bare CRI is what the calls take with nothing else around them: RunPodSandbox,
CreateContainer and StartContainer for the pod that Kubernetes asks for (cgroup, log, seccomp profile, mounts,
environment); StopContainer, StopPodSandbox and RemovePodSandbox to be rid of it.
"""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from cluster import IMAGE, OwnCluster

from minikube_py.meta.objects import dig
from minikube_py.runtime.base import (
    ContainerConfig,
    Mount,
    Resources,
    Runtime,
    RuntimeFailed,
    RuntimeNotFound,
    SandboxConfig,
)
from minikube_py.runtime.containerd import Containerd

COMMAND = ("/bin/busybox", "sh", "-c", "trap 'exit 0' TERM; while true; do sleep 3600 & wait $!; done")
"""Waits, and ends at SIGTERM."""
PODS = "/api/v1/namespaces/default/pods"
CONNECTIONS = 6  # of the client, one for its watch; each costs the server memory, and a handshake
LOOK = 0.004  # seconds between two questions whether a sandbox is gone
_numbers = itertools.count()


@dataclass(frozen=True)
class Bare:
    """Pods by bare CRI calls: with this image, below this cgroup, in this folder."""

    runtime: Runtime
    image: str
    cgroup: str
    folder: Path

    def configs(self, name: str) -> tuple[SandboxConfig, ContainerConfig]:
        """A pod of one container that waits."""
        own = self.folder / name
        (own / "token").mkdir(parents=True)
        for file in ("hosts", "message"):
            (own / file).touch()
        mounts = (
            Mount(str(own / "hosts"), "/etc/hosts"),
            Mount(str(own / "message"), "/dev/termination-log"),
            Mount(str(own / "token"), "/var/run/secrets/kubernetes.io/serviceaccount", read_only=True),
        )
        sandbox = SandboxConfig(
            name=name,
            namespace="default",
            uid="",  # the kubelet takes it for no pod that it should know
            hostname=name,
            dns_servers=("10.96.0.10",),
            cgroup_parent=f"{self.cgroup}/{name}",
            seccomp="RuntimeDefault",
            log_directory=str(own),
        )
        container = ContainerConfig(
            name="main",
            image=self.image,
            command=COMMAND,
            resources=Resources(cpu_shares=2),
            log_path="main.log",
            mounts=mounts,
            env=[(f"KUBERNETES_SERVICE_{number}", "10.96.0.1") for number in range(7)],
        )
        return sandbox, container

    async def pods(self, count: int) -> tuple[float, float]:
        """Seconds until `count` pods begun at once all run, and until all are gone again."""
        configs = [self.configs(f"bare-{next(_numbers)}") for _ in range(count)]
        begin = time.perf_counter()
        made = await asyncio.gather(*(self._make(*pair) for pair in configs))
        running = time.perf_counter()
        await asyncio.gather(*(self._end(*ids) for ids in made))
        return running - begin, time.perf_counter() - running

    async def _make(self, sandbox: SandboxConfig, container: ContainerConfig) -> tuple[str, str]:
        sandbox_id = await self.runtime.sandboxes.run(sandbox)
        id = await self.runtime.containers.create(sandbox_id, container, sandbox)
        await self.runtime.containers.start(id)
        return sandbox_id, id

    async def _end(self, sandbox: str, container: str) -> None:
        await self.runtime.containers.stop(container, 0)
        await self.runtime.sandboxes.stop(sandbox)
        await self.runtime.sandboxes.remove(sandbox)


@dataclass
class Watcher:
    """A client of the API server that creates pods and watches them, over TLS."""

    session: aiohttp.ClientSession
    server: str
    runtime: Runtime
    seen: dict[str, dict[str, float]] = field(default_factory=dict)
    """Pod > moment (assigned, running, ended, gone) > when it was seen, by time.time()."""
    ids: dict[str, str] = field(default_factory=dict)
    """Pod > the id of its container, once it was seen."""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def watch(self) -> None:
        """Note when each pod was first seen assigned, Running, ended and gone, until cancelled."""
        async with self.session.get(f"{self.server}{PODS}?watch=true", timeout=None) as answer:
            async for line in answer.content:
                await self._note(json.loads(line), time.time())

    async def _note(self, event: dict[str, Any], now: float) -> None:
        pod = event["object"]
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        moments = self.seen.setdefault(name, {})
        container: dict[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
        if id := container.get("containerID"):
            self.ids[name] = id.rpartition("/")[2]
        for moment, holds in (
            ("assigned", dig(pod, "spec.nodeName")),
            ("running", status.get("phase") == "Running"),
            ("ended", dig(container, "state.terminated")),
            ("gone", event["type"] == "DELETED"),
        ):
            if holds:
                moments.setdefault(moment, now)
        async with self.changed:
            self.changed.notify_all()

    async def until(self, names: Sequence[str], moment: str) -> float:
        """When the last of the pods was seen so. Errors: TimeoutError."""
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(lambda: all(moment in self.seen.get(name, ()) for name in names))
        return max(self.seen[name][moment] for name in names)

    async def create(self, count: int, command: Sequence[str] = COMMAND) -> tuple[list[str], float]:
        """Create `count` pods at once; their names, and the seconds until all were seen Running."""
        names = [f"pod-{next(_numbers)}" for _ in range(count)]
        begin = time.time()
        await asyncio.gather(*(self._post(name, command) for name in names))
        return names, await self.until(names, "running") - begin

    async def pods(self, count: int) -> tuple[float, float]:
        """Seconds until `count` pods created at once are all Running, and until all are gone again."""
        names, made = await self.create(count)
        return made, await self.delete(names, 0)

    async def delete(self, names: Sequence[str], grace: int) -> float:
        """Delete pods at once with this grace; seconds until their objects and their sandboxes are gone."""
        held = {sandbox.name: sandbox.id for sandbox in await self.runtime.sandboxes.list()}
        begin = time.time()
        await asyncio.gather(*(self._delete(name, grace) for name in names))
        gone = await self.until(names, "gone")
        await asyncio.gather(*(self._removed(held[name]) for name in names if name in held))
        return max(gone, time.time()) - begin

    async def _removed(self, sandbox: str) -> None:
        with contextlib.suppress(RuntimeNotFound):
            for look in itertools.count():
                await asyncio.sleep(LOOK if look else 0)
                try:
                    await self.runtime.sandboxes.status(sandbox)
                except RuntimeNotFound:
                    raise
                except RuntimeFailed:
                    continue  # its network has gone, it has not yet

    async def _delete(self, name: str, grace: int) -> None:
        url = f"{self.server}{PODS}/{name}?gracePeriodSeconds={grace}"
        async with self.session.delete(url) as answer:
            answer.raise_for_status()

    async def _post(self, name: str, command: Sequence[str]) -> None:
        container = {"name": "main", "image": IMAGE, "command": command}
        spec = {"containers": [container], "restartPolicy": "Never"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        async with self.session.post(self.server + PODS, json=pod) as answer:
            answer.raise_for_status()


@dataclass(frozen=True)
class Sides:
    """Both sides on one cluster and its containerd."""

    bare: Bare
    watcher: Watcher


@contextlib.asynccontextmanager
async def sides(cluster: OwnCluster) -> AsyncIterator[Sides]:
    """The sides, the watcher watching."""
    runtime = await Containerd.connect(cluster.profile.containerd_socket)
    image = next(i.id for i in await runtime.images.list() if any(tag.endswith(f"/{IMAGE}") for tag in i.tags))
    bare = Bare(runtime, image, f"{cluster.profile.cgroup_root}/bare", cluster.home / "bare")
    connector = aiohttp.TCPConnector(ssl=cluster.tls(), limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        watcher = Watcher(session, f"https://127.0.0.1:{cluster.network.api_port}", runtime)
        watching = asyncio.create_task(watcher.watch())
        yield Sides(bare, watcher)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    await runtime.close()
