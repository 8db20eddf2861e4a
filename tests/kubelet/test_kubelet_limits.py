"""Resources: cgroups, OOM scores, what the node has, and limits of local storage."""

from pathlib import Path
from typing import Any

import pytest

from minikube_py.kubelet.cm.allocatable import allocatable, capacity, enforced, extended, is_extended
from minikube_py.kubelet.cm.cgroups import Hierarchies, PodCgroups, host_limits
from minikube_py.kubelet.cm.qos import (
    HostLimits,
    container_resources,
    is_critical,
    oom_score,
    page_size,
    pod_resources,
    qos_class,
)
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.eviction.ephemeralstorage import Usage, disk_usage, excess, is_limited, measure
from minikube_py.kubelet.node.machine import Machine
from minikube_py.meta.objects import Obj

CONFIG = KubeletConfig("node-1", "10.0.0.1", Path("/k"), Path("/l"))
MACHINE = Machine(4, 8 << 30, 100 << 30, "amd64", "6.1", "Debian", "m", "s", "b")
GIB = 1 << 30
SIZES = {"cpu": "500m", "memory": "1Gi"}


def sized(name: str = "main", **resources: Any) -> Obj:
    """A container with these resources."""
    return {"name": name, "image": "a", "resources": resources}


def pod(*containers: Obj, **spec: Any) -> Obj:
    """A pod of these containers."""
    meta = {"name": "web", "namespace": "default", "uid": "u1"}
    return {"metadata": meta, "spec": {"containers": list(containers or [sized()]), **spec}}


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (pod(), 1000),
        (pod(sized(limits=SIZES)), -997),
        (pod(sized(requests={"memory": "2Gi"})), 750),
        (pod(sized(requests={"memory": "8Gi"})), 3),
        (pod(sized(requests={"cpu": "1"})), 999),
        (pod(priority=2_000_001_000, priorityClassName="system-node-critical"), -997),
        (pod(priority=2_000_000_000, priorityClassName="system-cluster-critical"), 1000),
        (pod(sized(), sized("b"), resources={"requests": {"memory": "4Gi"}}), 750),
    ],
)
def test_oom_scores(subject: Obj, expected: int) -> None:
    """The less a container asked for of what the node has, the sooner it is killed."""
    assert oom_score(subject, subject["spec"]["containers"][0], 8 * GIB) == expected


def test_sidecars_are_not_killed_before_what_they_serve() -> None:
    """A sidecar's score is at most that of the container that asks for least."""
    sidecar = {**sized("proxy"), "restartPolicy": "Always"}
    subject = pod(sized(requests={"memory": "2Gi"}), initContainers=[sidecar])
    assert oom_score(subject, sidecar, 8 * GIB) == 750


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"limits": SIZES, "requests": SIZES}, "Guaranteed"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({}, "BestEffort"),
    ],
)
def test_pod_level_class(spec: Obj, expected: str) -> None:
    """Pod-level resources give the class, whatever the containers say."""
    assert qos_class(pod(resources=spec)) == expected


def test_pod_level_limits_hold_for_containers_without() -> None:
    """A container without a limit has its pod's; the pod's cgroup has the pod's and its overhead."""
    subject = pod(sized(), sized("b", limits={"cpu": "100m"}), resources={"limits": SIZES, "requests": SIZES})
    subject["spec"]["overhead"] = {"memory": "64Mi"}
    plain, own = (container_resources(subject, c, 8 * GIB) for c in subject["spec"]["containers"])
    assert (plain.cpu_quota, plain.memory, plain.cpu_shares) == (50_000, GIB, 2)
    assert (own.cpu_quota, own.memory, own.cpu_shares) == (10_000, GIB, 102)
    whole = pod_resources(subject, pids=50)
    assert (whole.cpu_quota, whole.memory, whole.pids) == (50_000, GIB + (64 << 20), 50)


@pytest.mark.parametrize(
    ("host", "swap", "unified"),
    [
        (HostLimits(), 0, {}),
        (HostLimits(swap=True), GIB, {}),
        (HostLimits(unified=True), 0, {"memory.oom.group": "1"}),
        (HostLimits(unified=True, swap=True), 0, {"memory.oom.group": "1", "memory.swap.max": "0"}),
    ],
)
def test_swap_and_oom_groups(host: HostLimits, swap: int, unified: dict[str, str]) -> None:
    """Containers get no swap; on cgroup v2 a container is killed as a whole."""
    made = container_resources(pod(sized(limits=SIZES)), sized(limits=SIZES), 8 * GIB, host)
    assert (made.memory_swap, made.unified) == (swap, unified)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [("hugepages-2Mi", "2MB"), ("hugepages-1Gi", "1GB"), ("hugepages-64Ki", "64KB")],
)
def test_page_sizes(resource: str, expected: str) -> None:
    """Huge pages have the kernel's names."""
    assert page_size(resource) == expected


def test_hugepages() -> None:
    """A container has the huge pages that it asks for, and none of the other sizes."""
    container = sized(limits={"hugepages-2Mi": "64Mi", "memory": "1Gi"})
    made = container_resources(pod(container), container, 8 * GIB, HostLimits(page_sizes=("1GB", "2MB")))
    assert made.hugepages == {"1GB": 0, "2MB": 64 << 20}


def test_pod_cgroups_on_v1(tmp_path: Path) -> None:
    """A pod's cgroup has its limits in each controller, and goes with it."""
    controllers = {name: tmp_path / name for name in ("cpu", "memory", "pids", "hugetlb")}
    for folder in controllers.values():
        folder.mkdir()
    cgroups = PodCgroups("/root", Hierarchies(controllers), pids=100, page_sizes=("2MB", "1GB"))
    cgroups.make_tiers({"cpu": "2", "memory": "1Gi"})
    limits = {"cpu": "1", "memory": "64Mi", "hugepages-2Mi": "4Mi"}
    cgroups.make(pod(sized(limits=limits, requests=limits)))

    def value(controller: str, file: str, tier: str = "podu1") -> str:
        return (controllers[controller] / "root" / tier / file).read_text()

    assert (value("cpu", "cpu.shares", "."), value("memory", "memory.limit_in_bytes", ".")) == (
        "2048",
        str(GIB),
    )
    assert (value("cpu", "cpu.shares"), value("cpu", "cpu.cfs_quota_us")) == ("1024", "100000")
    assert (value("memory", "memory.limit_in_bytes"), value("pids", "pids.max")) == (str(64 << 20), "100")
    pages = [f"hugetlb.{size}.{kind}limit_in_bytes" for size in ("2MB", "1GB") for kind in ("", "rsvd.")]
    assert [value("hugetlb", file) for file in pages] == [str(4 << 20)] * 2 + ["0"] * 2
    assert cgroups.uids() == {"u1"}


def test_pod_cgroups_on_v2(tmp_path: Path) -> None:
    """In the unified hierarchy the same limits have other files."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids hugetlb\n")
    cgroups = PodCgroups("/root", Hierarchies({}, tmp_path), pids=100, page_sizes=("2MB", "1GB"))
    cgroups.make_tiers({"cpu": "2", "memory": "1Gi"})
    limits = {"cpu": "1", "memory": "64Mi", "hugepages-2Mi": "4Mi"}
    cgroups.make(pod(sized(limits=limits, requests=limits)))
    folder = tmp_path / "root" / "podu1"
    pages = [f"hugetlb.{size}.{kind}max" for size in ("2MB", "1GB") for kind in ("", "rsvd.")]
    files = ("cpu.weight", "cpu.max", "memory.max", "pids.max", *pages)
    assert [(folder / file).read_text() for file in files] == [
        "39",
        "100000 100000",
        str(64 << 20),
        "100",
        *[str(4 << 20)] * 2,
        *["0"] * 2,
    ]
    assert (tmp_path / "root" / "memory.max").read_text() == str(GIB)


def test_huge_pages_are_limited_where_they_can_be(tmp_path: Path) -> None:
    """Without the controller nothing is written of huge pages that a pod does not ask for."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    cgroups = PodCgroups("/root", Hierarchies({}, tmp_path), page_sizes=("2MB",))
    cgroups.make(pod(sized(limits={"memory": "64Mi"})))
    assert list(tmp_path.glob("**/hugetlb.*")) == []


def test_what_the_machine_can_limit(tmp_path: Path) -> None:
    """Whether swap is counted is seen in the cgroup files."""
    v1, v2 = tmp_path / "v1", tmp_path / "v2"
    (v2 / "system.slice").mkdir(parents=True)
    v1.mkdir()
    assert host_limits(Hierarchies({"memory": v1}), {"hugepages-2Mi": "0"}) == HostLimits(page_sizes=("2MB",))
    (v1 / "memory.memsw.limit_in_bytes").touch()
    (v2 / "system.slice" / "memory.swap.max").touch()
    assert host_limits(Hierarchies({"memory": v1}), {}) == HostLimits(swap=True)
    assert host_limits(Hierarchies({}, v2), {}) == HostLimits(unified=True, swap=True)


def test_allocatable() -> None:
    """Allocatable is capacity without what is reserved, or kept free by evictions, and without huge pages; the
    cgroup of all pods has what evictions keep free."""
    config = KubeletConfig(
        "node-1",
        "10.0.0.1",
        Path("/k"),
        Path("/l"),
        system_reserved={"cpu": "500m", "memory": "1Gi"},
        kube_reserved={"cpu": "250m", "ephemeral-storage": "10Gi"},
    )
    machine = Machine(4, 8 * GIB, 100 * GIB, "", "", "", "", "", "", hugepages={"hugepages-2Mi": "1Gi"})
    whole = capacity(config, machine) | {"example.com/dongle": "3"}
    assert whole["memory"] == "8388608Ki"
    assert enforced(config, whole) == whole | {"cpu": "3250m", "memory": "7Gi", "ephemeral-storage": "90Gi"}
    assert allocatable(config, whole) == {
        "cpu": "3250m",
        "memory": "6044Mi",
        "ephemeral-storage": "80Gi",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "1Gi",
        "pods": "110",
        "example.com/dongle": "3",
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [("example.com/dongle", True), ("cpu", False), ("kubernetes.io/x", False), ("a.kubernetes.io/x", False)],
)
def test_extended_resources(name: str, expected: bool) -> None:
    """What has a domain that is not Kubernetes' own is an extended resource."""
    assert is_extended(name) is expected
    assert extended({"capacity": {name: "1"}}) == ({name: "1"} if expected else {})


@pytest.mark.parametrize(
    ("priority", "source", "expected"),
    [(0, "api", False), (2_000_000_000, "api", True), (0, "file", True)],
)
def test_critical_pods(priority: int, source: str, expected: bool) -> None:
    """Static pods and those of the system's priority are critical."""
    subject = pod(priority=priority)
    subject["metadata"]["annotations"] = {"kubernetes.io/config.source": source}
    assert is_critical(subject) is expected


def limited(*limits: str, volumes: Any = ()) -> Obj:
    """A pod whose containers have these limits of local storage ('' for none)."""
    containers = [
        sized(f"c{number}", **({"limits": {"ephemeral-storage": limit}} if limit else {}))
        for number, limit in enumerate(limits)
    ]
    return pod(*containers, volumes=list(volumes))


SCRATCH = {"name": "scratch", "emptyDir": {"sizeLimit": "10Ki"}}


@pytest.mark.parametrize(
    ("subject", "usage", "expected"),
    [
        (limited("1Mi"), Usage({"c0": 1 << 20}), ""),
        (limited(""), Usage({"c0": 1 << 40}), ""),
        (
            limited("1Mi"),
            Usage({"c0": 2 << 20}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
        ),
        (
            limited("1Mi", "3Mi"),
            Usage({"c0": 2 << 20, "c1": 1 << 20}),
            'Container c0 exceeded its local ephemeral storage limit "1Mi". ',
        ),
        (
            limited("1Mi", "3Mi"),
            Usage({"c0": 1 << 20}, {"scratch": 4 << 20}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ",
        ),
        (
            limited("1Mi", volumes=[SCRATCH]),
            Usage({"c0": 2 << 20}, {"scratch": 20 << 10}),
            'Usage of EmptyDir volume "scratch" exceeds the limit "10Ki". ',
        ),
    ],
)
def test_local_storage(subject: Obj, usage: Usage, expected: str) -> None:
    """Volumes, then the pod, then its containers are held to their limits."""
    assert excess(subject, usage) == expected


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (limited(""), False),
        (limited("1Mi"), True),
        (limited("", volumes=[SCRATCH]), True),
        (limited("", volumes=[{"name": "x", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]), False),
        (limited("", volumes=[{"name": "x", "emptyDir": {}}]), False),
    ],
)
def test_only_limited_pods_are_measured(subject: Obj, expected: bool) -> None:
    """A pod without a limit of local storage costs nothing."""
    assert is_limited(subject) is expected


def test_usage_on_disk(tmp_path: Path) -> None:
    """Logs and volumes on disk count, a hard link once, what is gone not at all."""
    config = KubeletConfig("node-1", "10.0.0.1", tmp_path / "k", tmp_path / "l")
    logs = config.pod_log_dir("default", "web", "u1") / "c0"
    volume = config.pod_dir("u1") / "volumes" / "kubernetes.io~empty-dir" / "scratch"
    for folder in (logs, volume):
        folder.mkdir(parents=True)
    (logs / "0.log").write_bytes(b"x" * 40_000)
    (volume / "a").write_bytes(b"x" * 80_000)
    before = disk_usage(volume)
    (volume / "b").hardlink_to(volume / "a")
    used = measure(limited("1Mi", volumes=[SCRATCH]), config, {"c0": 1000})
    assert (used.volumes["scratch"], disk_usage(tmp_path / "gone")) == (before, 0)
    assert 41_000 <= used.containers["c0"] <= 60_000
    assert 80_000 <= before <= 100_000
