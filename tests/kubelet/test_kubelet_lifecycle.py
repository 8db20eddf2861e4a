"""The pure decisions of a pod's life: who ends first, what a resize does, what a file makes, what is told."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from kubelet_node import pod_object

from minikube_py.kubelet.admission.admission import Load
from minikube_py.kubelet.cm import resize
from minikube_py.kubelet.cm.resize import Refusal, read_back
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.container_status import limit_messages
from minikube_py.kubelet.kuberuntime.sandbox import Resolver, dns_warnings, hostname_fault, hosts_file, resolver
from minikube_py.kubelet.kuberuntime.stop import turns
from minikube_py.kubelet.prober.handlers import Answer, grpc_answer
from minikube_py.kubelet.static.manifests import ManifestRefused, as_run, mirror_of, read_manifest, shows
from minikube_py.kubelet.status import Facts, pod_status, status_patch
from minikube_py.meta.objects import Obj
from minikube_py.runtime.base import Resources
from minikube_py.runtime.health import Health

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def sized(cpu: str = "100m", memory: str = "64Mi", name: str = "main", **more: Any) -> Obj:
    """A container whose limits and requests are equal."""
    amounts = {"cpu": cpu, "memory": memory}
    return {"name": name, "image": "app:1", "resources": {"limits": amounts, "requests": dict(amounts)}, **more}


def policy(**kinds: str) -> list[dict[str, str]]:
    return [{"resourceName": name, "restartPolicy": kind} for name, kind in kinds.items()]


def sidecar(name: str) -> Obj:
    return {"name": name, "image": "app:1", "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("inits", "running", "expected"),
    [
        ([], {"main"}, {"main": set()}),
        ([sidecar("a")], {"main", "a"}, {"main": set(), "a": {"main"}}),
        (
            [sidecar("a"), sidecar("b")],
            {"main", "a", "b"},
            {"main": set(), "b": {"main"}, "a": {"main", "b"}},
        ),
        ([sidecar("a"), sidecar("b")], {"a"}, {"a": set()}),
        ([sidecar("a"), {"name": "once"}], {"a", "once"}, {"once": set(), "a": {"once"}}),
    ],
    ids=["no-sidecar", "one", "reverse-order", "alone", "beside-an-init-container"],
)
def test_turns(inits: list[Obj], running: set[str], expected: dict[str, set[str]]) -> None:
    """Sidecars wait for the containers and for the sidecars after them, as far as those run."""
    assert turns({"containers": [{"name": "main"}], "initContainers": inits}, running) == expected


@pytest.mark.parametrize(
    ("container", "applied", "expected"),
    [
        (sized(), sized(), ""),
        (sized(cpu="0.1"), sized(), ""),
        (sized(cpu="200m"), sized(), "update"),
        (sized(memory="128Mi", resizePolicy=policy(memory="RestartContainer")), sized(), "restart"),
        (sized(cpu="200m", resizePolicy=policy(memory="RestartContainer")), sized(), "update"),
        (sized(cpu="200m", resizePolicy=policy(cpu="RestartContainer")), sized(), "restart"),
    ],
    ids=["equal", "written-otherwise", "no-policy", "memory-restarts", "cpu-does-not", "cpu-restarts"],
)
def test_resize_action(container: Obj, applied: Obj, expected: str) -> None:
    """A resource that has changed restarts its container only where its policy says so."""
    assert resize.action(container, applied["resources"], container["resources"]) == expected


TOLD = {"limits": {"cpu": "200m", "memory": "128M"}, "requests": {"cpu": "0.1", "memory": "64Mi"}}


@pytest.mark.parametrize(
    ("told", "applied", "expected"),
    [
        (TOLD, None, TOLD),
        (TOLD, Resources(cpu_shares=102, cpu_quota=20_000, memory=128_000_000), TOLD),
        (
            TOLD,
            Resources(cpu_shares=512, cpu_quota=150_000, memory=64 << 20),
            {"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "500m", "memory": "64Mi"}},
        ),
        (TOLD, Resources(cpu_shares=0, cpu_quota=-1, memory=0, cpu_period=0), TOLD),
        ({"limits": {"cpu": "5m"}}, Resources(cpu_quota=1000), {"limits": {"cpu": "5m"}}),
        ({"limits": {"cpu": "1"}}, Resources(cpu_quota=1000), {"limits": {"cpu": "10m"}}),
        ({"requests": {"cpu": "1m"}}, Resources(cpu_shares=2), {"requests": {"cpu": "1m"}}),
        ({"requests": {"cpu": "1"}}, Resources(cpu_shares=2), {"requests": {"cpu": "2m"}}),
        ({"requests": {"memory": "1Mi"}}, Resources(512, 9000, memory=5), {"requests": {"memory": "1Mi"}}),
        ({}, Resources(cpu_shares=512, cpu_quota=20_000, memory=5), {}),
    ],
    ids=["untold", "equal", "other", "unlimited", "tiny", "was-tiny", "least", "was-least", "unasked", "none"],
)
def test_resources_are_read_back(told: Obj, applied: Resources | None, expected: Obj) -> None:
    """The runtime's numbers replace what was told where they differ; what it cannot express stays."""
    assert read_back(told, applied) == expected


@pytest.mark.parametrize(
    ("cpu", "memory", "expected"),
    [
        ("500m", "64Mi", None),
        (
            "1500m",
            "64Mi",
            Refusal(
                "Deferred",
                "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
            ),
        ),
        (
            "3",
            "64Mi",
            Refusal("Infeasible", "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000"),
        ),
        (
            "3",
            "2Gi",
            Refusal(
                "Infeasible",
                "Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824",
            ),
        ),
    ],
    ids=["fits", "no-room-now", "never", "memory-is-told-first"],
)
def test_resize_is_judged(cpu: str, memory: str, expected: Refusal | None) -> None:
    """What the node could never give is Infeasible, what other pods have is Deferred."""
    node = {
        "metadata": {"name": "node-1"},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "9"}},
    }
    load, other = Load(), pod_object(containers=[sized(cpu="1")])
    other["metadata"]["uid"] = "other"
    load.put(other)
    assert resize.judge(pod_object(containers=[sized(cpu, memory)]), node, load) == expected


def test_allocation() -> None:
    """A pod keeps what it was allocated; what its status tells of running containers is what was applied."""
    pod = pod_object(containers=[sized(cpu="200m")])
    before = {"main": sized()["resources"]}
    assert resize.with_resources(pod, resize.asked(pod)) is pod
    assert resize.with_resources(pod, before)["spec"]["containers"][0]["resources"] == before["main"]
    entry = {"name": "main", "state": {"running": {}}, "resources": before["main"]}
    assert resize.told({**pod, "status": {"containerStatuses": [entry]}}) == before
    assert resize.told(pod) == resize.asked(pod)
    assert resize.larger(before, {"main": sized("50m", "128Mi")["resources"]}) == {
        "main": sized("100m", "128Mi")["resources"]
    }
    assert resize.memory_fault("main", 10, 9) == ""
    assert "memory limit (10) below current usage (11)" in resize.memory_fault("main", 10, 11)


def test_resize_conditions_come_and_go() -> None:
    """A resize under way is told by conditions, which are removed from the API once it is over."""
    told = resize.conditions(Refusal("Deferred", "later"), "", (3, 2))
    pod = pod_object()
    pod["metadata"] |= {"uid": "u", "generation": 3}
    during = pod_status(pod, Facts(NOW, resize=told))
    kinds = {c["type"]: (c.get("reason"), c["observedGeneration"]) for c in during["conditions"]}
    assert kinds["PodResizePending"] == ("Deferred", 3)
    assert kinds["PodResizeInProgress"] == (None, 2)
    after = pod_status({**pod, "status": during}, Facts(NOW))
    assert status_patch(during, after)["conditions"] == [
        {"type": "PodResizeInProgress", "$patch": "delete"},
        {"type": "PodResizePending", "$patch": "delete"},
    ]


def test_messages_share_their_limit() -> None:
    """Termination messages of one pod are together no longer than 12 KiB."""
    entries = [
        {"name": str(n), "state": {"terminated": {"message": "é" * 2048}}, "lastState": {}} for n in range(6)
    ]
    status = {"containerStatuses": entries}
    limit_messages(status)
    lengths = [len(entry["state"]["terminated"]["message"].encode()) for entry in status["containerStatuses"]]
    assert lengths == [2048] * 6


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (Health("SERVING"), Answer(True, "service healthy")),
        (Health("NOT_SERVING"), Answer(False, 'service unhealthy (responded with "NOT_SERVING")')),
        (
            Health(),
            Answer(
                False,
                'timeout: failed to connect service "10.0.0.1:5" within 2s: context deadline exceeded',
            ),
        ),
        (Health(code="DEADLINE_EXCEEDED"), Answer(False, "timeout: health rpc did not complete within 2s")),
        (
            Health(code="NOT_FOUND", message="who?"),
            Answer(False, "error: health rpc probe failed: rpc error: code = NotFound desc = who?"),
        ),
    ],
    ids=["serving", "not-serving", "no-connection", "slow", "unknown-service"],
)
def test_grpc_answers(health: Health, expected: Answer) -> None:
    """What a health check says is told in Kubernetes' words."""
    assert grpc_answer(health, "10.0.0.1:5", 2.0) == expected


def manifest(**changes: Any) -> bytes:
    spec = {"containers": [{"name": "main", "image": "app:1"}], **changes.pop("spec", {})}
    metadata = {"name": "web", "labels": {"app": "web"}}
    return json.dumps(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, **changes}
    ).encode()


def test_manifest_becomes_a_pod_and_a_mirror() -> None:
    """A static pod has the node's name in its own and a uid by its content; its mirror belongs to the node."""
    pod = read_manifest("/m/web.yaml", manifest(), "node-1", "2026-01-01T00:00:00Z")
    assert (pod["metadata"]["name"], pod["metadata"]["namespace"]) == ("web-node-1", "default")
    assert pod["spec"]["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]
    assert (pod["spec"]["nodeName"], pod["spec"]["dnsPolicy"]) == ("node-1", "ClusterFirst")
    again = read_manifest("/m/web.yaml", manifest(), "node-1", "2026-02-02T00:00:00Z")
    other = read_manifest("/m/web.yaml", manifest(spec={"hostNetwork": True}), "node-1", "2026-01-01T00:00:00Z")
    assert again["metadata"]["uid"] == pod["metadata"]["uid"] != other["metadata"]["uid"]
    mirror = mirror_of(pod, {"metadata": {"name": "node-1", "uid": "n"}})
    assert (shows(mirror, pod), shows(mirror, other)) == (True, False)
    assert as_run(mirror)["metadata"]["uid"] == pod["metadata"]["uid"]
    assert mirror["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "n", "controller": True}
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: [", "line"),
        (b"[]", "it is not a v1 Pod"),
        (manifest(kind="Service"), "it is not a v1 Pod"),
        (manifest(metadata={}), "metadata.name and spec are required"),
        (manifest(spec={"containers": []}), "spec.containers"),
        (manifest(spec={"containers": 3}), "malformed"),
        (manifest(spec={"serviceAccountName": "me"}), "may not refer to the ServiceAccount me"),
        (
            manifest(spec={"volumes": [{"name": "c", "configMap": {"name": "x"}}]}),
            "may not refer to a configMap volume",
        ),
    ],
    ids=["yaml", "list", "kind", "name", "invalid", "malformed", "account", "volume"],
)
def test_refused_manifests(text: bytes, message: str) -> None:
    """A file that makes no pod says why."""
    with pytest.raises(ManifestRefused, match=message):
        read_manifest("/m/web.yaml", text, "node-1", "2026-01-01T00:00:00Z")


def test_dns_limits_are_told(tmp_path: Any) -> None:
    """Servers and searches beyond what resolvers take are left out, and that is told."""
    config = KubeletConfig("node-1", "10.0.0.1", tmp_path, tmp_path)
    extra = {
        "nameservers": [f"192.0.2.{n}" for n in range(5)],
        "searches": ["s" * 1000, "t" * 1000, "u" * 1000],
    }
    pod = pod_object(dnsPolicy="None", dnsConfig=extra)
    assert len(resolver(pod, config, Resolver()).servers) == 3
    assert len(resolver(pod, config, Resolver()).searches) == 2
    servers, searches = dns_warnings(pod, config, Resolver())
    assert servers == (
        "Nameserver limits were exceeded, some nameservers have been omitted, "
        "the applied nameserver line is: 192.0.2.0 192.0.2.1 192.0.2.2"
    )
    assert searches.startswith("Search Line limits were exceeded, some search paths have been omitted, ")
    assert dns_warnings(pod_object(), config, Resolver()) == []


def test_long_host_names(tmp_path: Any) -> None:
    """A full name beyond the kernel's limit is refused; in /etc/hosts the short name stands beside the full."""
    config = KubeletConfig("node-1", "10.0.0.1", tmp_path, tmp_path)
    long = pod_object(hostname="h" * 40, subdomain="s" * 40, setHostnameAsFQDN=True)
    assert "is too long (64 characters is the max, 107 characters requested)" in hostname_fault(long, config)
    fine = pod_object(subdomain="team", setHostnameAsFQDN=True)
    assert hostname_fault(fine, config) == ""
    line = "10.0.0.9\tweb.team.default.svc.cluster.local\tweb\n"
    assert line in hosts_file(fine, config, ["10.0.0.9"], "")
