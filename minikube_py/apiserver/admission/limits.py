"""What a LimitRange says of pods and claims: the defaults it gives, and the amounts it refuses. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from minikube_py.kinds.podspec.totals import pod_limits, pod_requests
from minikube_py.meta.amounts import Given
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.quantity import canonical, parse_quantity

ANNOTATION = "kubernetes.io/limit-ranger"
CONTAINER, POD, CLAIM = "Container", "Pod", "PersistentVolumeClaim"
_CONTAINERS = (("containers", "container"), ("initContainers", "init container"))


def limits_of(limit_range: Obj, *types: str) -> Iterator[Obj]:
    """The entries of a LimitRange of the given types, in order."""
    for item in dig(limit_range, "spec.limits") or ():
        if item.get("type") in types:
            yield item


def give_defaults(limit_range: Obj, pod: Obj) -> None:
    """Give the pod's containers, in place, the requests and limits that they lack, and note it on the pod."""
    requests: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for item in limits_of(limit_range, CONTAINER):
        requests |= item.get("defaultRequest") or {}
        limits |= item.get("default") or {}
    told: list[str] = []
    for field, word in _CONTAINERS:
        for container in (pod.get("spec") or {}).get(field) or ():
            for side, given in (("requests", requests), ("limits", limits)):
                if added := _complete(container, side, given):
                    told.append(f"{', '.join(added)} {side[:-1]} for {word} {container.get('name', '')}")
    if told:
        annotations = pod["metadata"].get("annotations") or {}
        pod["metadata"]["annotations"] = annotations | {
            ANNOTATION: f"LimitRanger plugin set: {'; '.join(told)}"
        }


def _complete(container: Obj, side: str, given: Mapping[str, Any]) -> list[str]:
    resources = container.get("resources") or {}
    said = resources.get(side) or {}
    added = sorted(given.keys() - said.keys())
    if added:
        container["resources"] = {**resources, side: {**said, **{name: given[name] for name in added}}}
    return added


def pod_faults(limit_range: Obj, pod: Obj) -> Iterator[str]:
    """What the LimitRange refuses of a pod."""
    spec = pod.get("spec") or {}
    for item in limits_of(limit_range, CONTAINER, POD):
        if item["type"] == POD:
            yield from _faults(item, pod_requests(spec), pod_limits(spec))
            continue
        for field, _ in _CONTAINERS:
            for container in spec.get(field) or ():
                resources = container.get("resources") or {}
                yield from _faults(item, resources.get("requests") or {}, resources.get("limits") or {})


def claim_faults(limit_range: Obj, claim: Obj) -> Iterator[str]:
    """What the LimitRange refuses of a PersistentVolumeClaim: it may say only what is requested."""
    requests = dig(claim, "spec.resources.requests") or {}
    for item in limits_of(limit_range, CLAIM):
        for name, least in sorted((item.get("min") or {}).items()):
            yield from _too_little(CLAIM, name, least, (("request", requests.get(name)),))
        for name, most in sorted((item.get("max") or {}).items()):
            yield from _too_much(CLAIM, name, most, (("request", requests.get(name)),))


def _faults(item: Obj, requests: Given, limits: Given) -> Iterable[str]:
    kind = item["type"]
    for name, least in sorted((item.get("min") or {}).items()):
        yield from _too_little(
            kind, name, least, (("request", requests.get(name)), ("limit", limits.get(name)))
        )
    for name, most in sorted((item.get("max") or {}).items()):
        yield from _too_much(kind, name, most, (("limit", limits.get(name)), ("request", requests.get(name))))
    for name, ratio in sorted((item.get("maxLimitRequestRatio") or {}).items()):
        yield from _too_wide(kind, name, ratio, requests.get(name), limits.get(name))


Said = tuple[tuple[str, Any], ...]
"""The word and the amount of what is compared; the first one must be given."""


def _too_little(kind: str, name: str, least: Any, said: Said) -> Iterator[str]:
    told = f"minimum {name} usage per {kind} is {canonical(least)}"
    if said[0][1] is None:
        yield f"{told}.  No {said[0][0]} is specified"
        return
    for word, amount in said:
        if amount is not None and parse_quantity(amount) < parse_quantity(least):
            yield f"{told}, but {word} is {canonical(amount)}"
            return


def _too_much(kind: str, name: str, most: Any, said: Said) -> Iterator[str]:
    told = f"maximum {name} usage per {kind} is {canonical(most)}"
    if said[0][1] is None:
        yield f"{told}.  No {said[0][0]} is specified"
        return
    for word, amount in said:
        if amount is not None and parse_quantity(amount) > parse_quantity(most):
            yield f"{told}, but {word} is {canonical(amount)}"
            return


def _too_wide(kind: str, name: str, ratio: Any, request: Any, limit: Any) -> Iterator[str]:
    told = f"{name} max limit to request ratio per {kind} is {canonical(ratio)}, but"
    for word, amount in (("request", request), ("limit", limit)):
        if amount is None or not parse_quantity(amount):
            yield f"{told} no {word} is specified or {word} is 0"
            return
    found = parse_quantity(limit) / parse_quantity(request)
    if found > parse_quantity(ratio):
        yield f"{told} provided ratio is {float(found):f}"
