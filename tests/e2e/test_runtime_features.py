"""What only newer runtimes can do, in real containers: user namespaces, strict groups, recursively read-only
mounts. A runtime says what it can do in the node's status; what it does not say is skipped here."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Cluster, pod

from minikube_py.runtime.oci import File, write_archive
from minikube_py.testing.containerd import busybox_recipe

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

Kubectl = Callable[..., str]
SHELL = ["/bin/sh", "-c"]
OPTIONS = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0}


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """kubectl in the test's namespace."""

    def run(*arguments: str, **more: Any) -> str:
        return cluster.kubectl("-n", namespace, *arguments, **more)

    return run


@pytest.fixture
def features(cluster: Cluster) -> dict[str, bool]:
    """What the default handler and the runtime can do, as the node's status has it."""
    [node] = cluster.get("nodes")["items"]
    handlers = {one["name"]: one["features"] for one in node["status"].get("runtimeHandlers") or ()}
    return {**handlers.get("", {}), **(node["status"].get("features") or {})}


@pytest.fixture(scope="module")
def members(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image whose /etc/group makes the user web (1001) a member of group 50000."""
    base = busybox_recipe("members:1")
    groups = File(b"root:x:0:\nweb:x:1001:\nstaff:x:50000:web\n")
    file = tmp_path_factory.mktemp("members") / "image.tar"
    write_archive(file, [replace(base, files=base.files | {"/etc/group": groups})])
    cluster.run("image", "load", str(file))
    return base.name


@pytest.fixture
def mounted_below(tmp_path: Path) -> Iterator[Path]:
    """A folder of the node with a tmpfs mounted at its `below`."""
    below = tmp_path / "below"
    below.mkdir()
    tmp_path.chmod(0o777)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "none", str(below)], check=True, timeout=10)
    yield tmp_path
    subprocess.run(["umount", str(below)], check=True, timeout=10)


def create(kubectl: Kubectl, *objects: dict[str, Any]) -> None:
    """Create them all."""
    kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def needs(features: dict[str, bool], name: str) -> None:
    """Skip the test where the runtime does not have the feature."""
    if not features.get(name):
        pytest.skip(f"this containerd has no {name}")


def test_user_namespaces(features: dict[str, bool], namespace: str, kubectl: Kubectl, members: str) -> None:
    """Pods with users of their own are root inside and 65536 other users outside each; the files of their
    volumes are root's inside, and exec joins them."""
    needs(features, "userNamespaces")
    volumes = [{"name": "empty", "emptyDir": {}}, {"name": "words", "configMap": {"name": "words"}}]
    mounts = [{"name": one["name"], "mountPath": f"/{one['name']}"} for one in volumes]
    box = {"image": members, "imagePullPolicy": "Never", "volumeMounts": mounts}
    create(
        kubectl,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"}, "data": {"key": "told\n"}},
        *(
            pod(name, ["sleep", "600"], **OPTIONS, hostUsers=False, volumes=volumes, container=dict(box))
            for name in ("one", "two")
        ),
    )
    kubectl("wait", "pod/one", "pod/two", "--for=condition=Ready", "--timeout=60s")
    token = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
    look = f"touch /empty/mine; stat -Lc '%u %a' /empty/mine /words/key; cat /words/key {token}"
    firsts = set()
    for name in ("one", "two"):
        first, outside, count = map(int, kubectl("exec", name, "--", "cat", "/proc/self/uid_map").split())
        assert (first, outside % 65536, count) == (0, 0, 65536)
        firsts.add(outside)
        said = kubectl("exec", name, "--", *SHELL, look).splitlines()
        assert said == ["0 644", "0 644", "told", namespace]
    assert (len(firsts), 0 in firsts) == (2, False)


def test_strict_groups(features: dict[str, bool], kubectl: Kubectl, members: str) -> None:
    """Strict leaves out the groups that the image gives the user, Merge adds them; status tells of both."""
    needs(features, "supplementalGroupsPolicy")
    container = {"image": members, "imagePullPolicy": "Never"}
    told = {}
    for policy in ("Merge", "Strict"):
        context = {"runAsUser": 1001, "supplementalGroups": [4000], "supplementalGroupsPolicy": policy}
        body = pod(
            policy.lower(), ["sleep", "600"], container=dict(container), securityContext=context, **OPTIONS
        )
        create(kubectl, body)
        kubectl("wait", f"pod/{policy.lower()}", "--for=condition=Ready", "--timeout=60s")
        groups = {int(group) for group in kubectl("exec", policy.lower(), "--", "id", "-G").split()}
        path = "jsonpath={.status.containerStatuses[0].user.linux}"
        linux = json.loads(kubectl("get", "pod", policy.lower(), "-o", path))
        assert (linux["uid"], set(linux["supplementalGroups"])) == (1001, groups)
        told[policy] = (50000 in groups, 4000 in groups)
    assert told == {"Merge": (True, True), "Strict": (False, True)}


def test_recursively_read_only_mounts(features: dict[str, bool], kubectl: Kubectl, mounted_below: Path) -> None:
    """Enabled keeps what is mounted below a read-only mount read-only too; Disabled lets it be written."""
    needs(features, "recursiveReadOnlyMounts")
    volume = {"name": "v", "hostPath": {"path": str(mounted_below)}}
    expected = {
        "Enabled": "Read-only file system",
        "IfPossible": "Read-only file system",
        "Disabled": "written",
    }
    said = {}
    for wish in expected:
        mount = {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": wish}
        name, container = wish.lower(), {"volumeMounts": [mount]}
        body = pod(name, [*SHELL, "sleep 600"], container=container, volumes=[volume], **OPTIONS)
        create(kubectl, body)
        kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
        path = 'jsonpath={.status.containerStatuses[0].volumeMounts[?(@.name=="v")].recursiveReadOnly}'
        assert kubectl("get", "pod", name, "-o", path) == ("Disabled" if wish == "Disabled" else "Enabled")
        script = "exec 2>&1; touch /v/top; touch /v/below/new && echo written; true"
        first, second = kubectl("exec", name, "--", *SHELL, script).splitlines()
        assert first == "touch: /v/top: Read-only file system"
        said[wish] = second.rsplit(": ", 1)[-1]
    assert said == expected
