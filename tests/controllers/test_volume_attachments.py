"""Claims are made for ephemeral volumes, and CSI volumes are attached to the nodes whose pods use them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from minikube_py.controllers.attachdetach import Plan, Wanted, attachment, given_up, plan
from minikube_py.controllers.ephemeralvolume import plan as plan_claims
from minikube_py.controllers.podgc import OUT_OF_SERVICE
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.storage.csidriver import CSIDriver
from minikube_py.kinds.storage.volumeattachment import VolumeAttachment, attachment_name
from minikube_py.meta.objects import Key, Obj, dig

ONE = Wanted("d", "h1", "pv1", shared=False)
MANY = Wanted("d", "h2", "pv2", shared=True)
TOLD = {"name": "kubernetes.io/csi/d^h1", "devicePath": ""}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def attached(one: Wanted, node: str = "n1", done: bool = True) -> Obj:
    return {**attachment(one, node), "status": {"attached": done}}


FOREIGN = {**attached(ONE), "metadata": {"name": "made-by-somebody"}}


@pytest.mark.parametrize(
    ("needs", "attachments", "in_use", "expected"),
    [
        ([ONE], [], [], Plan([ONE], [], [], [], [])),
        ([ONE], [attached(ONE, done=False)], [], Plan([], [], [], [], [])),
        ([ONE], [attached(ONE)], [], Plan([], [], [], [TOLD], [])),
        ([], [attached(ONE)], [], Plan([], [attached(ONE)], [], [], [])),
        ([], [FOREIGN], [], Plan([], [], [], [], [])),
        ([], [attached(ONE)], [TOLD["name"]], Plan([], [], [], [TOLD], [TOLD["name"]])),
        ([ONE], [attached(ONE, "n2")], [], Plan([], [], [ONE], [], [])),
        ([MANY], [attached(MANY, "n2")], [], Plan([MANY], [], [], [], [])),
    ],
    ids=["new", "waiting", "attached", "unused", "of-others", "in-use", "elsewhere", "shared"],
)
def test_attachment_plan(
    needs: list[Wanted], attachments: list[Obj], in_use: list[str], expected: Plan
) -> None:
    """What is attached, what is detached, what another node has, and what the node's status says."""
    assert plan("n1", needs, attachments, in_use) == expected


READY, LOST = ({"status": {"conditions": [{"type": "Ready", "status": s}]}} for s in ("True", "Unknown"))
OUT: Obj = {**LOST, "spec": {"taints": [{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]}}


@pytest.mark.parametrize(
    ("node", "ages", "expected"),
    [
        (READY, {"a": 9000}, ([], None)),
        (LOST, {"a": 10, "b": 100}, ([], 260.0)),
        (LOST, {"a": 360, "b": 100}, (["a"], 260.0)),
        (OUT, {"a": 0, "b": 1}, (["a", "b"], None)),
        (None, {"a": 9000}, ([], None)),
    ],
    ids=["healthy", "patience", "over", "out-of-service", "gone"],
)
def test_what_a_node_keeps_too_long(
    node: Obj | None, ages: dict[str, int], expected: tuple[list[str], float | None]
) -> None:
    """A node that is not Ready keeps its volumes for six minutes, one out of service not at all."""
    since = {name: NOW - timedelta(seconds=age) for name, age in ages.items()}
    assert expected == given_up(node, since, NOW)


def pod(*volumes: Obj) -> Obj:
    meta = {"name": "web", "namespace": "default", "uid": "u1"}
    return {"metadata": meta, "spec": {"volumes": list(volumes)}}


def test_claim_plan() -> None:
    """Missing claims are made from the template and owned by the pod; those of others are told."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    web = pod({"name": "data", "ephemeral": {"volumeClaimTemplate": template}}, {"name": "x", "emptyDir": {}})
    create, foreign = plan_claims(web, {})
    assert foreign == []
    assert [(c["metadata"]["name"], c["metadata"]["labels"], c["spec"]) for c in create] == [
        ("web-data", {"a": "b"}, spec)
    ]
    owner = create[0]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Pod", "u1", True)
    assert plan_claims(web, {"web-data": create[0]}) == ([], [])
    assert plan_claims(web, {"web-data": {"metadata": {"name": "web-data"}}}) == ([], ["web-data"])


async def test_ephemeral_volume_has_a_claim(world: Any) -> None:
    """The claim is made with the pod, goes with it, and is made anew where it was lost."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    volume = {"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}
    body = {"containers": [{"name": "main", "image": "ok:1"}], "volumes": [volume]}
    await world.create(
        PersistentVolumeClaim, {"metadata": {"name": "b-data", "namespace": "default"}, "spec": spec}
    )
    for name in ("a", "b"):
        await world.create(Pod, {"metadata": {"name": name, "namespace": "default"}, "spec": body})
    assert world.the(PersistentVolumeClaim, "a-data")["metadata"]["ownerReferences"][0]["name"] == "a"
    told = "ephemeral volume data: PVC default/b-data was not created for pod default/b (pod is not owner)"
    assert told in world.events("FailedBinding")
    await world.delete(Pod, "a")
    await world.pass_time(1)
    assert world.names(PersistentVolumeClaim) == ["b-data"]


async def attach(world: Any) -> str:
    """A pod `p` on n1 with an attached CSI volume, which the node says is in use; the attachment's name."""
    await world.add_node("n1")
    await world.create(CSIDriver, {"metadata": {"name": "d"}, "spec": {"attachRequired": True}})
    size, modes = {"storage": "1Gi"}, ["ReadWriteOnce"]
    claim = {"accessModes": modes, "resources": {"requests": size}, "volumeName": "pv1"}
    made = {"metadata": {"name": "c", "namespace": "default"}, "spec": claim}
    uid = (await world.create(PersistentVolumeClaim, made))["metadata"]["uid"]
    ref = {"namespace": "default", "name": "c", "uid": uid}
    source = {"csi": {"driver": "d", "volumeHandle": "h1"}}
    volume = {"capacity": size, "accessModes": modes, "claimRef": ref, **source}
    await world.create(PersistentVolume, {"metadata": {"name": "pv1"}, "spec": volume})
    bound = {"status": {"phase": "Bound", "accessModes": modes, "capacity": size}}
    await world.api.patch(PersistentVolumeClaim, Key("default", "c"), bound, subresource="status")
    body = {"containers": [{"name": "main", "image": "ok:1"}]}
    body["volumes"] = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    await world.create(Pod, {"metadata": {"name": "p", "namespace": "default"}, "spec": body})
    name = attachment_name("d", "h1", "n1")
    assert world.the(VolumeAttachment, name)["spec"]["source"] == {"persistentVolumeName": "pv1"}
    done = {"status": {"attached": True}}
    await world.api.patch(VolumeAttachment, Key("", name), done, subresource="status")
    await world.pass_time(1)
    await use(world, [TOLD["name"]])
    return name


async def use(world: Any, names: list[str] | None) -> None:
    """Let the node say what it has in use."""
    await world.api.patch(Node, Key("", "n1"), {"status": {"volumesInUse": names}}, subresource="status")


async def test_volume_is_attached_and_detached(world: Any) -> None:
    """A pod's CSI volume gets its VolumeAttachment; the node's status and an event tell of it; it goes once the
    node has it in use no more."""
    name = await attach(world)
    assert dig(world.the(Node, "n1"), "status.volumesAttached") == [TOLD]
    assert world.events("SuccessfulAttachVolume") == ['AttachVolume.Attach succeeded for volume "pv1" ']
    await world.delete(Pod, "p")
    await world.pass_time(1)
    assert world.names(VolumeAttachment, "") == [name]
    await use(world, None)
    await world.pass_time(1)
    attachments, told = world.names(VolumeAttachment, ""), dig(world.the(Node, "n1"), "status.volumesAttached")
    assert (attachments, told) == ([], None)


async def test_volume_of_a_lost_node_is_detached(world: Any) -> None:
    """A node that died with a volume in use keeps it for six minutes after its pod, and no longer."""
    name = await attach(world)
    world.agent.silent.add("n1")
    world.beating.discard("n1")
    await world.pass_time(60)
    await world.api.delete(Pod, Key("default", "p"), {"gracePeriodSeconds": 0})
    await world.pass_time(350)
    assert world.names(VolumeAttachment, "") == [name]
    await world.pass_time(15)
    assert world.names(VolumeAttachment, "") == []


async def test_a_second_node_is_told_who_has_the_volume(world: Any) -> None:
    """A pod elsewhere that needs the volume of one node waits, and its event names those who use it."""
    await attach(world)
    await world.add_node("n2")
    body = {"containers": [{"name": "main", "image": "ok:1"}], "nodeName": "n2"}
    body["volumes"] = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    await world.create(Pod, {"metadata": {"name": "q", "namespace": "default"}, "spec": body})
    await world.pass_time(1)
    told = 'Multi-Attach error for volume "pv1" Volume is already used by pod(s) p'
    assert world.events("FailedAttachVolume") == [told]
