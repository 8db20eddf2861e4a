"""Aggregation: a real API server behind a Service, used through this one by kubectl and raw requests."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aggregated_server import GROUP, ROOT, VERSION, Aggregated, aggregated
from api_certificates import Authority
from api_cluster import Client, Cluster, Kubectl, start, stop
from machine_address import machine_address

from minikube_py.apiserver.aggregation import availability, registration
from minikube_py.apiserver.aggregation.availability import judged
from minikube_py.apiserver.aggregation.discovery import aggregated as in_aggregated_form
from minikube_py.apiserver.aggregation.services import Remote
from minikube_py.kinds.apiregistration.apiservice import APIService
from minikube_py.meta.objects import condition

Obj = dict[str, Any]
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
NAME = f"{VERSION}.{GROUP}"
FLUNDERS = f"{ROOT}/namespaces/default/flunders"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """An API server that has a front proxy's certificate."""
    (tmp_path / "front").mkdir()
    front = Authority(tmp_path / "front")
    pair = front.issue("front-proxy-client")
    made, task = await start(
        tmp_path,
        front_proxy_ca=front.path,
        front_proxy_client_certificate=pair.certificate,
        front_proxy_client_key=pair.key,
    )
    yield made
    await stop(made, task)


@pytest.fixture
async def server(cluster: Cluster) -> AsyncIterator[Aggregated]:
    """The aggregated server, which nobody knows of yet."""
    front = cluster.folder / "front" / "ca.crt"
    async with aggregated(cluster.authority, str(front), machine_address()) as made:
        yield made


def api_service(cluster: Cluster, **spec: Any) -> Obj:
    """The APIService of the aggregated server."""
    bundle = base64.b64encode(cluster.authority.path.read_bytes()).decode()
    body = {
        "group": GROUP,
        "version": VERSION,
        "service": {"namespace": "default", "name": "wardle", "port": 443},
        "caBundle": bundle,
        "groupPriorityMinimum": 2000,
        "versionPriority": 15,
    }
    return {"metadata": {"name": NAME}, "spec": {**body, **spec}}


async def expose(admin: Client, server: Aggregated) -> None:
    """Create the Service and its EndpointSlice."""
    ports = [{"name": "https", "port": 443, "targetPort": server.port}]
    service = {"metadata": {"name": "wardle"}, "spec": {"ports": ports}}
    assert (await admin.post("/api/v1/namespaces/default/services", service)).code == 201
    await endpoints(admin, server)


async def endpoints(admin: Client, server: Aggregated) -> None:
    """Create the EndpointSlice."""
    slice = {
        "metadata": {"name": "wardle-1", "labels": {"kubernetes.io/service-name": "wardle"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [server.host], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": server.port, "protocol": "TCP"}],
    }
    made = await admin.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice)
    assert made.code == 201, made.body


async def until(cluster: Cluster, holds: Callable[[Obj], bool]) -> Obj:
    """The Available condition, once it is as wanted."""
    found: asyncio.Future[Obj] = asyncio.get_running_loop().create_future()

    def look(service: Obj) -> None:
        available = condition(service, "Available")
        if service["metadata"]["name"] == NAME and available and holds(available) and not found.done():
            found.set_result(available)

    unfollow = cluster.registry.follow(APIService, look, lambda service: None)
    try:
        async with asyncio.timeout(10):
            return await found
    finally:
        unfollow()


async def ready(cluster: Cluster, admin: Client, server: Aggregated, **spec: Any) -> None:
    """Register the server, and wait until it is available."""
    await expose(admin, server)
    made = await admin.post(SERVICES, api_service(cluster, **spec))
    assert made.code == 201, made.body
    assert (await until(cluster, lambda found: found["status"] == "True"))["reason"] == "Passed"


async def test_local_services(admin: Client, kubectl: Kubectl) -> None:
    """Every group version that is served here is registered as a local APIService."""
    found = (await admin.get(SERVICES))["items"]
    by_name = {item["metadata"]["name"]: item for item in found}
    apps = by_name["v1.apps"]
    assert apps["metadata"]["labels"] == {registration.AUTOMANAGED: "onstart"}
    assert apps["spec"] == {
        "group": "apps",
        "version": "v1",
        "groupPriorityMinimum": 17800,
        "versionPriority": 15,
    }
    assert (condition(apps, "Available") or {})["reason"] == "Local"
    assert {"v1.", "v2.autoscaling", "v1.authorization.k8s.io"} <= by_name.keys()
    assert "v1.apiregistration.k8s.io" not in by_name
    shown = await kubectl("get", "apiservices", "v1.apps", "--no-headers")
    assert shown.stdout.split()[:3] == ["v1.apps", "Local", "True"]


async def test_authentication_config(cluster: Cluster, admin: Client) -> None:
    """Extension servers learn the front proxy's CA and headers from a ConfigMap."""
    found = await admin.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")
    assert found["data"] == {
        "client-ca-file": cluster.authority.path.read_text(),
        "requestheader-client-ca-file": (cluster.folder / "front" / "ca.crt").read_text(),
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-uid-headers": '["X-Remote-Uid"]',
        "requestheader-username-headers": '["X-Remote-User"]',
    }


async def test_conditions(cluster: Cluster, admin: Client, server: Aggregated) -> None:
    """The Available condition follows the Service, its endpoints and the server itself."""
    await admin.post(SERVICES, api_service(cluster))
    missing = await until(cluster, lambda found: found["reason"] == "ServiceNotFound")
    refused = await admin.get(f"{ROOT}/namespaces/default/flunders")
    ports = [{"name": "https", "port": 443, "targetPort": server.port}]
    service = {"metadata": {"name": "wardle"}, "spec": {"ports": ports}}
    await admin.post("/api/v1/namespaces/default/services", service)
    await until(cluster, lambda found: found["reason"] == "EndpointsNotFound")
    server.status = 500
    await endpoints(admin, server)
    failed = await until(cluster, lambda found: found["reason"] == "FailedDiscoveryCheck")
    server.status = 200
    passed = await until(cluster, lambda found: found["status"] == "True")
    url = f"https://{server.host}:{server.port}{ROOT}"
    assert missing["message"] == 'service/wardle in "default" is not present'
    assert (refused.code, refused.body) == (503, "service unavailable\n")
    assert failed["message"] == f"failing or missing response from {url}: bad status from {url}: 500"
    assert (passed["reason"], passed["message"]) == ("Passed", "all checks passed")
    page = (await admin.get("/metrics")).body
    assert f'aggregator_unavailable_apiservice{{name="{NAME}"}} 0' in page
    assert f'aggregator_unavailable_apiservice_total{{name="{NAME}",reason="ServiceNotFound"}}' in page


async def test_identity_is_told(cluster: Cluster, admin: Client, server: Aggregated) -> None:
    """The server learns who asks from the front proxy, and from nobody else."""
    await ready(cluster, admin, server)
    answer = await admin.call(
        "GET",
        f"{FLUNDERS}/x?pretty=1",
        X_Remote_User="eve",
        X_Remote_Group="system:evil",
        Authorization="Bearer x",
    )
    place = next(i for i, seen in enumerate(server.requests) if seen.path == f"{FLUNDERS}/x")
    seen, certificate = server.requests[place], server.certificates[place]
    assert (answer.code, answer["message"]) == (404, f'flunders.{GROUP} "x" not found')
    assert seen.headers.getall("X-Remote-User") == ["admin"]
    assert seen.headers.getall("X-Remote-Group") == ["system:masters", "system:authenticated"]
    assert "Authorization" not in seen.headers
    assert certificate["subject"][0][0] == ("commonName", "front-proxy-client")
    assert seen.query_string == "pretty=1"


async def test_authorization_is_here(cluster: Cluster, admin: Client, server: Aggregated) -> None:
    """Who may not do a thing here never reaches the other server."""
    await ready(cluster, admin, server)
    refused = await cluster.client("bob").get(FLUNDERS)
    want = f'flunders.{GROUP} is forbidden: User "bob" cannot list resource "flunders" in API group "{GROUP}"'
    assert (refused.code, refused["message"].startswith(want)) == (403, True)
    assert [seen.path for seen in server.requests if seen.path.startswith(FLUNDERS)] == []


async def test_kubectl_uses_it(cluster: Cluster, admin: Client, server: Aggregated, kubectl: Kubectl) -> None:
    """kubectl finds the resource by discovery and OpenAPI, and creates, lists, explains and deletes it."""
    await ready(cluster, admin, server)
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Flunder", "metadata": {"name": "f"}}
    created = await kubectl("create", "-f", "-", input=json.dumps(body))
    listed = await kubectl("get", "fl", "-o", "name")
    explained = await kubectl("explain", "flunder.spec.reference")
    resources = await kubectl("api-resources", f"--api-group={GROUP}", "--no-headers")
    deleted = await kubectl("delete", "flunder", "f", "--wait=false")
    assert created.stdout == f"flunder.{GROUP}/f created\n"
    assert listed.stdout == f"flunder.{GROUP}/f\n"
    assert "What it is" in explained.stdout
    assert resources.stdout.split() == ["flunders", "fl", f"{GROUP}/{VERSION}", "true", "Flunder"]
    assert deleted.stdout == f'flunder.{GROUP} "f" deleted\n'


async def test_watch_is_streamed(cluster: Cluster, admin: Client, server: Aggregated) -> None:
    """An event arrives while the watch is open."""
    await ready(cluster, admin, server)
    async with admin.request("GET", f"{FLUNDERS}?watch=1") as response:
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Flunder", "metadata": {"name": "w"}}
        await admin.post(FLUNDERS, body)
        event = json.loads(await response.content.readline())
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "w")


async def test_upgrades_and_deeper_paths(cluster: Cluster, admin: Client, server: Aggregated) -> None:
    """A WebSocket below a subresource reaches the backend as its user; kinds here have no such paths."""
    await ready(cluster, admin, server)
    url = f"{admin.server}{FLUNDERS}/x/connect/a/b/socket"
    async with admin.session.ws_connect(url, ssl=admin.tls, headers={"X-Remote-User": "eve"}) as socket:
        assert (await socket.receive()).data == "admin"
    assert (await admin.get("/api/v1/namespaces/default/pods/p/log/a")).code == 404


async def test_custom_groups_are_registered(cluster: Cluster, admin: Client) -> None:
    """The group version of a custom resource is registered while its definition exists."""
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "stable.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    seen: asyncio.Queue[tuple[str, Obj]] = asyncio.Queue()

    def note(what: str) -> Callable[[Obj], None]:
        def take(service: Obj) -> None:
            if service["metadata"]["name"] == "v1.stable.example.com":
                seen.put_nowait((what, service))

        return take

    unfollow = cluster.registry.follow(APIService, note("put"), note("gone"))
    made = await admin.post(definitions, {"metadata": {"name": "things.stable.example.com"}, "spec": spec})
    assert made.code == 201, made.body
    async with asyncio.timeout(10):
        what, service = await seen.get()
        await admin.call("DELETE", f"{definitions}/things.stable.example.com")
        while what != "gone":
            what, _ = await seen.get()
    unfollow()
    assert service["metadata"]["labels"] == {registration.AUTOMANAGED: "true"}
    assert (service["spec"]["groupPriorityMinimum"], service["spec"]["versionPriority"]) == (1000, 100)


async def test_merged_discovery(cluster: Cluster, admin: Client, server: Aggregated) -> None:
    """The group is in every form of discovery, behind the built-in ones; unavailable, it is stale."""
    await ready(cluster, admin, server)
    groups = [group["name"] for group in (await admin.get("/apis"))["groups"]]
    group = await admin.get(f"/apis/{GROUP}")
    resources = await admin.get(ROOT)
    merged = await admin.get("/apis", Accept=AGGREGATED)
    item = next(item for item in merged["items"] if item["metadata"]["name"] == GROUP)
    assert (*groups[:2], *groups[-2:]) == ("apiregistration.k8s.io", "apps", GROUP, "metrics.k8s.io")
    preferred = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
    assert (group["preferredVersion"], group["versions"]) == (preferred, [preferred])
    assert [resource["name"] for resource in resources["resources"]] == ["flunders", "flunders/status"]
    kind = {"group": GROUP, "version": VERSION, "kind": "Flunder"}
    assert item["versions"] == [
        {
            "version": VERSION,
            "freshness": "Current",
            "resources": [
                {
                    "resource": "flunders",
                    "responseKind": kind,
                    "scope": "Namespaced",
                    "singularResource": "flunder",
                    "verbs": ["create", "delete", "get", "list", "watch"],
                    "shortNames": ["fl"],
                    "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}],
                }
            ],
        }
    ]
    server.status = 503
    await admin.call("DELETE", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/wardle-1")
    await until(cluster, lambda found: found["status"] == "False")
    stale = await admin.get("/apis", Accept=AGGREGATED)
    item = next(item for item in stale["items"] if item["metadata"]["name"] == GROUP)
    assert [version["freshness"] for version in item["versions"]] == ["Stale"]


async def test_merged_openapi(cluster: Cluster, admin: Client, server: Aggregated) -> None:
    """OpenAPI v2 holds the server's own paths and definitions, the v3 index its document."""
    await ready(cluster, admin, server)
    whole = await admin.get("/openapi/v2")
    index = await admin.get("/openapi/v3")
    document = await admin.get(f"/openapi/v3{ROOT}")
    again = await admin.get("/openapi/v2", If_None_Match=whole.headers["ETag"])
    root = ROOT[1:]
    assert (f"{ROOT}/" in whole["paths"], "/apis/other/v1/" in whole["paths"]) == (True, False)
    assert "com.example.wardle.v1alpha1.Flunder" in whole["definitions"]
    assert index["paths"][root] == {"serverRelativeURL": f"/openapi/v3{ROOT}?hash=1"}
    assert list(document["components"]["schemas"]) == ["com.example.wardle.v1alpha1.Flunder"]
    assert ("apis/apps/v1" in index["paths"], again.code) == (True, 304)


async def test_redirects_are_refused(cluster: Cluster, admin: Client, server: Aggregated) -> None:
    """A redirect by the backend is neither followed nor passed on."""
    await ready(cluster, admin, server)
    answer = await admin.get(f"{ROOT}/redirect/x")
    want = "the backend attempted to redirect this request, which is not permitted\n"
    assert (answer.code, answer.body, answer.headers.get("Location")) == (502, want, None)


async def test_certificate_is_checked(cluster: Cluster, admin: Client, server: Aggregated) -> None:
    """A backend whose certificate the CA bundle does not vouch for gets no request."""
    (cluster.folder / "other").mkdir()
    other = Authority(cluster.folder / "other")
    bundle = base64.b64encode(other.path.read_bytes()).decode()
    await ready(cluster, admin, server, caBundle=bundle)
    answer = await admin.get(FLUNDERS)
    want = (
        "error trying to reach service: tls: failed to verify certificate: "
        "x509: certificate signed by unknown authority\n"
    )
    assert (answer.code, answer.body) == (503, want)


async def test_deletion_ends_it(cluster: Cluster, admin: Client, server: Aggregated) -> None:
    """Once the APIService is gone its group is served no longer."""
    await ready(cluster, admin, server)
    await admin.call("DELETE", f"{SERVICES}/{NAME}")
    assert ((await admin.get(FLUNDERS)).code, (await admin.get(f"/apis/{GROUP}")).code) == (404, 404)


REMOTE = Remote("v1.g", "g", "v1", "ns", "s", 443, "", False, False)
PORT = {"name": "https", "port": 443}
SERVICE = {"spec": {"type": "ClusterIP", "ports": [PORT]}}


@pytest.mark.parametrize(
    "service, slices, reason",
    [
        (None, [], "ServiceNotFound"),
        ({"spec": {"type": "ExternalName"}}, [], ""),
        ({"spec": {"ports": [{"port": 80}]}}, [], "ServicePortError"),
        (SERVICE, [], "EndpointsNotFound"),
        (SERVICE, [{"endpoints": [], "ports": [PORT]}], "MissingEndpoints"),
        (SERVICE, [{"endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [PORT]}], ""),
    ],
)
def test_judged(service: Obj | None, slices: list[Obj], reason: str) -> None:
    """What is wrong with a backend's Service and endpoints."""
    found = judged(REMOTE, service, slices)
    assert (found.reason if found is not None else "") == reason


def test_plan_of_registration() -> None:
    """What custom resources registered goes with them; what an administrator points elsewhere stays."""
    managed = registration.wanted([])
    apps = {
        "metadata": {"name": "v1.apps", "labels": {registration.AUTOMANAGED: "onstart"}},
        "spec": {"service": {}},
    }
    gone = {"metadata": {"name": "v1.x.io", "labels": {registration.AUTOMANAGED: "true"}}, "spec": {}}
    own = {"metadata": {"name": "v1.metrics"}, "spec": {"service": {}}}
    services = {"v1.apps": apps, "v1.x.io": gone, "v1.metrics": own}
    changes = registration.plan(services, {**managed, "v1.apps": {"spec": {}}, "v1.new": {"spec": {}}})
    assert changes == registration.Changes([{"spec": {}}], [], ["v1.x.io"])


def test_resources_in_aggregated_form() -> None:
    """A subresource without its resource is still shown below it."""
    made = in_aggregated_form(
        REMOTE, ({"name": "a/scale", "kind": "Scale", "group": "autoscaling", "verbs": []},)
    )
    kind = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert made == [
        {"resource": "a", "subresources": [{"subresource": "scale", "responseKind": kind, "verbs": []}]}
    ]
    assert availability.PASSED.condition()["message"] == "all checks passed"
