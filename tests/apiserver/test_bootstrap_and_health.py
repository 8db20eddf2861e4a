"""What a cluster has from the start, and what the server tells of itself."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from api_cluster import Client, Cluster, start, stop

from minikube_py.aio.metrics import Counter, Histogram
from minikube_py.apiserver import start_steps
from minikube_py.apiserver.bootstrap import apply
from minikube_py.apiserver.health import Health
from minikube_py.kinds.rbac.clusterrole import ClusterRole
from minikube_py.meta import yaml
from minikube_py.meta.objects import copy
from minikube_py.registry.base import Context
from minikube_py.store.base import StoreUnavailable

ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


async def test_default_objects(admin: Client) -> None:
    """Namespaces with their companions, the API's Service and endpoints, priority classes are there."""
    namespaces = await admin.get("/api/v1/namespaces")
    service = await admin.get("/api/v1/namespaces/default/services/kubernetes")
    slices = await admin.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
    accounts = await admin.get("/api/v1/serviceaccounts")
    classes = await admin.get("/apis/scheduling.k8s.io/v1/priorityclasses")
    names = [item["metadata"]["name"] for item in namespaces["items"]]
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]
    assert (service["spec"]["clusterIP"], slices["endpoints"][0]["addresses"]) == ("10.96.0.1", ["10.244.0.1"])
    assert [item["metadata"]["namespace"] for item in accounts["items"]] == names
    assert [item["value"] for item in classes["items"]] == [2_000_000_000, 2_000_001_000]


async def test_cluster_info(cluster: Cluster, admin: Client) -> None:
    """Who joins the cluster learns its URL and its CA from a ConfigMap, which nobody needs a name to read."""
    info = await admin.get("/api/v1/namespaces/kube-public/configmaps/cluster-info")
    found = yaml.load(info["data"]["kubeconfig"].encode())["clusters"][0]["cluster"]
    assert found["server"] == "https://10.244.0.1:8443"
    assert base64.b64decode(found["certificate-authority-data"]).decode() == cluster.authority.path.read_text()
    attributes = {"namespace": "kube-public", "verb": "get", "resource": "configmaps", "name": "cluster-info"}
    review = {"spec": {"user": "system:anonymous", "resourceAttributes": attributes}}
    asked = await admin.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert asked["status"]["allowed"] is True


async def test_applied_again_changes_nothing(cluster: Cluster) -> None:
    """A second start finds everything as it should be."""
    before = cluster.registry.revision
    facts = apply.Bootstrap(("10.244.0.1",), 8443, "10.96.0.0/12", cluster.authority.path.read_text())
    await apply.apply(cluster.registry, facts)
    assert cluster.registry.revision == before


async def test_lost_rules_come_back_and_added_ones_stay(cluster: Cluster) -> None:
    """What a default role lacks is added, what was added stays, `autoupdate: false` is respected."""
    added = {"verbs": ["get"], "apiGroups": ["x"], "resources": ["y"]}
    for name, annotation in (("system:kube-dns", "true"), ("system:heapster", "false")):
        stored = copy(cluster.registry.decoded(cluster.registry.get(ClusterRole, "", name)))
        stored["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = annotation
        await cluster.registry.update(ClusterRole, "", name, stored | {"rules": [added]}, Context())
    facts = apply.Bootstrap(("10.244.0.2",), 8443, "10.96.0.0/12", cluster.authority.path.read_text())
    await apply.apply(cluster.registry, facts)
    dns, heapster = (
        cluster.registry.decoded(cluster.registry.get(ClusterRole, "", name))["rules"]
        for name in ("system:kube-dns", "system:heapster")
    )
    assert (len(dns), dns[0], heapster) == (2, added, [added])


async def test_aggregation_decides_at_once(cluster: Cluster, admin: Client) -> None:
    """A new role that is marked for `view` is granted to those who may view, without any controller."""
    rule = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"]}
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    group = "rbac.authorization.k8s.io"
    bound = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "apiGroup": group, "name": "bob"}],
    }
    bob = cluster.client("bob")
    await admin.post(ROLES.replace("roles", "rolebindings"), bound)
    before = await bob.get("/apis/example.com/v1/widgets/x")
    await admin.post(ROLES, {"metadata": {"name": "widgets", "labels": labels}, "rules": [rule]})
    after = await bob.get("/apis/example.com/v1/widgets/x")
    assert (before.code, after.code) == (403, 404)  # allowed now, but not served


async def test_store_that_cannot_be_written(
    cluster: Cluster, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While writes fail the server says so and is not ready; the next write that succeeds heals it."""

    async def full(ops: Any) -> Any:
        raise StoreUnavailable("the disk is full")

    path, body = "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "x"}}
    with monkeypatch.context() as broken:
        broken.setattr(cluster.registry.store, "commit", full)
        failed = await admin.post(path, body)
        unready = await admin.get("/readyz/etcd")
    healed = [(await admin.post(path, body)).code, (await admin.get("/readyz/etcd")).code]
    assert (failed.code, unready.code, healed) == (503, 500, [201, 200])


async def test_health_and_extra_paths(tmp_path: Path) -> None:
    """Checks are named, one that fails makes the server unready but not unwell; extra paths need a right."""
    wrong = ["", "no kubelet"]

    async def extra() -> bytes:
        return b'{"components":[]}'

    cluster, task = await start(
        tmp_path, checks={"kubelet": lambda: wrong[0]}, extra={"/minikube-py/status": extra}
    )
    admin = cluster.client("admin", "system:masters")
    good = await admin.get("/readyz?verbose")
    wrong.reverse()
    bad, alive = await admin.get("/readyz"), await admin.get("/livez")
    single, unknown = await admin.get("/readyz/kubelet"), await admin.get("/readyz/x")
    excluded = await admin.get("/readyz?exclude=kubelet")
    allowed = await admin.get("/minikube-py/status")
    refused = await cluster.client("bob").get("/minikube-py/status")
    await stop(cluster, task)
    assert (good.code, good.body.splitlines()[-2:]) == (200, ["[+]kubelet ok", "readyz check passed"])
    assert (bad.code, "[-]kubelet failed: reason withheld" in bad.body, alive.code) == (500, True, 200)
    assert (single.code, unknown.code, excluded.code) == (500, 404, 200)
    assert (allowed.body, refused.code) == ({"components": []}, 403)


def test_health_hook_and_broken_check() -> None:
    """A start-up step is unwell until it is done; a check that raises has failed."""
    health = Health()
    health.add_pending("x")
    before = health.answer("/livez", {})
    health.done("x")
    after = health.answer("/livez", {})
    health.add("broken", lambda: str(1 / 0))
    broken = health.answer("/livez/broken", {})
    assert [answer and answer[0] for answer in (before, after, broken)] == [500, 200, 500]


async def test_too_many_in_flight(tmp_path: Path) -> None:
    """Above the limit users are told to come back; administrators are let through."""
    cluster, task = await start(tmp_path, max_reads=0, max_writes=0)
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    admin = cluster.client("admin", "system:masters")
    answer = await cluster.client("bob").get(path)
    let_through = await admin.get(path)
    await stop(cluster, task)
    assert (answer.code, answer.headers["Retry-After"], let_through.code) == (429, "1", 200)
    assert (answer["reason"], answer["details"]) == ("TooManyRequests", {"retryAfterSeconds": 1})


async def test_metrics_count_requests(admin: Client) -> None:
    """Requests are counted by verb, resource and code; what is not served makes no series."""
    await admin.get("/api/v1/namespaces/default/pods/none")
    await admin.get("/apis/made.up/v1/things/none")
    page = (await admin.get("/metrics")).body
    labels = 'verb="GET",group="",version="v1",resource="pods",subresource="",scope="resource"'
    assert f'apiserver_request_total{{{labels},code="404",dry_run=""}} 1\n' in page
    assert f"apiserver_request_duration_seconds_count{{{labels}}} 1\n" in page
    assert "made.up" not in page


def test_metric_text() -> None:
    """Counters and histograms render as the text format has them."""
    counter, histogram = Counter("c", "Help.", ("a",)), Histogram("h", "Help.", (), (1, 2.5))
    counter.add(('x"\n',), 2)
    for value in (0.5, 2, 9):
        histogram.observe((), value)
    assert list(counter.lines())[2:] == ['c{a="x\\"\\n"} 2']
    assert list(histogram.lines())[2:] == [
        'h_bucket{le="1"} 1',
        'h_bucket{le="2.5"} 2',
        'h_bucket{le="+Inf"} 3',
        "h_sum 11.5",
        "h_count 3",
    ]


async def test_stop_ends_watches(tmp_path: Path) -> None:
    """Stopping the server ends open watches cleanly and quickly."""
    cluster, task = await start(tmp_path)
    admin = cluster.client("admin", "system:masters")
    ended: list[Any] = []
    async with admin.request("GET", "/api/v1/namespaces?watch=1") as response:
        await response.content.readline()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        ended.append((await response.content.read()).count(b'"type":"ADDED"') <= 4)
    await stop(cluster, task)
    assert ended == [True]


async def test_every_step_of_the_start_has_its_checks(admin: Client) -> None:
    """Once the server is ready each check is well, by the names that kube-apiserver gives them."""
    told = {path: (await admin.get(f"/{path}?verbose")).body.splitlines() for path in ("livez", "readyz")}
    lines = [f"[+]{name} ok" for name in ("ping", "log", "etcd")]
    steps = [f"[+]{name} ok" for name in start_steps.all_checks()]
    assert told["livez"] == [*lines, *steps, "livez check passed"]
    more = ["[+]informer-sync ok", *steps, "[+]shutdown ok"]
    assert told["readyz"] == [*lines, *more, "readyz check passed"]
    assert {
        "[+]poststarthook/crd-informer-synced ok",
        "[+]poststarthook/bootstrap-controller ok",
        "[+]poststarthook/kube-apiserver-autoregistration ok",
        "[+]autoregister-completion ok",
    } <= set(steps)


async def test_checks_as_metrics(cluster: Cluster, admin: Client) -> None:
    """/metrics/slis tells how each check is and how often it was asked; it needs the right to see it."""
    await admin.get("/livez/ping")
    page = (await admin.get("/metrics/slis")).body.splitlines()
    cluster.server.health.add("broken", lambda: "no", ready_only=True)
    broken = (await admin.get("/metrics/slis")).body.splitlines()
    refused = await cluster.client("bob").get("/metrics/slis")
    assert 'kubernetes_healthcheck{name="ping",type="livez"} 1' in page
    assert 'kubernetes_healthchecks_total{name="ping",status="success",type="livez"} 2' in page
    assert [line for line in broken if 'name="broken"' in line] == [
        'kubernetes_healthcheck{name="broken",type="readyz"} 0',
        'kubernetes_healthchecks_total{name="broken",status="error",type="readyz"} 1',
    ]
    assert refused.code == 403


async def test_the_root_lists_every_path(admin: Client) -> None:
    """What is listed at the root is answered; below /api stands where the server is reached."""
    reached = (await admin.get("/api"))["serverAddressByClientCIDRs"]
    assert reached == [{"clientCIDR": "0.0.0.0/0", "serverAddress": "10.244.0.1:8443"}]
    paths = (await admin.get("/"))["paths"]
    found = {path: (await admin.get(path)).code for path in paths}
    assert found == dict.fromkeys(sorted(paths), 200)
    assert {
        "/apis/authentication.k8s.io/v1",
        "/apis/metrics.k8s.io",
        "/healthz/ping",
        "/livez/poststarthook/rbac/bootstrap-roles",
        "/metrics/slis",
        "/openid/v1/jwks",
    } <= set(paths)


async def test_what_is_stored_and_served_as_metrics(admin: Client) -> None:
    """/metrics counts the stored objects of each resource once, and names the version."""
    path = "/api/v1/namespaces/default/podtemplates"
    template = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
    for name in ("a", "b", "c"):
        await admin.post(path, {"metadata": {"name": name}, "template": template})
    page = (await admin.get("/metrics")).body.splitlines()
    counts = [line for line in page if line.startswith("apiserver_storage_objects{")]
    [build] = [line for line in page if line.startswith("kubernetes_build_info{")]
    assert 'apiserver_storage_objects{resource="podtemplates"} 3' in counts
    assert 'apiserver_storage_objects{resource="deployments.apps"} 0' in counts
    assert len(counts) == len({line.partition(" ")[0] for line in counts})
    assert 'major="1",minor="34"' in build
    assert 'git_version="v1.34.0"' in build
    assert build.endswith("} 1")
