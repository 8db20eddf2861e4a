"""metrics.k8s.io: usage from two samples, in the shapes of metrics-server, and who samples when."""

import asyncio
from typing import Any

import pytest
from api_cluster import Cluster

from minikube_py.aio.clock import VirtualClock
from minikube_py.apiserver.resourcemetrics.api import node_metrics, pod_metrics
from minikube_py.apiserver.resourcemetrics.sampler import Sampler
from minikube_py.apiserver.resourcemetrics.samples import Pair, Point, Usage, go_seconds, parse, usage
from minikube_py.errors import ApiError
from minikube_py.meta.objects import Obj

TEXT = """# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{{container="main",namespace="default",pod="web"}} {cpu} {at}
container_memory_working_set_bytes{{container="main",namespace="default",pod="web"}} 2.097152e+06 {at}
container_start_time_seconds{{container="main",namespace="default",pod="web"}} 50
node_cpu_usage_seconds_total {cpu} {at}
node_memory_working_set_bytes 1.048576e+06 {at}
pod_cpu_usage_seconds_total{{namespace="default",pod="web"}} 1 {at}
"""
PAIR = Pair(parse(TEXT.format(cpu=10, at=100_000), 0.0), parse(TEXT.format(cpu=13, at=115_000), 0.0))
BASE = "/apis/metrics.k8s.io/v1beta1"


@pytest.mark.parametrize(
    ("older", "newer", "expected"),
    [
        (Point(100, 10, 7, 50), Point(110, 15, 8, 50), Usage(500_000_000, 8, 110, 10)),
        (None, Point(110, 15, 8, 100), Usage(1_500_000_000, 8, 110, 10)),
        (Point(100, 10, 7, 50), Point(110, 1, 8, 105), Usage(200_000_000, 8, 110, 5)),
        (None, Point(110, 15, 8, 109.5), None),
        (None, Point(110, 15, 8), None),
        (Point(100, 10, 7), Point(100, 10, 7), None),
        (Point(100, 10, 7), Point(110, 11, 0), None),
    ],
    ids=["two", "new", "restarted", "too fresh", "node once", "same", "no memory"],
)
def test_usage_of_two_points(older: Point | None, newer: Point, expected: Usage | None) -> None:
    """CPU is what was spent between two points, or since the start of what began in between."""
    assert usage(older, newer) == expected


@pytest.mark.parametrize(
    ("window", "text"),
    [(15.012, "15.012s"), (1.0, "1s"), (60.0, "1m0s"), (75.5, "1m15.5s")],
)
def test_windows(window: float, text: str) -> None:
    """A window is a duration as Go prints it."""
    assert go_seconds(window) == text


def pod(**status: Any) -> Obj:
    """A running pod of one container on node n."""
    containers = [{"name": "main", "state": {"running": {}}}]
    meta = {"name": "web", "namespace": "default", "labels": {"app": "web"}}
    full = {"phase": "Running", "containerStatuses": containers, **status}
    return {"metadata": meta, "spec": {"nodeName": "n"}, "status": full}


def test_metrics_of_pods_and_nodes() -> None:
    """The objects have the amounts, the time and the window of the samples."""
    found = pod_metrics(pod(), {"n": PAIR})
    assert found == {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "labels": {"app": "web"},
            "creationTimestamp": "1970-01-01T00:01:55Z",
        },
        "timestamp": "1970-01-01T00:01:55Z",
        "window": "15s",
        "containers": [{"name": "main", "usage": {"cpu": "200000000n", "memory": "2Mi"}}],
    }
    node = node_metrics({"metadata": {"name": "n"}}, {"n": PAIR})
    assert node is not None and node["usage"] == {"cpu": "200000000n", "memory": "1Mi"}


@pytest.mark.parametrize(
    "subject",
    [
        pod(phase="Succeeded"),
        pod(containerStatuses=[{"name": "other", "state": {"running": {}}}]),
        pod(containerStatuses=[]),
        pod() | {"spec": {"nodeName": "gone"}},
    ],
)
def test_what_was_not_measured_is_left_out(subject: Obj) -> None:
    """A pod that has ended, or whose container is unknown, has no metrics."""
    assert pod_metrics(subject, {"n": PAIR}) is None


class Failing(Exception):
    """A node does not answer."""


async def test_sampling_begins_and_ends_with_the_questions() -> None:
    """The first question waits for two samples; 120 s after the last one nothing is asked any more."""
    clock, asked = VirtualClock(), list[str]()

    async def ask(node: str) -> str:
        asked.append(node)
        if node == "gone":
            raise Failing(node)
        return TEXT.format(cpu=len(asked), at=len(asked) * 1000)

    sampler = Sampler(lambda: ("n", "gone"), ask, clock, (Failing,))
    assert await _answered(sampler, clock) == {"n"}
    assert len(asked) == 4
    await clock.advance(3600)
    until = len(asked)
    assert until <= 4 + 2 * 9
    await clock.advance(3600)
    assert len(asked) == until
    assert await _answered(sampler, clock) == {"n"}
    await sampler.close()


async def _answered(sampler: Sampler, clock: VirtualClock) -> set[str]:
    """The nodes known to one question, while two seconds pass."""
    question = asyncio.ensure_future(sampler.current())
    await clock.advance(2)
    return set(await question)


async def test_group_is_served_and_registered(cluster: Cluster) -> None:
    """Its APIService is there and available; it is discovered; what nobody measured is not found."""
    admin = cluster.client("root", "system:masters")
    service = await admin.get("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io")
    assert service["status"]["conditions"][0]["reason"] == "Local"
    listed = await admin.get(BASE)
    assert [(r["name"], r["kind"], r["namespaced"], r["verbs"]) for r in listed["resources"]] == [
        ("nodes", "NodeMetrics", False, ["get", "list"]),
        ("pods", "PodMetrics", True, ["get", "list"]),
    ]
    empty = await admin.get(f"{BASE}/pods")
    assert (empty["kind"], empty["items"]) == ("PodMetricsList", [])
    named = await admin.get(f"{BASE}/namespaces/default/pods?fieldSelector=metadata.name%3Dnone")
    assert (named["kind"], named["items"]) == ("PodMetricsList", [])  # a list still, of none or one
    missing = await admin.get(f"{BASE}/nodes/none")
    assert (missing.code, missing["message"]) == (404, 'nodes "none" not found')
    assert (await admin.call("POST", f"{BASE}/nodes", {})).code == 405
    stranger = cluster.client("nobody")
    assert (await stranger.get(f"{BASE}/nodes")).code == 403


async def test_autoscalers_read_as_their_account(cluster: Cluster) -> None:
    """Within the process the metrics APIs are read with the autoscaler's rights only."""
    found = await cluster.server.read_metrics(f"{BASE}/namespaces/default/pods?labelSelector=app%3Dweb")
    assert found["items"] == []
    for path, code in (("/api/v1/secrets", 403), ("/apis/custom.metrics.k8s.io/v1beta2/namespaces/d/x", 404)):
        with pytest.raises(ApiError) as failure:
            await cluster.server.read_metrics(path)
        assert failure.value.code == code
