"""Ways around authorization: what was judged is what is done, and nobody gives himself more than he has."""

from typing import Any

import pytest
from api_cluster import Client, Cluster
from rights import RBAC_PATH, grant, rule

NAMESPACE = "/api/v1/namespaces/default"
SECRETS = f"{NAMESPACE}/secrets"
MERGE = "application/merge-patch+json"


async def two_secrets(admin: Client) -> None:
    for name in ("mine", "other"):
        body = {"metadata": {"name": name}, "stringData": {"key": f"canary-{name}"}}
        assert (await admin.post(SECRETS, body)).code == 201


SELECTORS = [
    ("metadata.name%3Dmine", 200),
    ("metadata.name%3D%3Dmine", 200),
    ("metadata.name%3Dmine,metadata.name%3Dother", 200),
    ("metadata.name!%3Dx&fieldSelector=metadata.name%3Dmine", 403),
    ("type!%3Dx%5C,metadata.name%3Dmine", 403),
    ("metadata.name!%3Dmine", 403),
    ("metadata.name%3D", 403),
    ("", 403),
    ("%20metadata.name%3Dmine", 403),
]


@pytest.mark.parametrize(("selector", "code"), SELECTORS)
@pytest.mark.parametrize("watch", ["", "&watch=1&timeoutSeconds=1"])
async def test_names_in_field_selectors(
    cluster: Cluster, admin: Client, selector: str, code: int, watch: str
) -> None:
    """Who may list one name sees that one, however the selector is written."""
    await two_secrets(admin)
    await grant(admin, "bob", rule("list watch get", "secrets", resourceNames=["mine"]), namespace="default")
    answer = await cluster.client("bob").get(f"{SECRETS}?fieldSelector={selector}{watch}")
    assert (answer.code, "other" in str(answer.body)) == (code, False)


async def test_old_watch_of_one_name(cluster: Cluster, admin: Client) -> None:
    """The old form of a watch shows the object that its path names, and no other."""
    await two_secrets(admin)
    await grant(admin, "bob", rule("watch", "secrets", resourceNames=["mine"]), namespace="default")
    bob = cluster.client("bob")
    one = await bob.get("/api/v1/watch/namespaces/default/secrets/mine?timeoutSeconds=1")
    both = await bob.get("/api/v1/watch/namespaces/default/secrets?timeoutSeconds=1")
    assert (one.code, "'mine'" in str(one.body), "other" in str(one.body)) == (200, True, False)
    assert both.code == 403


NAMESPACED = [
    ("GET", "/api/v1/namespaces/default", 200),
    ("GET", "/api/v1/namespaces/default/namespaces/kube-system", 404),
    ("GET", "/api/v1/namespaces/default/namespaces", 404),
    ("DELETE", "/api/v1/namespaces/default/namespaces/kube-public", 404),
    ("DELETE", "/api/v1/namespaces/default/namespaces", 404),
    ("PUT", "/api/v1/namespaces/default/namespaces/kube-system/finalize", 404),
    ("GET", "/api/v1/namespaces/default/nodes", 404),
    ("GET", "/api/v1/namespaces/default/persistentvolumes", 404),
    ("GET", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/clusterroles/cluster-admin", 404),
    ("GET", "/apis/example.com/v1/namespaces/default/wides", 404),
    ("GET", "/apis/example.com/v1/namespaces/default/wides/w", 404),
    ("DELETE", "/apis/example.com/v1/namespaces/default/wides/w", 404),
    ("GET", "/apis/example.com/v1/wides/w", 403),
    ("GET", "/api/v1/namespaces/default/../kube-system/secrets", 404),
    ("GET", "/api/v1/namespaces/default%2f..%2fkube-system/secrets", 400),
    ("GET", "/api/v1/namespaces/default/secrets/..%2f..%2fkube-system%2fsecrets%2fx", 400),
    ("GET", "/api/v1/namespaces/default/secrets/%2e%2e", 400),
    ("GET", "/api/v1/namespaces/default/secrets/%00", 400),
    ("GET", "/api/v1/namespaces/%2e%2e/secrets", 400),
    ("GET", "/api/v1/namespaces/kube-system/secrets", 403),
    ("GET", "/api/v1//secrets", 404),
    ("GET", "/api/v1/namespaces//secrets", 403),
    ("GET", "//api/v1/secrets", 403),
    ("GET", "/%61pi/v1/secrets", 403),
    ("GET", "/api/%76%31/secrets", 403),
    ("GET", "/api/v1/%73ecrets", 403),
    ("GET", "/api/v1/namespaces/default/pods/x/..%2f..%2fsecrets", 404),
    ("GET", "/api/../api/v1/secrets", 403),
]


def cluster_scoped() -> dict[str, Any]:
    names = {"plural": "wides", "singular": "wide", "kind": "Wide", "listKind": "WideList"}
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]}
    return {"metadata": {"name": "wides.example.com"}, "spec": spec}


async def test_rights_in_a_namespace_end_there(cluster: Cluster, admin: Client) -> None:
    """Who may do everything in one namespace reaches nothing outside it, by whatever URL (CVE-2019-11247)."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    async with admin.request("GET", f"{definitions}?watch=1") as watch:
        assert (await admin.post(definitions, cluster_scoped())).code == 201
        async for line in watch.content:
            if b'"type":"Established"' in line and b'"status":"True"' in line:
                break
    made = await admin.post(
        "/apis/example.com/v1/wides",
        {"apiVersion": "example.com/v1", "kind": "Wide", "metadata": {"name": "w"}},
    )
    assert made.code == 201, made.body
    await grant(admin, "owner", rule("*", "*", "*"), namespace="default")
    owner = cluster.client("owner")
    found = [(method, path, (await owner.call(method, path)).code) for method, path, _ in NAMESPACED]
    assert found == NAMESPACED


ANONYMOUS = [
    ("/healthz", 200),
    ("/livez", 200),
    ("/readyz", 200),
    ("/version", 200),
    ("/version/", 200),
    ("/healthz?verbose", 200),
    ("/healthz/../api", 403),
    ("/healthz/..", 403),
    ("/healthz/%2e%2e/api", 403),
    ("/version/../api/v1/secrets", 403),
    ("/version/x", 403),
    ("/versionx", 403),
    ("/healthzz", 403),
    ("//version/../api", 403),
    ("/api/v1/secrets?x=/healthz", 403),
    ("/", 403),
    ("/apis", 403),
    ("/openapi/v3", 403),
    ("/openid/v1/jwks", 403),
    ("/.well-known/openid-configuration", 403),
    ("/metrics", 403),
    ("/debug/pprof/", 403),
    ("/logs", 403),
    ("/configz", 403),
    ("/api/v1/namespaces/default/pods/x/exec", 403),
    ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", 403),
]


async def test_anonymous(cluster: Cluster) -> None:
    """Without credentials only what everybody may see answers, and nothing is found behind it."""
    client = cluster.client()
    assert [(path, (await client.get(path)).code) for path, _ in ANONYMOUS] == ANONYMOUS


READ_CONFIG = rule("get", "configmaps")
SUBJECT = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "eve"}


def reference(name: str, kind: str = "ClusterRole") -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}


def role(name: str, *rules: Any, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules), **more}


def bound(name: str, to: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "roleRef": to, "subjects": [SUBJECT]}


CLUSTER_ROLES, ROLES = f"{RBAC_PATH}/clusterroles", f"{RBAC_PATH}/namespaces/default/roles"
CLUSTER_BINDINGS = f"{RBAC_PATH}/clusterrolebindings"
BINDINGS = f"{RBAC_PATH}/namespaces/default/rolebindings"
AGGREGATE = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
EVERYTHING = {"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]}
STRONGER = [
    ("POST", CLUSTER_ROLES, role("own", READ_CONFIG), 201),
    ("POST", CLUSTER_ROLES, role("a", rule("*", "*", "*")), 403),
    ("POST", CLUSTER_ROLES, role("a", rule("get", "secrets")), 403),
    ("POST", CLUSTER_ROLES, role("a", {"verbs": ["get"], "nonResourceURLs": ["/metrics"]}), 403),
    ("POST", CLUSTER_ROLES, role("a", aggregationRule=EVERYTHING), 403),
    ("POST", ROLES, role("a", rule("get", "pods/exec")), 403),
    ("PATCH", f"{CLUSTER_ROLES}/strong", {"metadata": {"labels": AGGREGATE}}, 403),
    ("PATCH", f"{CLUSTER_ROLES}/strong", {"metadata": {"annotations": {"a": "b"}}}, 403),
    ("PATCH", f"{CLUSTER_ROLES}/strong", {"metadata": {"finalizers": ["example.com/x"]}}, 200),
    ("PATCH", f"{CLUSTER_ROLES}/own", {"metadata": {"labels": {"a": "b"}}}, 200),
    ("PATCH", f"{CLUSTER_ROLES}/own", {"rules": [rule("*", "*", "*")]}, 403),
    ("PATCH", f"{CLUSTER_ROLES}/view", {"aggregationRule": EVERYTHING}, 403),
    ("PATCH", f"{CLUSTER_ROLES}/view", {"aggregationRule": None}, 403),
    ("PUT", f"{CLUSTER_ROLES}/new", role("new", rule("*", "*", "*")), 403),
    ("POST", CLUSTER_BINDINGS, bound("b", reference("cluster-admin")), 403),
    ("POST", CLUSTER_BINDINGS, bound("b", reference("not-there")), 404),
    ("POST", BINDINGS, bound("b", reference("cluster-admin")), 403),
    ("POST", BINDINGS, bound("b", reference("strong", "Role")), 404),
    ("POST", BINDINGS, bound("b", reference("own")), 201),
    ("PATCH", f"{BINDINGS}/b", {"roleRef": reference("cluster-admin")}, 422),
    ("PATCH", f"{CLUSTER_BINDINGS}/cluster-admin", {"subjects": [SUBJECT]}, 403),
]


async def test_nobody_becomes_stronger(cluster: Cluster, admin: Client) -> None:
    """Who may write every role and binding grants what he has: by rules, aggregation, labels or subjects."""
    assert (await admin.post(CLUSTER_ROLES, role("strong", rule("*", "*", "*")))).code == 201
    everything = "roles clusterroles rolebindings clusterrolebindings"
    writes = rule(
        "get list create update patch delete deletecollection", everything, "rbac.authorization.k8s.io"
    )
    await grant(admin, "eve", writes, READ_CONFIG)
    eve = cluster.client("eve")
    found = []
    for method, path, body, _ in STRONGER:
        type = MERGE if method == "PATCH" else "application/json"
        found.append((method, path, body, (await eve.call(method, path, body, type=type)).code))
    assert found == STRONGER


APPLIED = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "applied"},
    "rules": [rule("*", "*", "*")],
}


@pytest.mark.parametrize("type", ["application/apply-patch+yaml", MERGE, "application/json-patch+json"])
async def test_no_patch_makes_stronger(cluster: Cluster, admin: Client, type: str) -> None:
    """Every sort of patch meets the same check."""
    writes = rule("get create update patch", "clusterroles", "rbac.authorization.k8s.io")
    await grant(admin, "eve", writes)
    assert (await cluster.client("eve").post(CLUSTER_ROLES, role("applied"))).code == 201
    json_patch = [{"op": "add", "path": "/rules", "value": APPLIED["rules"]}]
    body = json_patch if "json-patch" in type else APPLIED
    path = f"{CLUSTER_ROLES}/applied?fieldManager=eve" + ("&force=true" if "apply" in type else "")
    refused = await cluster.client("eve").call("PATCH", path, body, type=type)
    assert refused.code == 403, refused.body


async def test_named_rights(cluster: Cluster, admin: Client) -> None:
    """A right on named objects is none on collections, nor on what has no name yet."""
    every = "get list create delete deletecollection update patch"
    await grant(admin, "bob", rule(every, "configmaps", resourceNames=["a"]), namespace="default")
    bob, maps = cluster.client("bob"), f"{NAMESPACE}/configmaps"
    body = {"metadata": {"name": "a"}, "data": {"a": "b"}}
    found = [
        (await bob.post(maps, body)).code,
        (await bob.post(maps, {"metadata": {"generateName": "a"}})).code,
        (await bob.get(maps)).code,
        (await bob.call("DELETE", maps)).code,
        (await bob.call("DELETE", f"{maps}?fieldSelector=metadata.name=a")).code,
        (await bob.call("PUT", f"{maps}/a", {"metadata": {"name": "b"}})).code,
        (await bob.get(f"{maps}/b")).code,
    ]
    assert found == [403, 403, 403, 403, 403, 400, 403]


SUBRESOURCES = [
    ("PATCH", "pods/p/ephemeralcontainers", {"spec": {"ephemeralContainers": [{"name": "d", "image": "i"}]}}),
    ("PATCH", "pods/p/resize", {"spec": {"containers": [{"name": "c", "resources": {}}]}}),
    ("PATCH", "pods/p/status", {"status": {"message": "x"}}),
    ("POST", "pods/p/binding", {"target": {"kind": "Node", "name": "n"}}),
    ("POST", "pods/p/eviction", {"metadata": {"name": "p"}}),
    ("POST", "pods/p/exec?command=x&stdout=1", {}),
    ("GET", "pods/p/exec?command=x&stdout=1", None),
    ("GET", "pods/p/attach?stdout=1", None),
    ("GET", "pods/p/portforward?ports=1", None),
    ("GET", "pods/p/log", None),
    ("GET", "pods/p/proxy/", None),
    ("POST", "serviceaccounts/default/token", {"spec": {}}),
    ("PUT", "services/s/status", {"metadata": {"name": "s"}}),
    ("GET", "services/s/proxy/", None),
    ("GET", "replicationcontrollers/r/scale", None),
    ("POST", "bindings", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}),
]


async def test_subresources_are_rights_of_their_own(cluster: Cluster, admin: Client) -> None:
    """Every right on the resources themselves is none on their subresources."""
    await grant(
        admin, "bob", rule("*", "pods services serviceaccounts replicationcontrollers"), namespace="default"
    )
    bob = cluster.client("bob")
    found = []
    for method, path, body in SUBRESOURCES:
        type = MERGE if method == "PATCH" else "application/json"
        found.append((path, (await bob.call(method, f"{NAMESPACE}/{path}", body, type=type)).code))
    assert found == [(path, 403) for _, path, _ in SUBRESOURCES]
