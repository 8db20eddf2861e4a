"""CSI volumes with a real driver, local volumes, and taking them down: mounts as on a node, without
containers."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import grpc
import orjson
import pytest
from volume_node import NODE, VolumeNode, claim_volume, csi_source, volume_node, volume_pod

from minikube_py.aio.clock import SystemClock
from minikube_py.aio.tasks import Tasks
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.storage.csidriver import CSIDriver
from minikube_py.kinds.storage.csinode import CSINode
from minikube_py.kinds.storage.volumeattachment import VolumeAttachment, attachment_name
from minikube_py.kubelet.eviction.disk_use import DiskMeter
from minikube_py.kubelet.pod_volumes import remove_pod_dir
from minikube_py.kubelet.stats.exposition import render
from minikube_py.kubelet.stats.metrics import volume_metrics
from minikube_py.kubelet.volumes.csistats import driver_usage
from minikube_py.kubelet.volumes.mounts import is_mounted, mounts_below
from minikube_py.kubelet.volumes.usage import volume_usage
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, dig, uid_of
from minikube_py.runtime.base import Device
from minikube_py.testing.csi_hostpath import NAME

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")

ZONE = {"key": "zone", "operator": "In", "values": ["a"]}
HERE = {"required": {"nodeSelectorTerms": [{"matchExpressions": [ZONE]}]}}
STAGED = ["NodeStageVolume", "NodePublishVolume"]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[VolumeNode]:
    """A node that mounts; in the end nothing of its pods is left."""
    async with volume_node(tmp_path) as made:
        yield made
        assert mounts_below(made.config.root_dir / "pods") == []
        assert not list(made.config.root_dir.glob("pods/*"))
        assert mounts_below(made.config.root_dir / "plugins") == []


async def csi_driver(node: VolumeNode, **spec: object) -> None:
    body = {"metadata": {"name": NAME}, "spec": {"attachRequired": False, **spec}}
    await node.client.create(CSIDriver, body)


def inline(**more: object) -> Obj:
    return {"name": "scratch", "csi": {"driver": NAME, **more}}


async def test_driver_is_registered_and_goes(node: VolumeNode) -> None:
    """CSINode, the Node's annotation and its topology labels follow the drivers' sockets."""
    assert dig(node.client.cache.get(CSINode, Key("", NODE)), "spec.drivers") == []
    async with node.driver(topology={"topology.test/zone": "z1"}, max_volumes=7) as driver:
        assert await driver.registered == ""
        entry = dig(node.client.cache.get(CSINode, Key("", NODE)), "spec.drivers")
        assert entry == [
            {
                "name": NAME,
                "nodeID": "node-id-1",
                "topologyKeys": ["topology.test/zone"],
                "allocatable": {"count": 7},
            }
        ]
        known = await node.client.get(Node, NODE)
        assert known["metadata"]["labels"]["topology.test/zone"] == "z1"
        ids = known["metadata"]["annotations"]["csi.volume.kubernetes.io/nodeid"]
        assert orjson.loads(ids) == {NAME: "node-id-1"}
    await node.seen(CSINode, NODE, lambda obj: dig(obj, "spec.drivers") == [])
    assert node.storage.drivers == {}


async def test_two_pods_share_a_staged_volume(node: VolumeNode) -> None:
    """A volume is staged once, published for each pod, and unstaged with the last; a new kubelet finds it."""
    await csi_driver(node, podInfoOnMount=True)
    await node.client.create(
        Secret, {"metadata": {"name": "key", "namespace": "default"}, "stringData": {"user": "me"}}
    )
    secret = {"name": "key", "namespace": "default"}
    source = csi_source(fsType="ext4", volumeAttributes={"a": "b"}, nodeStageSecretRef=secret)
    await node.bound("data", source, mountOptions=["noatime"])
    async with node.driver() as driver:
        one, two = (node.volumes(volume_pod(name, claim_volume("data"))) for name in ("one", "two"))
        await one.prepare()
        path = one.mounted()["data"].path
        expected = node.config.pod_dir("uid-one") / "volumes/kubernetes.io~csi/data/mount"
        assert (path, is_mounted(path)) == (expected, True)
        (path / "file").write_text("shared")
        await two.prepare()
        assert (two.mounted()["data"].path / "file").read_text() == "shared"
        assert driver.methods() == [*STAGED, "NodePublishVolume"]
        stage, publish = driver.calls[0][1], driver.calls[1][1]
        assert stage["secrets"] == {"user": "me"}
        assert stage["staging_target_path"].startswith(
            str(node.config.root_dir / f"plugins/kubernetes.io/csi/{NAME}")
        )
        assert publish["volume_capability"]["mount"] == {"fs_type": "ext4", "mount_flags": ["noatime"]}
        assert publish["volume_context"] == {
            "a": "b",
            "csi.storage.k8s.io/pod.name": "one",
            "csi.storage.k8s.io/pod.namespace": "default",
            "csi.storage.k8s.io/pod.uid": "uid-one",
            "csi.storage.k8s.io/serviceAccount.name": "default",
            "csi.storage.k8s.io/ephemeral": "false",
        }
        again = node.volumes(volume_pod("one", claim_volume("data")))
        await again.prepare()
        assert len(driver.calls) == 3
        await again.take_down()
        assert driver.methods()[3:] == ["NodeUnpublishVolume"]
        await remove_pod_dir(node.storage, "uid-two")
        assert driver.methods()[4:] == ["NodeUnpublishVolume", "NodeUnstageVolume"]
        assert (node.folder / "csi-data/vol-1/file").read_text() == "shared"


async def test_inline_volume(node: VolumeNode) -> None:
    """An ephemeral volume needs a driver that offers them, has a handle of its own and is never staged."""
    pod = volume_pod("web", inline(volumeAttributes={"size": "1"}, readOnly=True))
    missing = f"driver name {NAME} not found in the list of registered CSI drivers"
    prefix = 'MountVolume.SetUp failed for volume "scratch" : kubernetes.io/csi: mounter.SetUpAt failed to '
    assert await node.failure(pod) == f"{prefix}get CSI client: {missing}"
    async with node.driver() as driver:
        check = f'{prefix}check volume lifecycle mode: volume mode "Ephemeral" not supported by driver {NAME}'
        assert await node.failure(pod) == f"{check} (no CSIDriver object)"
        await csi_driver(node, volumeLifecycleModes=["Ephemeral"], podInfoOnMount=True)
        volumes = node.volumes(pod)
        await volumes.prepare()
        assert driver.methods() == ["NodePublishVolume"]
        request = driver.calls[0][1]
        assert request["volume_id"].startswith("csi-")
        assert request["readonly"] is True
        assert request["volume_context"]["csi.storage.k8s.io/ephemeral"] == "true"
        assert volumes.mounted()["scratch"].read_only
        await volumes.take_down()
        assert driver.methods() == ["NodePublishVolume", "NodeUnpublishVolume"]


@pytest.mark.parametrize(
    ("policy", "fs_type", "expected"),
    [
        ("File", "", 0o2770),
        ("None", "ext4", 0o755),
        ("ReadWriteOnceWithFSType", "ext4", 0o2775),
        ("ReadWriteOnceWithFSType", "", 0o755),
    ],
)
async def test_fs_group_policy(node: VolumeNode, policy: str, fs_type: str, expected: int) -> None:
    """The volume belongs to the pod's group where the driver's policy says so."""
    await csi_driver(node, fsGroupPolicy=policy)
    await node.bound("data", csi_source(fsType=fs_type))
    folder = node.folder / "csi-data/vol-1"
    async with node.driver():
        folder.mkdir(mode=0o700 if policy == "File" else 0o755)
        volumes = node.volumes(volume_pod("web", claim_volume("data"), securityContext={"fsGroup": 1234}))
        await volumes.prepare()
        found = folder.stat()
        assert (oct(found.st_mode & 0o7777), found.st_gid == 1234) == (oct(expected), expected > 0o2000)
        await volumes.take_down()


async def test_attached_first(node: VolumeNode) -> None:
    """A volume whose driver wants it attached is mounted once its VolumeAttachment says so."""
    await csi_driver(node, attachRequired=True)
    await node.bound("data", csi_source())
    async with node.driver() as driver, Tasks("test") as tasks:
        volumes = node.volumes(volume_pod("web", claim_volume("data")))
        preparing = tasks.spawn(volumes.prepare(), "prepare")
        unique = f"kubernetes.io/csi/{NAME}^vol-1"
        await node.seen(Node, NODE, lambda obj: dig(obj, "status.volumesInUse") == [unique])
        name = attachment_name(NAME, "vol-1", NODE)
        spec = {"attacher": NAME, "nodeName": NODE, "source": {"persistentVolumeName": "data"}}
        await node.client.create(VolumeAttachment, {"metadata": {"name": name}, "spec": spec})
        assert driver.calls == []
        status = {"status": {"attached": True, "attachmentMetadata": {"lun": "3"}}}
        await node.client.patch(VolumeAttachment, Key("", name), status, subresource="status")
        await preparing
        assert [call["publish_context"] for _, call in driver.calls] == [{"lun": "3"}, {"lun": "3"}]
        await volumes.take_down()
        assert not dig(await node.client.get(Node, NODE), "status.volumesInUse")


async def test_pod_that_waits_for_its_attachment_can_go(node: VolumeNode) -> None:
    """A pod is taken down while its volume waits to be attached; the driver is not asked."""
    await csi_driver(node, attachRequired=True)
    await node.bound("data", csi_source())
    async with node.driver() as driver, Tasks("test") as tasks:
        volumes = node.volumes(volume_pod("web", claim_volume("data")))
        preparing = tasks.spawn(volumes.prepare(), "prepare")
        await node.seen(Node, NODE, lambda obj: bool(dig(obj, "status.volumesInUse")))
        await volumes.take_down()
        await asyncio.gather(preparing, return_exceptions=True)
        assert driver.calls == []


async def test_driver_that_fails_and_hangs(node: VolumeNode) -> None:
    """A driver's error is told as it is; one that hangs holds up its own pod only."""
    await csi_driver(node, volumeLifecycleModes=["Persistent", "Ephemeral"])
    await node.bound("data", csi_source())
    async with node.driver() as driver, Tasks("test") as tasks:
        driver.failing["NodeStageVolume"] = (grpc.StatusCode.INTERNAL, "no disk")
        web = volume_pod("web", claim_volume("data"))
        told = 'MountVolume.MountDevice failed for volume "data" : rpc error: code = Internal desc = no disk'
        assert await node.failure(web) == told
        driver.failing.clear()
        slow, quick = node.volumes(web), node.volumes(volume_pod("quick", inline()))
        await slow.prepare()
        await quick.prepare()
        gate = driver.holding["NodeUnpublishVolume"] = asyncio.Event()
        stuck = tasks.spawn(slow.take_down(), "stuck")
        other = node.volumes(volume_pod("other", {"name": "tmp", "emptyDir": {"medium": "Memory"}}))
        await other.prepare()
        await other.take_down()
        assert not stuck.done()
        gate.set()
        await stuck
        driver.failing["NodeUnpublishVolume"] = (grpc.StatusCode.INTERNAL, "busy")
        with pytest.raises(OSError, match="busy"):
            await quick.take_down()
        failed = 'UnmountVolume.TearDown failed for volume "scratch" : rpc error: code = Internal desc = busy'
        assert await node.events("FailedUnMount") == [failed]
        driver.failing.clear()
        await quick.take_down()


async def test_staged_volume_without_pods_is_unstaged(node: VolumeNode) -> None:
    """What a killed kubelet has left staged is unstaged once the driver registers."""
    await csi_driver(node)
    await node.bound("data", csi_source())
    async with node.driver() as driver:
        await node.volumes(volume_pod("web", claim_volume("data"))).prepare()
        folder = node.config.pod_dir("uid-web")
        mount = folder / "volumes/kubernetes.io~csi/data"
        (mount / "vol_data.json").unlink()
        await remove_pod_dir(node.storage, "uid-web")
        assert driver.methods() == STAGED
        left = mounts_below(node.config.root_dir / "plugins")
        assert [path.name for path in left] == ["globalmount"]
    async with node.driver() as driver:
        await driver.called("NodeUnstageVolume")
        async with node.storage.lock(f"{NAME}^vol-1"):
            assert mounts_below(node.config.root_dir / "plugins") == []


async def test_volume_grows(node: VolumeNode) -> None:
    """A claim's file system follows its PersistentVolume; a failure is told."""
    await csi_driver(node)
    await node.bound("data", csi_source())
    async with node.driver() as driver:
        volumes = node.volumes(volume_pod("web", claim_volume("data")))
        await volumes.prepare()
        await node.client.patch(PersistentVolume, Key("", "data"), {"spec": {"capacity": {"storage": "2Gi"}}})
        driver.failing["NodeExpandVolume"] = (grpc.StatusCode.INTERNAL, "full")
        await volumes.refresh()
        failed = 'NodeExpandVolume.NodeExpandVolume failed for volume "data" : '
        reason = "rpc error: code = Internal desc = full"
        assert await node.events("VolumeResizeFailed") == [failed + reason]
        driver.failing.clear()
        await volumes.refresh()
        assert driver.calls[-1][1]["capacity_range"] == {"required_bytes": str(2 << 30)}
        claim = await node.client.get(PersistentVolumeClaim, "data", "default")
        assert claim["status"]["capacity"] == {"storage": "2Gi"}
        await volumes.refresh()
        assert driver.methods().count("NodeExpandVolume") == 2
        await volumes.take_down()


async def test_ephemeral_claim_must_be_the_pods(node: VolumeNode) -> None:
    """The claim of a generic ephemeral volume counts only if the pod owns it."""
    pod = volume_pod("web", {"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}})
    disk = node.folder / "disk"
    disk.mkdir()
    unmounted = "unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]"
    prefix = f"Unable to attach or mount volumes: {unmounted}: error processing PVC default/web-data: "
    missing = 'failed to fetch PVC from API server: persistentvolumeclaims "web-data" not found'
    assert await node.failure(pod) == prefix + missing
    await node.bound("web-data", {"hostPath": {"path": str(disk)}})
    stranger = "PVC default/web-data was not created for pod default/web (pod is not owner)"
    assert await node.failure(pod) == prefix + stranger
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-web", "controller": True}
    patch = {"metadata": {"ownerReferences": [owner]}}
    await node.client.patch(PersistentVolumeClaim, Key("default", "web-data"), patch)
    volumes = node.volumes(pod)
    await volumes.prepare()
    assert volumes.mounted()["data"].path == disk
    await volumes.take_down()
    assert disk.is_dir()


async def test_local_volume(node: VolumeNode) -> None:
    """A folder of the node is bound, with its options and group; where it is not the node's, that is told."""
    disk = node.folder / "disk"
    prefix = 'for volume "data" : '
    await node.bound("data", {"local": {"path": str(disk)}}, nodeAffinity=HERE, mountOptions=["noexec"])
    pod = volume_pod("web", claim_volume("data"), securityContext={"fsGroup": 77})
    absent = f'MountVolume.NewMounter initialization failed {prefix}path "{disk}" does not exist'
    assert await node.failure(pod) == absent
    disk.mkdir()
    (disk / "kept").write_text("x")
    await node.client.patch(Node, Key("", NODE), {"metadata": {"labels": {"zone": "b"}}})
    wrong = f"MountVolume.NodeAffinity check failed {prefix}no matching NodeSelectorTerms"
    assert await node.failure(pod) == wrong
    await node.client.patch(Node, Key("", NODE), {"metadata": {"labels": {"zone": "a"}}})
    volumes = node.volumes(pod)
    await volumes.prepare()
    path = volumes.mounted()["data"].path
    assert path == node.config.pod_dir("uid-web") / "volumes/kubernetes.io~local-volume/data"
    assert os.statvfs(path).f_flag & os.ST_NOEXEC
    assert ((disk / "kept").stat().st_gid, (disk / "kept").stat().st_mode & 0o777) == (77, 0o664)
    await volumes.take_down()
    assert (disk / "kept").read_text() == "x"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """A loop device of 64 MiB."""
    image = tmp_path / "disk.img"
    image.touch()
    os.truncate(image, 64 << 20)
    made = subprocess.run(
        ["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr}")
    yield made.stdout.strip()
    subprocess.run(["losetup", "--detach", made.stdout.strip()], check=True)


async def test_local_disk(node: VolumeNode, disk: str) -> None:
    """A disk is formatted once and mounted for all pods, which see one file system; or it is a device."""
    local = {"path": disk, "fsType": "ext4"}
    await node.bound("data", {"local": local}, nodeAffinity=HERE, mountOptions=["noatime"])
    one, two = (node.volumes(volume_pod(name, claim_volume("data"))) for name in ("one", "two"))
    await one.prepare()
    await two.prepare()
    (one.mounted()["data"].path / "file").write_text("x")
    assert (two.mounted()["data"].path / "file").read_text() == "x"
    await one.take_down()
    whole = node.config.root_dir / "plugins/kubernetes.io/local-volume/mounts/data"
    assert is_mounted(whole)
    await two.take_down()
    assert not whole.exists()
    again = node.volumes(volume_pod("again", claim_volume("data")))
    await again.prepare()
    assert (again.mounted()["data"].path / "file").read_text() == "x"
    await again.take_down()
    await node.bound("raw", {"local": {"path": disk}}, nodeAffinity=HERE, volumeMode="Block")
    container = {"volumeMounts": [], "volumeDevices": [{"name": "data", "devicePath": "/dev/xvda"}]}
    pod = volume_pod("raw", claim_volume("raw"), container=container)
    volumes = node.volumes(pod)
    await volumes.prepare()
    assert volumes.devices(pod["spec"]["containers"][0]) == [Device(disk, "/dev/xvda", "mrw")]
    await volumes.take_down()


async def test_csi_block_volume(node: VolumeNode, disk: str) -> None:
    """A block volume is staged and published as a device, and taken down."""
    await csi_driver(node)
    await node.bound("raw", csi_source(Path(disk).name), volumeMode="Block")
    container = {"volumeMounts": [], "volumeDevices": [{"name": "data", "devicePath": "/dev/xvda"}]}
    pod = volume_pod("raw", claim_volume("raw"), container=container)
    async with node.driver() as driver:
        volumes = node.volumes(pod)
        await volumes.prepare()
        target = node.config.root_dir / "plugins/kubernetes.io/csi/volumeDevices/publish/raw/uid-raw"
        assert volumes.devices(pod["spec"]["containers"][0]) == [Device(str(target), "/dev/xvda", "mrw")]
        assert (target.is_block_device(), driver.methods()) == (True, STAGED)
        await volumes.take_down()
        assert not target.exists()


class Issuer:
    """A client that gets tokens."""

    def __init__(self, node: VolumeNode) -> None:
        self.cache = node.client.cache

    async def post(self, kind: Kind, key: Key, subresource: str, body: Obj) -> Obj:
        [audience] = body["spec"]["audiences"]
        return {"status": {"token": f"for {audience}", "expirationTimestamp": "2100-01-01T00:00:00Z"}}


async def test_republished_with_tokens(node: VolumeNode) -> None:
    """A driver that wants it is given the pod's tokens, and is asked again as time passes."""
    requests = [{"audience": "vault", "expirationSeconds": 3600}]
    modes = ["Ephemeral"]
    await csi_driver(node, requiresRepublish=True, volumeLifecycleModes=modes)
    async with node.driver() as driver:
        volumes = node.volumes(volume_pod("web", inline()))
        await volumes.prepare()
        assert volumes.refresh_at is not None
        await volumes.refresh()
        assert driver.methods() == ["NodePublishVolume"]
        volumes.context.refresh_at["scratch"] = 0.0
        await volumes.refresh()
        assert driver.methods() == ["NodePublishVolume"] * 2
        body = {"spec": {"tokenRequests": requests}}
        await node.client.patch(CSIDriver, Key("", NAME), body)
        volumes.context.refresh_at["scratch"] = 0.0
        volumes.context.client = Issuer(node)  # type: ignore[assignment]
        await volumes.refresh()
        values = driver.calls[-1][1]["volume_context"]
        given = {"vault": {"token": "for vault", "expirationTimestamp": "2100-01-01T00:00:00Z"}}
        assert orjson.loads(values["csi.storage.k8s.io/serviceAccount.tokens"]) == given
        await volumes.take_down()


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (
            {"iscsi": {"targetPortal": "127.0.0.1:3260", "iqn": "iqn.2001-04.com.example:disk", "lun": 0}},
            [],
            "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], "
            "failed to process volumes=[data]: failed to get Plugin from volumeSpec for volume "
            '"data" err=no volume plugin matched',
        ),
        (
            {"hostPath": {"path": "/tmp"}},
            ["noatime"],
            'MountVolume.MountOptionSupport check failed for volume "data" : '
            "Mount options are not supported for this volume type",
        ),
    ],
)
async def test_volumes_that_are_refused(
    node: VolumeNode, source: Obj, options: list[str], message: str
) -> None:
    """A kind or an option that the node does not know is named."""
    await node.bound("data", source, mountOptions=options)
    assert await node.failure(volume_pod("web", claim_volume("data"))) == message


async def test_usage_is_the_drivers_to_say(node: VolumeNode) -> None:
    """The use of a claim's volume comes from its driver, where it can tell, and is in the kubelet's metrics."""
    await csi_driver(node)
    await node.bound("data", csi_source())
    pod = volume_pod("p", claim_volume("data"))
    volumes = node.volumes(pod)
    async with node.driver(abilities=("STAGE_UNSTAGE_VOLUME",)):
        await volumes.prepare()
        made = volumes.mounted()
        assert await driver_usage(node.storage, made["data"].path) is None
    async with node.driver() as driver:
        meter = DiskMeter(SystemClock(), node.config, lambda uid: made, partial(driver_usage, node.storage))
        disk = (await meter.of([pod]))[uid_of(pod)]
        assert driver.calls[-1][0] == "NodeGetVolumeStats"
        found, there = disk.volumes["data"], volume_usage(made["data"].path)  # others write to the disk too
        assert (found.capacity, found.inodes) == (there.capacity, there.inodes)
        text = render(volume_metrics([(pod, disk)]))
        labels = '{namespace="default",persistentvolumeclaim="data"}'
        assert f"kubelet_volume_stats_capacity_bytes{labels} {disk.volumes['data'].capacity}" in text
        await remove_pod_dir(node.storage, uid_of(pod))
