"""nfs volumes: how they are mounted, and what is said where they cannot be."""

import os
import re
from pathlib import Path

import pytest
from kubelet_node import Node, pod_object

from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.volumes.nfs import failure, mount_command
from minikube_py.meta.objects import Key, Obj

EXPORT = {"server": "127.0.0.1", "path": "/exports/web"}


@pytest.mark.parametrize(
    ("source", "options", "expected"),
    [
        (EXPORT, [], "mount -t nfs 127.0.0.1:/exports/web /v"),
        (EXPORT | {"readOnly": True}, [], "mount -t nfs -o ro 127.0.0.1:/exports/web /v"),
        (EXPORT, ["hard", "nfsvers=4.1"], "mount -t nfs -o hard,nfsvers=4.1 127.0.0.1:/exports/web /v"),
        (EXPORT | {"readOnly": True}, ["ro", "soft"], "mount -t nfs -o ro,soft 127.0.0.1:/exports/web /v"),
        ({"server": "::1", "path": "/"}, [], "mount -t nfs [::1]:/ /v"),
        ({"server": "[::1]", "path": "/"}, [], "mount -t nfs [::1]:/ /v"),
    ],
    ids=["plain", "read-only", "options", "once", "ipv6", "ipv6-in-brackets"],
)
def test_the_command(source: Obj, options: list[str], expected: str) -> None:
    """mount(8) gets the export, the read-only flag and a PersistentVolume's options."""
    assert mount_command(source, Path("/v"), options) == expected.split(" ")


def test_what_a_failure_says() -> None:
    """The command and all that it printed, as kubectl describe shows them for every kubelet."""
    assert failure(["mount", "-t", "nfs", "a:/b", "/v"], 32, "mount.nfs: Connection refused\n") == (
        "mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs a:/b /v\n"
        "Output: mount.nfs: Connection refused\n\n"
    )


async def test_a_mount_that_fails_is_told(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper that is missing keeps the pod waiting, and its event tells mount's own words."""
    words = "mount: bad option; you might need a /sbin/mount.<type> helper program."
    program(tmp_path, f"echo '{words}' >&2; exit 32", monkeypatch)
    await node.client.create(Pod, pod_object(volumes=[{"name": "data", "nfs": EXPORT}]))
    told = (await node.told("FailedMount"))[0][1]
    assert told.startswith('MountVolume.SetUp failed for volume "data" : mount failed: exit status 32\n')
    place = "volumes/kubernetes.io~nfs/data"
    assert re.search(rf"Mounting arguments: -t nfs 127.0.0.1:/exports/web \S+/{place}\n", told)
    assert words in told


async def test_a_claim_of_an_export(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PersistentVolume's export is mounted under its name with its options, then the pod runs."""
    seen = program(tmp_path, f'echo "$@" > {tmp_path}/seen', monkeypatch)
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteMany"],
        "mountOptions": ["hard"],
        "nfs": EXPORT,
        "claimRef": {"namespace": "default", "name": "web"},
    }
    claim = await node.client.create(
        PersistentVolumeClaim,
        {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Gi"}},
                "volumeName": "pv-1",
                "storageClassName": "",
            },
        },
    )
    spec["claimRef"] = {"namespace": "default", "name": "web", "uid": claim["metadata"]["uid"]}
    await node.client.create(PersistentVolume, {"metadata": {"name": "pv-1"}, "spec": spec})
    bound = {"status": {"phase": "Bound"}}
    await node.client.patch(PersistentVolumeClaim, Key("default", "web"), bound, subresource="status")
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "web", "readOnly": True}}
    await node.client.create(Pod, pod_object(volumes=[volume]))
    await node.running()
    assert re.fullmatch(
        r"-t nfs -o ro,hard 127.0.0.1:/exports/web \S+/kubernetes.io~nfs/pv-1", seen.read_text().strip()
    )


def program(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a mount(8) of the test's own first in the search path; where it may write what it was asked."""
    place = folder / "bin"
    place.mkdir()
    (place / "mount").write_text(f"#!/bin/sh\n{script}\n")
    (place / "mount").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    return folder / "seen"
