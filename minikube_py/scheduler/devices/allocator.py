"""Which devices a pod's claims get on one node: a search with ways back. Pure.

Requests are served in their order, each by the first devices that suit, in the order of the pools; where a
later request, or a constraint, cannot be met so, the next ones are tried, and of alternatives the next one.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from minikube_py.kinds.resource.claimspec import ALL
from minikube_py.meta.objects import Key, Obj, dig, key_of
from minikube_py.scheduler.devices.pools import Device, DeviceId, Pool
from minikube_py.scheduler.devices.selectors import SelectorFault, expressions_of, matches

MAX_RESULTS = 32
"""The greatest number of devices of one claim."""
MAX_STEPS = 20_000
"""Devices that are tried before a search is given up."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request, or one of its alternatives: its name, what means its devices, and how many (0: all)."""

    name: str
    device_class: Obj
    selectors: tuple[str, ...]
    count: int
    admin: bool | None = None


Request = tuple[int, tuple[Wanted, ...]]
"""The number of a claim, and its alternatives for one request."""


def requests_of(number: int, claim: Obj, classes: Mapping[str, Obj]) -> Iterator[Request]:
    """The requests of a claim, whose classes are all there."""
    for request in dig(claim, "spec.devices.requests") or ():
        if (exactly := request.get("exactly")) is not None:
            yield number, (_wanted(request["name"], exactly, classes),)
        elif alternatives := request.get("firstAvailable"):
            names = (f"{request['name']}/{one['name']}" for one in alternatives)
            yield number, tuple(_wanted(n, one, classes) for n, one in zip(names, alternatives, strict=True))


def _wanted(name: str, asked: Obj, classes: Mapping[str, Obj]) -> Wanted:
    found = classes[asked["deviceClassName"]]
    selectors = (*expressions_of(found.get("spec") or {}), *expressions_of(asked))
    count = 0 if asked.get("allocationMode") == ALL else int(asked.get("count") or 1)
    return Wanted(name, found, selectors, count, asked.get("adminAccess"))


@dataclass(slots=True)
class Search:
    """One search on one node. `taken` are the devices of other claims."""

    claims: Sequence[Obj]
    requests: Sequence[Request]
    pools: Sequence[Pool]
    taken: Collection[DeviceId]
    chosen: list[tuple[int, Wanted, Device]] = field(default_factory=list)
    steps: int = 0
    _meant: dict[tuple[tuple[str, ...], DeviceId], bool] = field(default_factory=dict)

    def allocate(self) -> list[Obj] | None:
        """The allocation of each claim, or None where the node has not what they ask for.
        Errors: SelectorFault."""
        if not self._serve(0):
            return None
        return [self._allocation(number, claim) for number, claim in enumerate(self.claims)]

    def _serve(self, at: int) -> bool:
        if at == len(self.requests):
            return True
        number, alternatives = self.requests[at]
        before = len(self.chosen)
        for wanted in alternatives:
            served = self._all(at, number, wanted) if not wanted.count else self._some(at, number, wanted)
            if served:
                return True
            del self.chosen[before:]
        return False

    def _all(self, at: int, number: int, wanted: Wanted) -> bool:
        """Every device that is meant; none may be missing."""
        if not all(pool.whole for pool in self.pools):
            return False
        meant = [d for pool in self.pools for d in pool.devices if self._means(wanted, d, number)]
        if not meant or not all(self._take(number, wanted, device) for device in meant):
            return False
        return self._serve(at + 1)

    def _some(self, at: int, number: int, wanted: Wanted) -> bool:
        devices = [d for pool in self.pools if pool.whole for d in pool.devices]
        return self._pick(at, number, wanted, devices, wanted.count)

    def _pick(self, at: int, number: int, wanted: Wanted, devices: list[Device], left: int) -> bool:
        if not left:
            return self._serve(at + 1)
        for index, device in enumerate(devices):
            self.steps += 1
            if self.steps > MAX_STEPS:
                return False
            before = len(self.chosen)
            if not self._means(wanted, device, number) or not self._take(number, wanted, device):
                continue
            if self._pick(at, number, wanted, devices[index + 1 :], left - 1):
                return True
            del self.chosen[before:]
        return False

    def _means(self, wanted: Wanted, device: Device, number: int) -> bool:
        known = self._meant.get((wanted.selectors, device.id))
        if known is None:
            known = True
            for place, selector in enumerate(wanted.selectors):
                try:
                    known = known and matches(device, selector)
                except SelectorFault as fault:
                    claim = key_of(self.claims[number])
                    raise SelectorFault(f"claim {claim}: selector #{place}: {fault}") from fault
            self._meant[wanted.selectors, device.id] = known
        return known

    def _take(self, number: int, wanted: Wanted, device: Device) -> bool:
        """Take a device, if it is free and the claim's constraints allow it."""
        mine = [(other, d) for n, other, d in self.chosen if n == number]
        if len(mine) >= MAX_RESULTS or not self._allowed(number, wanted, device, mine):
            return False
        if not wanted.admin:
            if device.id in self.taken:
                return False
            if any(d.id == device.id and not other.admin for _, other, d in self.chosen):
                return False
        self.chosen.append((number, wanted, device))
        return True

    def _allowed(
        self, number: int, wanted: Wanted, device: Device, mine: Sequence[tuple[Wanted, Device]]
    ) -> bool:
        for constraint in dig(self.claims[number], "spec.devices.constraints") or ():
            names, attribute = constraint.get("requests") or (), constraint.get("matchAttribute")
            if not _is_meant(wanted, names) or not attribute:
                continue
            value = device.attributes.get(attribute)
            others = [d.attributes.get(attribute) for other, d in mine if _is_meant(other, names)]
            if value is None or any(other != value for other in others):
                return False
        return True

    def _allocation(self, number: int, claim: Obj) -> Obj:
        mine = [(wanted, device) for n, wanted, device in self.chosen if n == number]
        devices: Obj = {"results": [_result(wanted, device) for wanted, device in mine]}
        if config := _configuration(claim, [wanted for wanted, _ in mine]):
            devices["config"] = config
        selector = _node_selector([device for _, device in mine])
        return {"devices": devices} | ({"nodeSelector": selector} if selector else {})


def _is_meant(wanted: Wanted, names: Collection[str]) -> bool:
    """Whether a list of requests, or of alternatives, means a request; none means all."""
    return not names or wanted.name in names or wanted.name.partition("/")[0] in names


def _result(wanted: Wanted, device: Device) -> Obj:
    admin = {"adminAccess": wanted.admin} if wanted.admin is not None else {}
    return {"request": wanted.name, **device.id._asdict(), **admin}


def _configuration(claim: Obj, chosen: Sequence[Wanted]) -> list[Obj]:
    """What drivers are told: first what the classes say, then what the claim says."""
    asked = {wanted.name: wanted for wanted in chosen}.values()
    by_class = [
        {"source": "FromClass", **one}
        for wanted in asked
        for one in dig(wanted.device_class, "spec.config") or ()
    ]
    by_claim = [
        {"source": "FromClaim", **one}
        for one in dig(claim, "spec.devices.config") or ()
        if any(_is_meant(wanted, one.get("requests") or ()) for wanted in asked)
    ]
    return by_class + by_claim


def _node_selector(devices: Sequence[Device]) -> Obj | None:
    """Where all of the devices can be used; None where that is everywhere."""
    places = [device.place for device in devices]
    for place in places:
        if name := place.get("nodeName"):
            field = {"key": "metadata.name", "operator": "In", "values": [name]}
            return {"nodeSelectorTerms": [{"matchFields": [field]}]}
    term: dict[str, list[Obj]] = {}
    for place in places:
        for found in dig(place, "nodeSelector.nodeSelectorTerms") or ():
            for part in ("matchExpressions", "matchFields"):
                for one in found.get(part) or ():
                    if one not in term.setdefault(part, []):
                        term[part].append(one)
    kept = {part: ones for part, ones in term.items() if ones}
    return {"nodeSelectorTerms": [kept]} if kept else None


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """What is to be written for a pod's claims: the allocations of those that had none, and the keys of all
    that are to be reserved for the pod."""

    fresh: Mapping[Key, Obj] = field(default_factory=dict)
    claims: tuple[Key, ...] = ()
