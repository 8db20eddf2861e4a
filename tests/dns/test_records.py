"""The cluster's zone: Kubernetes' DNS specification by tables."""

from collections.abc import Iterable

import pytest

from minikube_py.dns import wire
from minikube_py.dns.records import Zone
from minikube_py.meta.objects import Obj


def service(name: str, **spec: object) -> Obj:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}


SERVICES = [
    service(
        "web",
        clusterIP="10.96.1.1",
        clusterIPs=["10.96.1.1"],
        ports=[{"name": "http", "port": 80, "protocol": "TCP"}],
    ),
    service("db", clusterIP="None", ports=[{"name": "sql", "port": 5432}]),
    service("early", clusterIP="None", publishNotReadyAddresses=True),
    service("empty", clusterIP="None"),
    service("kube-dns", clusterIP="10.96.0.10", clusterIPs=["10.96.0.10"])
    | {"metadata": {"name": "kube-dns", "namespace": "kube-system"}},
    service("docs", type="ExternalName", externalName="Docs.Example.org."),
]
SLICES = {
    "web": {
        "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"addresses": ["10.244.0.9"]}],
    },
    "db": {
        "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": ["10.244.0.5"], "hostname": "db-0", "conditions": {"ready": True}},
            {"addresses": ["10.244.0.6"]},
            {"addresses": ["10.244.0.7"], "conditions": {"ready": False}},
        ],
    },
    "early": {
        "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": "early"}},
        "endpoints": [{"addresses": ["10.244.0.8"], "conditions": {"ready": False}}],
    },
}


class FixedView:
    """A view of the services above."""

    def service(self, namespace: str, name: str) -> Obj | None:
        wanted = {"name": name, "namespace": namespace}
        return next((s for s in SERVICES if s["metadata"] == wanted), None)

    def slices(self, namespace: str, service: str) -> Iterable[Obj]:
        return [SLICES[service]] if service in SLICES else []

    def has_namespace(self, name: str) -> bool:
        return name == "shop"

    def service_by_ip(self, address: str) -> Obj | None:
        return next((s for s in SERVICES if s["spec"].get("clusterIP") == address), None)

    def slices_by_ip(self, address: str) -> Iterable[Obj]:
        return [s for s in SLICES.values() if any(address in e["addresses"] for e in s["endpoints"])]


ZONE = Zone("cluster.local", FixedView())


def shown(record: wire.Record) -> str:
    if record.type == wire.A:
        return ".".join(map(str, record.data))
    if record.type == wire.SRV:
        return f"{int.from_bytes(record.data[4:6], 'big')} {wire.read_name(record.data, 6)[0]}"
    if record.type == wire.TXT:
        return record.data[1:].decode()
    return wire.read_name(record.data, 0)[0]


@pytest.mark.parametrize(
    ("name", "type", "code", "expected"),
    [
        ("web.shop.svc", wire.A, wire.NOERROR, ["10.96.1.1"]),
        ("web.shop.svc", wire.AAAA, wire.NOERROR, []),
        ("web.shop.svc", wire.SRV, wire.NOERROR, ["80 web.shop.svc.cluster.local"]),
        ("_http._tcp.web.shop.svc", wire.SRV, wire.NOERROR, ["80 web.shop.svc.cluster.local"]),
        ("_http._udp.web.shop.svc", wire.SRV, wire.NXDOMAIN, []),
        ("_tcp.web.shop.svc", wire.A, wire.NOERROR, []),
        ("10-244-0-9.web.shop.svc", wire.A, wire.NOERROR, ["10.244.0.9"]),
        ("10-244-0-8.web.shop.svc", wire.A, wire.NXDOMAIN, []),
        ("ns.dns", wire.A, wire.NOERROR, ["10.96.0.10"]),
        ("db.shop.svc", wire.A, wire.NOERROR, ["10.244.0.5", "10.244.0.6"]),
        ("db-0.db.shop.svc", wire.A, wire.NOERROR, ["10.244.0.5"]),
        ("10-244-0-6.db.shop.svc", wire.A, wire.NOERROR, ["10.244.0.6"]),
        ("10-244-0-7.db.shop.svc", wire.A, wire.NXDOMAIN, []),
        (
            "_sql._tcp.db.shop.svc",
            wire.SRV,
            wire.NOERROR,
            ["5432 db-0.db.shop.svc.cluster.local", "5432 10-244-0-6.db.shop.svc.cluster.local"],
        ),
        ("early.shop.svc", wire.A, wire.NOERROR, ["10.244.0.8"]),
        ("empty.shop.svc", wire.A, wire.NXDOMAIN, []),
        ("docs.shop.svc", wire.A, wire.NOERROR, ["docs.example.org"]),
        ("nothing.shop.svc", wire.A, wire.NXDOMAIN, []),
        ("web.elsewhere.svc", wire.A, wire.NXDOMAIN, []),
        ("shop.svc", wire.A, wire.NOERROR, []),
        ("10-244-0-9.shop.pod", wire.A, wire.NOERROR, ["10.244.0.9"]),
        ("ten-244-0-9.shop.pod", wire.A, wire.NXDOMAIN, []),
        ("10-244-0-9.elsewhere.pod", wire.A, wire.NXDOMAIN, []),
        ("dns-version", wire.TXT, wire.NOERROR, ["1.1.0"]),
        ("what", wire.A, wire.NXDOMAIN, []),
    ],
)
def test_zone_answers(name: str, type: int, code: int, expected: list[str]) -> None:
    """Each name of the specification gives its records; others give NXDOMAIN or nothing."""
    answer = ZONE.answer(f"{name}.cluster.local", type)
    assert (code, expected) == (answer.code, [shown(record) for record in answer.records])


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.96.1.1", ["web.shop.svc.cluster.local"]),
        ("10.244.0.5", ["db-0.db.shop.svc.cluster.local"]),
        ("10.244.0.6", ["10-244-0-6.db.shop.svc.cluster.local"]),
    ],
)
def test_reverse_names_lead_to_services(address: str, expected: list[str]) -> None:
    """PTR of a virtual address names the Service, of a headless endpoint its host in the Service."""
    name = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    answer = ZONE.reverse(name, wire.PTR)
    assert answer is not None
    assert expected == [shown(record) for record in answer.records]


def test_reverse_of_other_addresses_is_left_to_upstream() -> None:
    """An address that is not the cluster's is nobody's business here."""
    assert ZONE.reverse("8.8.8.8.in-addr.arpa", wire.PTR) is None


def test_the_zone_says_who_is_responsible() -> None:
    """The domain itself has its start of authority and its name server."""
    found = {type: ZONE.answer("cluster.local", type).records for type in (wire.SOA, wire.NS, wire.A)}
    assert [len(found[type]) for type in found] == [1, 1, 0]
    assert shown(found[wire.NS][0]) == "ns.dns.cluster.local"
