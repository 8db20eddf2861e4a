"""What the scheduler knows of the cluster: each node with its pods and what they ask for, kept incrementally.

Quantities are whole numbers: CPU in millicores, everything else in its unit. Nothing here waits or reads a
clock; the one owner is the scheduler's task.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from minikube_py.meta.objects import Key, Obj, dig, key_of, labels_of, name_of, uid_of
from minikube_py.meta.quantity import int_value, milli_value

DEFAULT_CPU, DEFAULT_MEMORY = 100, 200 * 1024 * 1024
"""What scoring assumes of a container that asks for nothing (millicores, bytes), so that nodes fill evenly."""

HostPort = tuple[str, str, int]
"""(host address, protocol, port)"""


def amount(resource: str, quantity: str | int | float) -> int:
    """A quantity of a resource in the snapshot's unit."""
    return milli_value(quantity) if resource == "cpu" else int_value(quantity)


def amounts(quantities: Mapping[str, str] | None) -> dict[str, int]:
    """Quantities by resource in the snapshot's units."""
    return {resource: amount(resource, quantity) for resource, quantity in (quantities or {}).items()}


def requests_of(spec: Obj) -> dict[str, int]:
    """What a pod spec asks for: the sum of its containers and sidecars, or the largest init step, plus
    overhead; pod-level requests stand above both (KEP-753, KEP-2837)."""
    total: Counter[str] = Counter()
    for container in spec.get("containers") or ():
        total.update(amounts(dig(container, "resources.requests")))
    sidecars: Counter[str] = Counter()
    largest: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        wanted = amounts(dig(container, "resources.requests"))
        if container.get("restartPolicy") == "Always":
            sidecars.update(wanted)
            step: Mapping[str, int] = sidecars
        else:
            step = {r: wanted.get(r, 0) + sidecars[r] for r in {*wanted, *sidecars}}
        largest = {r: max(largest.get(r, 0), step.get(r, 0)) for r in {*largest, *step}}
    total.update(sidecars)
    for resource, value in largest.items():
        total[resource] = max(total[resource], value)
    total |= Counter()
    result = dict(total) | amounts(dig(spec, "resources.requests"))
    for resource, value in amounts(spec.get("overhead")).items():
        result[resource] = result.get(resource, 0) + value
    return result


def host_ports_of(spec: Obj) -> frozenset[HostPort]:
    """The host ports that a pod spec occupies."""
    return frozenset(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"]))
        for container in spec.get("containers") or ()
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


@dataclass(slots=True, eq=False)
class PodInfo:
    """A pod with what the scheduler computed of it once."""

    pod: Obj
    key: Key
    uid: str
    priority: int
    requests: Mapping[str, int]
    scored_cpu: int
    scored_memory: int
    ports: frozenset[HostPort]

    @classmethod
    def of(cls, pod: Obj) -> "PodInfo":
        """The pod's info; `pod` is shared and not changed."""
        spec = pod.get("spec") or {}
        cpu = memory = 0
        for container in spec.get("containers") or ():
            wanted = dig(container, "resources.requests", {})
            cpu += amount("cpu", wanted["cpu"]) if "cpu" in wanted else DEFAULT_CPU
            memory += amount("memory", wanted["memory"]) if "memory" in wanted else DEFAULT_MEMORY
        requests = requests_of(spec)
        return cls(
            pod=pod,
            key=key_of(pod),
            uid=uid_of(pod),
            priority=int(spec.get("priority") or 0),
            requests=requests,
            scored_cpu=max(cpu, requests.get("cpu", 0)),
            scored_memory=max(memory, requests.get("memory", 0)),
            ports=host_ports_of(spec),
        )

    @property
    def spec(self) -> Obj:
        spec: Obj = self.pod["spec"]
        return spec


@dataclass(eq=False)
class NodeInfo:
    """A node with the pods on it and the sum of what they ask for."""

    node: Obj
    pods: dict[str, PodInfo] = field(default_factory=dict)
    requested: Counter[str] = field(default_factory=Counter)
    scored_cpu: int = 0
    scored_memory: int = 0
    ports: Counter[HostPort] = field(default_factory=Counter)

    def replace(self, node: Obj) -> None:
        """The node object has changed."""
        self.node = node
        for computed in ("name", "allocatable", "labels", "taints", "images"):
            self.__dict__.pop(computed, None)

    @cached_property
    def name(self) -> str:
        return name_of(self.node)

    @cached_property
    def labels(self) -> dict[str, str]:
        return labels_of(self.node)

    @cached_property
    def taints(self) -> list[Obj]:
        return dig(self.node, "spec.taints", [])

    @cached_property
    def allocatable(self) -> dict[str, int]:
        return amounts(dig(self.node, "status.allocatable"))

    @cached_property
    def images(self) -> dict[str, int]:
        """The size in bytes of each image at hand, by each of its names."""
        listed = dig(self.node, "status.images", [])
        return {name: int(i.get("sizeBytes") or 0) for i in listed for name in i.get("names") or ()}

    def add(self, pod: PodInfo) -> None:
        self.remove(pod.uid)
        self.pods[pod.uid] = pod
        self.requested.update(pod.requests)
        self.scored_cpu += pod.scored_cpu
        self.scored_memory += pod.scored_memory
        self.ports.update(pod.ports)

    def remove(self, uid: str) -> None:
        pod = self.pods.pop(uid, None)
        if pod is None:
            return
        self.requested.subtract(pod.requests)
        self.scored_cpu -= pod.scored_cpu
        self.scored_memory -= pod.scored_memory
        for port in pod.ports:
            self.ports[port] -= 1
            if not self.ports[port]:
                del self.ports[port]


class Snapshot:
    """All nodes by name, and where each pod is. Pods of nodes not known yet wait for them."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeInfo] = {}
        self._list: list[NodeInfo] | None = None
        self._places: dict[str, tuple[str, PodInfo]] = {}

    @property
    def nodes(self) -> list[NodeInfo]:
        """Every node, in a stable order."""
        if self._list is None:
            self._list = list(self._nodes.values())
        return self._list

    def __len__(self) -> int:
        return len(self._nodes)

    def node(self, name: str) -> NodeInfo | None:
        return self._nodes.get(name)

    def put_node(self, node: Obj) -> None:
        """A node was added or has changed."""
        name = name_of(node)
        if name in self._nodes:
            self._nodes[name].replace(node)
            return
        info = self._nodes[name] = NodeInfo(node)
        self._list = None
        for _, pod in self._pods_at(name):
            info.add(pod)

    def _pods_at(self, name: str) -> Iterator[tuple[str, PodInfo]]:
        return ((uid, pod) for uid, (place, pod) in self._places.items() if place == name)

    def remove_node(self, name: str) -> None:
        if self._nodes.pop(name, None):
            self._list = None

    def put_pod(self, pod: PodInfo, node: str) -> None:
        """A pod is on a node, or is assumed to be."""
        self.remove_pod(pod.uid)
        self._places[pod.uid] = (node, pod)
        if node in self._nodes:
            self._nodes[node].add(pod)

    def remove_pod(self, uid: str) -> bool:
        """The pod occupies nothing any more; whether it did."""
        place = self._places.pop(uid, None)
        if place and place[0] in self._nodes:
            self._nodes[place[0]].remove(uid)
        return place is not None
