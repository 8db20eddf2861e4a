"""How pods and their containers end: graces, hooks, and ends that others call for."""

from kubelet_node import Node, pod_object, settle

from minikube_py.client.base import STRATEGIC_PATCH
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Key, Obj, condition, dig


def main(command: list[str], **more: object) -> list[Obj]:
    """One container that runs `command`."""
    return [{"name": "main", "image": "app:1", "command": command, **more}]


async def test_a_container_has_two_seconds_to_end(node: Node) -> None:
    """However short its grace, a container is not killed within 2 s of its stop signal."""
    await node.client.create(Pod, pod_object(containers=main(["stubborn"]), terminationGracePeriodSeconds=1))
    await node.running()
    await node.client.delete(Pod, Key("default", "web"))
    await settle()
    await node.clock.advance(1.8)
    await settle()
    assert "running" in (await node.pod())["status"]["containerStatuses"][0]["state"]
    await node.clock.advance(0.4)
    await node.gone()


async def test_failed_post_start_hook_runs_the_pre_stop_hook(node: Node) -> None:
    """A container that is killed for its postStart hook has its preStop hook and its grace first."""
    hooks = {"postStart": {"exec": {"command": ["exit", "1"]}}, "preStop": {"exec": {"command": ["exit", "2"]}}}
    await node.client.create(Pod, pod_object(containers=main([], lifecycle=hooks)))
    await node.until(lambda pod: dig(pod, "status.containerStatuses", [{}])[0].get("restartCount") == 1)
    told = [event for event in node.events() if "Hook" in "".join(event)]
    assert told[:3] == [
        ("FailedPostStartHook", "PostStartHook failed"),
        ("Killing", "FailedPostStartHook"),
        ("FailedPreStopHook", "PreStopHook failed"),
    ]


async def test_no_grace_leaves_no_time_for_a_pre_stop_hook(node: Node) -> None:
    """A container that is restarted without any grace is stopped without its preStop hook."""
    spec = main(
        [],
        lifecycle={"preStop": {"exec": {"command": ["exit", "2"]}}},
        livenessProbe={"exec": {"command": ["exit", "1"]}, "periodSeconds": 1, "failureThreshold": 1},
    )
    await node.client.create(Pod, pod_object(containers=spec, terminationGracePeriodSeconds=0))
    await node.running()
    await settle()
    await node.clock.advance(2)
    await node.until(lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] >= 1)
    assert node.events("Killing") == [("Killing", "Container main failed liveness probe, will be restarted")]
    assert node.events("FailedPreStopHook") == []


async def test_a_phase_that_another_makes_final_ends_the_pod(node: Node) -> None:
    """A pod that somebody calls Failed is stopped; its status tells the ends, and keeps phase and message."""
    await node.client.create(Pod, pod_object())
    await node.running()
    verdict = {"status": {"phase": "Failed", "message": "by another"}}
    await node.client.patch(Pod, Key("default", "web"), verdict, type=STRATEGIC_PATCH, subresource="status")
    pod = await node.until(lambda pod: "terminated" in pod["status"]["containerStatuses"][0]["state"])
    ready = condition(pod, "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("False", "PodFailed")
    assert (pod["status"]["phase"], pod["status"]["message"]) == ("Failed", "by another")
