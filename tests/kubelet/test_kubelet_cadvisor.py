"""The cgroups of pods, on v1 and v2, as /metrics/cadvisor shows them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from minikube_py.kubelet.cm.cgroups import Hierarchies
from minikube_py.kubelet.stats.cadvisor import cadvisor_lines, families
from minikube_py.kubelet.stats.cgroup import Cgroup, Cpu, Memory, Processes, read_cgroup
from minikube_py.kubelet.stats.disks import Disk, v2_disks
from minikube_py.kubelet.stats.exposition import Metric, braced, number, page
from minikube_py.kubelet.stats.series import Filesystem, Row
from minikube_py.kubelet.stats.usage import Interface, Use

V1 = {
    "cpu/cpu.shares": "512\n",
    "cpu/cpu.cfs_quota_us": "20000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "cpu/cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 1500000000\nnr_bursts 0\nburst_time 0\n",
    "cpu/cgroup.procs": "",
    "cpuacct/cpuacct.usage": "3000000000\n",
    "cpuacct/cpuacct.stat": "user 150\nsystem 50\n",
    "memory/memory.usage_in_bytes": "4096\n",
    "memory/memory.limit_in_bytes": "65536\n",
    "memory/memory.memsw.limit_in_bytes": "98304\n",
    "memory/memory.soft_limit_in_bytes": "9223372036854771712\n",
    "memory/memory.max_usage_in_bytes": "8192\n",
    "memory/memory.failcnt": "2\n",
    "memory/memory.kmem.usage_in_bytes": "1024\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    "memory/memory.stat": "pgfault 3\npgmajfault 1\ntotal_cache 7\ntotal_rss 5\ntotal_mapped_file 6\n"
    "total_swap 8\ntotal_pgfault 30\ntotal_pgmajfault 10\ntotal_inactive_file 96\ntotal_active_file 11\n",
    "pids/pids.current": "3\n",
    "pids/pids.max": "max\n",
    "blkio/blkio.throttle.io_service_bytes_recursive": "0:0 Read 100\n0:0 Write 200\nTotal 300\n",
    "blkio/blkio.throttle.io_serviced_recursive": "0:0 Read 1\n0:0 Write 2\nTotal 3\n",
}
V2 = {
    "cpu.weight": "20\n",
    "cpu.max": "20000 100000\n",
    "cpu.stat": "usage_usec 3000000\nuser_usec 1500000\nsystem_usec 500000\nnr_periods 9\nnr_throttled 4\n"
    "throttled_usec 1500000\n",
    "cgroup.procs": "",
    "memory.current": "4096\n",
    "memory.max": "65536\n",
    "memory.swap.current": "8\n",
    "memory.swap.max": "32768\n",
    "memory.peak": "8192\n",
    "memory.low": "0\n",
    "memory.events": "low 0\nhigh 0\nmax 2\noom 1\noom_kill 1\n",
    "memory.stat": "anon 5\nfile 7\nkernel 1024\nfile_mapped 6\ninactive_file 96\nactive_file 11\npgfault 30\n"
    "pgmajfault 10\n",
    "pids.current": "3\n",
    "pids.max": "max\n",
    "io.stat": "0:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n",
    "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n",
}
USE = Use(3_000_000_000, 4000, 4096, 5, 7, 8, 30, 10, 3, 65536)
DISKS = [Disk("", 0, 0, 100, 200, 1, 2)]


def write(root: Path, files: Mapping[str, str], path: str) -> None:
    """Lay out the cgroup at `path`, whose files are by controller on v1."""
    for name, text in files.items():
        controller, _, file = name.rpartition("/")
        place = root / controller / path.strip("/") / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def test_cgroup_v1(tmp_path: Path) -> None:
    """All that a cgroup v1 tells is read, in seconds and bytes; a limit of almost everything is none."""
    write(tmp_path, V1, "/pods/a")
    names = ("cpu", "cpuacct", "memory", "pids", "blkio")
    found = read_cgroup(Hierarchies({name: tmp_path / name for name in names}), "/pods/a")
    assert found is not None
    assert found == Cgroup(
        USE,
        Cpu(1.5, 0.5, 512, 20000, 100000, 9, 4, 1.5),
        Memory(1024, 6, 8192, 2, 11, 96, (3, 1), 32768, 0, 1),
        Processes(0, 0, 0, 3, 0),
        DISKS,
        found.created,
    )


def test_cgroup_v2(tmp_path: Path) -> None:
    """All that a cgroup v2 tells is read; its weight is told as the shares that it was counted from."""
    write(tmp_path, V2, "/pods/a")
    found = read_cgroup(Hierarchies({}, tmp_path), "/pods/a")
    assert found is not None
    assert found.use.pressures["memory"].some.total == 2_500_000
    assert (found.cpu, found.memory, found.processes, found.disks) == (
        Cpu(1.5, 0.5, 500, 20000, 100000, 9, 4, 1.5),
        Memory(1024, 6, 8192, 2, 11, 96, (30, 10), 32768, 0, 1),
        Processes(0, 0, 0, 3, 0),
        DISKS,
    )
    assert (found.use.cpu, found.use.working_set, found.use.swap) == (3_000_000_000, 4000, 8)


def test_a_cgroup_that_has_gone(tmp_path: Path) -> None:
    """Nothing is told of it."""
    assert read_cgroup(Hierarchies({}, tmp_path), "/gone") is None
    assert read_cgroup(Hierarchies({"memory": tmp_path}), "/gone") is None


def test_a_disk_without_counts() -> None:
    """A line of io.stat may lack them."""
    assert v2_disks("0:0\n0:1 cost.vrate=100.00\n") == [Disk("", 0, 0), Disk("", 0, 1)]


def lines_of(row: Row, name: str) -> list[str]:
    """The samples of one family."""
    lines = cadvisor_lines([row], 1.5)
    return [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]


LABELS = {"container": "main", "id": "/pods/a/c", "image": "img", "name": "c", "namespace": "ns", "pod": "web"}
TEXT = 'container="main",{0}id="/pods/a/c",image="img",{1}name="c",namespace="ns",pod="web"'


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("container_cpu_usage_seconds_total", TEXT.format('cpu="total",', ""), "3 1500"),
        ("container_cpu_cfs_throttled_periods_total", TEXT.format("", ""), "4 1500"),
        ("container_spec_cpu_quota", TEXT.format("", ""), "20000"),
        ("container_spec_memory_limit_bytes", TEXT.format("", ""), "65536"),
        ("container_start_time_seconds", TEXT.format("", ""), "8"),
        ("container_last_seen", TEXT.format("", ""), "1 1500"),
        ("container_fs_usage_bytes", TEXT.format('device="/dev/a",', ""), "10 1500"),
        ("container_fs_reads_total", TEXT.format('device="/dev/b",', ""), "1 1500"),
        ("container_network_receive_bytes_total", TEXT.format("", 'interface="eth0",'), "5 1500"),
        ("container_ulimits_soft", TEXT.format("", "") + ',ulimit="max_open_files"', "1024 1500"),
    ],
)
def test_series_of_a_container(name: str, labels: str, expected: str) -> None:
    """Labels stand in the order of their names; limits and starts carry no time."""
    cgroup = Cgroup(
        USE,
        Cpu(quota=20000, throttled=4),
        processes=Processes(1, 2, 1, 3, 0, 1024),
        disks=[Disk("/dev/b", 8, 0, 100, 200, 1, 2)],
    )
    interface = Interface("eth0", 5, 0, 0, 1, 6, 0, 0, 1)
    row = Row(LABELS, cgroup, 7.0, 8.5, 0, [interface], [Filesystem("/dev/a", 20, 10, 5, 4)])
    assert lines_of(row, name) == [f"{name}{{{labels}}} {expected}"]


def test_series_that_a_cgroup_has_not() -> None:
    """Without a quota nothing is throttled, and files that were not counted are not told as none."""
    row = Row(LABELS, Cgroup(Use()), 1.0, 1.0)
    missing = (
        "cpu_cfs_periods_total",
        "spec_cpu_quota",
        "file_descriptors",
        "pressure_cpu_waiting_seconds_total",
    )
    assert {name: lines_of(row, f"container_{name}") for name in missing} == {name: [] for name in missing}


def test_faults_are_told_by_scope() -> None:
    """Those of the cgroup itself, and of all below it."""
    row = Row(
        {"id": "/a"}, Cgroup(Use(page_faults=30, major_faults=10), memory=Memory(faults=(3, 1))), 1.0, 1.0
    )
    found = [line.split()[:2] for line in lines_of(row, "container_memory_failures_total")]
    name = "container_memory_failures_total"
    assert found == [
        [f'{name}{{failure_type="pgfault",id="/a",scope="container"}}', "3"],
        [f'{name}{{failure_type="pgmajfault",id="/a",scope="container"}}', "1"],
        [f'{name}{{failure_type="pgfault",id="/a",scope="hierarchy"}}', "30"],
        [f'{name}{{failure_type="pgmajfault",id="/a",scope="hierarchy"}}', "10"],
    ]


def test_families_are_told_once() -> None:
    """Each has a name of its own, and they come in the order of their names."""
    names = [family.name for family in families()]
    assert names == sorted(set(names))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (1048576.0, "1048576"),
        (0.25, "0.25"),
        (-1.0, "-1"),
        (1e16, "1e+16"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers(value: float, expected: str) -> None:
    """Values are written as Prometheus reads them."""
    assert number(value) == expected


def test_labels_are_escaped() -> None:
    """Quotes, backslashes and line ends in them end no label."""
    assert braced({"b": 'x"y\\z\n', "a": ""}) == '{a="",b="x\\"y\\\\z\\n"}'


def test_page_is_sorted_and_leaves_out_what_is_empty() -> None:
    """Families come by name; one without samples is not there."""
    made = [Metric(name, "gauge", "Help.", samples) for name, samples in (("b", [({}, 1)]), ("a", [({}, 2)]))]
    text = page([*made, Metric("c", "gauge", "Help.", [])])
    assert [line for line in text.splitlines() if not line.startswith("#")] == ["a 2", "b 1"]
