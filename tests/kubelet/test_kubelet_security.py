"""Security contexts, sysctls, user namespaces and runtime handlers: what the runtime is told, and refusals."""

from pathlib import Path
from typing import Any

import pytest

from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.kuberuntime.environment import ConfigRefused
from minikube_py.kubelet.kuberuntime.isolation import Isolation, require_user_namespaces, runtime_handler
from minikube_py.kubelet.kuberuntime.sandbox import Resolver, sandbox_config
from minikube_py.kubelet.kuberuntime.security import security
from minikube_py.kubelet.kuberuntime.sysctls import forbidden, is_pattern, normalized
from minikube_py.kubelet.kuberuntime.usernamespaces import UserNamespaces
from minikube_py.meta.objects import Obj
from minikube_py.runtime import convert
from minikube_py.runtime.base import (
    ContainerConfig,
    HandlerFeatures,
    Image,
    Mount,
    NamespaceOptions,
    RuntimeFailed,
    Security,
    UserNamespace,
)

PROFILES = Path("/root/seccomp")
ROOT = Image("i", ("app:1",), (), 1)
NUMERIC = Image("i", (), (), 1, uid=1000)
NAMED = Image("i", (), (), 1, username="web")
ZERO = Image("i", (), (), 1, uid=0)
WHERE = '(pod: "web_default(u1)", container: main)'


def pod(**spec: Any) -> Obj:
    """A pod with one container."""
    meta = {"name": "web", "namespace": "default", "uid": "u1"}
    return {"metadata": meta, "spec": {"containers": [{"name": "main", "image": "app:1"}], **spec}}


def secured(whole: Obj, own: Obj, image: Image = ROOT) -> Security:
    """What the runtime is told of a container with these security contexts."""
    return security(pod(securityContext=whole), {"name": "main", "securityContext": own}, image, PROFILES)


@pytest.mark.parametrize(
    ("whole", "own", "image", "expected"),
    [
        ({}, {}, ROOT, (0, "", None)),
        ({}, {}, NUMERIC, (1000, "", None)),
        ({}, {}, NAMED, (None, "web", None)),
        ({"runAsUser": 5}, {}, NAMED, (5, "", None)),
        ({"runAsUser": 5, "runAsGroup": 6}, {"runAsUser": 7}, NUMERIC, (7, "", 6)),
        ({"runAsGroup": 6}, {}, ROOT, (0, "", 6)),
        ({"runAsUser": 5}, {"runAsUser": None}, ROOT, (5, "", None)),
    ],
)
def test_users(whole: Obj, own: Obj, image: Image, expected: tuple[Any, ...]) -> None:
    """The container's user stands above the pod's, that above the image's; without any it is root."""
    made = secured(whole, own, image)
    assert (made.run_as_user, made.run_as_username, made.run_as_group) == expected


@pytest.mark.parametrize(
    ("whole", "own", "image", "message"),
    [
        ({"runAsNonRoot": True}, {}, NUMERIC, ""),
        ({"runAsNonRoot": True, "runAsUser": 5}, {}, ROOT, ""),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, ROOT, ""),
        ({"runAsNonRoot": True}, {}, ROOT, "container has runAsNonRoot and image will run as root "),
        ({}, {"runAsNonRoot": True}, ZERO, "container has runAsNonRoot and image will run as root "),
        ({"runAsNonRoot": True}, {"runAsUser": 0}, NUMERIC, "container's runAsUser breaks non-root policy "),
        (
            {"runAsNonRoot": True},
            {},
            NAMED,
            "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root ",
        ),
    ],
)
def test_non_root(whole: Obj, own: Obj, image: Image, message: str) -> None:
    """runAsNonRoot refuses what is root, and what may be."""
    if not message:
        assert secured(whole, own, image) is not None
        return
    with pytest.raises(ConfigRefused) as refusal:
        secured(whole, own, image)
    assert str(refusal.value) == message + WHERE


@pytest.mark.parametrize(
    ("whole", "own", "expected"),
    [
        ({}, {}, "Unconfined"),
        ({"seccompProfile": {"type": "RuntimeDefault"}}, {}, "RuntimeDefault"),
        (
            {"seccompProfile": {"type": "RuntimeDefault"}},
            {"seccompProfile": {"type": "Unconfined"}},
            "Unconfined",
        ),
        (
            {},
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "p/a.json"}},
            "localhost//root/seccomp/p/a.json",
        ),
    ],
)
def test_seccomp(whole: Obj, own: Obj, expected: str) -> None:
    """The container's profile stands above the pod's; one of the node lies below the kubelet's folder."""
    assert secured(whole, own).seccomp == expected


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("seccompProfile", "localhostProfile must be set if seccompProfile type is Localhost."),
        ("appArmorProfile", "missing localhost apparmor profile name"),
    ],
)
def test_nameless_profile(field: str, message: str) -> None:
    """A Localhost profile without a name is refused."""
    with pytest.raises(ConfigRefused) as refusal:
        secured({}, {field: {"type": "Localhost"}})
    assert str(refusal.value) == message


def test_everything_else_of_a_context() -> None:
    """Groups, capabilities, privileges, paths, AppArmor and SELinux reach CRI as they were given."""
    whole = {
        "fsGroup": 9,
        "supplementalGroups": [8],
        "supplementalGroupsPolicy": "Strict",
        "seLinuxOptions": {"user": "u", "role": "r", "type": "t", "level": "s0"},
    }
    own = {
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "procMount": "Unmasked",
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"},
        "seLinuxOptions": {"level": "s0:c1"},
    }
    made = convert.security_context(secured(whole, own), NamespaceOptions())
    assert list(made.supplemental_groups) == [9, 8]
    assert made.supplemental_groups_policy == convert.cri.Strict
    assert (made.no_new_privs, made.readonly_rootfs, made.privileged) == (True, True, False)
    assert (list(made.masked_paths), list(made.readonly_paths)) == ([], [])
    assert (made.capabilities.add_capabilities, made.capabilities.drop_capabilities) == (["NET_ADMIN"], ["ALL"])
    assert (made.apparmor.profile_type, made.apparmor.localhost_ref) == (
        convert.cri.SecurityProfile.Localhost,
        "mine",
    )
    assert (made.selinux_options.user, made.selinux_options.level) == ("", "s0:c1")
    plain = convert.security_context(secured({}, {}), NamespaceOptions())
    assert "/proc/kcore" in plain.masked_paths and "/proc/sys" in plain.readonly_paths
    assert (plain.HasField("selinux_options"), plain.HasField("apparmor")) == (False, False)
    assert plain.no_new_privs is False


def test_sandbox_is_confined_whatever_its_containers_are() -> None:
    """The sandbox's own process has the runtime's seccomp profile, and the pod's groups and SELinux context."""
    whole = {"seccompProfile": {"type": "Unconfined"}, "fsGroup": 9, "seLinuxOptions": {"level": "s0:c1"}}
    config = KubeletConfig("node-1", "10.0.0.1", Path("/k"), Path("/l"))
    subject = pod(securityContext=whole, overhead={"cpu": "250m", "memory": "120Mi"})
    made = sandbox_config(subject, 0, config, Resolver())
    assert (made.seccomp, made.supplemental_groups) == ("RuntimeDefault", [9])
    sent = convert.sandbox_config(made).linux
    assert sent.security_context.selinux_options.level == "s0:c1"
    assert (sent.overhead.cpu_shares, sent.overhead.memory_limit_in_bytes) == (256, 120 << 20)


@pytest.mark.parametrize(
    ("names", "spec", "allowed", "expected"),
    [
        ([], {}, (), ""),
        (["kernel.shm_rmid_forced", "net.ipv4.tcp_rmem"], {}, (), ""),
        (["net/ipv4/ip_unprivileged_port_start"], {}, (), ""),
        (["kernel.msgmax"], {}, (), 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        (["kernel.msgmax"], {}, ("kernel.msg*",), ""),
        (["net.core.somaxconn"], {}, ("net.core.somaxconn",), ""),
        (
            ["net.core.somaxconn2"],
            {},
            ("net.core.somaxconn",),
            'forbidden sysctl: "net.core.somaxconn2" not allowlisted',
        ),
        (["vm.swappiness"], {}, ("kernel.msg*",), 'forbidden sysctl: "vm.swappiness" not allowlisted'),
        (
            ["net.ipv4.tcp_syncookies"],
            {"hostNetwork": True},
            (),
            'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled',
        ),
        (
            ["kernel.shm_rmid_forced"],
            {"hostIPC": True},
            (),
            'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled',
        ),
    ],
)
def test_sysctls(names: list[str], spec: Obj, allowed: tuple[str, ...], expected: str) -> None:
    """Safe sysctls are free, others are where they are allowed; none is of a namespace that is the node's."""
    asked = [{"name": name, "value": "1"} for name in names]
    assert forbidden(pod(securityContext={"sysctls": asked}, **spec), allowed) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("net.ipv4.conf.eth0/100.rp_filter", "net.ipv4.conf.eth0/100.rp_filter"),
        ("net/ipv4/conf/eth0.100/rp_filter", "net.ipv4.conf.eth0/100.rp_filter"),
        ("kernel", "kernel"),
    ],
)
def test_sysctl_names(text: str, name: str) -> None:
    """Both separators are understood; the other one belongs to a name."""
    assert normalized(text) == name


@pytest.mark.parametrize(
    ("text", "expected"), [("kernel.msg*", True), ("net.*", True), ("kernel.sem", True), ("vm.*", False)]
)
def test_what_can_be_allowed(text: str, expected: bool) -> None:
    """Only sysctls of a namespace can be given to pods."""
    assert is_pattern(text) is expected


def test_runtime_classes() -> None:
    """A pod's handler is its class'; a class that is gone is an error."""
    assert runtime_handler(pod(), {}.get) == ""
    assert runtime_handler(pod(runtimeClassName="kata"), {"kata": {"handler": "vm"}}.get) == "vm"
    with pytest.raises(RuntimeFailed) as refusal:
        runtime_handler(pod(runtimeClassName="gone"), {}.get)
    assert str(refusal.value) == 'runtimeclass.node.k8s.io "gone" not found'


ABLE, UNABLE = HandlerFeatures(user_namespaces=True), HandlerFeatures()
REFUSED = "can't set `spec.hostUsers: false`, "


@pytest.mark.parametrize(
    ("handler", "handlers", "message"),
    [
        ("", {"": ABLE}, ""),
        ("", {}, REFUSED + "runtime does not support user namespaces"),
        ("", {"": UNABLE}, REFUSED + "runtime does not support user namespaces"),
        (
            "vm",
            {"": ABLE, "vm": UNABLE},
            REFUSED + 'RuntimeClass handler "vm" does not support user namespaces',
        ),
        (
            "vm",
            {"": ABLE},
            REFUSED
            + 'RuntimeClass handler "vm" does not support user namespaces: the handler "vm" is not known',
        ),
    ],
)
def test_user_namespaces_need_the_runtime(
    handler: str, handlers: dict[str, HandlerFeatures], message: str
) -> None:
    """Where the runtime has no user namespaces, a pod that wants one is refused."""
    if not message:
        require_user_namespaces(handler, handlers)
        assert handlers[handler].user_namespaces
        return
    with pytest.raises(RuntimeFailed) as refusal:
        require_user_namespaces(handler, handlers)
    assert str(refusal.value) == message


def test_ids_of_pods(tmp_path: Path) -> None:
    """Each pod has ids of its own, which outlive the kubelet and are free again with the pod's directory."""
    for uid in ("a", "b", "c"):
        (tmp_path / uid).mkdir()
    users = UserNamespaces(tmp_path, 2)
    assert [users.of(uid).host_id for uid in ("a", "b", "a")] == [65536, 131072, 65536]
    assert UserNamespaces(tmp_path, 2).of("b") == UserNamespace(131072, 65536)
    with pytest.raises(RuntimeFailed, match="could not find an empty slot to allocate a user namespace"):
        users.of("c")
    (tmp_path / "a" / "userns").unlink()
    assert users.of("c").host_id == 65536
    (tmp_path / "c" / "userns").write_text("{")
    with pytest.raises(RuntimeFailed, match="is damaged"):
        users.of("c")


async def test_a_pod_with_its_own_users(tmp_path: Path) -> None:
    """The sandbox, its containers and every mount are told of the pod's ids."""
    (tmp_path / "u1").mkdir()
    isolation = Isolation(lambda _: None, lambda: {"": ABLE}, UserNamespaces(tmp_path, 1))
    assert await isolation.users(pod()) is None
    user = await isolation.users(pod(hostUsers=False))
    assert user == UserNamespace(65536, 65536)
    spaces = NamespaceOptions(user=user)
    made = convert.container_config(ContainerConfig("main", "i", mounts=[Mount("/a", "/b")], namespaces=spaces))
    sent = made.linux.security_context.namespace_options.userns_options
    ids = [(65536, 0, 65536)]
    assert [(m.host_id, m.container_id, m.length) for m in sent.uids] == ids
    assert [(m.host_id, m.container_id, m.length) for m in made.mounts[0].gidMappings] == ids
    plain = convert.container_config(ContainerConfig("main", "i", mounts=[Mount("/a", "/b")]))
    assert not plain.linux.security_context.namespace_options.HasField("userns_options")
    assert not plain.mounts[0].uidMappings
