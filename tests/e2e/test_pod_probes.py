"""Probes in real containers, through kubectl: every kind of action, and what follows from its results."""

import pytest
from conftest import Cluster
from test_pod_lifecycle import apply, box, events, made, states

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

OFTEN = {"periodSeconds": 1, "failureThreshold": 1}


def test_every_action_makes_ready(cluster: Cluster, namespace: str, testbox: str) -> None:
    """exec, http (by port name, with headers), tcp and grpc probes succeed, and a startup probe holds back."""
    http = {"path": "/healthz", "port": "web", "httpHeaders": [{"name": "X-Asked", "value": "yes"}]}
    body = made(
        "all",
        box("exec", "write=/tmp/ok:1", "wait", readinessProbe={"exec": {"command": ["cat", "/tmp/ok"]}}),
        box(
            "http",
            *("sleep=0.3", "http=8080", "wait"),
            ports=[{"name": "web", "containerPort": 8080}],
            startupProbe={"httpGet": http, "periodSeconds": 1},
            readinessProbe={"httpGet": {"path": "/redirect/healthz", "port": 8080}},
        ),
        box("tcp", "tcp=7000", "wait", readinessProbe={"tcpSocket": {"port": 7000}}),
        box("grpc", "grpc=5000", "wait", readinessProbe={"grpc": {"port": 5000, "service": "mine"}}),
    )
    apply(cluster, namespace, body)
    cluster.wait("pod/all", "condition=Ready", "-n", namespace, timeout="20s")
    assert all(entry["started"] for entry in states(cluster, namespace, "all").values())


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (
            {"httpGet": {"path": "/status/500", "port": 8080}, "initialDelaySeconds": 1},
            "HTTP probe failed with statuscode: 500",
        ),
        ({"tcpSocket": {"port": 1}}, ":1: connect: connection refused"),
        (
            {"grpc": {"port": 5000, "service": "unknown"}, "initialDelaySeconds": 1},
            "error: health rpc probe failed: rpc error: code = NotFound",
        ),
        ({"exec": {"command": ["sh", "-c", "echo ill; exit 1"]}}, "ill"),
        ({"exec": {"command": ["sleep", "5"]}}, 'command timed out: "sleep 5" timed out after 1s'),
    ],
    ids=["http", "tcp", "grpc", "exec", "timeout"],
)
def test_liveness_restarts(
    cluster: Cluster, namespace: str, testbox: str, probe: dict[str, object], message: str
) -> None:
    """A failed liveness probe restarts the container, within the probe's own grace period, and says why."""
    grace = {"terminationGracePeriodSeconds": 1}
    stubborn = box(
        "main", "ignore=TERM", "http=8080", "grpc=5000", "wait", livenessProbe={**probe, **OFTEN, **grace}
    )
    apply(cluster, namespace, made("sick", stubborn, terminationGracePeriodSeconds=300))
    cluster.wait(
        "pod/sick", "jsonpath={.status.containerStatuses[0].restartCount}=1", "-n", namespace, timeout="20s"
    )
    told = events(cluster, namespace, "sick")
    assert message in told["Unhealthy"]
    assert told["Killing"] == "Container main failed liveness probe, will be restarted"
    cluster.kubectl("delete", "pod", "sick", "-n", namespace, "--grace-period=1")


def test_readiness_follows_and_outlives_deletion(cluster: Cluster, namespace: str, testbox: str) -> None:
    """Readiness comes and goes with the probe; while the pod is being stopped it counts, liveness does not."""
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, **OFTEN}
    apply(
        cluster,
        namespace,
        made(
            "turns",
            box("main", "trap=TERM:0:4", "http=8080", "wait", readinessProbe=probe, livenessProbe=None),
            terminationGracePeriodSeconds=20,
        ),
    )
    cluster.wait("pod/turns", "condition=Ready", "-n", namespace)
    cluster.kubectl("exec", "-n", namespace, "turns", "--", "/bin/touch", "/tmp/unhealthy")
    cluster.wait("pod/turns", "condition=Ready=false", "-n", namespace)
    cluster.kubectl("exec", "-n", namespace, "turns", "--", "/bin/rm", "/tmp/unhealthy")
    cluster.wait("pod/turns", "condition=Ready", "-n", namespace)
    cluster.kubectl("delete", "pod", "turns", "-n", namespace, "--wait=false")
    cluster.kubectl("exec", "-n", namespace, "turns", "--", "/bin/touch", "/tmp/unhealthy")
    cluster.wait("pod/turns", "condition=Ready=false", "-n", namespace, timeout="4s")
    cluster.kubectl("wait", "--for=delete", "pod/turns", "-n", namespace, "--timeout=20s")


def test_foreign_redirect_is_a_warning(cluster: Cluster, namespace: str, testbox: str) -> None:
    """A redirect that leads nowhere counts as a success, and is told as ProbeWarning."""
    probe = {"httpGet": {"path": "/status/302", "port": 8080}, "periodSeconds": 1}
    apply(cluster, namespace, made("moved", box("main", "http=8080", "wait", readinessProbe=probe)))
    cluster.wait("pod/moved", "condition=Ready", "-n", namespace)
    cluster.kubectl(
        "wait",
        "--for=create",
        "event",
        "-n",
        namespace,
        "--field-selector=reason=ProbeWarning",
        "--timeout=10s",
    )
    assert events(cluster, namespace, "moved")["ProbeWarning"].startswith(
        "Readiness probe warning: Probe terminated redirects"
    )
