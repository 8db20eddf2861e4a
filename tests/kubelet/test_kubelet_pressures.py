"""What a node on cgroup v2 tells: its files as uses, pressure stalls in the Summary and in the metrics."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from minikube_py.kubelet.cm import unified
from minikube_py.kubelet.cm.cgroups import Hierarchies
from minikube_py.kubelet.stats.cadvisor import cadvisor_lines
from minikube_py.kubelet.stats.cgroup import Cgroup
from minikube_py.kubelet.stats.pressure import Pressure, Stall, parse
from minikube_py.kubelet.stats.series import Row
from minikube_py.kubelet.stats.summary import NodeUsage, PodRecord, summary
from minikube_py.kubelet.stats.usage import ContainerUse, PodUsage, Use, read_use
from minikube_py.runtime.base import Container

STALLED = """\
some avg10=1.50 avg60=0.25 avg300=0.00 total=2500000
full avg10=0.50 avg60=0.00 avg300=0.00 total=1000000
"""
PRESSURE = Pressure(Stall(2_500_000, 1.5, 0.25, 0.0), Stall(1_000_000, 0.5, 0.0, 0.0))
TOLD = {
    "full": {"total": 1_000_000, "avg10": 0.5, "avg60": 0.0, "avg300": 0.0},
    "some": {"total": 2_500_000, "avg10": 1.5, "avg60": 0.25, "avg300": 0.0},
}
FILES = {
    "cpu.stat": "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 0\n",
    "memory.current": "9000\n",
    "memory.max": "max\n",
    "memory.stat": "anon 4000\nfile 3000\ninactive_file 1000\npgfault 7\npgmajfault 2\n",
    "memory.swap.current": "512\n",
    "pids.current": "3\n",
}


def cgroup(folder: Path, **more: str) -> Hierarchies:
    """A v2 hierarchy with the cgroup /pod, which has FILES and `more` (names with dots for underscores)."""
    (folder / "pod").mkdir()
    for name, text in (FILES | {name.replace("_", "."): text for name, text in more.items()}).items():
        (folder / "pod" / name).write_text(text)
    return Hierarchies({}, folder)


def test_use_on_v2(tmp_path: Path) -> None:
    """Each file of the unified hierarchy is found in the use; a limit of `max` is none."""
    found = read_use(cgroup(tmp_path, cpu_pressure=STALLED, io_pressure=STALLED), "/pod")
    assert found == Use(
        cpu=1_500_000,
        working_set=8000,
        memory=9000,
        rss=4000,
        cache=3000,
        swap=512,
        page_faults=7,
        major_faults=2,
        processes=3,
        pressures={"cpu": PRESSURE, "io": PRESSURE},
    )


def test_a_limit_on_v2(tmp_path: Path) -> None:
    """memory.max is the limit, and a kernel that keeps no pressures tells none."""
    found = read_use(cgroup(tmp_path, memory_max="65536\n"), "/pod")
    assert found is not None
    assert (found.memory_limit, found.pressures) == (65536, {})
    assert read_use(Hierarchies({}, tmp_path), "/gone") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (STALLED, PRESSURE),
        ("some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n", Pressure(some=Stall(5))),
        ("", Pressure()),
    ],
    ids=["both", "some only", "empty"],
)
def test_pressure_file(text: str, expected: Pressure) -> None:
    """Older kernels have no `full` line for the CPU."""
    assert parse(text) == expected


def records(use: Use) -> tuple[NodeUsage, PodUsage]:
    """A node under pressure with one pod of one container of this use."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    node = NodeUsage("n1", now, now, 1.0, {}, pressures=dict(use.pressures))
    container = Container("c1", "s1", "main", 0, "running", "img", "", 0.0)
    return node, PodUsage("u1", "ns", "web", 0.0, "/pod", use, [ContainerUse(container, use, "/pod/c1")])


def test_summary_tells_pressures() -> None:
    """The node, pods and containers tell stalls of each resource; disks have them in `io`."""
    node, usage = records(Use(pressures=dict.fromkeys(("cpu", "memory", "io"), PRESSURE)))
    pod = {"metadata": {"name": "web", "namespace": "ns"}, "spec": {"containers": [{"name": "main"}]}}
    found = summary(node, [PodRecord(pod, usage)])
    for each in (found["node"], found["pods"][0], found["pods"][0]["containers"][0]):
        assert (each["cpu"]["psi"], each["memory"]["psi"]) == (TOLD, TOLD)
        assert each["io"] == {"time": "2026-01-02T00:00:00Z", "psi": TOLD}


def test_summary_without_pressures() -> None:
    """On cgroup v1 none of it is there."""
    node, usage = records(Use())
    pod = {"metadata": {"name": "web", "namespace": "ns"}, "spec": {"containers": [{"name": "main"}]}}
    found = summary(node, [PodRecord(pod, usage)])
    assert [("psi" in each["cpu"], "io" in each) for each in (found["node"], found["pods"][0])] == [
        (False, False),
        (False, False),
    ]


def row(use: Use) -> Row:
    """A cgroup with this use."""
    return Row({"id": "/pod"}, Cgroup(use), 1.0, 1.0)


def test_metrics_tell_pressures() -> None:
    """Stalled is what stood still, waiting what waited, in seconds; on cgroup v1 there is none of it."""
    rows = [row(Use(pressures={"memory": PRESSURE})), row(Use())]
    found = [line for line in cadvisor_lines(rows, 1.5) if line.startswith("container_pressure")]
    assert found == [
        'container_pressure_memory_stalled_seconds_total{id="/pod"} 1 1500',
        'container_pressure_memory_waiting_seconds_total{id="/pod"} 2.5 1500',
    ]


def test_controllers_are_handed_down(tmp_path: Path) -> None:
    """Only what a cgroup has and does not hand down yet is written, a controller at a time."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory pids rdma\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpuset cpu memory\n")
    made = unified.make(tmp_path, "/minikube-py/kubepods")
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+pids"
    assert made == tmp_path / "minikube-py" / "kubepods"
    assert made.is_dir()


def test_a_cgroup_is_killed_whole(tmp_path: Path) -> None:
    """The kernel kills all that runs in it, where it can; an older one has no such file."""
    unified.kill(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "cgroup.kill").write_text("")
    unified.kill(tmp_path)
    assert (tmp_path / "cgroup.kill").read_text() == "1"
