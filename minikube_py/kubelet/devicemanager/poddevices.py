"""Who has which devices of device plugins, and which ones a pod is to get. Pure.

A container's devices are its limits of a plugin's resource. Init containers that end before the others start
hand their devices on; sidecars keep theirs. Source: Kubernetes, Device Plugins.
"""

from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field

from minikube_py.kubelet.plan import is_sidecar
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.quantity import int_value
from minikube_py.runtime.devices import Allocation, PluginDevice

Ids = frozenset[str]
NONE: Ids = frozenset()


class DevicesLacking(Exception):
    """The node cannot give a pod its devices; the message is Kubernetes' own."""


@dataclass(frozen=True, slots=True)
class Given:
    """The devices of one resource that a container has, and what comes with them."""

    devices: Ids
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class Known:
    """A resource as its plugin told of it last."""

    healthy: Ids = NONE
    unhealthy: Ids = NONE
    nodes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Device > the NUMA nodes that it is near to, where it is near to any."""


def known(devices: Collection[PluginDevice]) -> Known:
    """A plugin's list of devices."""
    return Known(
        frozenset(device.id for device in devices if device.healthy),
        frozenset(device.id for device in devices if not device.healthy),
        {device.id: device.nodes for device in devices if device.nodes},
    )


def gone(resource: Known) -> Known:
    """The same resource without its plugin: no device is healthy."""
    return Known(NONE, resource.healthy | resource.unhealthy, resource.nodes)


Pods = dict[str, dict[str, dict[str, Given]]]
"""By the pod's uid, the container's name and the resource."""


def allocated(pods: Pods, resource: str) -> Ids:
    """The devices of a resource that containers have."""
    return NONE.union(*(one.devices for _, _, name, one in entries(pods) if name == resource))


def entries(pods: Pods) -> Iterator[tuple[str, str, str, Given]]:
    """(pod's uid, container, resource, what it was given) of every allocation."""
    for uid, containers in pods.items():
        for container, resources in containers.items():
            for resource, given in resources.items():
                yield uid, container, resource, given


def wanted(container: Obj, governed: Set[str]) -> dict[str, int]:
    """How many devices of each of the resources `governed` a container asks for."""
    limits = dig(container, "resources.limits") or {}
    counts = {name: int_value(limits[name]) for name in sorted(limits) if name in governed}
    return {name: count for name, count in counts.items() if count}


def in_order(pod: Obj) -> Iterator[tuple[Obj, bool]]:
    """The pod's containers as they are given devices, each with whether it hands them on."""
    for container in pod["spec"].get("initContainers") or ():
        yield container, not is_sidecar(container)
    for container in pod["spec"]["containers"]:
        yield container, False


class Reusable:
    """The devices that a pod's init containers hand on, by resource."""

    def __init__(self) -> None:
        self._ids: dict[str, Ids] = {}

    def of(self, resource: str) -> Ids:
        """What can be used again."""
        return self._ids.get(resource, NONE)

    def note(self, taken: Mapping[str, Ids], *, on: bool) -> None:
        """A container has these devices; `on`: it hands them on, else it keeps them."""
        for resource, ids in taken.items():
            before = self.of(resource)
            self._ids[resource] = before | ids if on else before - ids


@dataclass(frozen=True, slots=True)
class Request:
    """How many devices of a resource a container asks for; `has` are those it has already, `reusable` those of
    its pod that it can share, `in_use` all that are taken."""

    resource: str
    count: int
    has: Ids | None
    reusable: Ids
    in_use: Ids

    def available(self, resource: Known) -> Ids:
        """The devices that are free."""
        return resource.healthy - self.in_use


def check(request: Request, resource: Known | None) -> int:
    """How many devices are still to be found. Errors: DevicesLacking."""
    has = request.has or NONE
    needed = request.count - len(has)
    if request.has is not None and needed:
        told = f"changed request for resource {request.resource} from {len(has)} to {request.count}"
        raise DevicesLacking(told)
    name = request.resource
    if resource is None:
        raise DevicesLacking(f"cannot allocate unregistered device {name}")
    if not resource.healthy:
        raise DevicesLacking(f"no healthy devices present; cannot allocate unhealthy devices {name}")
    if not has <= resource.healthy:
        lost = "previously allocated devices are no longer healthy"
        raise DevicesLacking(f"{lost}; cannot allocate unhealthy devices {name}")
    return needed


def first(request: Request) -> Ids:
    """The devices to begin with: those that an init container of the pod hands on."""
    return frozenset(sorted(request.reusable)[: request.count])


def complete(request: Request, resource: Known, begun: Ids, preferred: Set[str] = NONE) -> Ids:
    """`begun` with as many more devices as are asked for, the plugin's `preferred` ones before others.
    Errors: DevicesLacking."""
    needed = request.count - len(begun)
    free = request.available(resource)
    if len(free) < needed:
        counts = f"Requested: {needed}, Available: {len(free)}"
        raise DevicesLacking(f"requested number of devices unavailable for {request.resource}. {counts}")
    order = [*sorted(free & preferred), *sorted(free - preferred)]
    return begun | frozenset(order[:needed])


@dataclass(frozen=True, slots=True)
class Stock:
    """What the node has: `state` by resource; `governed` are the resources of device plugins, `in_use` the
    devices that others have."""

    state: Mapping[str, Known]
    governed: Set[str]
    in_use: Mapping[str, Ids]


def holding(pod: Obj, has: Mapping[str, Mapping[str, Given]], stock: Stock) -> dict[str, Ids]:
    """The devices that a pod would get now, by resource, with those that it `has` (by container).
    Errors: DevicesLacking."""
    reusable, held = Reusable(), dict[str, Ids]()
    for container, on in in_order(pod):
        mine, taken = has.get(container["name"]) or {}, dict[str, Ids]()
        for name, count in wanted(container, stock.governed).items():
            had = mine[name].devices if name in mine else None
            used = stock.in_use.get(name, NONE) | held.get(name, NONE)
            request = Request(name, count, had, reusable.of(name), used)
            resource = stock.state.get(name)
            lacks = check(request, resource)
            taken[name] = complete(request, resource, first(request)) if lacks and resource else had or NONE
            held[name] = held.get(name, NONE) | taken[name]
        reusable.note(taken, on=on)
    return held
