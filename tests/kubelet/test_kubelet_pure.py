"""The kubelet's pure parts: DNS and hosts, quality of service, status, credentials, node."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from minikube_py.kubelet.backoff import Backoff
from minikube_py.kubelet.cm.cgroups import Hierarchies, find
from minikube_py.kubelet.cm.qos import cgroup_path, container_resources, pod_resources, qos_class
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.container_status import Known
from minikube_py.kubelet.kuberuntime.environment import ConfigRefused
from minikube_py.kubelet.kuberuntime.sandbox import (
    Resolver,
    hosts_file,
    parse_resolv_conf,
    resolver,
    sandbox_config,
)
from minikube_py.kubelet.kuberuntime.security import security
from minikube_py.kubelet.memory import go_duration
from minikube_py.kubelet.node.machine import Machine
from minikube_py.kubelet.node.node_status import Observation, node_status, without_heartbeats
from minikube_py.kubelet.status import Facts, pod_status, status_patch
from minikube_py.meta.objects import Obj, dig
from minikube_py.runtime.base import Container, Image, RuntimeInfo

CONFIG = KubeletConfig("node-1", "10.0.0.1", Path("/k"), Path("/l"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(**spec: Any) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "default", "uid": "u1", "labels": {"a": 'b"c'}, "generation": 2}
    return {"metadata": meta, "spec": {"containers": [{"name": "main", "image": "app:1"}], **spec}}


HOST = Resolver(("1.1.1.1",), ("lan",), ("edns0",))
CLUSTER = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, Resolver(("10.96.0.10",), CLUSTER, ("ndots:5",))),
        ({"dnsPolicy": "Default"}, Resolver(("1.1.1.1",), ("lan",), ("edns0",))),
        ({"hostNetwork": True}, Resolver(("1.1.1.1",), ("lan",), ("edns0",))),
        (
            {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
            Resolver(("10.96.0.10",), CLUSTER, ("ndots:5",)),
        ),
        (
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"], "searches": ["x"]}},
            Resolver(("9.9.9.9",), ("x",), ()),
        ),
        (
            {"dnsConfig": {"options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]}},
            Resolver(("10.96.0.10",), CLUSTER, ("ndots:2", "rotate")),
        ),
    ],
)
def test_resolver(spec: dict[str, Any], expected: Resolver) -> None:
    """dnsPolicy and dnsConfig give the pod's resolv.conf."""
    assert resolver(pod(**spec), CONFIG, HOST) == expected


def test_resolv_conf_is_read() -> None:
    """The last search line counts, comments do not."""
    text = "# c\nnameserver 1.1.1.1\nsearch a\nsearch b. c .\noptions ndots:1 edns0\nnameserver ::1\n"
    assert parse_resolv_conf(text) == Resolver(["1.1.1.1", "::1"], ["b", "c", "."], ["ndots:1", "edns0"])


def test_hosts_file() -> None:
    """The pod's own names and its aliases are in /etc/hosts."""
    aliases = [{"ip": "1.2.3.4", "hostnames": ["foo", "bar"]}]
    text = hosts_file(pod(subdomain="sub", hostAliases=aliases), CONFIG, ["10.244.0.5"], "")
    assert "10.244.0.5\tweb.sub.default.svc.cluster.local\tweb\n" in text
    assert text.endswith("# Entries added by HostAliases.\n1.2.3.4\tfoo\tbar\n")
    shared = hosts_file(pod(hostNetwork=True), CONFIG, ["10.0.0.1"], "127.0.0.1 host\n")
    assert shared == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 host\n"


def test_sandbox_of_a_pod() -> None:
    """Names, ports, cgroup and labels of the sandbox."""
    container = {"name": "main", "image": "a", "ports": [{"containerPort": 80, "hostPort": 8080}]}
    made = sandbox_config(pod(containers=[container]), 3, CONFIG, HOST)
    assert (made.hostname, made.attempt, made.log_directory) == ("web", 3, "/l/default_web_u1")
    assert made.cgroup_parent == "/kubepods/besteffort/podu1"
    assert [(port.container_port, port.host_port) for port in made.ports] == [(80, 8080)]
    assert made.labels["io.kubernetes.pod.uid"] == "u1"


def sized(**resources: Any) -> dict[str, Any]:
    return {"name": "main", "image": "a", "resources": resources}


ALL = {"cpu": "500m", "memory": "64Mi"}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([sized()], "BestEffort"),
        ([sized(limits=ALL)], "Guaranteed"),
        ([sized(limits=ALL, requests=ALL)], "Guaranteed"),
        ([sized(requests=ALL)], "Burstable"),
        ([sized(limits=ALL), sized()], "Burstable"),
    ],
)
def test_qos_class(containers: list[dict[str, Any]], expected: str) -> None:
    """The class follows from requests and limits."""
    assert qos_class(pod(containers=containers)) == expected


def test_limits() -> None:
    """Limits become shares, quota and bytes, for a container and for the pod as a whole."""
    subject = pod(containers=[sized(limits=ALL), sized(requests={"cpu": "1"})])
    made = container_resources(subject, subject["spec"]["containers"][0], 8 << 30)
    assert (made.cpu_shares, made.cpu_quota, made.memory) == (512, 50_000, 64 << 20)
    assert (made.oom_score_adj, cgroup_path("/k", subject)) == (993, "/k/burstable/podu1")
    whole = pod_resources(subject)
    assert (whole.cpu_shares, whole.cpu_quota, whole.memory) == (1536, 0, 0)


IMAGE = Image("sha256:1", ("app:1",), (), 1)


def test_security_context() -> None:
    """The container's context wins over the pod's, which wins over the image's user."""
    whole = {"runAsUser": 5, "fsGroup": 9, "supplementalGroups": [8]}
    own = {"runAsUser": 6, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}
    made = security(pod(securityContext=whole), {"name": "main", "securityContext": own}, IMAGE, Path("/s"))
    assert (made.run_as_user, made.supplemental_groups) == (6, [9, 8])
    assert (made.add_capabilities, made.drop_capabilities) == (["NET_ADMIN"], ["ALL"])


@pytest.mark.parametrize(
    ("image", "start"),
    [
        (IMAGE, "container has runAsNonRoot and image will run as root"),
        (
            Image("i", (), (), 1, username="web"),
            "container has runAsNonRoot and image has non-numeric user (web)",
        ),
    ],
)
def test_non_root_is_enforced(image: Image, start: str) -> None:
    """runAsNonRoot refuses an image that would run as root."""
    with pytest.raises(ConfigRefused) as refusal:
        security(pod(securityContext={"runAsNonRoot": True}), {"name": "main"}, image, Path("/s"))
    assert str(refusal.value).startswith(start)


def test_backoff_doubles_and_forgets() -> None:
    """Delays double to the limit and begin anew after a long rest."""
    backoff = Backoff(10, 300)
    delays = [backoff.next("k", float(at)) for at in (0, 10, 30, 70, 150, 310, 610)]
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert (backoff.until("k"), backoff.delay("k", 700.0)) == (910, 300)
    assert (backoff.delay("k", 1300.0), backoff.next("k", 1300.0)) == (0, 10)


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (14400, "4h0m0s")])
def test_go_duration(seconds: float, text: str) -> None:
    """Durations read as Go prints them."""
    assert go_duration(seconds) == text


def test_cgroup_mounts() -> None:
    """Hybrid, v1 and v2 machines are told apart."""
    v1 = "cgroup /c/cpu cgroup rw,relatime,cpu,cpuacct 0 0\ncgroup /c/memory cgroup rw,memory 0 0\n"
    v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"
    controllers = {"cpu": Path("/c/cpu"), "cpuacct": Path("/c/cpu"), "memory": Path("/c/memory")}
    assert find(v1) == Hierarchies(controllers)
    assert [find(v1).v2, find(v2).v2, find(v1 + v2).v2] == [False, True, False]
    assert find(v1 + v2).roots() == [Path("/c/cpu"), Path("/c/memory"), Path("/sys/fs/cgroup")]


def container(state: str = "running", **more: Any) -> Container:
    settings = {"started_at": NOW.timestamp(), "attempt": 0} | more
    return Container(
        "c1", "s0", name="main", state=state, image="app:1", image_id="i", created_at=1.0, **settings
    )


def test_ready_pod_status() -> None:
    """A pod whose container is ready: Running, with all its conditions at its generation."""
    runs = {"main": [Known(container(), ready=True, started=True)]}
    status = pod_status(pod(), Facts(NOW, runs, sandbox_ready=True, ips=("10.244.0.5",), host_ip="10.0.0.1"))
    assert (status["phase"], status["podIP"], status["observedGeneration"]) == ("Running", "10.244.0.5", 2)
    assert [(c["type"], c["status"], c["observedGeneration"]) for c in status["conditions"]] == [
        ("PodReadyToStartContainers", "True", 2),
        ("Initialized", "True", 2),
        ("Ready", "True", 2),
        ("ContainersReady", "True", 2),
        ("PodScheduled", "True", 2),
    ]
    again = pod_status({**pod(), "status": status}, Facts(NOW, runs, sandbox_ready=True, ips=("10.244.0.5",)))
    assert status_patch(status, again) == {}


def test_readiness_gates() -> None:
    """A pod with a readiness gate is ready only once that condition is true."""
    runs = {"main": [Known(container(), ready=True, started=True)]}
    subject = pod(readinessGates=[{"conditionType": "lb"}])
    status = pod_status(subject, Facts(NOW, runs, sandbox_ready=True))
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    status["conditions"].append({"type": "lb", "status": "True"})
    status = pod_status({**subject, "status": status}, Facts(NOW, runs, sandbox_ready=True))
    assert next(c for c in status["conditions"] if c["type"] == "Ready")["status"] == "True"
    assert any(c["type"] == "lb" for c in status["conditions"])


def test_lost_container_is_told() -> None:
    """A container that ran and of which nothing is left is told as lost."""
    old = {"name": "main", "state": {"running": {"startedAt": "x"}}, "containerID": "containerd://c1"}
    subject = {**pod(), "status": {"containerStatuses": [old]}}
    status = pod_status(subject, Facts(NOW, terminal=True))
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], status["phase"]) == (137, "ContainerStatusUnknown", "Failed")


NEVER: Obj = {}
FAILED: Obj = {"terminated": {"exitCode": 1, "reason": "Error"}}


@pytest.mark.parametrize(
    ("inits", "expected"),
    [
        ([], ["lost"]),
        ([NEVER], ["lost", "waiting"]),
        ([FAILED, NEVER], ["ended", "waiting", "waiting"]),
        ([{"running": {}}, NEVER], ["lost", "waiting", "waiting"]),
        ([NEVER, {"running": {}}], ["lost", "lost", "waiting"]),
        ([FAILED, {"terminated": {"exitCode": 0, "reason": "Completed"}}], ["ended", "ended", "lost"]),
    ],
    ids=["plain", "before-init", "init-failed", "first-init-lost", "both-lost", "initialized"],
)
def test_what_never_started_is_lost_when_the_pod_ends(inits: list[Obj], expected: list[str]) -> None:
    """An ended pod tells an end of each container that should have run, and leaves later ones waiting."""
    names = [f"i{number}" for number in range(len(inits))]
    subject = pod(initContainers=[{"name": name, "image": "i"} for name in names])
    told = [{"name": name, "state": state} for name, state in zip(names, inits, strict=True)]
    status = pod_status({**subject, "status": {"initContainerStatuses": told}}, Facts(NOW, terminal=True))
    entries = [*status.get("initContainerStatuses", []), *status["containerStatuses"]]
    assert [standing(entry["state"]) for entry in entries] == expected
    assert status["phase"] == "Failed"


def standing(state: Obj) -> str:
    """How a container's state reads: waiting, lost or ended."""
    reason = dig(state, "terminated.reason")
    return "waiting" if "waiting" in state else "lost" if reason == "ContainerStatusUnknown" else "ended"


def test_status_patch_replaces_addresses_and_merges_conditions() -> None:
    """Only what has changed is in the patch; conditions by their type, addresses as a whole."""
    old = {"phase": "Pending", "podIPs": [{"ip": "1"}], "conditions": [{"type": "a"}, {"type": "b"}]}
    new = {"phase": "Pending", "podIPs": [{"ip": "2"}], "conditions": [{"type": "a"}, {"type": "b", "x": 1}]}
    assert status_patch(old, new) == {
        "podIPs": [{"ip": "2"}, {"$patch": "replace"}],
        "conditions": [{"type": "b", "x": 1}],
    }


def test_status_patch_takes_back_what_a_condition_no_longer_says() -> None:
    """The reason of a condition that has become true is removed, not kept."""
    old = {"conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]}
    new = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert status_patch(old, new) == {"conditions": [{"type": "Ready", "status": "True", "reason": None}]}


MACHINE = Machine(4, 8 << 30, 100 << 30, "amd64", "6.1", "Debian", "m", "s", "b")


@pytest.mark.parametrize(
    ("info", "ready", "message"),
    [
        (RuntimeInfo("containerd", "1.6"), "True", "kubelet is posting ready status"),
        (None, "False", "container runtime is down"),
        (
            RuntimeInfo("containerd", "1.6", network_ready=False, message="no CNI"),
            "False",
            "container runtime network not ready: no CNI",
        ),
    ],
)
def test_node_status(info: RuntimeInfo | None, ready: str, message: str) -> None:
    """The node is ready while its runtime and network are."""
    status = node_status(CONFIG, MACHINE, Observation(info, [IMAGE], frozenset({"DiskPressure"}), NOW), {})
    conditions = {c["type"]: c for c in status["conditions"]}
    assert (conditions["Ready"]["status"], conditions["Ready"]["message"]) == (ready, message)
    assert conditions["DiskPressure"]["reason"] == "KubeletHasDiskPressure"
    assert conditions["MemoryPressure"]["message"] == "kubelet has sufficient memory available"
    assert status["capacity"]["memory"] == "8388608Ki"
    later = node_status(
        CONFIG, MACHINE, Observation(info, [IMAGE], frozenset({"DiskPressure"}), NOW.replace(minute=5)), status
    )
    assert without_heartbeats(later) == without_heartbeats(status)
    assert later != status
