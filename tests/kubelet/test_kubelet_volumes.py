"""Volumes by parts: what is decided without I/O, and what is done with files that containers have made."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from volume_node import claim_volume, volume_pod

from minikube_py.aio.inotify import FolderWatch
from minikube_py.kubelet.kuberuntime.environment import ConfigRefused
from minikube_py.kubelet.node.csinode import node_patch, with_driver
from minikube_py.kubelet.node.csiplugins import check_versions
from minikube_py.kubelet.node.plugins import PluginRefused
from minikube_py.kubelet.pod_volumes import expanded_subpath, refuse_recursion
from minikube_py.kubelet.volumes import mounts
from minikube_py.kubelet.volumes.atomic import write_files
from minikube_py.kubelet.volumes.base import File, NotProcessed, VolumeFailed
from minikube_py.kubelet.volumes.content import keyed_files
from minikube_py.kubelet.volumes.csispec import CsiVolumeSpec, access_mode, takes_group
from minikube_py.kubelet.volumes.emptydir import memory_size, page_size
from minikube_py.kubelet.volumes.ownership import give, user_of
from minikube_py.kubelet.volumes.persistent import claimed
from minikube_py.kubelet.volumes.storage import Driver
from minikube_py.kubelet.volumes.subpath import SubpathRefused, bind_subpath
from minikube_py.kubelet.volumes.trees import remove_tree
from minikube_py.kubelet.volumes.usage import volume_usage
from minikube_py.meta.objects import Obj
from minikube_py.runtime.csi import SINGLE_WRITER, NodeInfo

NOW = datetime(2026, 1, 1, tzinfo=UTC)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting and chown need root")

CLAIM: Obj = {
    "metadata": {"name": "data", "namespace": "default", "uid": "c1"},
    "spec": {"volumeName": "pv"},
    "status": {"phase": "Bound"},
}
PV: Obj = {"metadata": {"name": "pv"}, "spec": {"claimRef": {"uid": "c1"}}}


@pytest.mark.parametrize(
    ("claim", "volume", "reason"),
    [
        (None, PV, 'failed to fetch PVC from API server: persistentvolumeclaims "data" not found'),
        ({**CLAIM, "status": {"phase": "Pending"}}, PV, "PVC is not bound"),
        ({**CLAIM, "metadata": {**CLAIM["metadata"], "deletionTimestamp": "t"}}, PV, "PVC is being deleted"),
        (CLAIM, None, 'failed to fetch PV pv from API server: persistentvolumes "pv" not found'),
        (
            CLAIM,
            {**PV, "spec": {"claimRef": {"uid": "c2"}}},
            "found PV object pv but its pv.Spec.ClaimRef.UID c2 does not point to claim.UID c1",
        ),
        (
            CLAIM,
            {**PV, "spec": {**PV["spec"], "volumeMode": "Block"}},
            "volume data has volumeMode Block, but is specified in volumeMounts",
        ),
    ],
    ids=["missing", "pending", "deleted", "no-volume", "other-claim", "block"],
)
def test_claims_that_cannot_be_used(claim: Obj | None, volume: Obj | None, reason: str) -> None:
    """A claim counts once it and its volume are bound to each other, for what its volume is."""
    pod = volume_pod("web", claim_volume("data"))
    found = {"PersistentVolumeClaim": claim, "PersistentVolume": volume}
    with pytest.raises(NotProcessed) as refused:
        claimed(pod, pod["spec"]["volumes"][0], lambda kind, _: found[kind.kind])
    told = str(refused.value).removeprefix("error processing PVC default/data: ")
    assert told == reason


def test_keys_of_a_volume() -> None:
    """Items choose keys, modes (0 too) and paths; a missing one is refused unless it is optional."""
    found = {"data": {"a": "1", "b": "2"}}
    source = {"items": [{"key": "a", "path": "x/a", "mode": 0}]}
    assert keyed_files("ConfigMap", source, found, 0o644) == {"x/a": File(b"1", 0)}
    missing: Obj = {"items": [{"key": "no", "path": "p"}]}
    for kind, words in (("Secret", "references"), ("ConfigMap", "configmap references")):
        what = "secret" if kind == "Secret" else "config"
        with pytest.raises(VolumeFailed, match=f"^{words} non-existent {what} key: no$"):
            keyed_files(kind, missing, {"data": {}}, 0o644)
    assert keyed_files("Secret", {**missing, "optional": True}, {"data": {}}, 0o644) == {}


@pytest.mark.parametrize(
    ("whole", "own", "expected"),
    [({"runAsUser": 5}, {}, 5), ({"runAsUser": 5}, {"runAsUser": 6}, None), ({}, {}, None)],
)
def test_user_of_a_token(whole: Obj, own: Obj, expected: int | None) -> None:
    """A token belongs to the user that all containers share."""
    containers = [{"name": "a", "securityContext": own}, {"name": "b"}]
    assert user_of({"spec": {"securityContext": whole, "containers": containers}}) == expected


@pytest.mark.parametrize(
    ("limit", "memory", "allocatable", "expected"),
    [
        ("1Mi", "2Mi", "1Gi", 1 << 20),
        (None, "2Mi", "1Gi", 2 << 20),
        (None, None, "1Gi", 1 << 30),
        (None, None, None, 0),
    ],
)
def test_size_of_a_volume_in_memory(
    limit: str | None, memory: str | None, allocatable: str | None, expected: int
) -> None:
    """The least of the volume's, the pod's and the node's limits counts."""
    limits = {"resources": {"limits": {"memory": memory}}} if memory else {}
    pod: Obj = {"spec": {"containers": [{"name": "a", **limits}]}}
    found = memory_size(pod, {"sizeLimit": limit}, {"memory": allocatable} if allocatable else {})
    assert found == expected


def test_huge_pages_are_of_one_size() -> None:
    """The medium names the size of its pages, or the pod's requests do, if they are of one size."""
    assert page_size({"spec": {}}, "HugePages-2Mi") == 2 << 20
    pages = {"resources": {"requests": {"hugepages-2Mi": "4Mi"}}}
    pod: Obj = {"spec": {"containers": [pages]}}
    assert page_size(pod, "HugePages") == 2 << 20
    with pytest.raises(VolumeFailed, match="ask for no huge pages"):
        page_size({"spec": {"containers": [{}]}}, "HugePages")


def spec(**more: Any) -> CsiVolumeSpec:
    return CsiVolumeSpec("d", "h", "pv", ephemeral=False, **more)


@pytest.mark.parametrize(
    ("volume", "policy", "expected"),
    [
        (spec(fs_type="ext4", modes=["ReadWriteOnce"]), "ReadWriteOnceWithFSType", True),
        (spec(fs_type="ext4", modes=["ReadWriteMany"]), "ReadWriteOnceWithFSType", False),
        (spec(modes=["ReadWriteOnce"]), "ReadWriteOnceWithFSType", False),
        (spec(), "File", True),
        (spec(read_only=True), "File", False),
        (spec(fs_type="ext4", modes=["ReadWriteOnce"]), "None", False),
    ],
)
def test_group_policy(volume: CsiVolumeSpec, policy: str, expected: bool) -> None:
    """When a CSI volume is given to the pod's group."""
    assert takes_group(volume, {"spec": {"fsGroupPolicy": policy}}) == expected


@pytest.mark.parametrize(
    ("modes", "abilities", "expected"),
    [
        (["ReadWriteOnce"], (), "SINGLE_NODE_WRITER"),
        (["ReadWriteOncePod"], (), "SINGLE_NODE_WRITER"),
        (["ReadWriteOnce"], (SINGLE_WRITER,), "SINGLE_NODE_MULTI_WRITER"),
        (["ReadWriteOncePod"], (SINGLE_WRITER,), "SINGLE_NODE_SINGLE_WRITER"),
        (["ReadOnlyMany"], (), "MULTI_NODE_READER_ONLY"),
        (["ReadWriteMany"], (), "MULTI_NODE_MULTI_WRITER"),
    ],
)
def test_access_modes(modes: list[str], abilities: tuple[str, ...], expected: str) -> None:
    """Kubernetes' access modes as CSI's."""
    assert access_mode(modes, frozenset(abilities)) == expected


def test_what_a_node_tells_of_its_drivers() -> None:
    """A driver's entry is replaced or taken away; the Node's ids and topology labels follow."""
    info = NodeInfo("id", 3, {"zone": "a"})
    entry = {"name": "d", "nodeID": "id", "topologyKeys": ["zone"], "allocatable": {"count": 3}}
    other = {"name": "e", "nodeID": "x"}
    assert with_driver([other], "d", info) == [other, entry]
    assert with_driver([other, entry], "d", None) == [other]
    node: Obj = {"metadata": {"name": "n"}}
    ids = {"csi.volume.kubernetes.io/nodeid": '{"d":"id"}'}
    patch = {"metadata": {"annotations": ids, "labels": {"zone": "a"}}}
    assert node_patch(node, "d", info) == patch
    assert node_patch(patch, "d", info) == {}
    assert node_patch(patch, "d", None) == {"metadata": {"annotations": {next(iter(ids)): None}}}


def test_plugin_versions() -> None:
    """A driver of CSI 1 is taken, one that speaks no version of it refused."""
    check_versions("d", ("0.3.0", "v1.2.0"))
    with pytest.raises(PluginRefused):
        check_versions("d", ("0.3.0", "2.0.0", "one"))


async def test_driver_in_the_default_folder_sees_its_own_paths(tmp_path: Path) -> None:
    """A driver that listens below /var/lib/kubelet has the kubelet's folder there."""
    inside = Driver("d", Path("/var/lib/kubelet/plugins/d/csi.sock"), tmp_path)
    outside = Driver("d", tmp_path / "plugins/d/csi.sock", tmp_path)
    target = tmp_path / "pods/u/mount"
    assert inside.socket == tmp_path / "plugins/d/csi.sock"
    assert (inside.path(target), outside.path(target)) == ("/var/lib/kubelet/pods/u/mount", str(target))
    for driver in (inside, outside):
        await driver.node.close()


def test_unknown_variable_in_a_subpath() -> None:
    """A subPathExpr needs all its variables."""
    assert expanded_subpath("a/$(X)/$$(Y)", {"X": "1"}) == "a/1/$(Y)"
    for known in ({"X": "1"}, {"Y": ""}):
        with pytest.raises(ConfigRefused, match='missing value for "Y"'):
            expanded_subpath("$(Y)", known)


def test_recursive_read_only_needs_the_runtime() -> None:
    """What must be read-only in depth is refused where the runtime cannot; what may be is not."""
    wish = {"volumeMounts": [{"name": "v", "readOnly": True, "recursiveReadOnly": "IfPossible"}]}
    refuse_recursion(wish, able=False)
    must = {"volumeMounts": [{"name": "v", "readOnly": True, "recursiveReadOnly": "Enabled"}]}
    refuse_recursion(must, able=True)
    with pytest.raises(ConfigRefused, match='volume "v" requested recursive read-only mode'):
        refuse_recursion(must, able=False)


@as_root
def test_files_belong_to_user_and_group(tmp_path: Path) -> None:
    """The files of a pod with a group can be read by it, folders have the setgid bit; a broken update's go."""
    (tmp_path / "..2020_leftover").mkdir()
    assert write_files(tmp_path, {"d/t": File(b"x", 0o600, 1001)}, NOW, 77)
    found = (tmp_path / "d/t").stat()
    assert (oct(found.st_mode & 0o777), found.st_uid, found.st_gid) == ("0o640", 1001, 77)
    assert oct((tmp_path / "d").stat().st_mode & 0o7777) == "0o2755"
    assert not (tmp_path / "..2020_leftover").exists()
    assert not write_files(tmp_path, {"d/t": File(b"x", 0o600, 1001)}, NOW, 77)


@as_root
def test_group_is_given_without_following_symlinks(tmp_path: Path) -> None:
    """Files, folders and symlinks themselves change hands; what a symlink names does not. OnRootMismatch stops
    at a root that is as it should be."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.write_text("x")
    outside.chmod(0o600)
    (root / "deep").mkdir(parents=True)
    (root / "deep/file").touch(mode=0o600)
    (root / "link").symlink_to(outside)
    give(root, 77)
    assert [(p.lstat().st_gid) for p in (root, root / "deep", root / "deep/file", root / "link")] == [77] * 4
    assert oct((root / "deep/file").stat().st_mode & 0o7777) == "0o660"
    assert oct((root / "deep").stat().st_mode & 0o7777) == "0o2775"
    assert (outside.stat().st_gid, oct(outside.stat().st_mode & 0o777)) == (0, "0o600")
    os.chown(root / "deep/file", -1, 0)
    give(root, 77, policy="OnRootMismatch")
    assert (root / "deep/file").stat().st_gid == 0
    give(root, 77)
    assert (root / "deep/file").stat().st_gid == 77


def test_deep_trees_are_removed(tmp_path: Path) -> None:
    """A tree whose paths are longer than the kernel takes is removed all the same."""
    root = tmp_path / "root"
    root.mkdir()
    folder = os.open(root, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("deeper", dir_fd=folder)
        inner = os.open("deeper", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    (root / "out").symlink_to("/")
    remove_tree(root)
    assert not root.exists()


@as_root
def test_nothing_is_removed_through_a_mount(tmp_path: Path) -> None:
    """Where something is mounted in a tree, removing stops, and what is mounted keeps its files."""
    kept, root = tmp_path / "kept", tmp_path / "root"
    (root / "mount").mkdir(parents=True)
    kept.mkdir()
    (kept / "file").write_text("x")
    mounts.bind(kept, root / "mount")
    try:
        assert mounts.is_mounted(root / "mount")
        with pytest.raises(OSError, match=r"Invalid cross-device link|something is mounted here"):
            remove_tree(root)
        assert (kept / "file").read_text() == "x"
    finally:
        mounts.unmount_below(root)
    remove_tree(root)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@as_root
@pytest.mark.parametrize(
    ("link", "subpath"),
    [("/etc", "out"), ("/etc", "out/passwd"), ("../../../../etc", "out"), ("/proc/self/root", "out")],
)
def test_hostile_subpaths(tmp_path: Path, link: str, subpath: str) -> None:
    """A symlink that leads out of the volume is refused, in words that tell nothing of the host."""
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "out").symlink_to(link)
    with pytest.raises(SubpathRefused, match=r'subPath .*for volumeMount "v" of container "c"$'):
        bind_subpath(volume, subpath, tmp_path / "place", ("v", "c"))
    assert mounts.mounts_below(tmp_path) == []


SWAP = """
import os, sys
os.chdir(sys.argv[1])
while True:
    for old, new in (("good", "aside"), ("evil", "good"), ("good", "evil"), ("aside", "good")):
        os.rename(old, new)
"""


@as_root
def test_subpath_is_bound_whatever_is_swapped(tmp_path: Path) -> None:
    """While a container swaps a folder for a symlink to the host, only the folder is ever bound."""
    volume, good, place = tmp_path / "volume", tmp_path / "volume/good", tmp_path / "place"
    (good / "sub").mkdir(parents=True)
    (good / "sub/inside").touch()
    (volume / "evil").symlink_to("/")
    bound = refused = 0
    child = subprocess.Popen([sys.executable, "-c", SWAP, str(volume)])
    try:
        for _ in range(100):
            try:
                bind_subpath(volume, "good/sub", place, ("v", "c"))
            except SubpathRefused:
                refused += 1
                continue
            bound += 1
            assert os.listdir(place) in (["inside"], [])
            mounts.unmount_below(place)
    finally:
        child.kill()
        child.wait()
        mounts.unmount_below(place)
    assert (bound + refused, bound > 0) == (100, True)


@as_root
def test_usage_of_volumes(tmp_path: Path) -> None:
    """A folder's usage is the sum of its files, hard links counted once; a file system's is its own."""
    folder, memory = tmp_path / "folder", tmp_path / "memory"
    folder.mkdir()
    memory.mkdir()
    (folder / "a").write_bytes(b"x" * 8192)
    os.link(folder / "a", folder / "b")
    found = volume_usage(folder)
    assert (found.used >= 8192, found.used < 3 * 8192, found.inodes_used) == (True, True, 2)
    mounts.mount_tmpfs(memory, size=1 << 20)
    try:
        (memory / "a").write_bytes(b"x" * 8192)
        found = volume_usage(memory)
        assert (found.used, found.capacity, found.available) == (8192, 1 << 20, (1 << 20) - 8192)
    finally:
        mounts.unmount(memory)


async def test_folders_are_watched(tmp_path: Path) -> None:
    """What happens in a folder is told to whoever waits, also what happened before the wait."""
    async with FolderWatch() as watch:
        watch.add(tmp_path)
        (tmp_path / "new").touch()
        await watch.change()
        (tmp_path / "new").unlink()
        await watch.change()
        with pytest.raises(FileNotFoundError):
            watch.add(tmp_path / "none")
