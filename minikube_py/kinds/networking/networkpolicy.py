"""NetworkPolicy: which traffic pods may have."""

import ipaddress
from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME, NONE, selector_text
from minikube_py.kinds.networking.servicecidr import CIDR_EXAMPLE
from minikube_py.kinds.selectors import validate_label_selector
from minikube_py.kinds.strategy import count_generation, if_absent, if_empty, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import port_name, port_number
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import forbidden, invalid, not_supported, required

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_TYPES = ("Ingress", "Egress")
_SIDES = (("ingress", "from"), ("egress", "to"))


def default(policy: Obj) -> None:
    spec = section(policy, "spec")
    if_absent(spec, "podSelector", {})
    if_empty(spec, "policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    for side, _ in _SIDES:
        for rule in spec.get(side) or ():
            for port in rule.get("ports") or ():
                if_absent(port, "protocol", "TCP")


def validate(policy: Obj, old: Obj | None) -> Iterable[Violation]:
    spec = policy.get("spec") or {}
    known = _ranges(old.get("spec") or {}) if old is not None else frozenset()
    yield from validate_label_selector(spec.get("podSelector"), "spec.podSelector")
    for side, peers in _SIDES:
        for number, rule in enumerate(spec.get(side) or ()):
            path = f"spec.{side}[{number}]"
            for index, port in enumerate(rule.get("ports") or ()):
                yield from _port(port, f"{path}.ports[{index}]")
            for index, peer in enumerate(rule.get(peers) or ()):
                yield from _peer(peer, f"{path}.{peers}[{index}]", known)
    types = spec.get("policyTypes") or []
    if len(types) > len(_TYPES):
        yield invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for index, type in enumerate(types):
        if type not in _TYPES:
            yield not_supported(f"spec.policyTypes[{index}]", type, _TYPES)


def _ranges(spec: Obj) -> frozenset[str]:
    """The CIDRs of a policy: an update may keep what was there, whatever it is."""
    found: set[str] = set()
    for side, peers in _SIDES:
        for rule in spec.get(side) or ():
            for peer in rule.get(peers) or ():
                block = peer.get("ipBlock") or {}
                found.update((block.get("cidr") or "", *(block.get("except") or ())))
    return frozenset(found)


def _port(port: Obj, path: str) -> Iterable[Violation]:
    if port.get("protocol") is not None and port["protocol"] not in _PROTOCOLS:
        yield not_supported(f"{path}.protocol", port["protocol"], _PROTOCOLS)
    number, end = port.get("port"), port.get("endPort")
    if number is None:
        if end is not None:
            yield invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified")
    elif isinstance(number, str):
        if end is not None:
            yield invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
        for reason in port_name(number):
            yield invalid(f"{path}.port", number, reason)
    else:
        for reason in port_number(number):
            yield invalid(f"{path}.port", number, reason)
        if end is None:
            return
        if end < number:
            yield invalid(f"{path}.endPort", end, "must be greater than or equal to `port`")
        for reason in port_number(end):
            yield invalid(f"{path}.endPort", end, reason)


def _peer(peer: Obj, path: str, known: frozenset[str]) -> Iterable[Violation]:
    given = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    for field in given:
        if field == "ipBlock":
            yield from _block(peer["ipBlock"], f"{path}.ipBlock", known)
        else:
            yield from validate_label_selector(peer[field], f"{path}.{field}")
    if not given:
        yield required(path, "must specify a peer")
    elif len(given) > 1 and "ipBlock" in given:
        yield forbidden(path, "may not specify both ipBlock and another peer")


def _block(block: Obj, path: str, known: frozenset[str]) -> Iterable[Violation]:
    text = block.get("cidr") or ""
    if not text:
        yield required(f"{path}.cidr")
        return
    try:
        whole = ipaddress.ip_network(text, strict=False)
    except ValueError:
        if text not in known:
            yield invalid(f"{path}.cidr", text, CIDR_EXAMPLE)
        return
    for index, exception in enumerate(block.get("except") or ()):
        place = f"{path}.except[{index}]"
        try:
            part = ipaddress.ip_network(exception, strict=False)
        except ValueError:
            if exception not in known:
                yield invalid(place, exception, CIDR_EXAMPLE)
            continue
        if (
            part.version != whole.version
            or part.prefixlen <= whole.prefixlen
            or part.network_address not in whole
        ):
            yield invalid(place, exception, "must be a strict subset of `cidr`")


def _selector(policy: Obj, now: datetime) -> str:
    return selector_text(dig(policy, "spec.podSelector")) or NONE


NetworkPolicy = Kind(
    "NetworkPolicy",
    "networking.k8s.io/v1",
    "networkpolicies",
    short_names=("netpol",),
    default=default,
    prepare=count_generation,
    validate=validate,
    columns=(NAME, Column("Pod-Selector", _selector, description="Selects the pods that it is about"), AGE),
)
