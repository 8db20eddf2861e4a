"""Values become CRI messages and back; only what a real container cannot show is tested here."""

import tempfile
from pathlib import Path

import pytest

from minikube_py.runtime import convert
from minikube_py.runtime.base import (
    HandlerFeatures,
    NamespaceOptions,
    PortMapping,
    Resources,
    RuntimeEvent,
    RuntimeInfo,
    SandboxConfig,
    Security,
    User,
)
from minikube_py.runtime.containerd import oom_score_floor, shut_folder
from minikube_py.runtime.monitor import event_from
from minikube_py.runtime.proto import containerd_pb2 as containerd
from minikube_py.runtime.proto import cri_pb2 as cri


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [("RuntimeDefault", 0, ""), ("Unconfined", 1, ""), ("localhost//etc/profile.json", 2, "/etc/profile.json")],
)
def test_security_profiles(text: str, kind: int, path: str) -> None:
    """A profile is named, or a file on the node."""
    assert convert.security_profile(text) == cri.SecurityProfile(profile_type=kind, localhost_ref=path)


def test_no_security_profile_is_left_to_the_runtime() -> None:
    """An empty text sets nothing."""
    assert convert.security_profile("") is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (NamespaceOptions(), ("POD", "CONTAINER", "POD")),
        (NamespaceOptions(share_pid=True), ("POD", "POD", "POD")),
        (NamespaceOptions(True, True, True), ("NODE", "NODE", "NODE")),
        (NamespaceOptions(target="c1"), ("POD", "TARGET", "POD")),
    ],
)
def test_namespaces(options: NamespaceOptions, expected: tuple[str, str, str]) -> None:
    """Each namespace is the node's, the pod's or the container's own."""
    message = convert.namespace_option(options)
    names = tuple(cri.NamespaceMode.Name(mode) for mode in (message.network, message.pid, message.ipc))
    assert names == expected


def test_ports_of_a_sandbox() -> None:
    """Port mappings keep protocol, ports and address."""
    config = SandboxConfig("web", "default", "1", ports=[PortMapping(53, 5353, "UDP", "127.0.0.1")])
    [port] = convert.sandbox_config(config).port_mappings
    assert (port.protocol, port.container_port, port.host_port, port.host_ip) == (
        cri.UDP,
        53,
        5353,
        "127.0.0.1",
    )


def test_a_pod_on_the_nodes_network_has_no_hostname_of_its_own() -> None:
    """There is no UTS namespace to name."""
    config = SandboxConfig(
        "web", "default", "1", hostname="web", namespaces=NamespaceOptions(host_network=True)
    )
    assert convert.sandbox_config(config).hostname == ""


@pytest.mark.parametrize(
    ("security", "masked", "readonly"),
    [
        (Security(), convert.MASKED_PATHS, convert.READONLY_PATHS),
        (Security(masked_paths=("/proc/a",), readonly_paths=()), ("/proc/a",), ()),
        (Security(privileged=True), (), ()),
    ],
)
def test_masked_and_readonly_paths(
    security: Security, masked: tuple[str, ...], readonly: tuple[str, ...]
) -> None:
    """Kubernetes' default paths are hidden unless told otherwise; never in a privileged container."""
    context = convert.security_context(security, NamespaceOptions())
    assert (tuple(context.masked_paths), tuple(context.readonly_paths)) == (masked, readonly)


@pytest.mark.parametrize(("asked", "floor", "given"), [(-997, -1000, -997), (-997, 0, 0), (500, 0, 500)])
def test_oom_scores_below_the_floor_are_raised(asked: int, floor: int, given: int) -> None:
    """No score below what the machine allows is asked for."""
    assert convert.linux_resources(Resources(oom_score_adj=asked), floor).oom_score_adj == given


@pytest.mark.parametrize(
    ("status", "own", "floor"),
    [
        ("Name:\tx\nCapEff:\t000001ffffffffff\n", "100", -1000),
        ("Name:\tx\nCapEff:\t000001fffeffffff\n", "100", 100),
        ("Name:\tx\n", "100", -1000),
    ],
)
def test_the_oom_score_floor(tmp_path: Path, status: str, own: str, floor: int) -> None:
    """Without CAP_SYS_RESOURCE no child can get a lower score than we have."""
    (tmp_path / "status").write_text(status)
    (tmp_path / "oom_score_adj").write_text(own)
    assert oom_score_floor(tmp_path) == floor


@pytest.mark.parametrize(
    ("topic", "message", "event"),
    [
        ("/tasks/start", containerd.TaskStart(container_id="a", pid=1), RuntimeEvent("started", "a")),
        (
            "/tasks/exit",
            containerd.TaskExit(container_id="a", id="a", exit_status=3),
            RuntimeEvent("exited", "a", 3),
        ),
        ("/tasks/exit", containerd.TaskExit(container_id="a", id="exec1", exit_status=3), None),
        ("/tasks/oom", containerd.TaskOOM(container_id="a"), RuntimeEvent("oom", "a")),
        ("/tasks/paused", containerd.TaskOOM(container_id="a"), None),
    ],
)
def test_events(topic: str, message: object, event: RuntimeEvent | None) -> None:
    """An exit counts only if it is the container's own process."""
    assert event_from(topic, message.SerializeToString()) == event  # type: ignore[attr-defined]


def test_what_a_newer_runtime_tells_of_itself() -> None:
    """A condition about deprecated settings is no reason not to be ready; handlers and features are told."""
    conditions = [
        cri.RuntimeCondition(type="RuntimeReady", status=True),
        cri.RuntimeCondition(type="NetworkReady", status=False, message="cni plugin not initialized"),
        cri.RuntimeCondition(
            type="ContainerdHasNoDeprecationWarnings", status=False, message="cgroup v1 is deprecated"
        ),
    ]
    handler = cri.RuntimeHandler(
        name="runc", features=cri.RuntimeHandlerFeatures(recursive_read_only_mounts=True)
    )
    answer = cri.StatusResponse(
        status=cri.RuntimeStatus(conditions=conditions),
        runtime_handlers=[handler],
        features=cri.RuntimeFeatures(supplemental_groups_policy=True),
    )
    told = cri.VersionResponse(runtime_name="containerd", runtime_version="v2.1.4")
    assert convert.runtime_info(told, answer) == RuntimeInfo(
        "containerd",
        "2.1.4",
        ready=True,
        network_ready=False,
        message="cni plugin not initialized",
        handlers={"runc": HandlerFeatures(recursive_read_only_mounts=True)},
        strict_groups=True,
    )


def test_users_of_their_own_are_taken_back() -> None:
    """Where nobody else reaches the bundles, no handler has user namespaces; the rest stays."""
    able = HandlerFeatures(recursive_read_only_mounts=True, user_namespaces=True)
    info = RuntimeInfo("containerd", "2.1.4", handlers={"": able, "runc": able}, strict_groups=True)
    left = HandlerFeatures(recursive_read_only_mounts=True)
    assert convert.without_users(info) == RuntimeInfo(
        "containerd", "2.1.4", handlers={"": left, "runc": left}, strict_groups=True
    )


@pytest.mark.parametrize(
    ("modes", "shut"),
    [
        ((0o711, 0o755, 0o711), None),
        ((0o711, 0o755, 0o700), "home/dev/state"),
        ((0o750, 0o700, 0o711), "home"),
        ((0o711, 0o700, 0o711), "home/dev"),
    ],
)
def test_the_first_shut_folder(modes: tuple[int, ...], shut: str | None) -> None:
    """The first folder on the way that others may not pass through; one that is not there is open."""
    with tempfile.TemporaryDirectory(prefix="mkpy") as top:
        Path(top).chmod(0o711)
        folder = Path(top) / "home/dev/state"
        folder.mkdir(parents=True)
        for path, mode in zip((folder.parents[1], folder.parent, folder), modes, strict=True):
            path.chmod(mode)
        assert shut_folder(folder / "later") == (None if shut is None else Path(top) / shut)


def test_a_container_tells_its_resources_and_user() -> None:
    """What the runtime has applied, and whom the process runs as, where it tells of them."""
    linux = cri.LinuxContainerResources(
        cpu_shares=512, cpu_quota=20_000, cpu_period=100_000, memory_limit_in_bytes=1 << 20
    )
    user = cri.LinuxContainerUser(uid=1000, gid=3000, supplemental_groups=[4000])
    told = convert.container(
        cri.ContainerStatus(
            id="c1", resources=cri.ContainerResources(linux=linux), user=cri.ContainerUser(linux=user)
        ),
        "s1",
    )
    assert told.applied == Resources(cpu_shares=512, cpu_quota=20_000, memory=1 << 20)
    assert told.user == User(1000, 3000, (4000,))
    silent = convert.container(cri.ContainerStatus(id="c1"), "s1")
    assert (silent.applied, silent.user) == (None, None)
