"""The proxy's rules: Services and EndpointSlices to map elements, by tables."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from minikube_py.meta.objects import Key, Obj
from minikube_py.proxy.healthchecks import Health, health_of, response
from minikube_py.proxy.nodehealth import NodeHealth, is_eligible, mode, node_health
from minikube_py.proxy.rules import Place, ProxyConfig, Where, pod_elements, service_elements
from minikube_py.proxy.table import base, delta

VIP = "10.96.0.9"
WEB = f"{VIP} . tcp . 80"


def service(**spec: Any) -> Obj:
    usual = {"clusterIP": VIP, "ports": [{"port": 80, "protocol": "TCP"}]}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": usual | spec}


def slice_of(*endpoints: tuple[str, str, bool | str], port: int = 8080) -> Obj:
    listed = []
    for address, node, state in endpoints:
        conditions = {"ready": state is True, "serving": bool(state), "terminating": state == "terminating"}
        listed.append({"addresses": [address], "nodeName": node, "conditions": conditions})
    return {"addressType": "IPv4", "ports": [{"port": port, "protocol": "TCP"}], "endpoints": listed}


TWO = slice_of(("10.244.0.3", "here", True), ("10.244.1.4", "there", True))


@pytest.mark.parametrize(
    ("given", "slices", "expected"),
    [
        pytest.param(
            service(),
            [TWO],
            {
                "services": {WEB: "goto pick-2"},
                "endpoints": {
                    f"{WEB} . 0": "10.244.0.3 . 8080",
                    f"{VIP} . tcp . 80 . 1": "10.244.1.4 . 8080",
                },
            },
            id="cluster-ip",
        ),
        pytest.param(service(), [], {"refused": {WEB: "goto refuse"}}, id="no-endpoints"),
        pytest.param(
            service(),
            [slice_of(("10.244.0.3", "here", False), ("10.244.0.4", "here", True))],
            {
                "services": {WEB: "goto pick-1"},
                "endpoints": {f"{WEB} . 0": "10.244.0.4 . 8080"},
            },
            id="unready-left-out",
        ),
        pytest.param(
            service(),
            [slice_of(("10.244.0.3", "here", "terminating"))],
            {
                "services": {WEB: "goto pick-1"},
                "endpoints": {f"{WEB} . 0": "10.244.0.3 . 8080"},
            },
            id="terminating-if-no-other",
        ),
        pytest.param(
            service(internalTrafficPolicy="Local"),
            [TWO],
            {
                "services": {WEB: "goto pick-1"},
                "endpoints": {f"{WEB} . 0": "10.244.0.3 . 8080"},
            },
            id="internal-traffic-local",
        ),
        pytest.param(
            service(ports=[{"port": 80, "nodePort": 30080}], type="NodePort", externalTrafficPolicy="Local"),
            [TWO],
            {
                "node-services": {"tcp . 30080": "goto node-pick-1"},
                "node-endpoints": {"tcp . 30080 . 0": "10.244.0.3 . 8080"},
            },
            id="node-port-local",
        ),
        pytest.param(
            service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}}),
            [TWO],
            {
                "services": {WEB: "goto affine-2"},
                "affine": {WEB: "0x6d6b0001"},
                "learners": {"0x6d6b0001": "goto learn-60"},
            },
            id="affinity",
        ),
        pytest.param(
            service(externalIPs=["192.0.2.7"]),
            [TWO],
            {"services": {WEB: "goto pick-2", "192.0.2.7 . tcp . 80": "goto pick-2"}},
            id="external-ip",
        ),
        pytest.param(service(clusterIP="None"), [TWO], {"services": {}, "refused": {}}, id="headless"),
        pytest.param(service(type="ExternalName"), [], {"services": {}, "refused": {}}, id="external-name"),
    ],
)
def test_service_elements(given: Obj, slices: list[Obj], expected: dict[str, dict[str, str]]) -> None:
    """Each kind of Service gives the elements that forward, remember or refuse it."""
    elements = service_elements(given, slices, Where("here"), 1)
    for map, items in expected.items():
        assert items == {place.key: data for place, data in elements.items() if place.map == map}


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], []),
        (["192.0.2.0/24", "0.0.0.0/0"], []),
        (["2001:db8::/32"], []),
        (["10.0.0.0/8", "10.1.0.0/16", " 192.0.2.7/32 "], ["10.0.0.0/8", "192.0.2.7/32"]),
    ],
)
def test_source_ranges_of_a_load_balancer(ranges: list[str], expected: list[str]) -> None:
    """A load balancer's address is reached from its source ranges only; those that overlap are one."""
    given = service(type="LoadBalancer", loadBalancerSourceRanges=ranges)
    given["status"] = {"loadBalancer": {"ingress": [{"ip": "10.254.0.1", "ipMode": "VIP"}]}}
    elements = service_elements(given, [TWO], Where("here"), 0)
    key = "10.254.0.1 . tcp . 80"
    assert elements[Place("services", key)] == "goto pick-2"
    firewalled = {place.key for place in elements if place.map == "firewalled"}
    assert firewalled == ({key} if ranges and "0.0.0.0/0" not in ranges else set())
    assert {p.key for p in elements if p.map == "allowed"} == {f"{key} . {one}" for one in expected}


def test_named_ports_lead_to_the_slice_port_of_that_name() -> None:
    """A Service's port is matched by name and protocol with those of the slices."""
    given = service(ports=[{"name": "a", "port": 1}, {"name": "b", "port": 2}])
    slice = slice_of(("10.244.0.3", "here", True))
    slice["ports"] = [
        {"name": "b", "port": 22, "protocol": "TCP"},
        {"name": "a", "port": 11, "protocol": "TCP"},
    ]
    elements = service_elements(given, [slice], Where("here"), 1)
    assert elements[Place("endpoints", f"{VIP} . tcp . 1 . 0")] == "10.244.0.3 . 11"
    assert elements[Place("endpoints", f"{VIP} . tcp . 2 . 0")] == "10.244.0.3 . 22"


def test_host_ports_of_a_running_pod() -> None:
    """A hostPort leads to the pod's address, on all or on one of the node's."""
    ports = [
        {"containerPort": 80, "hostPort": 8080},
        {"containerPort": 81, "hostPort": 8081, "hostIP": "192.0.2.1"},
    ]
    pod = {"metadata": {}, "spec": {"containers": [{"ports": ports}]}, "status": {"podIP": "10.244.0.9"}}
    elements = pod_elements(pod)
    assert elements[Place("hostports", "tcp . 8080")] == "10.244.0.9 . 80"
    assert elements[Place("hostports-at", "192.0.2.1 . tcp . 8081")] == "10.244.0.9 . 81"
    assert pod_elements({**pod, "status": {"podIP": "10.244.0.9", "phase": "Succeeded"}}) == {}


def test_delta_touches_only_what_changes() -> None:
    """From two endpoints to one: the verdict is replaced, one endpoint goes, the other stays."""
    old = service_elements(service(), [TWO], Where("here"), 1)
    new = service_elements(service(), [slice_of(("10.244.0.3", "here", True))], Where("here"), 1)
    assert (
        f"delete element ip t services {{ {VIP} . tcp . 80 }}\n"
        f"delete element ip t endpoints {{ {VIP} . tcp . 80 . 1 }}\n"
        "delete element ip t hairpin { 10.244.1.4 . 10.244.1.4 }\n"
        f"add element ip t services {{ {VIP} . tcp . 80 : goto pick-1 }}\n"
    ) == delta("t", old, new, set())
    assert delta("t", new, new, set()) == ""


def test_rules_do_not_grow_with_services() -> None:
    """A thousand Services with three endpoints each need no more rules than one."""
    three = slice_of(*((f"10.244.0.{n}", "here", True) for n in (3, 4, 5)))
    many: dict[Place, str] = {}
    for number in range(1000):
        many |= service_elements(
            service(clusterIP=f"10.97.{number // 250}.{number % 250}"), [three], Where("here"), 1
        )
    one = service_elements(service(), [three], Where("here"), 1)
    rules = [line for line in delta("t", {}, many, set()).splitlines() if line.startswith("add rule")]
    assert [line for line in delta("t", {}, one, set()).splitlines() if line.startswith("add rule")] == rules


def test_base_names_only_its_own_table() -> None:
    """Loading the table replaces itself and nothing that others made."""
    tables = [line for line in base(ProxyConfig("here", table="mine")).splitlines() if "table ip" in line]
    assert tables == ["table ip mine", "delete table ip mine", "table ip mine {"]


LOCAL = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30123}


@pytest.mark.parametrize(
    ("spec", "slices", "expected"),
    [
        pytest.param(LOCAL, [TWO], Health(30123, 1), id="one-here"),
        pytest.param(LOCAL, [TWO, TWO], Health(30123, 1), id="one-address-of-two-ports"),
        pytest.param(LOCAL, [slice_of(("10.244.0.3", "here", "terminating"))], Health(30123, 0), id="ending"),
        pytest.param(LOCAL, [], Health(30123, 0), id="none"),
        pytest.param(LOCAL | {"type": "NodePort"}, [TWO], None, id="no-balancer"),
        pytest.param(LOCAL | {"externalTrafficPolicy": "Cluster"}, [TWO], None, id="any-node-will-do"),
    ],
)
def test_health_of_a_service(spec: Obj, slices: list[Obj], expected: Health | None) -> None:
    """Ready endpoints of this node are counted by address, for local load balancers alone."""
    assert expected == health_of(service(**spec), slices, "here")


def test_health_response() -> None:
    """The answer is kube-proxy's: JSON by tabs and the weight of the node; HEAD has no body."""
    told = response(Key("default", "web"), Health(30123, 0), "GET").decode()
    head, _, body = told.partition("\r\n\r\n")
    assert head.split("\r\n")[:2] == ["HTTP/1.1 503 Service Unavailable", "Content-Type: application/json"]
    assert "X-Load-Balancing-Endpoint-Weight: 0" in head
    service = '\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t}'
    assert f'{{\n{service},\n\t"localEndpoints": 0,\n\t"serviceProxyHealthy": true\n}}\n' == body
    assert response(Key("default", "web"), Health(30123, 2), "HEAD").endswith(b"Connection: close\r\n\r\n")


def hinted(address: str, node: str, **hints: list[str]) -> Obj:
    told = {field: [{"name": name} for name in names] for field, names in hints.items()}
    conditions = {"ready": True, "serving": True, "terminating": False}
    return {"addresses": [address], "nodeName": node, "conditions": conditions, "hints": told}


@pytest.mark.parametrize(
    ("endpoints", "spec", "expected"),
    [
        pytest.param(
            [hinted("10.0.0.1", "here", forZones=["a"]), hinted("10.0.0.2", "there", forZones=["b"])],
            {},
            ["10.0.0.1"],
            id="own-zone",
        ),
        pytest.param(
            [hinted("10.0.0.1", "x", forZones=["b"]), hinted("10.0.0.2", "y", forZones=["c"])],
            {},
            ["10.0.0.1", "10.0.0.2"],
            id="no-endpoint-for-the-zone",
        ),
        pytest.param(
            [hinted("10.0.0.1", "x", forZones=["a"]), hinted("10.0.0.2", "y")],
            {},
            ["10.0.0.1", "10.0.0.2"],
            id="one-without-hints",
        ),
        pytest.param(
            [
                hinted("10.0.0.1", "here", forZones=["a"], forNodes=["here"]),
                hinted("10.0.0.2", "next", forZones=["a"], forNodes=["next"]),
            ],
            {},
            ["10.0.0.1"],
            id="own-node",
        ),
        pytest.param(
            [hinted("10.0.0.1", "here", forZones=["b"]), hinted("10.0.0.2", "there", forZones=["a"])],
            {"internalTrafficPolicy": "Local"},
            ["10.0.0.1"],
            id="local-traffic-needs-no-hints",
        ),
    ],
)
def test_endpoints_that_are_meant_for_here(endpoints: list[Obj], spec: Obj, expected: list[str]) -> None:
    """Traffic stays near where every endpoint says whom it is for, and one is for this node or its zone."""
    slice = {"addressType": "IPv4", "ports": [{"port": 8080, "protocol": "TCP"}], "endpoints": endpoints}
    elements = service_elements(service(**spec), [slice], Where("here", "a"), 1)
    found = [data.split(" . ")[0] for place, data in elements.items() if place.map == "endpoints"]
    assert expected == found


MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHOWN = "2026-01-02 03:04:05.000000000 +0000 UTC"


@pytest.mark.parametrize(
    ("path", "node", "expected"),
    [
        ("/healthz", {}, (200, {"lastUpdated": SHOWN, "currentTime": SHOWN, "nodeEligible": True})),
        (
            "/healthz",
            {"spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}},
            (503, {"lastUpdated": SHOWN, "currentTime": SHOWN, "nodeEligible": False}),
        ),
        (
            "/livez",
            {"metadata": {"deletionTimestamp": SHOWN}},
            (200, {"lastUpdated": SHOWN, "currentTime": SHOWN}),
        ),
    ],
)
def test_health_of_the_node(path: str, node: Obj, expected: tuple[int, Obj]) -> None:
    """A node that is being removed should get no traffic, though its proxy lives."""
    code, type, body = node_health(path, MOMENT, is_eligible({"metadata": {}} | node))
    assert expected == (code, json.loads(body))
    assert type == "application/json"


@pytest.mark.parametrize(
    ("path", "code", "body"), [("/proxyMode", 200, "nftables"), ("/healthz", 200, "ok"), ("/x", 404, None)]
)
async def test_the_mode_is_told(path: str, code: int, body: str | None) -> None:
    """Loopback's port tells the mode; it is an HTTP server like any other."""
    async with NodeHealth({("127.0.0.1", 0): mode}) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.ports[0])
        writer.write(f"GET {path}?x=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        told = (await reader.read()).decode()
        writer.close()
    assert told.startswith(f"HTTP/1.1 {code} ")
    assert body is None or told.endswith(f"\r\n\r\n{body}")
