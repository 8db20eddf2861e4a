"""Service, Endpoints and EndpointSlice."""

from typing import Any

import pytest
from kind_objects import created, meta, refusals, row, updated

from minikube_py.kinds.core.endpoints import Endpoints
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import EndpointSlice
from minikube_py.meta.objects import Obj, copy


def service(**spec: Any) -> Obj:
    return {"metadata": meta(), "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}, **spec}}


def stored_service(**spec: Any) -> Obj:
    """A Service that has its address."""
    return created(Service, service(clusterIP="10.96.0.5", ipFamilies=["IPv4"], **spec))


def test_service_defaults() -> None:
    """A plain Service is a ClusterIP of one family, to which each port's own number is the target."""
    assert created(Service, service()) == {
        "metadata": meta(),
        "spec": {
            "internalTrafficPolicy": "Cluster",
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "selector": {"app": "web"},
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
        "status": {"loadBalancer": {}},
    }


def test_service_defaults_by_type() -> None:
    """Exposed Services get a traffic policy, load balancers node ports, sticky ones a timeout."""
    exposed = created(Service, service(type="LoadBalancer", sessionAffinity="ClientIP"))["spec"]
    assert exposed["externalTrafficPolicy"] == "Cluster"
    assert exposed["allocateLoadBalancerNodePorts"] is True
    assert exposed["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    external = created(Service, service(type="ExternalName", externalName="example.com"))["spec"]
    assert "ipFamilyPolicy" not in external
    assert created(Service, service(clusterIP="None"))["spec"]["clusterIPs"] == ["None"]


def test_updates_keep_what_was_allocated() -> None:
    """A client that leaves out address and node ports keeps them; one that changes the type gives them back."""
    old = stored_service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    kept = updated(Service, service(type="NodePort"), old)["spec"]
    assert (kept["clusterIP"], kept["clusterIPs"]) == ("10.96.0.5", ["10.96.0.5"])
    assert kept["ports"][0]["nodePort"] == 30080
    back: Obj = copy(old)
    back["spec"]["type"] = "ClusterIP"
    plain = updated(Service, back, old)["spec"]
    assert "nodePort" not in plain["ports"][0]
    assert "externalTrafficPolicy" not in plain
    assert refusals(Service, back, old) == []
    named: Obj = copy(old)
    named["spec"] |= {"type": "ExternalName", "externalName": "example.com"}
    assert "clusterIP" not in updated(Service, named, old)["spec"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (service(), []),
        (service(ports=[]), ["spec.ports: Required value"]),
        (service(ports=[], clusterIP="None"), []),
        (
            service(type="ExternalName", externalName="a.b", clusterIP="10.96.0.9"),
            ["spec.clusterIPs: Forbidden: may not be set for ExternalName services"],
        ),
        (
            service(clusterIPs=["10.96.0.9"]),
            ['spec.clusterIPs: Invalid value: ["10.96.0.9"]: must be empty when `clusterIP` is not specified'],
        ),
        (
            service(ports=[{"port": 80}, {"port": 81}]),
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            service(ports=[{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]),
            [
                'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP",'
                '"AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}',
            ],
        ),
        (
            service(ports=[{"port": 0, "targetPort": 1}]),
            ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
        ),
        (
            service(ports=[{"port": 80, "nodePort": 30000}]),
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            service(type="Magic"),
            [
                'spec.type: Unsupported value: "Magic": '
                'supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
            ],
        ),
        (service(type="ExternalName"), ["spec.externalName: Required value"]),
        (
            service(type="NodePort", clusterIP="None"),
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        (
            service(externalTrafficPolicy="Local"),
            [
                'spec.externalTrafficPolicy: Invalid value: "Local": '
                "may only be set for externally-accessible services",
            ],
        ),
        (
            service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 90000}}),
            [
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 90000: "
                "must be greater than 0 and less than 86400",
            ],
        ),
    ],
)
def test_service_refusals(found: Obj, expected: list[str]) -> None:
    """Ports, addresses and types are judged in Kubernetes' words."""
    assert refusals(Service, found) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"clusterIPs": None}, ("10.96.0.5", ["10.96.0.5"])),
        ({"clusterIP": "10.96.0.6", "clusterIPs": None}, ("10.96.0.6", ["10.96.0.6"])),
        ({"clusterIP": "10.96.0.6"}, ("10.96.0.6", ["10.96.0.6"])),
        ({"clusterIP": ""}, ("10.96.0.5", ["10.96.0.5"])),
    ],
)
def test_the_plural_address_follows_the_other(change: Obj, expected: tuple[str, list[str]]) -> None:
    """An update by a client that knows only clusterIP means clusterIPs as well."""
    old = stored_service()
    new: Obj = copy(old)
    new["spec"] |= change
    made = updated(Service, new, old)["spec"]
    assert (made["clusterIP"], made["clusterIPs"]) == expected


def test_the_address_is_immutable() -> None:
    """A Service keeps its address for life."""
    old = stored_service()
    new: Obj = copy(old)
    new["spec"] |= {"clusterIP": "10.96.0.6", "clusterIPs": ["10.96.0.6"]}
    assert refusals(Service, new, old) == [
        'spec.clusterIPs[0]: Invalid value: ["10.96.0.6"]: may not change once set'
    ]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (stored_service(), ("ClusterIP", "10.96.0.5", "<none>", "80/TCP")),
        (
            stored_service(
                type="NodePort", ports=[{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]
            ),
            ("NodePort", "10.96.0.5", "<none>", "80:30080/TCP,53/UDP"),
        ),
        (stored_service(type="LoadBalancer"), ("LoadBalancer", "10.96.0.5", "<pending>", "80/TCP")),
        (
            {
                **stored_service(type="LoadBalancer", externalIPs=["9.9.9.9"]),
                "status": {"loadBalancer": {"ingress": [{"ip": "5.5.5.5"}, {"hostname": "lb"}]}},
            },
            ("LoadBalancer", "10.96.0.5", "5.5.5.5,lb,9.9.9.9", "80/TCP"),
        ),
        (
            created(Service, service(type="ExternalName", externalName="example.com", ports=[])),
            ("ExternalName", "<none>", "example.com", "<none>"),
        ),
        (created(Service, service(clusterIP="None")), ("ClusterIP", "None", "<none>", "80/TCP")),
    ],
)
def test_service_columns(found: Obj, expected: tuple[str, ...]) -> None:
    """The table tells type, addresses and ports."""
    cells = row(Service, found)
    assert tuple(cells[name] for name in ("Type", "Cluster-IP", "External-IP", "Port(s)")) == expected
    assert cells["Selector"] == "app=web"


def test_endpoints() -> None:
    """The table shows three addresses; loopback addresses are refused."""
    addresses = [{"ip": f"10.244.0.{n}"} for n in range(2, 7)]
    found = {"metadata": meta(), "subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]}
    assert row(Endpoints, found)["Endpoints"] == "10.244.0.2:80,10.244.0.3:80,10.244.0.4:80 + 2 more..."
    assert row(Endpoints, {"metadata": meta()})["Endpoints"] == "<none>"
    assert created(Endpoints, found)["subsets"][0]["ports"] == [{"port": 80, "protocol": "TCP"}]
    local = {"metadata": meta(), "subsets": [{"addresses": [{"ip": "127.0.0.1"}]}, {}]}
    assert refusals(Endpoints, local) == [
        'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": '
        "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        "subsets[1]: Required value: must specify `addresses` or `notReadyAddresses`",
    ]


def test_endpoint_slices() -> None:
    """Ports get a name and a protocol; the type of the addresses is fixed; changes are counted."""
    endpoint = {"addresses": ["10.244.0.2"]}
    found = {"metadata": meta(), "addressType": "IPv4", "endpoints": [endpoint], "ports": [{"port": 80}]}
    stored = created(EndpointSlice, found)
    assert stored["ports"] == [{"port": 80, "name": "", "protocol": "TCP"}]
    assert stored["endpoints"] == [{"addresses": ["10.244.0.2"], "conditions": {}}]
    cells = row(EndpointSlice, stored)
    assert (cells["AddressType"], cells["Ports"], cells["Endpoints"]) == ("IPv4", "80", "10.244.0.2")
    assert refusals(EndpointSlice, {**stored, "addressType": "IPv6"}, stored) == [
        'endpoints[0].addresses[0]: Invalid value: "10.244.0.2": must be a valid IPv6 address',
        'addressType: Invalid value: "IPv6": field is immutable',
    ]
    assert refusals(EndpointSlice, {"metadata": meta(), "endpoints": [{}]}) == [
        "addressType: Required value",
        "endpoints[0].addresses: Required value: must contain at least 1 address",
    ]
    emptied = updated(EndpointSlice, {**stored, "endpoints": []}, stored)
    assert emptied["metadata"]["generation"] == 2
    assert row(EndpointSlice, emptied)["Endpoints"] == "<unset>"
