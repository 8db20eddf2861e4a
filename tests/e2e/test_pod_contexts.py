"""Security contexts in real containers: who a process is, what it may do, and what the node refuses."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Cluster, pod

from minikube_py.runtime.oci import write_archive
from minikube_py.testing.containerd import busybox_recipe

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

Kubectl = Callable[..., str]
SHELL = ["/bin/sh", "-c"]


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """kubectl in the test's namespace."""

    def run(*arguments: str, **more: Any) -> str:
        return cluster.kubectl("-n", namespace, *arguments, **more)

    return run


@pytest.fixture(scope="module")
def users(cluster: Cluster, testbox: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Images that run as a user by name, and by number."""
    file = tmp_path_factory.mktemp("users") / "image.tar"
    recipes = [replace(busybox_recipe(f"user-{user}:1"), user=user) for user in ("web", "1001")]
    write_archive(file, recipes)
    cluster.run("image", "load", str(file))
    return {recipe.user: recipe.name for recipe in recipes}


def once(name: str, containers: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    """A pod whose containers run once and end."""
    body = pod(name, [], restartPolicy="Never", terminationGracePeriodSeconds=0, **spec)
    body["spec"]["containers"] = [{"imagePullPolicy": "Never"} | one for one in containers]
    return body


def create(kubectl: Kubectl, *objects: dict[str, Any]) -> None:
    """Create them all."""
    kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def await_status(kubectl: Kubectl, name: str, path: str, value: str) -> None:
    """Wait until a field of a pod's status has a value."""
    kubectl("wait", f"pod/{name}", f"--for=jsonpath={{.status.{path}}}={value}", "--timeout=60s")


def identity(kubectl: Kubectl, name: str, container: str) -> dict[str, str]:
    """What testbox says of its process."""
    return dict(line.split("=", 1) for line in kubectl("logs", name, "-c", container).splitlines())


def test_identities(kubectl: Kubectl, testbox: str) -> None:
    """Users, groups, capabilities, seccomp and no_new_privs are as the contexts say, each over the pod's."""

    def box(name: str, **context: Any) -> dict[str, Any]:
        return {"name": name, "image": testbox, "args": ["id"], "securityContext": context}

    confined = {"allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}}
    root = {"runAsUser": 0, "runAsGroup": 0}
    containers = [
        box("plain"),
        box("confined", **confined, runAsUser=1001),
        box("few", **root, capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
        box("usual", **root, capabilities={"add": ["NET_ADMIN"], "drop": ["CHOWN"]}),
        box("all", **root, privileged=True),
    ]
    whole = {"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000, "supplementalGroups": [4000]}
    create(kubectl, once("ids", containers, securityContext=whole))
    await_status(kubectl, "ids", "phase", "Succeeded")
    plain, tight, few, usual, every = (identity(kubectl, "ids", one["name"]) for one in containers)
    assert (plain["uid"], plain["gid"]) == ("1000", "3000")
    assert {"2000", "4000"} <= set(plain["groups"].split(","))
    assert (plain["CapEff"], plain["Seccomp"], plain["NoNewPrivs"]) == ("0" * 16, "0", "0")
    assert (tight["uid"], tight["Seccomp"], tight["NoNewPrivs"]) == ("1001", "2", "1")
    assert (few["uid"], int(few["CapEff"], 16)) == ("0", 1 << 10)
    assert int(usual["CapEff"], 16) & (1 << 12 | 1) == 1 << 12
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if "CapBnd" in line)
    assert int(every["CapEff"], 16) == int(own.split()[1], 16)


def test_files_and_devices(kubectl: Kubectl, testbox: str) -> None:
    """A read-only root is read-only, volumes are not; only privileged containers write /sys and see devices."""
    script = (
        "exec 2>&1; touch /new; touch /data/new && echo volume; ls /dev/kmsg; touch /proc/sys/kernel/hostname"
    )
    tries = "touch /proc/sys/kernel/hostname && echo proc; ls /dev/kmsg; grep ' /sys ' /proc/mounts; true"
    mounts = [{"name": "data", "mountPath": "/data"}]
    containers: list[dict[str, Any]] = [
        {
            "name": "tight",
            "image": testbox,
            "command": [*SHELL, script + "; true"],
            "volumeMounts": mounts,
            "securityContext": {"readOnlyRootFilesystem": True},
        },
        {
            "name": "free",
            "image": testbox,
            "command": [*SHELL, tries],
            "securityContext": {"privileged": True},
        },
    ]
    volumes = [{"name": "data", "emptyDir": {}}]
    # containerd before 2.1 gives a sandbox that has a network of its own a read-only sysfs, which all share
    spaces: list[dict[str, Any]] = [{}, {"hostNetwork": True}]
    bodies = zip(containers, spaces, strict=True)
    create(kubectl, *(once(one["name"], [one], volumes=volumes, **more) for one, more in bodies))
    for name in ("tight", "free"):
        await_status(kubectl, name, "phase", "Succeeded")
    tight, free = (kubectl("logs", name).splitlines() for name in ("tight", "free"))
    assert tight == [
        "touch: /new: Read-only file system",
        "volume",
        "ls: /dev/kmsg: No such file or directory",
        "touch: /proc/sys/kernel/hostname: Read-only file system",
    ]
    assert free[:2] == ["proc", "/dev/kmsg"]
    assert free[2].split()[3].split(",")[0] == "rw"


def test_root_is_refused(
    cluster: Cluster, namespace: str, kubectl: Kubectl, users: dict[str, str], testbox: str
) -> None:
    """runAsNonRoot refuses root, and users that may be; a user by number runs."""

    def guarded(name: str, image: str, **context: Any) -> dict[str, Any]:
        main = {"name": "main", "image": image, "command": [*SHELL, "id -u"]}
        return once(name, [main], securityContext={"runAsNonRoot": True, **context})

    create(
        kubectl,
        guarded("root", testbox),
        guarded("zero", users["1001"], runAsUser=0),
        guarded("named", users["web"]),
        guarded("number", users["1001"]),
        guarded("chosen", testbox, runAsUser=1002),
    )
    for name in ("number", "chosen"):
        await_status(kubectl, name, "phase", "Succeeded")
    assert [kubectl("logs", name).strip() for name in ("number", "chosen")] == ["1001", "1002"]
    told = {
        "root": "container has runAsNonRoot and image will run as root ",
        "zero": "container's runAsUser breaks non-root policy ",
        "named": "container has runAsNonRoot and image has non-numeric user (web), "
        "cannot verify user is non-root ",
    }
    path = "containerStatuses[0].state.waiting"
    for name, message in told.items():
        await_status(kubectl, name, f"{path}.reason", "CreateContainerConfigError")
        found = cluster.get("pod", name, "-n", namespace)
        where = f'(pod: "{name}_{namespace}({found["metadata"]["uid"]})", container: main)'
        assert found["status"]["containerStatuses"][0]["state"]["waiting"]["message"] == message + where
    assert "Error: container has runAsNonRoot" in kubectl("describe", "pod", "root")


def test_seccomp_profiles_of_the_node(cluster: Cluster, kubectl: Kubectl) -> None:
    """A Localhost profile is read below the kubelet's folder; one that is missing is told."""
    folder = cluster.folder / "kubelet" / "seccomp"
    folder.mkdir(exist_ok=True)
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    (folder / "no-mkdir.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))

    def profiled(name: str, file: str) -> dict[str, Any]:
        main = {
            "name": "main",
            "image": "demo:1",
            "command": [*SHELL, "mkdir /tmp/a 2>/dev/null || echo refused"],
        }
        profile = {"type": "Localhost", "localhostProfile": file}
        return once(name, [main], securityContext={"seccompProfile": profile})

    create(kubectl, profiled("there", "no-mkdir.json"), profiled("missing", "gone.json"))
    await_status(kubectl, "there", "phase", "Succeeded")
    assert kubectl("logs", "there") == "refused\n"
    await_status(kubectl, "missing", "containerStatuses[0].state.waiting.reason", "CreateContainerError")
    message = kubectl(
        "get", "pod", "missing", "-o", "jsonpath={.status.containerStatuses[0].state.waiting.message}"
    )
    assert str(folder / "gone.json") in message and "no such file or directory" in message


def test_sysctls(kubectl: Kubectl) -> None:
    """Safe sysctls are set in the pod alone; others fail the pod."""
    key = "net.ipv4.ip_unprivileged_port_start"
    main = {"name": "main", "image": "demo:1", "command": [*SHELL, f"cat /proc/sys/{key.replace('.', '/')}"]}
    own = {"sysctls": [{"name": key, "value": "80"}]}
    unsafe = {"sysctls": [{"name": "kernel.msgmax", "value": "10000"}]}
    create(kubectl, once("safe", [main], securityContext=own), once("unsafe", [main], securityContext=unsafe))
    await_status(kubectl, "safe", "phase", "Succeeded")
    assert kubectl("logs", "safe") == "80\n"
    await_status(kubectl, "unsafe", "reason", "SysctlForbidden")
    told = kubectl("describe", "pod", "unsafe")
    assert 'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted' in told


def test_namespaces_of_the_node(cluster: Cluster, kubectl: Kubectl) -> None:
    """Pods share the node's namespaces, and their containers share processes, where they say so."""
    spaces = ("pid", "ipc", "net")
    show = "; ".join(f"readlink /proc/self/ns/{space}" for space in spaces)
    main = {"name": "main", "image": "demo:1", "command": [*SHELL, show]}
    lasting = main | {"command": [*SHELL, f"{show}; sleep 2"]}  # a namespace's number is free once it has ended
    two = [lasting, lasting | {"name": "other"}]
    create(
        kubectl,
        once("apart", [main]),
        once("host", [main], hostNetwork=True, hostPID=True, hostIPC=True),
        once("shared", two, shareProcessNamespace=True),
        once("unshared", two),
    )
    for name in ("apart", "host", "shared", "unshared"):
        await_status(kubectl, name, "phase", "Succeeded")
    node = [os.readlink(f"/proc/{cluster.pid}/ns/{space}") for space in spaces]
    apart, host = (kubectl("logs", name).splitlines() for name in ("apart", "host"))
    assert host == node
    assert [mine == its for mine, its in zip(apart, node, strict=True)] == [False, False, False]
    for name, same in (("shared", True), ("unshared", False)):
        first, second = (kubectl("logs", name, "-c", one["name"]).splitlines() for one in two)
        assert [first[0] == second[0], first[1:] == second[1:]] == [same, True]


def test_what_this_node_cannot_do(cluster: Cluster, namespace: str, kubectl: Kubectl) -> None:
    """Pods that ask for what the node does not have are refused in Kubernetes' words, none runs without it."""
    main = {"name": "main", "image": "demo:1", "command": [*SHELL, "true"]}
    node = cluster.get("nodes")["items"][0]
    create(
        kubectl,
        once("windows", [main], os={"name": "windows"}, nodeName=node["metadata"]["name"]),
        once(
            "elsewhere", [main], nodeSelector={"kubernetes.io/os": "plan9"}, nodeName=node["metadata"]["name"]
        ),
        once("own-users", [main], hostUsers=False),
        once("strict", [main], securityContext={"supplementalGroupsPolicy": "Strict"}),
        once("apparmor", [main], securityContext={"appArmorProfile": {"type": "RuntimeDefault"}}),
    )
    await_status(kubectl, "windows", "reason", "PodOSNotSupported")
    await_status(kubectl, "elsewhere", "reason", "PodOSSelectorNodeLabelDoesNotMatch")
    if not (node["status"].get("features") or {}).get("supplementalGroupsPolicy"):
        await_status(kubectl, "strict", "reason", "SupplementalGroupsPolicyNotSupported")
    if not Path("/sys/kernel/security/apparmor").exists():
        await_status(kubectl, "apparmor", "reason", "AppArmor")
        message = kubectl("get", "pod", "apparmor", "-o", "jsonpath={.status.message}")
        assert message == "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"
    handlers = {one["name"]: one["features"] for one in node["status"].get("runtimeHandlers") or ()}
    if not (handlers.get("") or {}).get("userNamespaces"):
        selector = "--field-selector=involvedObject.name=own-users,reason=FailedCreatePodSandBox"
        kubectl("wait", "event", selector, "--for=create", "--timeout=30s")
        told = kubectl("get", "events", selector, "-o", "jsonpath={.items[0].message}")
        why = "can't set `spec.hostUsers: false`, runtime does not support user namespaces"
        assert told == f"Failed to create pod sandbox: {why}"


def test_runtime_classes(cluster: Cluster, namespace: str, kubectl: Kubectl) -> None:
    """A runtime class chooses the handler and adds its overhead; an unknown handler holds the pod."""
    main = {"name": "main", "image": "demo:1", "command": [*SHELL, "true"]}
    names = [f"{namespace}-known", f"{namespace}-unknown"]
    for name, handler in zip(names, ("runc", "nobody"), strict=True):
        body = {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": name},
            "handler": handler,
            "overhead": {"podFixed": {"cpu": "10m", "memory": "8Mi"}},
        }
        cluster.kubectl("create", "-f", "-", input=json.dumps(body))
    try:
        create(kubectl, *(once(name.split("-")[-1], [main], runtimeClassName=name) for name in names))
        await_status(kubectl, "known", "phase", "Succeeded")
        assert cluster.get("pod", "known", "-n", namespace)["spec"]["overhead"] == {
            "cpu": "10m",
            "memory": "8Mi",
        }
        selector = "--field-selector=involvedObject.name=unknown,reason=FailedCreatePodSandBox"
        kubectl("wait", "event", selector, "--for=create", "--timeout=30s")
        told = kubectl("get", "events", selector, "-o", "jsonpath={.items[0].message}")
        assert told.startswith("Failed to create pod sandbox: rpc error: code = Unknown desc = ")
        assert told.endswith('no runtime for "nobody" is configured')
    finally:
        cluster.kubectl("delete", "runtimeclass", *names)


def test_debug_containers_have_a_context(kubectl: Kubectl, shell: Callable[..., str], testbox: str) -> None:
    """kubectl debug's profiles reach the ephemeral container: restricted refuses root, sysadmin may do all."""
    assert shell("id -u") == "1000\n"
    for profile in ("restricted", "sysadmin"):
        options = ("--image-pull-policy=Never", "--profile", profile, "-c", profile, "--target=main")
        kubectl("debug", "shell", f"--image={testbox}", *options, "--", "/bin/testbox", "id")
    await_status(
        kubectl,
        "shell",
        'ephemeralContainerStatuses[?(@.name=="sysadmin")].state.terminated.reason',
        "Completed",
    )
    assert int(identity(kubectl, "shell", "sysadmin")["CapEff"], 16) > 1 << 20
    waiting = 'ephemeralContainerStatuses[?(@.name=="restricted")].state.waiting'
    await_status(kubectl, "shell", f"{waiting}.reason", "CreateContainerConfigError")
    told = kubectl("get", "pod", "shell", "-o", f"jsonpath={{.status.{waiting}.message}}")
    assert told.startswith("container has runAsNonRoot and image will run as root ")
