"""Discovery documents."""

import hashlib
from typing import Any

import orjson
import pytest

from minikube_py.apiserver.discovery import Discovery
from minikube_py.apiserver.document import media_types
from minikube_py.collect import values
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.registry.catalogue import Catalogue

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2_BETA = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
KUBECTL = f"{V2},{V2_BETA},application/json"
REVIEW = Kind("TokenReview", "authentication.k8s.io/v1", "tokenreviews", namespaced=False, verbs=("create",))
WIDGET = Kind("Widget", "example.com/v1", "widgets", short_names=("wd",), categories=("all",))


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(values("minikube_py.kinds", Kind))


@pytest.fixture
def discovery(catalogue: Catalogue) -> Discovery:
    return Discovery(catalogue, (REVIEW,))


def read(discovery: Discovery, path: str, accept: str = "") -> Obj:
    document = discovery.get(path, accept)
    assert document is not None
    body: Obj = orjson.loads(document.body)
    return body


def resource(discovery: Discovery, path: str, name: str) -> Any:
    return next(entry for entry in read(discovery, path)["resources"] if entry["name"] == name)


def test_versions_and_groups(discovery: Discovery) -> None:
    """The root documents name the versions of the core group, and the other groups in order of importance."""
    assert read(discovery, "/api")["versions"] == ["v1"]
    assert read(discovery, "/api")["serverAddressByClientCIDRs"] == []
    discovery.advertise("192.0.2.1:8443")
    told = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "192.0.2.1:8443"}]
    assert read(discovery, "/api")["serverAddressByClientCIDRs"] == told
    groups = read(discovery, "/apis/")
    assert (groups["kind"], groups["apiVersion"]) == ("APIGroupList", "v1")
    assert [group["name"] for group in groups["groups"]] == [
        "apiregistration.k8s.io",
        "apps",
        "events.k8s.io",
        "authentication.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "networking.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "scheduling.k8s.io",
        "coordination.k8s.io",
        "node.k8s.io",
        "discovery.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "resource.k8s.io",
    ]
    version = {"groupVersion": "apps/v1", "version": "v1"}
    expected = {"name": "apps", "versions": [version], "preferredVersion": version}
    assert read(discovery, "/apis/apps") == {"kind": "APIGroup", "apiVersion": "v1", **expected}
    assert discovery.get("/apis/nothing") is None
    assert discovery.get("/apis/apps/v2") is None


def test_resources(discovery: Discovery) -> None:
    """A resource has its names, scope, verbs and Kubernetes' own storage version hash."""
    assert resource(discovery, "/api/v1", "pods") == {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["po"],
        "categories": ["all"],
        "storageVersionHash": "xPOwRZ+Yhw8=",
    }
    assert read(discovery, "/apis/apps/v1")["groupVersion"] == "apps/v1"
    assert resource(discovery, "/apis/apps/v1", "deployments")["storageVersionHash"] == "8aSe+NMegvE="


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("/api/v1", "pods/status", {"kind": "Pod", "verbs": ["get", "patch", "update"]}),
        ("/api/v1", "pods/log", {"kind": "Pod", "verbs": ["get"]}),
        ("/api/v1", "pods/exec", {"kind": "PodExecOptions", "verbs": ["create", "get"]}),
        (
            "/api/v1",
            "pods/eviction",
            {"group": "policy", "version": "v1", "kind": "Eviction", "verbs": ["create"]},
        ),
        ("/api/v1", "pods/binding", {"kind": "Binding", "verbs": ["create"]}),
        (
            "/api/v1",
            "serviceaccounts/token",
            {
                "group": "authentication.k8s.io",
                "version": "v1",
                "kind": "TokenRequest",
                "verbs": ["create"],
            },
        ),
        (
            "/api/v1",
            "services/proxy",
            {"kind": "ServiceProxyOptions", "verbs": ["create", "delete", "get", "patch", "update"]},
        ),
        (
            "/apis/apps/v1",
            "deployments/scale",
            {"group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"]},
        ),
    ],
)
def test_subresources(discovery: Discovery, path: str, name: str, expected: Obj) -> None:
    """A subresource names the kind that it takes or gives, with its group where that is another."""
    assert resource(discovery, path, name) == {
        "name": name,
        "singularName": "",
        "namespaced": True,
        **expected,
    }


def test_resources_that_are_not_stored(discovery: Discovery) -> None:
    """A review is served, can only be created, and has no storage version."""
    assert resource(discovery, "/apis/authentication.k8s.io/v1", "tokenreviews") == {
        "name": "tokenreviews",
        "singularName": "tokenreview",
        "namespaced": False,
        "kind": "TokenReview",
        "verbs": ["create"],
    }


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (KUBECTL, V2),
        (f"{V2_BETA},application/json", V2_BETA),
        (f"application/json;q=0.5,{V2};q=0.9", V2),
        ("application/json", "application/json"),
        ("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList", "application/json"),
        ("", "application/json"),
    ],
)
def test_forms(discovery: Discovery, accept: str, form: str) -> None:
    """The aggregated form is given in the version that Accept prefers, else the plain one."""
    document = discovery.get("/apis", accept)
    assert document is not None
    assert document.content_type == form


def test_aggregated(discovery: Discovery) -> None:
    """The aggregated form tells every resource of every group at once."""
    core = read(discovery, "/api", KUBECTL)
    assert (core["kind"], core["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    assert [item["metadata"] for item in core["items"]] == [{}]
    groups = read(discovery, "/apis", KUBECTL)["items"]
    (apps,) = [group for group in groups if group["metadata"] == {"name": "apps"}]
    version = apps["versions"][0]
    assert (version["version"], version["freshness"]) == ("v1", "Current")
    deployments = next(entry for entry in version["resources"] if entry["resource"] == "deployments")
    scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    own = {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert deployments == {
        "resource": "deployments",
        "responseKind": own,
        "scope": "Namespaced",
        "singularResource": "deployment",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["deploy"],
        "categories": ["all"],
        "subresources": [
            {"subresource": "scale", "responseKind": scale, "verbs": ["get", "patch", "update"]},
            {"subresource": "status", "responseKind": own, "verbs": ["get", "patch", "update"]},
        ],
    }


def test_documents_change_with_the_catalogue(catalogue: Catalogue, discovery: Discovery) -> None:
    """Documents are kept until a kind comes or goes; the ETag is the hash of the bytes."""
    before = discovery.get("/apis", KUBECTL)
    assert before is not None
    assert discovery.get("/apis", KUBECTL) is before
    assert before.etag == hashlib.sha512(before.body).hexdigest().upper()
    catalogue.add(WIDGET)
    after = discovery.get("/apis", KUBECTL)
    assert after is not None
    assert after.etag != before.etag
    assert resource(discovery, "/apis/example.com/v1", "widgets")["shortNames"] == ["wd"]
    catalogue.remove(WIDGET)
    assert discovery.get("/apis/example.com/v1") is None


def test_versions_are_sorted() -> None:
    """Of several versions the stable ones come first, and the highest of them is preferred."""
    versions = ("v1beta2", "v1", "v2alpha1", "v2", "v1beta10", "odd")
    kinds = [Kind("Widget", f"example.com/{version}", "widgets") for version in versions]
    group = read(Discovery(Catalogue(kinds)), "/apis/example.com")
    assert [one["version"] for one in group["versions"]] == [
        "v2",
        "v1",
        "v1beta10",
        "v1beta2",
        "v2alpha1",
        "odd",
    ]
    assert group["preferredVersion"]["version"] == "v2"


def test_media_types() -> None:
    """Accept is read in the order of quality, then of position; what is malformed comes last."""
    assert media_types('text/html;q=0.2, application/json;as="Table" ,*/*;q=x') == [
        ("application/json", {"as": "Table"}),
        ("text/html", {}),
        ("*/*", {}),
    ]
