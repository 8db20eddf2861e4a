"""Pod create until a watcher sees it Running, beside bare CRI calls on the same containerd in the same run.

The cluster's side is a client outside: POST and watch over HTTPS; the clock runs from the request until the
event with phase Running has been read. It is an ordinary pod, with a service account's token mounted.

The limit is what RunPodSandbox, CreateContainer and StartContainer take when called one after the other, with
nothing else: for the same pod (the sandbox's seccomp profile, log, mounts and environment that Kubernetes asks
for), and for the least that CRI takes. The sides alternate with the same image on the same containerd, and
removal is not counted. Limits, for the same pod: one pod 1.3 times the bare calls, 20 pods at once 1.2 times
20 by bare CRI at once.
"""

import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from cluster import IMAGE, OwnCluster, need_root, started

from minikube_py.meta.objects import dig
from minikube_py.runtime.base import ContainerConfig, Mount, Resources, Runtime, SandboxConfig
from minikube_py.runtime.containerd import Containerd

ROUNDS, CROWDS, CROWD = 12, 6, 20
SETTLE = 1.0
"""Seconds between two measurements: the kernel takes down network namespaces in its own time."""
LIMIT_ONE, LIMIT_CROWD = 1.3, 1.2
COMMAND = ("/bin/busybox", "sleep", "3600")
PODS = "/api/v1/namespaces/default/pods"
_numbers = itertools.count()


@dataclass(frozen=True)
class Bare:
    """Pods by bare CRI calls: with this image, below this cgroup, in this folder (None: the least of a pod)."""

    runtime: Runtime
    image: str
    cgroup: str
    folder: Path | None

    def configs(self, name: str) -> tuple[SandboxConfig, ContainerConfig]:
        """A pod of one container that sleeps."""
        sandbox = SandboxConfig(
            name=name,
            namespace="default",
            uid=name,
            hostname=name,
            dns_servers=("10.96.0.10",),
            cgroup_parent=f"{self.cgroup}/{name}",
        )
        least = ContainerConfig(
            name="main", image=self.image, command=COMMAND, resources=Resources(cpu_shares=2)
        )
        if self.folder is None:
            return sandbox, least
        own = self.folder / name
        (own / "token").mkdir(parents=True)
        for file in ("hosts", "message"):
            (own / file).touch()
        mounts = (
            Mount(str(own / "hosts"), "/etc/hosts"),
            Mount(str(own / "message"), "/dev/termination-log"),
            Mount(str(own / "token"), "/var/run/secrets/kubernetes.io/serviceaccount", read_only=True),
        )
        env = [(f"KUBERNETES_SERVICE_{number}", "10.96.0.1") for number in range(7)]
        return (
            replace(sandbox, seccomp="RuntimeDefault", log_directory=str(own)),
            replace(least, log_path="main.log", mounts=mounts, env=env),
        )


async def bare_cri_pod(bare: Bare) -> tuple[str, dict[str, float]]:
    """Start one pod; its sandbox id and the seconds that each call took."""
    runtime = bare.runtime
    sandbox, container = bare.configs(f"bare-{next(_numbers)}")
    marks = [time.perf_counter()]
    sandbox_id = await runtime.sandboxes.run(sandbox)
    marks.append(time.perf_counter())
    id = await runtime.containers.create(sandbox_id, container, sandbox)
    marks.append(time.perf_counter())
    await runtime.containers.start(id)
    marks.append(time.perf_counter())
    steps = ("RunPodSandbox", "CreateContainer", "StartContainer")
    return sandbox_id, dict(zip(steps, (b - a for a, b in itertools.pairwise(marks)), strict=True))


async def bare_cri(bare: Bare, pods: int) -> tuple[float, dict[str, float]]:
    """Seconds until `pods` pods started at once all run, and the calls of the first; removed afterwards."""
    begin = time.perf_counter()
    made = await asyncio.gather(*(bare_cri_pod(bare) for _ in range(pods)))
    seconds = time.perf_counter() - begin
    ids = [id for id, _ in made]
    await asyncio.gather(*(bare.runtime.sandboxes.stop(id) for id in ids))
    await asyncio.gather(*(bare.runtime.sandboxes.remove(id) for id in ids))
    return seconds, made[0][1]


@dataclass
class Watcher:
    """A client of the API server that creates pods and watches them, over TLS."""

    session: aiohttp.ClientSession
    server: str
    seen: dict[str, dict[str, float]] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def watch(self) -> None:
        """Note when each pod was first seen assigned, Running and gone, until cancelled."""
        async with self.session.get(f"{self.server}{PODS}?watch=true", timeout=None) as answer:
            async for line in answer.content:
                await self._note(json.loads(line))

    async def _note(self, event: dict[str, Any]) -> None:
        pod, now = event["object"], time.perf_counter()
        moments = self.seen.setdefault(pod["metadata"]["name"], {})
        if dig(pod, "spec.nodeName"):
            moments.setdefault("assigned", now)
        if dig(pod, "status.phase") == "Running":
            moments.setdefault("running", now)
        if event["type"] == "DELETED":
            moments.setdefault("gone", now)
        async with self.changed:
            self.changed.notify_all()

    async def until(self, names: Sequence[str], moment: str) -> float:
        """When the last of the pods was seen so. Errors: TimeoutError."""
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(lambda: all(moment in self.seen.get(name, ()) for name in names))
        return max(self.seen[name][moment] for name in names)

    async def pods(self, count: int) -> tuple[float, dict[str, float]]:
        """Seconds until `count` pods created at once are all Running, and the moments of the first; they are
        deleted afterwards (with grace: their objects go once nothing of them is left on the node)."""
        names = [f"pod-{next(_numbers)}" for _ in range(count)]
        begin = time.perf_counter()
        await asyncio.gather(*(self._post(name) for name in names))
        answered = time.perf_counter()
        end = await self.until(names, "running")
        first = self.seen[names[0]]
        steps = {"POST answered": answered - begin, "assigned": first["assigned"] - begin}
        for name in names:
            async with self.session.delete(f"{self.server}{PODS}/{name}") as answer:
                answer.raise_for_status()
        await self.until(names, "gone")
        return end - begin, steps

    async def _post(self, name: str) -> None:
        container = {"name": "main", "image": IMAGE, "command": COMMAND}
        spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        async with self.session.post(self.server + PODS, json=pod) as answer:
            answer.raise_for_status()


@dataclass
class Rounds:
    """What alternating rounds have measured: seconds of each side, and of its steps."""

    ours: list[float] = field(default_factory=list)
    same: list[float] = field(default_factory=list)
    least: list[float] = field(default_factory=list)
    steps: dict[str, list[float]] = field(default_factory=dict)

    def note(self, steps: dict[str, float]) -> None:
        for name, seconds in steps.items():
            self.steps.setdefault(name, []).append(seconds)

    def ratio(self, limit: list[float]) -> float:
        return statistics.median(self.ours) / statistics.median(limit)


async def alternate(watcher: Watcher, runtime: Runtime, cluster: OwnCluster, pods: int, rounds: int) -> Rounds:
    """Measure the sides in turn; the first round warms and does not count."""
    image = next(i.id for i in await runtime.images.list() if any(tag.endswith(f"/{IMAGE}") for tag in i.tags))
    cgroup = f"{cluster.profile.cgroup_root}/bare"
    found = Rounds()
    sides = ["least", "ours", "same"]
    for number in range(rounds + 1):
        for side in sides:
            if side == "ours":
                spent, steps = await watcher.pods(pods)
            else:
                folder = cluster.home / "bare" if side == "same" else None
                spent, steps = await bare_cri(Bare(runtime, image, cgroup, folder), pods)
            if number:
                getattr(found, side).append(spent)
                found.note({f"{step} ({side})": seconds for step, seconds in steps.items()})
            await asyncio.sleep(SETTLE)
        sides.append(sides.pop(0))  # so that no side always comes first
    return found


def quantiles(seconds: Sequence[float]) -> str:
    """p50 and the range, in ms."""
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    return f"{middle * 1000:.0f} ({low * 1000:.0f}-{high * 1000:.0f})"


def row(title: str, rounds: Rounds, limit: float) -> None:
    """One line of the table."""
    same = f"{quantiles(rounds.same)} | {rounds.ratio(rounds.same):.2f} | {limit:g}"
    least = f"{quantiles(rounds.least)} | {rounds.ratio(rounds.least):.2f}"
    print(f"| {title} | {quantiles(rounds.ours)} | {same} | {least} |")


async def measure(cluster: OwnCluster) -> None:
    """Measure and print the table."""
    runtime = await Containerd.connect(cluster.profile.containerd_socket)
    connector = aiohttp.TCPConnector(ssl=cluster.tls(), limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        watcher = Watcher(session, f"https://127.0.0.1:{cluster.network.api_port}")
        watching = asyncio.create_task(watcher.watch())
        one = await alternate(watcher, runtime, cluster, 1, ROUNDS)
        crowd = await alternate(watcher, runtime, cluster, CROWD, CROWDS)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    await runtime.close()
    print("ms, median (range); create until Running is seen by a watcher over HTTPS, beside bare CRI calls")
    print("| | minikube-py | bare CRI, the same pod | ratio | limit | bare CRI, the least | ratio |")
    print("|---|---|---|---|---|---|---|")
    row("one pod", one, LIMIT_ONE)
    row(f"{CROWD} pods at once", crowd, LIMIT_CROWD)
    print("\n| one pod, by step | ms |")
    print("|---|---|")
    for name, seconds in sorted(one.steps.items(), key=lambda item: item[0].rpartition("(")[2]):
        print(f"| {name} | {quantiles(seconds)} |")


def main() -> None:
    """Run on a cluster of its own."""
    need_root()
    with started() as cluster:
        uvloop.run(measure(cluster))


if __name__ == "__main__":
    main()
