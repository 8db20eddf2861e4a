"""When containers start, and start again: hooks, probes, changed images, lost sandboxes; in virtual time."""

from typing import Any

import pytest
from kubelet_node import Node, pod_object, settle

from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Key, Obj, condition_is, dig


def first(pod: Obj) -> Obj:
    """The status of the first container; empty where there is none yet."""
    found: Obj = next(iter(dig(pod, "status.containerStatuses", [])), {})
    return found


def standing(pod: Obj) -> list[str]:
    """What each container is, or what it waits for."""
    states = [entry["state"] for entry in dig(pod, "status.containerStatuses", [])]
    return [dig(state, "waiting.reason") or next(iter(state)) for state in states]


def container(name: str = "main", **more: Any) -> Obj:
    return {"name": name, "image": "app:1", **more}


async def passes(node: Node, seconds: float) -> None:
    """Time goes by, and everything acts that can."""
    await settle()
    await node.clock.advance(seconds)
    await settle()


async def set_image(node: Node, image: str) -> None:
    """Give the pod's container another image."""
    body = {"spec": {"containers": [{"name": "main", "image": image}]}}
    await node.client.patch(Pod, Key("default", "web"), body, type="application/strategic-merge-patch+json")


async def test_a_post_start_hook_holds_back(node: Node) -> None:
    """Until its postStart hook is over a container is not told as running, and no other is started."""
    hook = {"postStart": {"exec": {"command": ["sleep", "20"]}}}
    await node.client.create(Pod, pod_object(containers=[container("a", lifecycle=hook), container("b")]))
    await passes(node, 2)
    assert standing(await node.pod()) == ["ContainerCreating"] * 2
    await passes(node, 17)
    pod = await node.pod()
    assert (standing(pod), dig(pod, "status.phase")) == (["ContainerCreating"] * 2, "Pending")
    assert len(node.runtime.running) == 1
    await node.clock.advance(1.5)
    pod = await node.until(lambda pod: standing(pod) == ["running", "running"])
    assert condition_is(pod, "Ready")


async def test_a_pod_whose_post_start_hook_hangs_can_be_deleted(node: Node) -> None:
    """The hook is given up with the pod, whose container has the end that it had."""
    hook = {"postStart": {"exec": {"command": ["sleep", "3600"]}}}
    await node.client.create(Pod, pod_object(containers=[container(lifecycle=hook)]))
    await passes(node, 2)
    assert standing(await node.pod()) == ["ContainerCreating"]
    await node.client.delete(Pod, Key("default", "web"))
    pod = await node.until(lambda pod: standing(pod) == ["terminated"])
    assert first(pod)["state"]["terminated"]["exitCode"] == 143
    await node.gone()


async def test_what_a_probe_gives_up_starts_again_at_once(node: Node) -> None:
    """A container that ran for longer than its backoff lasts is started anew without a wait."""
    probe = {"exec": {"command": ["exit", "1"]}, "initialDelaySeconds": 4, "failureThreshold": 1}
    await node.client.create(Pod, pod_object(containers=[container(livenessProbe=probe)]))
    for restarts in (1, 2):
        await node.running() if restarts == 1 else None
        await passes(node, 4.1)
        assert (first(await node.pod())["restartCount"], standing(await node.pod())) == (restarts, ["running"])
    await passes(node, 4.1)
    pod = await node.pod()
    assert standing(pod) == ["CrashLoopBackOff"]
    assert first(pod)["state"]["waiting"]["message"].startswith("back-off 10s restarting")
    await passes(node, 10.1)
    assert first(await node.pod())["restartCount"] == 3


@pytest.mark.parametrize("image", ["UPPER:1", "app:1"], ids=["invalid-name", "crashes"])
async def test_another_image_is_tried_at_once(node: Node, image: str) -> None:
    """Neither a name that is none nor a crash holds back a container that has got another image."""
    command = ["exit", "3"] if image == "app:1" else ["sleep", "9"]
    await node.client.create(Pod, pod_object(containers=[container(image=image, command=command)]))
    reason = "CrashLoopBackOff" if image == "app:1" else "InvalidImageName"
    pod = await node.until(lambda pod: standing(pod) == [reason])
    before = first(pod)["restartCount"]
    await settle()
    await set_image(node, "app:2")
    await passes(node, 1)
    pulled = [message for _, message in node.events("Pulled") if "app:2" in message]
    assert len(pulled) == 1
    assert first(await node.pod())["restartCount"] == before + (image == "app:1")


async def test_a_lost_sandbox_is_told(node: Node) -> None:
    """Its containers are stopped, and the pod tells that it is made anew."""
    await node.client.create(Pod, pod_object())
    await node.running()
    await settle()
    node.runtime.kill_sandbox(next(iter(node.runtime.pods)))
    await node.until(lambda pod: first(pod).get("restartCount") == 1 and condition_is(pod, "Ready"))
    await settle()
    told = "Pod sandbox changed, it will be killed and re-created."
    assert node.events("SandboxChanged") == [("SandboxChanged", told)]
    assert set(node.events("Killing")) <= {("Killing", "Stopping container main")}


async def test_nothing_is_pulled_for_a_sandbox_that_cannot_be(node: Node) -> None:
    """A host name that is too long is refused before images are looked for."""
    body = pod_object(hostname="h" * 60, subdomain="sub", setHostnameAsFQDN=True)
    await node.client.create(Pod, body)
    await passes(node, 1)
    assert {reason for reason, _ in node.events()} == {"FailedCreatePodSandBox"}
