"""A pod as the scheduler sees it: what its spec asks for, computed once for all pods of one template.

Quantities are whole numbers: CPU in millicores, everything else in its unit. A `Shape` is what decides on one
node alone, `Terms` what looks at other pods; both are shared by the pods whose spec says the same, and hashed
by identity. Everything here is pure; a `PodReader` remembers, and belongs to one scheduler.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from minikube_py.kinds.podspec.totals import pod_requests
from minikube_py.meta.objects import Key, Obj, dig, is_deleting, key_of, labels_of, uid_of
from minikube_py.meta.quantity import int_value, milli_value
from minikube_py.scheduler.terms import NO_TERMS, Terms, read_terms

DEFAULT_CPU, DEFAULT_MEMORY = 100, 200 * 1024 * 1024
"""What scoring assumes of a container that asks for nothing (millicores, bytes), so that nodes fill evenly."""
REMEMBERED = 4096

HostPort = tuple[str, str, int]
"""(host address, protocol, port)"""
Group = tuple[str, frozenset[tuple[str, str]]]
"""A namespace and labels: what selectors look at."""


def amount(resource: str, quantity: str | int | float) -> int:
    """A quantity of a resource in the scheduler's unit."""
    return milli_value(quantity) if resource == "cpu" else int_value(quantity)


def amounts(quantities: Mapping[str, str] | None) -> dict[str, int]:
    """Quantities by resource in the scheduler's units."""
    return {resource: amount(resource, quantity) for resource, quantity in (quantities or {}).items()}


def requests_of(spec: Obj) -> dict[str, int]:
    """What a pod spec asks for in all, overhead included."""
    return amounts(pod_requests(spec))


def host_ports_of(spec: Obj) -> frozenset[HostPort]:
    """The host ports that a pod spec occupies; those of sidecars count, those of init steps do not."""
    sidecars = (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")
    return frozenset(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"]))
        for container in (*(spec.get("containers") or ()), *sidecars)
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What of a pod decides on one node alone."""

    requests: Mapping[str, int]
    scored_cpu: int
    scored_memory: int
    ports: frozenset[HostPort]

    @classmethod
    def of(cls, spec: Obj) -> "Shape":
        cpu = memory = 0
        for container in spec.get("containers") or ():
            wanted = dig(container, "resources.requests", {})
            cpu += amount("cpu", wanted["cpu"]) if "cpu" in wanted else DEFAULT_CPU
            memory += amount("memory", wanted["memory"]) if "memory" in wanted else DEFAULT_MEMORY
        requests = requests_of(spec)
        return cls(
            requests=requests,
            scored_cpu=max(cpu, requests.get("cpu", 0)),
            scored_memory=max(memory, requests.get("memory", 0)),
            ports=host_ports_of(spec),
        )


@dataclass(slots=True, eq=False)
class PodInfo:
    """A pod with what the scheduler computed of its template. `pod` may be replaced by a newer state of which
    only the status differs."""

    pod: Obj
    key: Key
    uid: str
    priority: int
    shape: Shape
    terms: Terms
    group: Group
    terminating: bool = False

    @classmethod
    def of(cls, pod: Obj) -> "PodInfo":
        """The info of one pod, nothing remembered; `pod` is shared and not changed."""
        return PodReader().read(pod)

    @property
    def spec(self) -> Obj:
        spec: Obj = self.pod["spec"]
        return spec

    @property
    def labels(self) -> dict[str, str]:
        return labels_of(self.pod)

    @property
    def requests(self) -> Mapping[str, int]:
        return self.shape.requests

    @property
    def ports(self) -> frozenset[HostPort]:
        return self.shape.ports

    @property
    def nominated(self) -> str:
        """The node that pods were evicted from for this one."""
        found: str = dig(self.pod, "status.nominatedNodeName", "")
        return found


@dataclass(slots=True)
class PodReader:
    """Makes PodInfos; pods with equal specs share one Shape, and with equal labels too one Terms."""

    _shapes: OrderedDict[bytes, Shape] = field(default_factory=OrderedDict)
    _terms: OrderedDict[bytes, Terms] = field(default_factory=OrderedDict)

    def read(self, pod: Obj) -> PodInfo:
        """The pod's info; `pod` is shared and not changed."""
        key, spec, labels = key_of(pod), pod.get("spec") or {}, labels_of(pod)
        return PodInfo(
            pod=pod,
            key=key,
            uid=uid_of(pod),
            priority=int(spec.get("priority") or 0),
            shape=self._shape(spec),
            terms=self._read_terms(spec, key.namespace, labels),
            group=(key.namespace, frozenset(labels.items())),
            terminating=is_deleting(pod),
        )

    def _shape(self, spec: Obj) -> Shape:
        identity = orjson.dumps(
            (
                [_of_container(c) for c in spec.get("containers") or ()],
                [_of_container(c) for c in spec.get("initContainers") or ()],
                spec.get("nodeSelector"),
                (spec.get("affinity") or {}).get("nodeAffinity"),
                spec.get("tolerations"),
                spec.get("resources"),
                spec.get("overhead"),
                spec.get("schedulerName"),  # what plugins say is kept by shape, and profiles differ
            )
        )
        shape = self._shapes.get(identity)
        if shape is None:
            shape = self._shapes[identity] = Shape.of(spec)
            if len(self._shapes) > REMEMBERED:
                self._shapes.popitem(last=False)
        return shape

    def _read_terms(self, spec: Obj, namespace: str, labels: Mapping[str, str]) -> Terms:
        affinity, spread = spec.get("affinity") or {}, spec.get("topologySpreadConstraints")
        if not spread and not affinity.get("podAffinity") and not affinity.get("podAntiAffinity"):
            return NO_TERMS
        selector, tolerations = spec.get("nodeSelector"), spec.get("tolerations")
        identity = orjson.dumps(
            (namespace, labels, affinity, spread, selector, tolerations), option=orjson.OPT_SORT_KEYS
        )
        terms = self._terms.get(identity)
        if terms is None:
            terms = self._terms[identity] = read_terms(spec, namespace, labels)
            if len(self._terms) > REMEMBERED:
                self._terms.popitem(last=False)
        return terms


def _of_container(container: Obj) -> tuple[object, ...]:
    return (
        container.get("image"),
        container.get("resources"),
        container.get("ports"),
        container.get("restartPolicy"),
    )
