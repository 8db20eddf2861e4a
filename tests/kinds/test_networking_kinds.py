"""Ingress, IngressClass, NetworkPolicy, IPAddress, ServiceCIDR: defaults, refusals, columns."""

from typing import Any

import pytest
from kind_objects import created, meta, refusals, row, updated

from minikube_py.kinds.networking.ingress import Ingress
from minikube_py.kinds.networking.ingressclass import IngressClass
from minikube_py.kinds.networking.ipaddress import IPAddress, canonical_address
from minikube_py.kinds.networking.networkpolicy import NetworkPolicy
from minikube_py.kinds.networking.servicecidr import ServiceCIDR
from minikube_py.meta.objects import Obj

BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
PATH = "spec.rules[0].http.paths[0]"


def obj(spec: Obj, **more: Any) -> Obj:
    return {"metadata": meta(**more), "spec": spec}


def path(**more: Any) -> Obj:
    """An Ingress with one path."""
    one = {"path": "/", "pathType": "Prefix", "backend": BACKEND, **more}
    return obj({"rules": [{"host": "a.example.com", "http": {"paths": [one]}}]})


def backend(**more: Any) -> Obj:
    return {"service": {"name": "web", "port": {}, **more}}


@pytest.mark.parametrize(
    ("ingress", "expected"),
    [
        (path(), []),
        (obj({"defaultBackend": BACKEND}), []),
        (obj({}), ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
        (path(pathType=None), [f"{PATH}.pathType: Required value: pathType must be specified"]),
        (
            path(pathType="Regex"),
            [
                f'{PATH}.pathType: Unsupported value: "Regex": '
                'supported values: "Exact", "ImplementationSpecific", "Prefix"'
            ],
        ),
        (path(path="a"), [f'{PATH}.path: Invalid value: "a": must be an absolute path']),
        (
            path(path="a", pathType="ImplementationSpecific"),
            [f'{PATH}.path: Invalid value: "a": must be an absolute path'],
        ),
        (path(path=None, pathType="ImplementationSpecific"), []),
        (path(path="/a//b"), [f"{PATH}.path: Invalid value: \"/a//b\": must not contain '//'"]),
        (path(path="/a/.."), [f"{PATH}.path: Invalid value: \"/a/..\": cannot end with '/..'"]),
        (path(backend={}), [f'{PATH}.backend: Invalid value: "": resource or service backend is required']),
        (path(backend=backend()), [f"{PATH}.backend: Required value: port name or number is required"]),
        (
            path(backend=backend(port={"name": "http", "number": 80})),
            [f'{PATH}.backend: Invalid value: "": cannot set both port name & port number'],
        ),
        (
            path(backend=backend(port={"number": 70000})),
            [
                f"{PATH}.backend.service.port.number: Invalid value: 70000: "
                "must be between 1 and 65535, inclusive",
            ],
        ),
        (
            path(backend=BACKEND | {"resource": {"kind": "B", "name": "b"}}),
            [f'{PATH}.backend: Invalid value: "": cannot set both resource and service backends'],
        ),
        (path(backend={"resource": {"kind": "B"}}), [f"{PATH}.backend.resource.name: Required value"]),
        (
            obj({"rules": [{"host": "10.0.0.1"}]}),
            ['spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address'],
        ),
        (obj({"rules": [{"host": "*.example.com"}]}), []),
        (obj({"rules": [{"http": {}}]}), ["spec.rules[0].http.paths: Required value"]),
    ],
)
def test_ingress_refusals(ingress: Obj, expected: list[str]) -> None:
    """Rules, paths and backends are judged with upstream's words."""
    assert refusals(Ingress, ingress) == expected


def test_class_and_annotation_agree() -> None:
    """An Ingress that names its class both ways names one; afterwards they may differ."""
    spec = {"defaultBackend": BACKEND, "ingressClassName": "nginx"}
    both = obj(spec, annotations={"kubernetes.io/ingress.class": "other"})
    told = 'Invalid value: "other": must match `ingressClassName` when both are specified'
    assert refusals(Ingress, both) == [f"annotations.kubernetes.io/ingress.class: {told}"]
    assert refusals(Ingress, both, both) == []


def test_ingress_columns_and_generation() -> None:
    """Class, hosts, addresses and ports; the generation counts changes of the spec."""
    hosts = [{"host": f"{name}.example.com"} for name in "abcd"]
    stored = created(Ingress, obj({"rules": hosts, "tls": [{}]}))
    assert stored["metadata"]["generation"] == 1
    stored["status"] = {"loadBalancer": {"ingress": [{"ip": "10.0.0.2"}, {"hostname": "lb.example.com"}]}}
    shown = row(Ingress, stored)
    assert (shown["Class"], shown["Ports"]) == ("<none>", "80, 443")
    assert shown["Hosts"] == "a.example.com,b.example.com,c.example.com + 1 more..."
    assert shown["Address"] == "10.0.0.2,lb.example.com"
    changed = updated(Ingress, obj({"rules": hosts}, generation=1), stored)
    assert changed["metadata"]["generation"] == 2


def test_ingress_class() -> None:
    """The scope of parameters is Cluster by default; the controller is fixed."""
    spec = {
        "controller": "example.com/ctl",
        "parameters": {"apiGroup": "k.example.com", "kind": "P", "name": "p"},
    }
    stored = created(IngressClass, obj(spec))
    assert stored["spec"]["parameters"]["scope"] == "Cluster"
    assert row(IngressClass, stored)["Parameters"] == "P.k.example.com/p"
    assert refusals(IngressClass, obj(spec | {"controller": "other.com/x"}), stored) == [
        'spec.controller: Invalid value: "other.com/x": field is immutable'
    ]
    assert refusals(IngressClass, obj({"controller": "nothing"})) == [
        'spec.controller: Invalid value: "nothing": must be a domain-prefixed path (such as "acme.io/foo")'
    ]
    spec["parameters"] = {"kind": "P", "name": "p", "scope": "Namespace"}
    assert refusals(IngressClass, obj(spec)) == [
        "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"
    ]


def inward(**rule: Any) -> Obj:
    return obj({"podSelector": {}, "ingress": [rule]})


RULE = "spec.ingress[0]"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (inward(**{"from": [{"podSelector": {}, "namespaceSelector": {}}], "ports": [{"port": "http"}]}), []),
        (inward(**{"from": [{}]}), [f"{RULE}.from[0]: Required value: must specify a peer"]),
        (
            inward(**{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}),
            [f"{RULE}.from[0]: Forbidden: may not specify both ipBlock and another peer"],
        ),
        (
            inward(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8", "11.0.0.0/16"]}}]}),
            [
                f'{RULE}.from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": '
                "must be a strict subset of `cidr`",
                f'{RULE}.from[0].ipBlock.except[1]: Invalid value: "11.0.0.0/16": '
                "must be a strict subset of `cidr`",
            ],
        ),
        (
            inward(**{"from": [{"ipBlock": {"cidr": "nowhere"}}]}),
            [
                f'{RULE}.from[0].ipBlock.cidr: Invalid value: "nowhere": '
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            ],
        ),
        (
            inward(ports=[{"endPort": 80}]),
            [f"{RULE}.ports[0].endPort: Invalid value: 80: may not be specified when `port` is not specified"],
        ),
        (
            inward(ports=[{"port": "http", "endPort": 80}]),
            [f"{RULE}.ports[0].endPort: Invalid value: 80: may not be specified when `port` is non-numeric"],
        ),
        (
            inward(ports=[{"port": 90, "endPort": 80}]),
            [f"{RULE}.ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`"],
        ),
        (
            inward(ports=[{"port": 0, "protocol": "ICMP"}]),
            [
                f'{RULE}.ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
                f"{RULE}.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            obj({"policyTypes": ["Sideways"]}),
            ['spec.policyTypes[0]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"'],
        ),
    ],
)
def test_network_policy_refusals(policy: Obj, expected: list[str]) -> None:
    """Ports, peers and address blocks are judged with upstream's words."""
    assert refusals(NetworkPolicy, policy) == expected


@pytest.mark.parametrize(
    ("spec", "types"),
    [({}, ["Ingress"]), ({"egress": [{}]}, ["Ingress", "Egress"]), ({"policyTypes": ["Egress"]}, ["Egress"])],
)
def test_policy_types(spec: Obj, types: list[str]) -> None:
    """A policy is about incoming traffic, and about outgoing where it has rules for it."""
    stored = created(NetworkPolicy, obj(spec))
    assert (stored["spec"]["policyTypes"], row(NetworkPolicy, stored)["Pod-Selector"]) == (types, "<none>")


def test_ip_addresses() -> None:
    """An IPAddress is named after its address, and says who holds it, for good."""
    parent = {"group": "example.com", "resource": "things", "namespace": "a", "name": "b"}
    address = obj({"parentRef": parent})
    assert refusals(IPAddress, address) == []
    assert row(IPAddress, address)["ParentRef"] == "things.example.com/a/b"
    assert refusals(IPAddress, obj({})) == ["spec.parentRef: Required value"]
    told = [one.split(": ")[0] for one in refusals(IPAddress, obj({"parentRef": {}}), address)]
    assert told == ["spec.parentRef"]
    assert canonical_address("2001:db8::1") == []
    assert canonical_address("2001:DB8::1") == ['must be in canonical form ("2001:db8::1")']
    assert len(canonical_address("web")) == 1


@pytest.mark.parametrize(
    ("cidrs", "expected"),
    [
        (["10.0.0.0/16", "2001:db8::/64"], []),
        ([], ["spec.cidrs: Required value: at least one CIDR required"]),
        (
            ["10.0.0.1/16"],
            ['spec.cidrs[0]: Invalid value: "10.0.0.1/16": must be in canonical form ("10.0.0.0/16")'],
        ),
        (["a", "b", "c"], ["spec.cidrs: Too many: 3: must have at most 2 items"]),
    ],
)
def test_service_ranges(cidrs: list[str], expected: list[str]) -> None:
    """One range of each family, in its canonical form."""
    assert refusals(ServiceCIDR, obj({"cidrs": cidrs})) == expected
