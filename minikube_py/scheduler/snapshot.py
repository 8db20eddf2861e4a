"""What the scheduler knows of the cluster: each node with its pods and what they ask for, kept incrementally.

`objects` are the other kinds (claims, volumes, Services, budgets), read from the cache. What was computed of a
node and a shape stands in the node's `memo` until the node or its pods change. Nothing here waits or reads a
clock; the one owner is the scheduler's task.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Any, Protocol

from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.node import ZONE
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, dig, labels_of, name_of
from minikube_py.scheduler.podinfo import HostPort, PodInfo, amounts
from minikube_py.scheduler.tallies import Standing, Tallies, Tally
from minikube_py.scheduler.terms import Question

MEMOS = 64
"""Entries that a node's memo holds before it is cleared."""


class Objects(Protocol):
    """Reads of kinds that the snapshot does not keep; a client's cache is one."""

    def get(self, kind: Kind, key: Key) -> Obj | None:
        """The object, or None."""

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Obj]:
        """All objects of a kind, or those in `namespace`."""


class NoObjects:
    """An empty cluster's Objects."""

    def get(self, kind: Kind, key: Key) -> Obj | None:
        return None

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Obj]:
        return ()


@dataclass(eq=False)
class NodeInfo:
    """A node with the pods on it and the sum of what they ask for."""

    node: Obj
    pods: dict[str, PodInfo] = field(default_factory=dict)
    requested: dict[str, int] = field(default_factory=dict)
    scored_cpu: int = 0
    scored_memory: int = 0
    ports: Counter[HostPort] = field(default_factory=Counter)
    memo: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = name_of(self.node)

    def replace(self, node: Obj) -> None:
        """The node object has changed."""
        self.node = node
        self.memo = {}
        for computed in ("allocatable", "labels", "taints", "images"):
            self.__dict__.pop(computed, None)

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

    def remember(self, about: Any, found: Any) -> None:
        """Keep what was computed until the node changes."""
        if len(self.memo) >= MEMOS:
            self.memo.clear()
        self.memo[about] = found

    def add(self, pod: PodInfo) -> None:
        self.remove(pod.uid)
        self.memo = {}
        self.pods[pod.uid] = pod
        requested = self.requested
        for resource, wanted in pod.shape.requests.items():
            requested[resource] = requested.get(resource, 0) + wanted
        self.scored_cpu += pod.shape.scored_cpu
        self.scored_memory += pod.shape.scored_memory
        if pod.shape.ports:
            self.ports.update(pod.shape.ports)

    def remove(self, uid: str) -> None:
        pod = self.pods.pop(uid, None)
        if pod is None:
            return
        self.memo = {}
        for resource, wanted in pod.shape.requests.items():
            self.requested[resource] -= wanted
        self.scored_cpu -= pod.shape.scored_cpu
        self.scored_memory -= pod.shape.scored_memory
        for port in pod.shape.ports:
            self.ports[port] -= 1
            if not self.ports[port]:
                del self.ports[port]


def zone_of(labels: Mapping[str, str]) -> tuple[str, str]:
    """The region and the zone that a node's labels name."""
    return labels.get("topology.kubernetes.io/region", ""), labels.get(ZONE, "")


class Snapshot:
    """All nodes by name, and where each pod is. Pods of nodes not known yet wait for them."""

    def __init__(self, objects: Objects | None = None) -> None:
        self.objects: Objects = objects or NoObjects()
        self._nodes: dict[str, NodeInfo] = {}
        self._list: list[NodeInfo] | None = None
        self._turns: list[NodeInfo] | None = None
        self._places: dict[str, tuple[str, PodInfo]] = {}
        self._images: Counter[str] = Counter()
        self._tallies = Tallies(
            lambda: (info.node for info in self._nodes.values()),
            lambda: ((pod, node) for node, pod in self._places.values()),
            self.namespace_labels,
        )
        self.nominated: dict[str, dict[str, PodInfo]] = {}
        """By node, the pods for which others were evicted there, which are not placed yet."""
        self._nominations: dict[str, str] = {}
        self.reserved: dict[str, Key] = {}
        """By name, the volumes that are being bound, with the claim that each is for."""
        self.allocating: dict[Key, Obj] = {}
        """By claim on devices, the allocations that are being written."""

    @property
    def nodes(self) -> list[NodeInfo]:
        """Every node, in a stable order."""
        if self._list is None:
            self._list = list(self._nodes.values())
        return self._list

    @property
    def turns(self) -> list[NodeInfo]:
        """Every node, one of each zone in turn, so that any stretch of them is of all zones."""
        if self._turns is None:
            zones: dict[tuple[str, str], list[NodeInfo]] = {}
            for info in self._nodes.values():
                zones.setdefault(zone_of(info.labels), []).append(info)
            turns = zip_longest(*zones.values())
            self._turns = [info for turn in turns for info in turn if info is not None]
        return self._turns

    def __len__(self) -> int:
        return len(self._nodes)

    def node(self, name: str) -> NodeInfo | None:
        return self._nodes.get(name)

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        return labels_of(self.objects.get(Namespace, Key("", namespace)) or {})

    def tally(self, question: Question) -> Tally:
        """The live count that answers a question."""
        return self._tallies.ask(question)

    @property
    def standing(self) -> Standing:
        """The live (anti-)affinity terms of placed pods."""
        return self._tallies.standing()

    def forget_tallies(self) -> None:
        """Namespaces' labels are not what they were."""
        self._tallies.forget()

    def having_image(self, name: str) -> int:
        """How many nodes have an image."""
        return self._images[name]

    def put_node(self, node: Obj) -> None:
        """A node was added or has changed."""
        name = name_of(node)
        info = self._nodes.get(name)
        if info is not None:
            old = info.node
            self._count_images(info, -1)
            info.replace(node)
            self._count_images(info, 1)
            if zone_of(labels_of(old)) != zone_of(info.labels):
                self._turns = None
            if labels_of(old) != info.labels or dig(old, "spec.taints", []) != info.taints:
                self._tallies.node_changed(old, node)
            return
        info = self._nodes[name] = NodeInfo(node)
        self._list = self._turns = None
        self._count_images(info, 1)
        for pod in self._pods_at(name):
            info.add(pod)
        self._tallies.node_changed(None, node)

    def _count_images(self, info: NodeInfo, by: int) -> None:
        for image in info.images:
            self._images[image] += by
            if not self._images[image]:
                del self._images[image]

    def _pods_at(self, name: str) -> Iterator[PodInfo]:
        return (pod for place, pod in self._places.values() if place == name)

    def remove_node(self, name: str) -> None:
        info = self._nodes.pop(name, None)
        if info is not None:
            self._list = self._turns = None
            self._count_images(info, -1)
            self._tallies.node_changed(info.node, None)

    def put_pod(self, pod: PodInfo, node: str) -> None:
        """A pod is on a node, or is assumed to be."""
        self.remove_pod(pod.uid)
        self._places[pod.uid] = (node, pod)
        self._tallies.placed(pod, node, 1)
        info = self._nodes.get(node)
        if info is not None:
            info.add(pod)
            self._tallies.moved(pod, info.node, 1)

    def remove_pod(self, uid: str) -> str:
        """The pod occupies nothing any more; the name of the node that it did."""
        place = self._places.pop(uid, None)
        if place is None:
            return ""
        self._tallies.placed(place[1], place[0], -1)
        info = self._nodes.get(place[0])
        if info is not None:
            info.remove(uid)
            self._tallies.moved(place[1], info.node, -1)
        return place[0]

    def placed(self, uid: str) -> tuple[str, PodInfo] | None:
        """The pod with its node, where it is on one or assumed to be."""
        return self._places.get(uid)

    def nominate(self, pod: PodInfo, node: str) -> None:
        """Others give way to the pod on `node`; its room is kept from pods that are less urgent."""
        self.withdraw(pod.uid)
        self._nominations[pod.uid] = node
        self.nominated.setdefault(node, {})[pod.uid] = pod

    def nomination(self, uid: str) -> str:
        """The node that a pod is nominated to, or an empty text."""
        return self._nominations.get(uid, "")

    def withdraw(self, uid: str) -> None:
        """The pod is placed, gone, or nominated no more."""
        node = self._nominations.pop(uid, None)
        if node is not None:
            pods = self.nominated[node]
            del pods[uid]
            if not pods:
                del self.nominated[node]

    def nominated_before(self, pod: PodInfo, node: str) -> list[PodInfo]:
        """The pods nominated to the node that are not less urgent than `pod`, without itself."""
        pods: Iterable[PodInfo] = self.nominated.get(node, {}).values()
        return [other for other in pods if other.priority >= pod.priority and other.uid != pod.uid]
