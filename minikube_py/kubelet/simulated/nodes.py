"""The Node objects of simulated nodes: as `start` makes them, and as their kubelet would complete them.

Pure, but for `add_nodes` and `until_ready`.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from ipaddress import IPv4Network
from pathlib import Path

from minikube_py.aio.clock import Clock, within
from minikube_py.client.base import Change, Client
from minikube_py.errors import AlreadyExists
from minikube_py.kinds.core.node import SIMULATED, Node
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.eviction.thresholds import EvictionConfig
from minikube_py.kubelet.node.machine import ARCHITECTURES, Machine
from minikube_py.kubelet.node.node_status import Observation, node_labels, node_status, without_heartbeats
from minikube_py.meta.objects import Obj, condition_is, dig, labels_of, name_of, uid_of
from minikube_py.runtime.base import RuntimeInfo

GIB = 1024**3
CORES, MEMORY, DISK = 8, 32 * GIB, 100 * GIB
"""What a simulated node has where its object says nothing else, beside 110 pods."""
RANGE = IPv4Network("198.18.0.0/15")
"""Where addresses come from: those that RFC 2544 sets aside for benchmarks, which no network routes."""
AT_ONCE = 100
"""Nodes that are made at the same time."""


def machine_of(node: Obj, architecture: str) -> Machine:
    """The machine that the node would have."""
    uid = uid_of(node)
    return Machine(
        CORES,
        MEMORY,
        DISK,
        ARCHITECTURES.get(architecture, architecture),
        kernel="simulated",
        os_image="minikube-py simulated node",
        machine_id=uid.replace("-", ""),
        system_uuid=uid,
        boot_id=uid,
    )


def completed(node: Obj, address: str, machine: Machine, now: datetime) -> tuple[Obj, Obj | None]:
    """The labels that the node lacks, and its status (None: it is as it should be). What its maker says of its
    capacity, what is allocatable and its addresses stays."""
    name, old = name_of(node), node.get("status") or {}
    config = KubeletConfig(name, address, Path(), Path(), eviction=EvictionConfig(hard={}))
    labels = {k: v for k, v in node_labels(config, machine).items() if k not in labels_of(node)}
    seen = Observation(RuntimeInfo("simulated", "1.0.0"), (), frozenset(), now)
    status = node_status(config, machine, seen, old)
    status["capacity"] = _over(status["capacity"], old.get("capacity") or {})
    given = {**(old.get("capacity") or {}), **(old.get("allocatable") or {})}
    status["allocatable"] = _over(status["allocatable"], given)
    status["addresses"] = old.get("addresses") or status["addresses"]
    status["nodeInfo"] |= {k: v for k, v in (old.get("nodeInfo") or {}).items() if v}
    del status["images"]  # there are those that its maker names
    status = {**old, **status}
    return labels, None if without_heartbeats(status) == without_heartbeats(old) else status


def _over(defaults: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    return {**defaults, **said}


def node_name(number: int) -> str:
    """The name of the node number `number` (from 1) that `start --nodes N --simulate` makes."""
    return f"node-{number:04d}"


def simulated_node(number: int) -> Obj:
    """The Node number `number` (from 1) that `start --nodes N --simulate` makes."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node_name(number),
            "annotations": {SIMULATED: "true"},
            "labels": {SIMULATED: "true"},
        },
    }


async def add_nodes(client: Client, count: int) -> None:
    """Make the simulated nodes 1 ... `count` that are not there yet. Errors: ApiError."""
    for first in range(1, count + 1, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count + 1))
        await asyncio.gather(*(_add(client, simulated_node(number)) for number in numbers))


async def _add(client: Client, node: Obj) -> None:
    try:
        await client.create(Node, node)
    except AlreadyExists:
        return


async def until_ready(client: Client, clock: Clock, count: int, seconds: float) -> int:
    """Wait until the nodes 1 ... `count` are Ready, `seconds` at most; how many are."""
    missing, done = {node_name(number) for number in range(1, count + 1)}, asyncio.Event()

    def changed(change: Change) -> None:
        if condition_is(change.object, "Ready"):
            missing.discard(name_of(change.object))
        if not missing:
            done.set()

    stop = client.cache.subscribe(Node, changed)
    try:
        await within(clock, seconds, done.wait())
    except TimeoutError:  # a busy machine: they will be
        return count - len(missing)
    finally:
        stop()
    return count


def internal_ip(node: Obj) -> str:
    """The node's own address, empty where it has none yet."""
    addresses: list[Obj] = dig(node, "status.addresses") or []
    return next((a["address"] for a in addresses if a["type"] == "InternalIP"), "")
