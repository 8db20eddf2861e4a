"""Static pods, resizes and the end of pods on a simulated runtime, in virtual time."""

import asyncio
import json
from dataclasses import replace

from kubelet_node import Node, kubelet_running, pod_object, settle

from minikube_py.client.base import STRATEGIC_PATCH, Change
from minikube_py.kinds.core.node import Node as NodeKind
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.agent import Kubelet
from minikube_py.kubelet.static.manifests import is_mirror
from minikube_py.kubelet.static.static_pods import GAP
from minikube_py.meta.objects import Key, Obj, condition, condition_is, dig

NAME = "still-node-1"


def manifest(command: list[str]) -> str:
    container = {"name": "main", "image": "app:1", "command": command}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "still"},
        "spec": {"containers": [container]},
    }
    return json.dumps(pod)


def with_folder(node: Node) -> Node:
    """The node with a folder of static pods."""
    folder = node.config.root_dir.parent / "manifests"
    folder.mkdir()
    config = replace(node.config, static_pod_path=folder)
    kubelet = Kubelet(node.client, node.runtime, node.clock, config)
    return replace(node, config=config, kubelet=kubelet)


async def changed(node: Node) -> asyncio.Event:
    """An event that is set once the mirror has been deleted."""
    gone = asyncio.Event()

    def see(change: Change) -> None:
        if change.type == "DELETED" and change.object["metadata"]["name"] == NAME:
            gone.set()

    node.client.cache.subscribe(Pod, see)
    return gone


async def test_static_pod_from_file_to_end(idle_node: Node) -> None:
    """A file makes a pod and a mirror; deleting the mirror stops nothing; a changed file replaces the pod."""
    node = with_folder(idle_node)
    folder = node.config.static_pod_path
    assert folder is not None
    (folder / "still.json").write_text(manifest(["sleep", "1000"]))
    (folder / ".hidden.json").write_text(manifest(["no"]))
    (folder / "broken.json").write_text("{")
    async with kubelet_running(node):
        first = await node.running(NAME)
        assert is_mirror(first) and condition_is(first, "PodScheduled")
        gone = await changed(node)
        await node.client.delete(Pod, Key("default", NAME))
        await asyncio.wait_for(gone.wait(), 10)
        await settle()
        assert node.client.cache.get(Pod, Key("default", NAME)) is None
        await node.clock.advance(GAP)
        again = await node.running(NAME)
        assert node.container_id(again) == node.container_id(first)
        assert again["metadata"]["uid"] != first["metadata"]["uid"]
        (folder / "still.json").write_text(manifest(["sleep", "2000"]))
        newer = await node.until(
            lambda pod: (
                dig(pod, "spec.containers")[0]["command"] == ["sleep", "2000"]
                and dig(pod, "status.phase") == "Running"
            ),
            NAME,
        )
        assert node.container_id(newer) != node.container_id(first)
        (folder / "still.json").unlink()
        await node.gone(NAME)
        await node.kubelet.idle()
        assert node.runtime.pods == {}


async def test_static_pod_outlives_the_kubelet(idle_node: Node) -> None:
    """A new kubelet knows the containers of its static pods again."""
    node = with_folder(idle_node)
    assert node.config.static_pod_path is not None
    (node.config.static_pod_path / "still.json").write_text(manifest(["sleep", "1000"]))
    async with kubelet_running(node):
        before = await node.running(NAME)
    later = replace(node, kubelet=Kubelet(node.client, node.runtime, node.clock, node.config))
    async with kubelet_running(later):
        await settle()
        after = await later.running(NAME)
    assert (len(node.runtime.pods), node.container_id(after)) == (1, node.container_id(before))
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0


async def resize(node: Node, **amounts: str) -> None:
    container = {"name": "main", "resources": {"requests": amounts, "limits": amounts}}
    body = {"spec": {"containers": [container]}}
    await node.client.patch(Pod, Key("default", "web"), body, type=STRATEGIC_PATCH, subresource="resize")


def applied(pod: Obj) -> Obj:
    return pod["status"]["containerStatuses"][0]["resources"].get("limits", {})


async def test_resize_waits_for_room(node: Node) -> None:
    """A resize is deferred while another pod has the room, and done at once when that pod goes."""
    cores = int(dig(node.client.cache.list(NodeKind)[0], "status.allocatable.cpu"))
    small, other = {"cpu": "100m", "memory": "64Mi"}, {"cpu": "500m", "memory": "64Mi"}

    def sized(amounts: dict[str, str]) -> list[Obj]:
        return [{"name": "main", "image": "app:1", "resources": {"requests": amounts, "limits": amounts}}]

    await node.client.create(Pod, pod_object(containers=sized(small)))
    await node.client.create(Pod, pod_object("other", containers=sized(other)))
    await node.running()
    await node.running("other")
    await resize(node, cpu=str(cores), memory="64Mi")
    pod = await node.until(lambda pod: condition(pod, "PodResizePending"))
    pending = condition(pod, "PodResizePending")
    assert pending is not None
    assert (pending["reason"], applied(pod)["cpu"]) == ("Deferred", "100m")
    await node.client.delete(Pod, Key("default", "other"))
    pod = await node.until(lambda pod: applied(pod).get("cpu") == str(cores))
    pod = await node.until(lambda pod: not condition(pod, "PodResizeInProgress"))
    assert (condition(pod, "PodResizePending"), pod["status"]["containerStatuses"][0]["restartCount"]) == (
        None,
        0,
    )
    await settle()
    assert [reason for reason, _ in node.events() if reason.startswith("Resize")] == [
        *("ResizeDeferred", "ResizeStarted", "ResizeCompleted")
    ]
