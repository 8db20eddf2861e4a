"""What a kubelet tells of its node, and volumes and tokens that it keeps fresh, in virtual time."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from kubelet_node import NODE, Node, kubelet_running, pod_object, settle

from minikube_py.aio.clock import VirtualClock
from minikube_py.apiserver.admission.node_restriction import is_reserved
from minikube_py.client.events import EventRecorder
from minikube_py.kinds.coordination.lease import Lease
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.node import Node as NodeKind
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.storage.csinode import CSINode
from minikube_py.kubelet.kuberuntime.environment import PodFacts
from minikube_py.kubelet.pod_volumes import PodVolumes, volume_kinds
from minikube_py.kubelet.volumes.base import VolumeContext
from minikube_py.kubelet.volumes.storage import Storage
from minikube_py.meta.objects import Key, Obj, condition_is, timestamp
from minikube_py.runtime.base import RuntimeFailed, RuntimeInfo


async def test_node_and_lease(node: Node) -> None:
    """The node is registered and ready; its lease is renewed, its status rests until it changes."""
    found = await node.client.get(NodeKind, NODE)
    assert condition_is(found, "Ready")
    assert found["spec"]["podCIDR"] == "10.244.0.0/24"
    assert [label for label in found["metadata"]["labels"] if is_reserved(label)] == []
    assert found["status"]["nodeInfo"]["containerRuntimeVersion"] == "simulated://1.0.0"
    before = (await node.client.get(Lease, NODE, "kube-node-lease"))["spec"]["renewTime"]
    for _ in range(6):
        await node.clock.advance(10)
        await settle()
    assert (await node.client.get(Lease, NODE, "kube-node-lease"))["spec"]["renewTime"] > before
    later = await node.client.get(NodeKind, NODE)
    assert later["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]


async def test_a_cordon_is_told(node: Node) -> None:
    """Whoever cordons the node, or takes that back, finds an event of it."""
    for cordoned in (True, False):
        await node.client.patch(NodeKind, Key("", NODE), {"spec": {"unschedulable": cordoned}})
        await settle()
    told = [reason for reason, _ in node.events(about="Node") if "Schedulable" in reason]
    assert told == ["NodeNotSchedulable", "NodeSchedulable"]


class Silent:
    """A runtime's monitor that does not answer."""

    async def info(self) -> RuntimeInfo:
        raise RuntimeFailed("it does not answer")


async def test_node_stays_ready_while_the_runtime_restarts(node: Node) -> None:
    """A runtime that is silent for a moment costs nothing; after 30 s the node is not ready."""
    answering = node.runtime.monitor
    node.runtime.monitor = Silent()  # type: ignore[assignment]
    for _ in range(2):
        await node.clock.advance(10)
        await settle()
    assert condition_is(await node.client.get(NodeKind, NODE), "Ready")
    for _ in range(2):
        await node.clock.advance(10)
        await settle()
    assert not condition_is(await node.client.get(NodeKind, NODE), "Ready")
    node.runtime.monitor = answering
    await node.clock.advance(10)
    await settle()
    assert condition_is(await node.client.get(NodeKind, NODE), "Ready")


async def test_known_node_keeps_its_labels(idle_node: Node) -> None:
    """A node that is registered already keeps what others have set on it."""
    known = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {"mine": "yes"}}}
    await idle_node.client.create(NodeKind, known | {"spec": {"unschedulable": True}})
    async with kubelet_running(idle_node):
        found = await idle_node.client.get(NodeKind, NODE)
    labels = found["metadata"]["labels"]
    assert (labels["mine"], labels["kubernetes.io/hostname"]) == ("yes", NODE)
    assert (found["spec"]["unschedulable"], condition_is(found, "Ready")) == (True, True)


async def test_missing_volume_is_told_and_awaited(node: Node) -> None:
    """A pod whose ConfigMap volume is missing waits, and starts once it is there."""
    volumes = [{"name": "cfg", "configMap": {"name": "cfg"}}]
    mounts = [{"name": "cfg", "mountPath": "/cfg"}]
    spec = {"name": "main", "image": "app:1", "volumeMounts": mounts}
    await node.client.create(Pod, pod_object(containers=[spec], volumes=volumes))
    await settle()
    missing = 'MountVolume.SetUp failed for volume "cfg" : configmap "cfg" not found'
    assert node.events("FailedMount") == [("FailedMount", missing)]
    await node.client.create(
        ConfigMap, {"metadata": {"name": "cfg", "namespace": "default"}, "data": {"k": "1"}}
    )
    pod = await node.running()
    mount = node.runtime.running[node.container_id(pod)].config.mounts[0]
    assert (Path(mount.host_path) / "k").read_text() == "1"
    assert (mount.container_path, mount.read_only) == ("/cfg", True)
    await settle()
    await node.client.patch(ConfigMap, Key("default", "cfg"), {"data": {"k": "2"}})
    await settle()
    assert (Path(mount.host_path) / "k").read_text() == "2"


class TokenClient:
    """A client that only issues tokens of an hour."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.asked: list[Obj] = []

    async def post(self, kind: Any, key: Key, subresource: str, body: Obj) -> Obj:
        self.asked.append(body["spec"])
        expires = self.clock.now() + timedelta(seconds=body["spec"]["expirationSeconds"])
        return {"status": {"token": f"token-{len(self.asked)}", "expirationTimestamp": timestamp(expires)}}


async def test_token_is_renewed(idle_node: Node) -> None:
    """A projected token is bound to its pod, kept while it is fresh, and renewed at 80% of its life."""
    clock = idle_node.clock
    client = TokenClient(clock)
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600, "audience": "api"}},
        {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    pod = pod_object(volumes=[{"name": "access", "projected": {"sources": sources, "defaultMode": 0o440}}])
    pod["metadata"]["uid"] = "u1"
    context = VolumeContext(
        pod,
        client,
        clock,
        idle_node.config,
        PodFacts(),
        lambda *_: None,
        Storage(client, clock, idle_node.config, EventRecorder(client, clock, "kubelet")),  # type: ignore[arg-type]
    )
    volumes = PodVolumes(context, volume_kinds())
    await volumes.prepare()
    directory = idle_node.config.pod_dir("u1") / "volumes/kubernetes.io~projected/access"
    assert ((directory / "token").read_text(), (directory / "ns").read_text()) == ("token-1", "default")
    assert (directory / "token").stat().st_mode & 0o777 == 0o440
    assert client.asked[0]["audiences"] == ["api"]
    assert client.asked[0]["boundObjectRef"]["uid"] == "u1"
    assert volumes.refresh_at == clock.now().timestamp() + 2880
    await clock.advance(2000)
    await volumes.refresh()
    assert (directory / "token").read_text() == "token-1"
    await clock.advance(881)
    await volumes.refresh()
    assert (directory / "token").read_text() == "token-2"
    await volumes.take_down()
    assert not idle_node.config.pod_dir("u1").exists()


async def test_ephemeral_container_runs_beside_the_others(node: Node) -> None:
    """A container added for debugging is started in the running pod, once."""
    await node.client.create(Pod, pod_object())
    before = await node.running()
    debugger = {"name": "debug", "image": "app:2", "command": ["sleep", "3"]}
    body = {"spec": {"ephemeralContainers": [debugger]}}
    await node.client.patch(
        Pod,
        Key("default", "web"),
        body,
        type="application/strategic-merge-patch+json",
        subresource="ephemeralcontainers",
    )
    pod = await node.until(lambda pod: pod["status"].get("ephemeralContainerStatuses"))
    assert "running" in pod["status"]["ephemeralContainerStatuses"][0]["state"]
    assert node.container_id(pod) == node.container_id(before)
    await node.clock.advance(4)
    pod = await node.until(lambda pod: "terminated" in pod["status"]["ephemeralContainerStatuses"][0]["state"])
    await settle()
    assert (await node.pod())["status"]["ephemeralContainerStatuses"][0]["restartCount"] == 0
    assert pod["status"]["phase"] == "Running"


async def test_a_deleted_node_comes_back(node: Node) -> None:
    """It is registered again, with a CSINode of its own."""
    before = await node.client.get(NodeKind, NODE)
    await node.client.delete(NodeKind, Key("", NODE))
    await settle()
    await node.clock.advance(10)
    await settle()
    found = await node.client.get(NodeKind, NODE)
    assert found["metadata"]["uid"] != before["metadata"]["uid"]
    assert condition_is(found, "Ready")
    drivers = await node.client.get(CSINode, NODE)
    assert [ref["uid"] for ref in drivers["metadata"]["ownerReferences"]] == [found["metadata"]["uid"]]


async def test_events_of_a_start(node: Node) -> None:
    """A kubelet that starts tells that it does, and of each pressure that there is none; without cgroups it has
    enforced nothing."""
    await settle()
    assert [reason for reason, _ in node.events(about="Node")] == [
        "Starting",
        "NodeHasSufficientMemory",
        "NodeHasNoDiskPressure",
        "NodeHasSufficientPID",
        "NodeReady",
    ]
