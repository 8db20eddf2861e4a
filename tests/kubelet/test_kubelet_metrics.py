"""What the kubelet counts as it works, and what its /metrics tells of how things stand."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from minikube_py.aio.clock import VirtualClock
from minikube_py.kubelet.kuberuntime.instrumented import InstrumentedRuntime
from minikube_py.kubelet.metrics import KubeletMetrics, container_type, covered, image_size
from minikube_py.kubelet.pod_times import PodTimes
from minikube_py.kubelet.server.find import Refused
from minikube_py.kubelet.server.node_logs import inside, listing
from minikube_py.kubelet.server.server import request_labels
from minikube_py.kubelet.stats.exposition import Metric, page
from minikube_py.kubelet.stats.state import certificate_metrics, pod_metrics, volume_count
from minikube_py.kubelet.volumes.base import Mounted
from minikube_py.meta.objects import Obj, timestamp
from minikube_py.runtime.base import RuntimeFailed, SandboxConfig
from minikube_py.runtime.simulated import SimulatedRuntime


def lines(families: Sequence[Metric]) -> list[str]:
    """The samples of a page."""
    return [line for line in page(families).splitlines() if not line.startswith("#")]


def counted(metrics: KubeletMetrics, start: str) -> dict[str, str]:
    """The series of a kubelet's counters that begin with `start`, but those of buckets."""
    texts = [line.rsplit(" ", 1) for family in metrics.families() for line in family.lines()]
    return {name: value for name, value in texts if name.startswith(start) and "_bucket" not in name}


def pod(**status: object) -> Obj:
    """A pod with one container of each type."""
    return {
        "metadata": {
            "name": "web",
            "namespace": "ns",
            "uid": "u1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "containers": [{"name": "main"}],
            "initContainers": [{"name": "init"}],
            "ephemeralContainers": [{"name": "debug"}],
        },
        "status": status,
    }


async def test_calls_of_the_runtime_are_counted() -> None:
    """Each by its CRI name, failures too; a sandbox is a pod that is started."""
    metrics = KubeletMetrics()
    runtime = InstrumentedRuntime(SimulatedRuntime(VirtualClock()), metrics)
    await runtime.sandboxes.run(SandboxConfig("web", "ns", "u1"))
    assert [sandbox.name for sandbox in await runtime.sandboxes.list()] == ["web"]
    with pytest.raises(RuntimeFailed):
        await runtime.containers.start("nothing")
    await runtime.close()
    totals = counted(metrics, "kubelet_runtime_operations_total")
    name = "kubelet_runtime_operations"
    assert totals == {
        f'{name}_total{{operation_type="{operation}"}}': "1"
        for operation in ("run_podsandbox", "list_podsandbox", "start_container")
    }
    assert counted(metrics, f"{name}_errors") == {
        f'{name}_errors_total{{operation_type="start_container"}}': "1"
    }
    assert counted(metrics, "kubelet_started_pods_total") == {"kubelet_started_pods_total": "1"}
    assert counted(metrics, "kubelet_run_podsandbox_duration_seconds_count") == {
        'kubelet_run_podsandbox_duration_seconds_count{runtime_handler=""}': "1"
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [("main", "container"), ("init", "init_container"), ("debug", "ephemeral_container")],
)
def test_container_types(name: str, expected: str) -> None:
    """A container is counted by the field that it stands in."""
    assert container_type(pod(), name) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "N/A"), (1, "0-10MB"), (10 << 20, "0-10MB"), ((10 << 20) + 1, "10MB-100MB"), (200 << 30, "GT100GB")],
)
def test_image_sizes(size: int, expected: str) -> None:
    """Pulls are told apart by what was pulled."""
    assert image_size(size) == expected


@pytest.mark.parametrize(
    ("spans", "expected"),
    [([], 0.0), ([(1.0, 3.0)], 2.0), ([(1.0, 3.0), (2.0, 5.0)], 4.0), ([(4.0, 5.0), (1.0, 2.0)], 2.0)],
    ids=["none", "one", "overlapping", "apart"],
)
def test_pulls_at_a_time_count_once(spans: list[tuple[float, float]], expected: float) -> None:
    """The time of pulling is that in which anything was pulled."""
    assert covered(spans) == expected


async def test_times_of_a_start() -> None:
    """From the first sight and from creation to running, once; pulls and init containers are taken off."""
    clock, metrics = VirtualClock(), KubeletMetrics()
    made = pod()
    made["metadata"]["creationTimestamp"] = timestamp(clock.now())
    await clock.advance(5.0)
    times = PodTimes(metrics, clock, made)
    times.working()
    times.starting()
    metrics.image_pulled("u1", 5.0, 8.0, 5)
    await clock.advance(15.0)
    times.started()
    ended = {"startedAt": timestamp(clock.now() - timedelta(seconds=7)), "finishedAt": timestamp(clock.now())}
    made["status"] = {
        "containerStatuses": [{"name": "main", "state": {"waiting": {}}}],
        "initContainerStatuses": [{"name": "init", "state": {"terminated": ended}}],
    }
    times.stored(made)
    made["status"]["containerStatuses"][0]["state"] = {"running": {}}
    times.stored(made)
    times.stored(made)
    assert counted(metrics, "kubelet_pod_start_") == {
        "kubelet_pod_start_duration_seconds_sum": "15",
        "kubelet_pod_start_duration_seconds_count": "1",
        "kubelet_pod_start_sli_duration_seconds_sum": "10",
        "kubelet_pod_start_sli_duration_seconds_count": "1",
        "kubelet_pod_start_total_duration_seconds_sum": "20",
        "kubelet_pod_start_total_duration_seconds_count": "1",
    }
    assert counted(metrics, "kubelet_pod_worker_duration") == {
        'kubelet_pod_worker_duration_seconds_sum{operation_type="create"}': "15",
        'kubelet_pod_worker_duration_seconds_count{operation_type="create"}': "1",
    }


def test_a_pod_that_was_here_before() -> None:
    """A kubelet that has just started tells nothing of the starts before it."""
    metrics = KubeletMetrics()
    known = pod(
        startTime="2026-01-01T00:00:00Z", containerStatuses=[{"name": "main", "state": {"running": {}}}]
    )
    PodTimes(metrics, VirtualClock(), known).stored(known)
    assert counted(metrics, "kubelet_pod_start_total_duration_seconds_count") == {
        "kubelet_pod_start_total_duration_seconds_count": "0"
    }


def test_probes_of_a_pod_that_is_gone() -> None:
    """Its series go with it."""
    metrics = KubeletMetrics()
    times = PodTimes(metrics, VirtualClock(), pod())
    times.probed("main", "Liveness", 0.01)
    labels = 'container="main",namespace="ns",pod="web",probe_type="Liveness"'
    assert f"prober_probe_duration_seconds_count{{{labels}}} 1" in list(metrics.probe_durations.lines())
    times.ended()
    assert len(list(metrics.probe_durations.lines())) == 2


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/metrics", ("false", "GET", "metrics", "readwrite")),
        ("GET", "/metrics/cadvisor", ("false", "GET", "metrics/cadvisor", "readwrite")),
        ("POST", "/exec/ns/web/main", ("true", "POST", "exec", "readwrite")),
        ("GET", "/containerLogs/ns/web/main", ("false", "GET", "containerLogs", "readwrite")),
        ("BREW", "/whatever/x", ("false", "other", "other", "readwrite")),
        ("GET", "/", ("false", "GET", "other", "readwrite")),
    ],
)
def test_requests_are_counted_by(method: str, path: str, expected: tuple[str, ...]) -> None:
    """Few series, whatever clients ask for."""
    assert request_labels(method, path) == expected


def test_pods_are_counted() -> None:
    """Static ones apart, finished ones not as active."""
    static = pod(phase="Running")
    static["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    told = lines([*pod_metrics([pod(phase="Running"), pod(phase="Succeeded"), static])])
    assert told == [
        'kubelet_active_pods{static=""} 1',
        'kubelet_active_pods{static="true"} 1',
        'kubelet_desired_pods{static=""} 2',
        'kubelet_desired_pods{static="true"} 1',
        "kubelet_managed_ephemeral_containers 3",
        "kubelet_mirror_pods 1",
    ]


def test_volumes_are_counted_by_plugin() -> None:
    """Those to be and those that are; a claim's plugin is known once it is mounted."""
    made = pod()
    made["spec"]["volumes"] = [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "configMap": {"name": "b"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "d", "persistentVolumeClaim": {"claimName": "d"}},
    ]
    at = Path("/pods/u1/volumes/kubernetes.io~nfs/pv")
    told = lines([volume_count([made], lambda uid: {"a": Mounted(Path("/x")), "c": Mounted(at)})])
    assert [line.removeprefix("volume_manager_total_volumes") for line in told] == [
        '{plugin_name="kubernetes.io/configmap",state="desired_state_of_world"} 1',
        '{plugin_name="kubernetes.io/empty-dir",state="actual_state_of_world"} 1',
        '{plugin_name="kubernetes.io/empty-dir",state="desired_state_of_world"} 1',
        '{plugin_name="kubernetes.io/nfs",state="actual_state_of_world"} 1',
        '{plugin_name="kubernetes.io/nfs",state="desired_state_of_world"} 1',
    ]


def test_mounts_are_counted_by_plugin() -> None:
    """Those that fail apart; of a claim that is not mounted the plugin is not known."""
    metrics = KubeletMetrics()
    times = PodTimes(metrics, VirtualClock(), pod())
    times.mounted({"name": "a", "emptyDir": {}}, Mounted(Path("/x")), 0.2)
    times.mounted({"name": "b", "secret": {}}, None, 1.0)
    times.mounted({"name": "c", "persistentVolumeClaim": {}}, None, 1.0)
    count = "storage_operation_duration_seconds_count"
    labels = '{{migrated="false",operation_name="volume_mount",status="{}",volume_plugin="kubernetes.io/{}"}}'
    assert counted(metrics, count) == {
        count + labels.format("success", "empty-dir"): "1",
        count + labels.format("fail-unknown", "secret"): "1",
    }


def test_certificates_are_told() -> None:
    """The serving one in seconds, the client's as unused."""
    now = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert lines([*certificate_metrics(now + 60, now)]) == [
        "kubelet_certificate_manager_client_ttl_seconds +Inf",
        "kubelet_certificate_manager_server_ttl_seconds 60",
    ]


def test_a_folder_of_logs(tmp_path: Path) -> None:
    """Names in order, folders with a slash, and nothing that a browser would take for markup."""
    (tmp_path / "pods").mkdir()
    (tmp_path / "a<b>.log").write_text("x")
    (tmp_path / "c:d").write_text("x")
    assert listing(tmp_path).splitlines()[2:] == [
        "<pre>",
        '<a href="a%3Cb%3E.log">a&lt;b&gt;.log</a>',
        '<a href="./c%3Ad">c:d</a>',
        '<a href="pods/">pods/</a>',
        "</pre>",
    ]


@pytest.mark.parametrize("path", ["../secret", "/../secret", "out", "out/x", "gone", "a\0b", "loop"])
def test_logs_outside_the_folder(tmp_path: Path, path: str) -> None:
    """Neither dots nor links lead out of it."""
    root = tmp_path / "log"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(Refused) as refused:
        inside(root, path)
    assert refused.value.status == 404


def test_logs_inside_the_folder(tmp_path: Path) -> None:
    """A link that stays in the folder is followed."""
    (tmp_path / "pods").mkdir()
    (tmp_path / "pods" / "a.log").write_text("x")
    (tmp_path / "b.log").symlink_to("pods/a.log")
    assert inside(tmp_path, "/b.log") == (tmp_path / "pods" / "a.log").resolve()
    assert inside(tmp_path, "/") == tmp_path.resolve()
