"""The spec of a claim on devices, of claims and of their templates."""

from collections.abc import Iterable, Iterator
from functools import partial

from minikube_py.kinds.resource import devices
from minikube_py.kinds.resourcenames import NOT_POSITIVE
from minikube_py.kinds.strategy import drop, if_absent, if_empty
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_label
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import duplicate, invalid, not_supported, required

MAX_ALTERNATIVES = 8
ALL, EXACT = "All", "ExactCount"
_ONE_OF = "exactly one of `exactly` or `firstAvailable` is required"
_UNKNOWN = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)


def asked_for(spec: Obj) -> Iterator[Obj]:
    """Every request for one kind of device: those of one, and the alternatives."""
    for request in dig(spec, "devices.requests") or ():
        if request.get("exactly") is not None:
            yield request["exactly"]
        yield from request.get("firstAvailable") or ()


def default(spec: Obj) -> None:
    """Fill in what a claim's spec leaves out."""
    for one in asked_for(spec):
        if_empty(one, "allocationMode", EXACT)
        if one["allocationMode"] == EXACT:
            if_absent(one, "count", 1)


def prepare(spec: Obj) -> None:
    """Drop the fields of features that are off."""
    for one in asked_for(spec):
        drop(one, "tolerations", "capacity")
    for constraint in dig(spec, "devices.constraints") or ():
        drop(constraint, "distinctAttribute")


def validate(spec: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a claim's spec."""
    claim, place = spec.get("devices") or {}, f"{path}.devices"
    requests = claim.get("requests") or []
    yield from devices.validate_named(requests, _request, f"{place}.requests")
    known = set(_names(requests))
    constraint, config = partial(_constraint, known), partial(_configuration, known)
    yield from devices.validate_list(claim.get("constraints") or [], constraint, f"{place}.constraints")
    yield from devices.validate_list(claim.get("config") or [], config, f"{place}.config")


def _names(requests: list[Obj]) -> Iterator[str]:
    """The names by which a constraint or a configuration may mean a request or an alternative."""
    for request in requests:
        name = request.get("name") or ""
        yield name
        for one in request.get("firstAvailable") or ():
            yield f"{name}/{one.get('name') or ''}"


def _request(request: Obj, path: str) -> Iterable[Violation]:
    yield from _name(request, path)
    alternatives, exactly = request.get("firstAvailable") or [], request.get("exactly")
    if alternatives:
        place = f"{path}.firstAvailable"
        yield from devices.validate_named(alternatives, _alternative, place, MAX_ALTERNATIVES)
    if exactly is not None:
        yield from _exactly(exactly, f"{path}.exactly")
    if alternatives and exactly is not None:
        yield invalid(path, None, f"{_ONE_OF}, but multiple fields are set")
    elif not alternatives and exactly is None:
        yield required(path, _ONE_OF)


def _alternative(request: Obj, path: str) -> Iterable[Violation]:
    yield from _name(request, path)
    yield from _exactly(request, path)


def _name(request: Obj, path: str) -> Iterable[Violation]:
    name = request.get("name") or ""
    for reason in dns1123_label(name):
        yield invalid(f"{path}.name", name, reason)


def _exactly(request: Obj, path: str) -> Iterable[Violation]:
    yield from devices.validate_class_name(request.get("deviceClassName") or "", f"{path}.deviceClassName")
    yield from devices.validate_selectors(request.get("selectors") or [], f"{path}.selectors")
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode == ALL:
        if count:
            yield invalid(f"{path}.count", count, f"must not be specified when allocationMode is '{ALL}'")
    elif mode == EXACT:
        if count <= 0:
            yield invalid(f"{path}.count", count, NOT_POSITIVE)
    else:
        yield not_supported(f"{path}.allocationMode", mode, (ALL, EXACT))


def _constraint(known: set[str], constraint: Obj, path: str) -> Iterable[Violation]:
    yield from _references(known, constraint, path)
    attribute = constraint.get("matchAttribute")
    if attribute is None:
        yield required(f"{path}.matchAttribute")
    else:
        yield from devices.validate_qualified(attribute, f"{path}.matchAttribute", full=True)


def _configuration(known: set[str], config: Obj, path: str) -> Iterable[Violation]:
    yield from _references(known, config, path)
    yield from devices.validate_configuration(config, path)


def _references(known: set[str], obj: Obj, path: str) -> Iterable[Violation]:
    """The refusals of the names of requests that `obj` is about."""
    seen: set[str] = set()
    for index, name in enumerate(obj.get("requests") or ()):
        place = f"{path}.requests[{index}]"
        for segment in name.split("/"):
            for reason in dns1123_label(segment):
                yield invalid(place, segment, reason)
        if name not in known:
            yield invalid(place, name, _UNKNOWN)
        if name in seen:
            yield duplicate(place, name)
        seen.add(name)
