"""What is told of a pod's mounts: in its containers' statuses, and in events where they cannot be made."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kubelet_node import Node, pod_object, settle
from volume_node import volume_node, volume_pod

from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.secret import Secret
from minikube_py.kubelet.container_status import Known
from minikube_py.kubelet.pod_volumes import told
from minikube_py.kubelet.status import Facts, pod_status
from minikube_py.kubelet.volumes.atomic import write_files
from minikube_py.kubelet.volumes.base import File, VolumeFailed
from minikube_py.meta.objects import Obj, dig
from minikube_py.runtime.base import Container, User

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READ_ONLY = {"name": "v", "mountPath": "/v", "readOnly": True}
DEEP = READ_ONLY | {"recursiveReadOnly": "IfPossible"}


@pytest.mark.parametrize(
    ("mount", "able", "shown"),
    [
        ({"name": "v", "mountPath": "/v"}, True, {"name": "v", "mountPath": "/v"}),
        (READ_ONLY, True, READ_ONLY | {"recursiveReadOnly": "Disabled"}),
        (DEEP, True, READ_ONLY | {"recursiveReadOnly": "Enabled"}),
        (DEEP, False, READ_ONLY | {"recursiveReadOnly": "Disabled"}),
    ],
)
def test_mounts_are_told_from_first_to_last(mount: Obj, able: bool, shown: Obj) -> None:
    """A container's mounts are in its status before it runs, while it does and once it has ended; whom it runs
    as from its start on."""
    subject = pod_object(containers=[{"name": "main", "image": "app:1", "volumeMounts": [mount]}])
    user = {"linux": {"uid": 1000, "gid": 3000, "supplementalGroups": [4000]}}
    for state in ("", "running", "exited"):
        run = Container("c1", "s0", "main", 0, state, "app:1", "i", 1.0, user=User(1000, 3000, (4000,)))
        facts = Facts(NOW, {"main": [Known(run)]} if state else {}, recursive=able)
        status = pod_status(subject, facts)
        [entry] = status["containerStatuses"]
        assert (entry["volumeMounts"], entry.get("user")) == ([shown], user if state else None)
        subject, able = subject | {"status": status}, not able


async def test_missing_volumes_hold_back_the_sandbox(node: Node) -> None:
    """A pod whose volumes cannot be made yet has no sandbox and pulls nothing; each volume is told."""
    volumes = [{"name": "c", "configMap": {"name": "no"}}, {"name": "s", "secret": {"secretName": "none"}}]
    await node.client.create(Pod, pod_object(volumes=volumes))
    waits = await node.until(lambda pod: dig(pod, "status.containerStatuses"))
    await settle()
    assert sorted(node.events("FailedMount")) == [
        ("FailedMount", 'MountVolume.SetUp failed for volume "c" : configmap "no" not found'),
        ("FailedMount", 'MountVolume.SetUp failed for volume "s" : secret "none" not found'),
    ]
    assert (node.events("Pulled"), await node.runtime.sandboxes.list()) == ([], ())
    ready = next(c for c in dig(waits, "status.conditions") if c["type"] == "PodReadyToStartContainers")
    assert (ready["status"], dig(waits, "status.podIP")) == ("False", None)
    for kind, name in ((ConfigMap, "no"), (Secret, "none")):
        await node.client.create(kind, {"metadata": {"name": name, "namespace": "default"}, "data": {}})
    await node.running()


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (FileNotFoundError(2, "No such file or directory", "/a"), "/a: no such file or directory"),
        (OSError("odd"), "odd"),
        (VolumeFailed("open /a: no such file or directory"), "open /a: no such file or directory"),
    ],
)
def test_failures_of_the_machine_in_words(failure: OSError | VolumeFailed, expected: str) -> None:
    """What the machine says of a path is told without Python's numbers and marks."""
    assert told("v", failure) == f'MountVolume.SetUp failed for volume "v" : {expected}'


def test_an_update_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A file and a folder of one name cannot both be; what is seen stays, and nothing else does."""
    write_files(tmp_path, {"a": File(b"1", 0o644)}, NOW)
    with pytest.raises(OSError, match="Not a directory"):
        write_files(tmp_path, {"a": File(b"2", 0o644), "a/b": File(b"3", 0o644)}, NOW)
    assert (tmp_path / "a").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [os.readlink(tmp_path / "..data"), "..data", "a"]
    )


@pytest.mark.parametrize(
    ("kind", "place", "why"),
    [
        ("FileOrCreate", "none/f", "open {}/none/f: no such file or directory"),
        ("DirectoryOrCreate", "file/d", "mkdir {}/file/d: not a directory"),
        ("DirectoryOrCreate", "file", "hostPath type check failed: {}/file is not a directory"),
        ("FileOrCreate", "made", ""),
        ("DirectoryOrCreate", "new/deep", ""),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
async def test_what_is_made_on_the_node(tmp_path: Path, kind: str, place: str, why: str) -> None:
    """A file or folder is made by its type where it is missing; where it cannot be, the kernel's words are
    told."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "file").touch()
    source = {"name": "v", "hostPath": {"path": str(host / place), "type": kind}}
    async with volume_node(tmp_path) as node:
        failure = await node.failure(volume_pod("p", source))
    assert failure == (f'MountVolume.SetUp failed for volume "v" : {why.format(host)}' if why else "")
    assert (host / place).exists() == (not why or place == "file")
