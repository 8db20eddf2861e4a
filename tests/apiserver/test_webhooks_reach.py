"""What admission webhooks see (versions, subresources, conditions), and how they are reached."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from api_cluster import Client, Cluster
from machine_address import machine_address
from webhook_server import Webhooks, deny, patch, serving

from minikube_py.aio.clock import SystemClock
from minikube_py.apiserver.webhook_client import WebhookClient, WebhookFailed, duration, endpoint_of, refused
from minikube_py.registry.base import Context

Obj = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
EVERYTHING = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[Webhooks]:
    """A webhook server on loopback."""
    async with serving(tmp_path / "hooks") as made:
        yield made


def rule(group: str, version: str, resource: str, *operations: str) -> Obj:
    return {
        "operations": list(operations) or ["*"],
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": [resource],
    }


async def configure(admin: Client, kind: str, client_config: Obj, *rules: Obj, **more: Any) -> None:
    """Create a configuration of one webhook."""
    webhook = {
        "name": "w.example.com",
        "clientConfig": client_config,
        "rules": list(rules) or [rule("", "v1", "configmaps")],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **more,
    }
    body = {"metadata": {"name": "c"}, "webhooks": [webhook]}
    made = await admin.post(f"{REGISTRATION}/{kind}webhookconfigurations", body)
    assert made.code == 201, made.body


def config_map(name: str = "m", **labels: str) -> Obj:
    return {"metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}


async def test_match_conditions(admin: Client, hooks: Webhooks) -> None:
    """Conditions see the object and the request; one that is false, keeps the webhook out of it."""
    conditions = [
        {"name": "labelled", "expression": "has(object.metadata.labels) && 'ask' in object.metadata.labels"},
        {
            "name": "create",
            "expression": "request.operation == 'CREATE' && request.userInfo.username == 'admin'",
        },
        {"name": "may", "expression": "authorizer.group('').resource('secrets').check('get').allowed()"},
    ]
    await configure(admin, "validating", hooks.url("/v"), matchConditions=conditions)
    await admin.post(MAPS, config_map("a", ask="1"))
    await admin.post(MAPS, config_map("b"))
    await admin.call("PUT", f"{MAPS}/a", config_map("a", ask="2"))
    assert [asked["name"] for asked in hooks.seen["/v"]] == ["a"]


@pytest.mark.parametrize("policy, code", [("Fail", 403), ("Ignore", 201)])
async def test_condition_that_fails(admin: Client, hooks: Webhooks, policy: str, code: int) -> None:
    """A condition that cannot be evaluated refuses the request, or skips the webhook, by the failure policy."""
    conditions = [{"name": "bad", "expression": "object.spec.missing == 'x'"}]
    await configure(admin, "validating", hooks.url("/v"), matchConditions=conditions, failurePolicy=policy)
    made = await admin.post(MAPS, config_map())
    assert (made.code, hooks.seen) == (code, {})
    if code == 403:
        assert "no such key: spec" in made["message"]


async def test_namespace_selector(admin: Client, hooks: Webhooks) -> None:
    """The labels of the namespace choose, its own on writes to the namespace itself."""
    rules = [rule("", "v1", "configmaps"), rule("", "v1", "namespaces")]
    selector = {"matchLabels": {"watched": "yes"}}
    await configure(admin, "validating", hooks.url("/v"), *rules, namespaceSelector=selector)
    await admin.post("/api/v1/namespaces", {"metadata": {"name": "seen", "labels": {"watched": "yes"}}})
    await admin.post("/api/v1/namespaces", {"metadata": {"name": "unseen"}})
    await admin.post("/api/v1/namespaces/seen/configmaps", config_map("a"))
    await admin.post("/api/v1/namespaces/unseen/configmaps", config_map("b"))
    names = [(asked["resource"]["resource"], asked["name"]) for asked in hooks.seen["/v"]]
    assert (names[0], names[-1]) == (("namespaces", "seen"), ("configmaps", "a"))
    assert {asked["namespace"] for asked in hooks.seen["/v"]} == {"seen"}


async def test_equivalent_versions(admin: Client, hooks: Webhooks) -> None:
    """A rule on another version is shown the object in that version, and its patch is converted back."""
    hooks.answers["/m"] = patch({"op": "replace", "path": "/spec/maxReplicas", "value": 7})
    await configure(
        admin, "mutating", hooks.url("/m"), rule("autoscaling", "v1", "horizontalpodautoscalers", "CREATE")
    )
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    spec = {"scaleTargetRef": scaled, "minReplicas": 1, "maxReplicas": 3, "metrics": [metric]}
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    made = await admin.post(path, {"metadata": {"name": "h"}, "spec": spec})
    (asked,) = hooks.seen["/m"]
    assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v1", "v2")
    assert asked["object"]["apiVersion"] == "autoscaling/v1"
    assert asked["object"]["spec"]["targetCPUUtilizationPercentage"] == 50
    assert (made["apiVersion"], made["spec"]["maxReplicas"], made["spec"]["metrics"]) == (
        "autoscaling/v2",
        7,
        [metric],
    )


async def test_exact_versions(admin: Client, hooks: Webhooks) -> None:
    """With matchPolicy Exact only requests in the rule's own version are shown."""
    wanted = rule("autoscaling", "v1", "horizontalpodautoscalers", "CREATE")
    await configure(admin, "validating", hooks.url("/v"), wanted, matchPolicy="Exact")
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    spec = {"scaleTargetRef": scaled, "maxReplicas": 3}
    for version in ("v1", "v2"):
        path = f"/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers"
        made = await admin.post(path, {"metadata": {"name": version}, "spec": spec})
        assert made.code == 201
    assert [(asked["name"], asked["kind"]["version"]) for asked in hooks.seen["/v"]] == [("v1", "v1")]


async def test_connect(admin: Client, hooks: Webhooks) -> None:
    """Exec and proxy requests are shown with their options."""
    hooks.answers["/v"] = deny("not today", code=403, reason="Forbidden")
    await configure(admin, "validating", hooks.url("/v"), rule("", "v1", "*/*", "CONNECT"))
    await admin.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}}
    await admin.post("/api/v1/namespaces/default/pods", pod)
    root = "/api/v1/namespaces/default/pods/p"
    run = await admin.post(f"{root}/exec?container=c&command=sh&command=-c&stdin=1&stdout=true", None)
    proxied = await admin.get(f"{root}/proxy/a/b")
    want = 'admission webhook "w.example.com" denied the request: not today'
    assert [(answer.code, answer["message"]) for answer in (run, proxied)] == [(403, want), (403, want)]
    first, second = hooks.seen["/v"]
    assert (first["operation"], first["subResource"], first["kind"]["kind"], first["name"]) == (
        "CONNECT",
        "exec",
        "PodExecOptions",
        "p",
    )
    assert first["object"] == {
        "kind": "PodExecOptions",
        "apiVersion": "v1",
        "stdin": True,
        "stdout": True,
        "container": "c",
        "command": ["sh", "-c"],
    }
    assert second["object"] == {"kind": "PodProxyOptions", "apiVersion": "v1", "path": "/a/b"}


async def test_created_subresources(admin: Client, hooks: Webhooks) -> None:
    """Evictions, bindings and tokens are shown as the objects that they are."""
    rules = [
        rule("", "v1", name, "CREATE") for name in ("pods/binding", "pods/eviction", "serviceaccounts/token")
    ]
    await configure(admin, "validating", hooks.url("/v"), *rules)
    await admin.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await admin.post("/api/v1/namespaces/default/pods", pod)
    root = "/api/v1/namespaces/default"
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "n"}}
    await admin.post(f"{root}/pods/p/binding", binding)
    await admin.post(f"{root}/serviceaccounts/default/token", {"spec": {}})
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    await admin.post(f"{root}/pods/p/eviction", eviction)
    shown = [
        (a["subResource"], a["kind"]["group"], a["kind"]["kind"], a["operation"]) for a in hooks.seen["/v"]
    ]
    assert shown == [
        ("binding", "", "Binding", "CREATE"),
        ("token", "authentication.k8s.io", "TokenRequest", "CREATE"),
        ("eviction", "policy", "Eviction", "CREATE"),
    ]


async def test_virtual_resources(admin: Client, hooks: Webhooks) -> None:
    """What is answered and not stored passes webhooks like everything that is created."""
    await configure(admin, "validating", hooks.url("/v"), rule("authorization.k8s.io", "v1", "*"))
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    made = await admin.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    (asked,) = hooks.seen["/v"]
    assert (made.code, asked["resource"]["resource"]) == (201, "selfsubjectaccessreviews")


async def test_status_is_a_subresource(admin: Client, hooks: Webhooks) -> None:
    """A write to the status is shown to webhooks on the status only."""
    await configure(admin, "validating", hooks.url("/v"), rule("", "v1", "namespaces/status"))
    await admin.post("/api/v1/namespaces", {"metadata": {"name": "n"}})
    patch = {"status": {"conditions": []}}
    merge = "application/merge-patch+json"
    await admin.call("PATCH", "/api/v1/namespaces/n/status", patch, type=merge)
    await admin.call("PATCH", "/api/v1/namespaces/n", {"metadata": {"labels": {"a": "b"}}}, type=merge)
    assert [asked["subResource"] for asked in hooks.seen["/v"]] == ["status"]


async def test_old_reviews(admin: Client, hooks: Webhooks) -> None:
    """A webhook that takes only v1beta1 gets that."""
    await configure(admin, "validating", hooks.url("/v"), admissionReviewVersions=["v1beta1"])
    made = await admin.post(MAPS, config_map())
    assert (made.code, hooks.reviews[0]["apiVersion"]) == (201, "admission.k8s.io/v1beta1")


async def test_dry_run_is_refused_for_side_effects(cluster: Cluster, admin: Client, hooks: Webhooks) -> None:
    """A webhook of an old configuration with side effects keeps a dry run from happening."""
    await configure(admin, "validating", hooks.url("/v"))
    plugin = next(p for p in cluster.registry.admission.plugins if p.name == "ValidatingAdmissionWebhook")  # type: ignore[attr-defined]
    stored = plugin.hooks.all[0]
    plugin.hooks.all = (
        type(stored)(**{**{f: getattr(stored, f) for f in stored.__slots__}, "dry_run": False}),
    )
    made = await admin.post(f"{MAPS}?dryRun=All", config_map())
    assert (made.code, made["message"], hooks.seen) == (
        400,
        'admission webhook "w.example.com" does not support dry run',
        {},
    )


async def service(admin: Client, host: str, port: int, *, ready: bool = True) -> None:
    """A Service `hook` in the namespace `default` with one endpoint."""
    body = {"metadata": {"name": "hook"}, "spec": {"ports": [{"name": "https", "port": 443}]}}
    assert (await admin.post("/api/v1/namespaces/default/services", body)).code == 201
    slice = {
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": ready}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
    made = await admin.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice)
    assert made.code == 201


async def test_by_service(admin: Client, tmp_path: Path) -> None:
    """A webhook behind a Service is reached at its endpoints, by a certificate for the Service's name."""
    async with serving(tmp_path / "hooks", machine_address(), "hook.default.svc") as hooks:
        await service(admin, hooks.host, hooks.port)
        where = {"namespace": "default", "name": "hook", "path": "/v"}
        await configure(admin, "validating", {"service": where, "caBundle": hooks.bundle})
        made = await admin.post(MAPS, config_map())
        host = hooks.requests[0].headers["Host"]
    assert (made.code, host, len(hooks.seen["/v"])) == (201, "hook.default.svc:443", 1)


@pytest.mark.parametrize(
    "spec, told",
    [
        (None, 'service "hook" not found'),
        ({"type": "ExternalName", "externalName": "localhost"}, 'unsupported service type "ExternalName"'),
        ({"ports": [{"port": 80}]}, 'no service port 443 found for service "hook"'),
        ({"ports": [{"port": 443}]}, 'no endpoints available for service "hook"'),
    ],
)
async def test_service_that_leads_nowhere(admin: Client, hooks: Webhooks, spec: Obj | None, told: str) -> None:
    """What is wrong with a Service is told in the failure."""
    if spec is not None:
        body = {"metadata": {"name": "hook"}, "spec": spec}
        assert (await admin.post("/api/v1/namespaces/default/services", body)).code == 201
    where = {"namespace": "default", "name": "hook", "path": "/v"}
    await configure(admin, "validating", {"service": where, "caBundle": hooks.bundle})
    made = await admin.post(MAPS, config_map())
    url = "https://hook.default.svc:443/v?timeout=10s"
    why = f'failed calling webhook "w.example.com": failed to call webhook: Post "{url}": {told}'
    assert (made.code, made["message"]) == (500, f"Internal error occurred: {why}")


async def test_unknown_authority(cluster: Cluster, admin: Client, hooks: Webhooks, tmp_path: Path) -> None:
    """A certificate that the CA bundle does not vouch for is refused."""
    async with serving(tmp_path / "other") as other:
        await configure(admin, "validating", {**hooks.url("/v"), "caBundle": other.bundle})
        made = await admin.post(MAPS, config_map())
    assert made.code == 500
    assert made["message"].endswith(
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )


async def test_nobody_listens(cluster: Cluster) -> None:
    """The client tells of a refused connection as Kubernetes' own does."""
    client = WebhookClient(cluster.registry, SystemClock())
    with pytest.raises(WebhookFailed) as failed:
        await client.call({"url": "https://127.0.0.1:1/x"}, {}, 2.0)
    await client.close()
    want = 'Post "https://127.0.0.1:1/x?timeout=2s": dial tcp 127.0.0.1:1: connect: connection refused'
    assert failed.value.message == want


async def test_parallel_calls_share_connections(cluster: Cluster, admin: Client, hooks: Webhooks) -> None:
    """Connections are kept between calls, also between many at once."""
    client = WebhookClient(cluster.registry, SystemClock())
    review = {"apiVersion": "admission.k8s.io/v1", "request": {"uid": "u"}}
    for _ in range(3):
        await asyncio.gather(*(client.call(hooks.url("/x"), review, 5) for _ in range(4)))
    await client.close()
    assert (len(hooks.requests), len(hooks.connections)) == (12, 4)


async def test_no_configuration_costs_nothing(cluster: Cluster) -> None:
    """Without configurations no plugin of webhooks has anything to ask."""
    chain = cluster.registry.admission
    counts = [len(p.hooks.all) for p in chain.plugins if p.name.endswith("AdmissionWebhook")]  # type: ignore[attr-defined]
    assert (counts, Context().audit) == ([0, 0], {})


@pytest.mark.parametrize(
    "seconds, text", [(10, "10s"), (1, "1s"), (0.25, "250ms"), (90, "1m30s"), (60, "1m0s"), (30.0, "30s")]
)
def test_durations(seconds: float, text: str) -> None:
    """Seconds as Go shows them."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    "code, body, told",
    [
        (404, b"", "the server could not find the requested resource"),
        (418, b"tea", "the server responded with the status code 418 but did not return more information"),
        (500, b"", 'an error on the server ("unknown") has prevented the request from succeeding'),
        (403, b"go away", "go away"),
        (503, b'{"kind": "Status", "message": "later"}', "later"),
    ],
)
def test_refusals(code: int, body: bytes, told: str) -> None:
    """What is said of an HTTP answer that is no success."""
    assert refused(code, body) == told


def test_endpoints() -> None:
    """A Service's URL has its port and one slash before the path; plain HTTP is refused."""
    service = {"namespace": "a", "name": "b", "path": "c", "port": 8443}
    assert endpoint_of({"service": service}).url == "https://b.a.svc:8443/c"
    with pytest.raises(WebhookFailed, match="only https"):
        endpoint_of({"url": "http://127.0.0.1/"})
