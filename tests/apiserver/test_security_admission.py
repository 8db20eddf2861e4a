"""Ways around admission: every write, by whatever verb, subresource or patch, is judged, and a dry run too."""

import asyncio
from typing import Any

import pytest
from api_cluster import Client, Cluster
from rights import grant, rule

NAMESPACE = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
JSON, MERGE = "application/json", "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH, APPLY = "application/json-patch+json", "application/apply-patch+yaml"
LABELS = {"metadata": {"labels": {"x": "y"}}}
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"a": "b"}}
DEBUGGER = {"spec": {"ephemeralContainers": [{"name": "d", "image": "i"}]}}
CPU = {"requests": {"cpu": "2"}}
SIZE = {"spec": {"containers": [{"name": "c", "resources": CPU}]}}
SCALE = {"spec": {"replicas": 9}}
BINDING = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
TOKEN: dict[str, Any] = {"spec": {}}

WAYS = [
    ("POST", f"{NAMESPACE}/configmaps", MAP, JSON),
    ("POST", f"{NAMESPACE}/configmaps?dryRun=All", MAP, JSON),
    ("PUT", f"{NAMESPACE}/configmaps/old", {**MAP, "metadata": {"name": "old"}}, JSON),
    ("PATCH", f"{NAMESPACE}/configmaps/old", LABELS, MERGE),
    ("PATCH", f"{NAMESPACE}/configmaps/old", LABELS, STRATEGIC),
    ("PATCH", f"{NAMESPACE}/configmaps/old", [{"op": "add", "path": "/data", "value": {"a": "b"}}], JSON_PATCH),
    ("PATCH", f"{NAMESPACE}/configmaps/new?fieldManager=bob", MAP, APPLY),
    ("PATCH", f"{NAMESPACE}/configmaps/old?dryRun=All", LABELS, MERGE),
    ("DELETE", f"{NAMESPACE}/configmaps/old", None, JSON),
    ("DELETE", f"{NAMESPACE}/configmaps", None, JSON),
    ("PATCH", f"{NAMESPACE}/pods/p/ephemeralcontainers", DEBUGGER, STRATEGIC),
    ("PATCH", f"{NAMESPACE}/pods/p/resize", SIZE, STRATEGIC),
    ("PATCH", f"{NAMESPACE}/pods/p/status", {"status": {"message": "x"}}, MERGE),
    ("POST", f"{NAMESPACE}/pods/p/binding", BINDING, JSON),
    ("POST", f"{NAMESPACE}/bindings", BINDING, JSON),
    ("POST", f"{NAMESPACE}/pods/p/eviction", EVICTION, JSON),
    ("POST", f"{NAMESPACE}/serviceaccounts/default/token", TOKEN, JSON),
    ("PATCH", f"{APPS}/deployments/d/scale", SCALE, MERGE),
    ("PATCH", f"{APPS}/deployments/d/status", {"status": {"replicas": 9}}, MERGE),
    ("PUT", "/api/v1/namespaces/default/finalize", {"metadata": {"name": "default"}}, JSON),
    ("POST", f"{NAMESPACE}/pods/p/exec?command=x&stdout=1", None, JSON),
    ("GET", f"{NAMESPACE}/pods/p/portforward?ports=1", None, JSON),
    ("GET", f"{NAMESPACE}/pods/p/proxy/", None, JSON),
]


async def made(admin: Client) -> None:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    await admin.post(f"{NAMESPACE}/configmaps", {"metadata": {"name": "old"}})
    await admin.post(f"{NAMESPACE}/pods", {"metadata": {"name": "p"}, "spec": template["spec"]})
    await admin.post(f"{APPS}/deployments", {"metadata": {"name": "d"}, "spec": spec})


async def versions(admin: Client) -> list[tuple[str, str]]:
    paths = (f"{NAMESPACE}/configmaps", f"{NAMESPACE}/pods", f"{APPS}/deployments")
    lists = [(await admin.get(path))["items"] for path in paths]
    return [(o["metadata"]["name"], o["metadata"]["resourceVersion"]) for items in lists for o in items]


async def test_no_way_around_a_policy(cluster: Cluster, admin: Client) -> None:
    """A policy on everything refuses every way to write, run or reach, and nothing was changed by then."""
    await made(admin)
    await grant(admin, "bob", rule("*", "*", "*"))
    rules = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}]
    policy = {
        "metadata": {"name": "not-bob"},
        "spec": {
            "matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": "request.userInfo.username != 'bob'", "message": "not bob"}],
        },
    }
    assert (await admin.post(POLICIES, policy)).code == 201
    binding = {
        "metadata": {"name": "not-bob"},
        "spec": {"policyName": "not-bob", "validationActions": ["Deny"]},
    }
    assert (await admin.post(BINDINGS, binding)).code == 201
    before, bob, found = await versions(admin), cluster.client("bob"), []
    for method, path, body, type in WAYS:
        answer = await bob.call(method, path, body, type=type)
        found.append((method, path, answer.code, "not bob" in str(answer.body)))
    assert found == [(method, path, 422, True) for method, path, _, _ in WAYS]
    assert await versions(admin) == before


RUNS = [
    ("POST", f"{NAMESPACE}/configmaps?dryRun=All", MAP, JSON),
    ("PATCH", f"{NAMESPACE}/configmaps/new?fieldManager=a&dryRun=All", MAP, APPLY),
    ("DELETE", f"{NAMESPACE}/configmaps/old?dryRun=All", None, JSON),
    ("DELETE", f"{NAMESPACE}/configmaps?dryRun=All", None, JSON),
    ("PATCH", f"{NAMESPACE}/pods/p/ephemeralcontainers?dryRun=All", DEBUGGER, STRATEGIC),
    ("POST", f"{NAMESPACE}/pods/p/binding?dryRun=All", BINDING, JSON),
    ("POST", f"{NAMESPACE}/pods/p/eviction?dryRun=All", EVICTION, JSON),
    ("PATCH", f"{APPS}/deployments/d/scale?dryRun=All", SCALE, MERGE),
    ("DELETE", f"{NAMESPACE}/pods/p", {"dryRun": ["All"]}, JSON),
]


@pytest.mark.parametrize(("method", "path", "body", "type"), RUNS, ids=range(len(RUNS)))
async def test_dry_runs_change_nothing(admin: Client, method: str, path: str, body: Any, type: str) -> None:
    """A dry run succeeds and leaves everything as it was, quota usage too."""
    await made(admin)
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "5", "pods": "5"}}}
    await admin.post(f"{NAMESPACE}/resourcequotas", quota)
    before = (await versions(admin), (await admin.get(f"{NAMESPACE}/resourcequotas/q"))["metadata"])
    answer = await admin.call(method, path, body, type=type)
    after = (await versions(admin), (await admin.get(f"{NAMESPACE}/resourcequotas/q"))["metadata"])
    assert (answer.code in (200, 201), after) == (True, before)


async def test_two_quotas_and_every_way_to_create(admin: Client) -> None:
    """100 creates at once, by POST, apply and generateName, against quotas of 10 and 12: 10 are there."""
    there = len((await admin.get(f"{NAMESPACE}/configmaps"))["items"])
    for name, count in (("a", 10 + there), ("b", 12 + there)):
        quota = {"metadata": {"name": name}, "spec": {"hard": {"count/configmaps": str(count)}}}
        assert (await admin.post(f"{NAMESPACE}/resourcequotas", quota)).code == 201

    async def create(number: int) -> int:
        name = f"m{number}"
        if number % 3 == 0:
            body = {**MAP, "metadata": {"name": name}}
            path = f"{NAMESPACE}/configmaps/{name}?fieldManager=a"
            return (await admin.call("PATCH", path, body, type=APPLY)).code
        metadata = {"name": name} if number % 3 == 1 else {"generateName": "g"}
        return (await admin.post(f"{NAMESPACE}/configmaps", {"metadata": metadata})).code

    codes = await asyncio.gather(*map(create, range(100)))
    listed = (await admin.get(f"{NAMESPACE}/configmaps"))["items"]
    used = [
        (await admin.get(f"{NAMESPACE}/resourcequotas/{q}"))["status"]["used"]["count/configmaps"] for q in "ab"
    ]
    assert (codes.count(201), codes.count(403), len(listed)) == (10, 90, 10 + there)
    assert used == [str(10 + there)] * 2
