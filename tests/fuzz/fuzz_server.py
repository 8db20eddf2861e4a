"""An API server in a process of its own, with objects to be fuzzed in it, that tells when its loop was held up.

A stall is measured as the loop's own CPU time between two turns, so that a busy machine makes none.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent / "apiserver"))
from api_cluster import Cluster, start, stop

from minikube_py import collect
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj

STALLS = "/fuzz/stalls"
"""Answers, as JSON, the worst CPU seconds that the loop spent between two turns since it was last asked."""
HEARTBEAT = 0.005
POD_SPEC = {"containers": [{"name": "c", "image": "busybox"}]}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD_SPEC}
WORKLOAD = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
SPECS: dict[str, Obj] = {
    "Pod": POD_SPEC,
    "Deployment": WORKLOAD,
    "ReplicaSet": WORKLOAD,
    "DaemonSet": WORKLOAD,
    "StatefulSet": WORKLOAD,
    "Service": {"ports": [{"port": 80}]},
    "Job": {"template": {"spec": POD_SPEC | {"restartPolicy": "Never"}}},
}
"""What objects need to be valid; other kinds are tried without a spec, and left out where that is refused."""


class Heart:
    """Measures how long the loop is busy without a turn."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def beat(self) -> None:
        """Measure until cancelled."""
        while True:
            before = time.thread_time()
            await asyncio.sleep(HEARTBEAT)
            self.worst = max(self.worst, time.thread_time() - before)

    async def tell(self) -> bytes:
        """The worst since the last call."""
        worst, self.worst = self.worst, 0.0
        return json.dumps(worst).encode()


def seed(kind: Kind) -> Obj:
    """An object of the kind named `fuzz`, as small as may be."""
    made: Obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "fuzz"}}
    return made | ({"spec": SPECS[kind.kind]} if kind.kind in SPECS else {})


async def fill(cluster: Cluster) -> None:
    """Create one object of every kind that can be made of so little."""
    admin = cluster.client("seeder", "system:masters")
    for kind in collect.values("minikube_py.kinds", Kind):
        if "create" in kind.verbs:
            await admin.post(kind.path("default" if kind.namespaced else ""), seed(kind))


async def serve(folder: Path, pipe: Any) -> None:
    """Serve until the pipe is closed at its other end."""
    heart = Heart()
    cluster, task = await start(folder, extra={STALLS: heart.tell})
    await fill(cluster)
    beating = asyncio.create_task(heart.beat())
    files = {user: str(cluster.kubeconfig(user, *groups)) for user, groups in USERS.items()}
    pipe.send({"url": cluster.url, "ca": str(cluster.authority.path), "kubeconfigs": files})
    await asyncio.to_thread(pipe.poll, None)
    beating.cancel()
    await stop(cluster, task)


USERS = {"admin": ("system:masters",), "weak": ()}


def main(folder: str, pipe: Any) -> None:
    """The process."""
    uvloop.run(serve(Path(folder), pipe))
