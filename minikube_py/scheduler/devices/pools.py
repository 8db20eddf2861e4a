"""The devices that a node can have, as drivers publish them in ResourceSlices. Pure.

A pool is what its newest generation says, and is used only once all of its slices are there.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from minikube_py.kinds.podspec.nodefit import matches_term
from minikube_py.meta.objects import Obj, dig


class DeviceId(NamedTuple):
    """What names a device in the cluster."""

    driver: str
    pool: str
    device: str


@dataclass(frozen=True)
class Device:
    """A device with the slice that offers it."""

    id: DeviceId
    spec: Obj
    place: Obj
    """The spec of its slice, which says on which nodes it is."""

    @cached_property
    def attributes(self) -> Mapping[str, Obj]:
        """Attributes by their full names; those without a domain are of the driver's."""
        return {self._full(name): value for name, value in (self.spec.get("attributes") or {}).items()}

    @cached_property
    def capacity(self) -> Mapping[str, str]:
        """Amounts by their full names."""
        return {self._full(n): str(v.get("value")) for n, v in (self.spec.get("capacity") or {}).items()}

    def _full(self, name: str) -> str:
        return name if "/" in name else f"{self.id.driver}/{name}"


@dataclass(frozen=True, slots=True)
class Pool:
    """The devices of one pool that a node reaches; of one that is not whole nobody gets any."""

    driver: str
    name: str
    whole: bool
    devices: tuple[Device, ...]


def pools_of(node: Obj, slices: Iterable[Obj]) -> list[Pool]:
    """The pools of which the node reaches a slice, in a stable order."""
    pools: dict[tuple[str, str], list[Obj]] = {}
    for found in slices:
        spec = found.get("spec") or {}
        if reaches(spec, node):
            pools.setdefault((spec.get("driver", ""), dig(spec, "pool.name", "")), []).append(spec)
    return [_pool(*key, pools[key]) for key in sorted(pools)]


def reaches(spec: Obj, node: Obj) -> bool:
    """Whether the devices of a slice can be used on the node."""
    if spec.get("nodeName"):
        return bool(spec["nodeName"] == node["metadata"]["name"])
    if spec.get("nodeSelector") is not None:
        return admits(spec["nodeSelector"], node)
    return bool(spec.get("allNodes"))


def admits(selector: Obj | None, node: Obj) -> bool:
    """Whether a NodeSelector, where there is one, selects the node."""
    return selector is None or any(matches_term(term, node) for term in selector.get("nodeSelectorTerms") or ())


def _pool(driver: str, name: str, specs: list[Obj]) -> Pool:
    newest = max(int(dig(spec, "pool.generation", 0) or 0) for spec in specs)
    current = [spec for spec in specs if int(dig(spec, "pool.generation", 0) or 0) == newest]
    devices = tuple(
        Device(DeviceId(driver, name, device["name"]), device, spec)
        for spec in current
        for device in spec.get("devices") or ()
    )
    complete = len(current) == dig(current[0], "pool.resourceSliceCount", 0)
    return Pool(driver, name, complete and len({d.id for d in devices}) == len(devices), devices)


def allocated_ids(allocation: Obj | None) -> Iterator[DeviceId]:
    """The devices that an allocation takes from others; administrators' access takes none."""
    for result in dig(allocation, "devices.results") or ():
        if not result.get("adminAccess"):
            yield DeviceId(result["driver"], result["pool"], result["device"])
