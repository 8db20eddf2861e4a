"""The life of pods on a simulated runtime, in virtual time."""

from dataclasses import replace

import pytest
from kubelet_node import Node, kubelet_running, pod_object, settle

from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.agent import Kubelet
from minikube_py.meta.objects import Key, Obj, condition, condition_is, dig


def main(command: list[str], **more: object) -> list[Obj]:
    """One container that runs `command`."""
    return [{"name": "main", "image": "app:1", "command": command, **more}]


def waiting(pod: Obj, place: int = 0) -> str:
    """Why the container waits."""
    return dig(dig(pod, "status.containerStatuses", [{}] * 2)[place], "state.waiting.reason", "")


async def test_pod_runs_with_one_status_write(node: Node) -> None:
    """An ordinary pod goes from creation to Running in a single status write."""
    created = await node.client.create(Pod, pod_object())
    pod = await node.running()
    status = pod["status"]["containerStatuses"][0]
    assert (status["ready"], status["started"], status["restartCount"]) == (True, True, 0)
    assert "running" in status["state"]
    assert condition_is(pod, "Ready") and condition_is(pod, "PodReadyToStartContainers")
    assert int(pod["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])
    await settle()
    assert (await node.pod())["metadata"]["resourceVersion"] == pod["metadata"]["resourceVersion"]
    assert [reason for reason, _ in node.events()] == ["Pulled", "Created", "Started"]


async def test_deleted_pod_is_stopped_told_and_removed(node: Node) -> None:
    """A deleted pod's containers end, their end is told, and nothing of it is left."""
    await node.client.create(Pod, pod_object())
    await node.running()
    await node.client.delete(Pod, Key("default", "web"))
    ended = await node.until(lambda pod: "terminated" in pod["status"]["containerStatuses"][0]["state"])
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    await node.gone()
    await node.kubelet.idle()
    assert (node.runtime.running, node.runtime.pods) == ({}, {})
    assert not list(node.config.root_dir.glob("pods/*"))
    assert node.events("Killing") == [("Killing", "Stopping container main")]
    await node.kubelet.idle()


async def test_grace_period_is_respected_and_can_be_shortened(node: Node) -> None:
    """A container that ignores its signal has the whole grace, unless a later delete shortens it."""
    await node.client.create(Pod, pod_object(containers=main(["stubborn"])))
    await node.running()
    await node.client.delete(Pod, Key("default", "web"))
    await settle()
    await node.clock.advance(20)
    assert (await node.pod())["metadata"]["deletionGracePeriodSeconds"] == 30
    await node.client.delete(Pod, Key("default", "web"), {"gracePeriodSeconds": 5})
    await settle()
    await node.clock.advance(5.1)
    await node.gone()


async def test_crashing_container_backs_off(node: Node) -> None:
    """A container that fails is restarted at once, then after 10 s, then after 20 s."""
    await node.client.create(Pod, pod_object(containers=main(["exit", "3"])))
    pod = await node.until(lambda pod: waiting(pod) == "CrashLoopBackOff")
    status = pod["status"]["containerStatuses"][0]
    assert (status["restartCount"], status["lastState"]["terminated"]["exitCode"]) == (1, 3)
    assert status["state"]["waiting"]["message"].startswith("back-off 10s restarting failed container=main")
    await node.clock.advance(10.1)
    pod = await node.until(lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 2)
    await settle()
    await node.clock.advance(19)
    await settle()
    assert (await node.pod())["status"]["containerStatuses"][0]["restartCount"] == 2
    await node.clock.advance(1.5)
    await node.until(lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 3)
    assert (await node.pod())["status"]["phase"] == "Running"
    assert len(node.runtime.running) <= 3


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [("Never", "0", "Succeeded"), ("Never", "2", "Failed"), ("OnFailure", "0", "Succeeded")],
)
async def test_final_phase(node: Node, policy: str, code: str, phase: str) -> None:
    """A pod whose containers have all ended for good gets its phase, and its sandbox is stopped."""
    await node.client.create(Pod, pod_object(containers=main(["exit", code]), restartPolicy=policy))
    pod = await node.until(lambda pod: dig(pod, "status.phase") == phase)
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == int(code)
    assert condition_is(pod, "Ready", "False")
    assert [p.sandbox.state for p in node.runtime.pods.values()] == ["notready"]
    await node.client.delete(Pod, Key("default", "web"))
    await node.gone()
    await node.kubelet.idle()
    assert node.runtime.pods == {}


async def test_on_failure_restarts_what_failed(node: Node) -> None:
    """OnFailure restarts a container that failed."""
    await node.client.create(
        Pod, pod_object(containers=main(["sleep", "5", "exit", "1"]), restartPolicy="OnFailure")
    )
    await node.running()
    await node.clock.advance(5.1)
    await node.until(lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1)


async def test_init_containers_run_in_order(node: Node) -> None:
    """Init containers run one after another before the others start."""
    inits = [
        {"name": "one", "image": "init:1", "command": ["sleep", "3"]},
        {"name": "two", "image": "init:1", "command": ["sleep", "3"]},
    ]
    await node.client.create(Pod, pod_object(initContainers=inits))
    pod = await node.until(lambda pod: len(dig(pod, "status.initContainerStatuses", [])) == 2)
    assert "running" in pod["status"]["initContainerStatuses"][0]["state"]
    assert waiting(pod) == "PodInitializing"
    assert condition(pod, "Initialized")["message"] == "containers with incomplete status: [one two]"
    await node.clock.advance(3.1)
    await node.until(lambda pod: "running" in pod["status"]["initContainerStatuses"][1]["state"])
    await node.clock.advance(3.1)
    pod = await node.running()
    assert [entry["ready"] for entry in pod["status"]["initContainerStatuses"]] == [True, True]
    assert condition_is(pod, "Initialized")


async def test_failing_init_container_ends_a_never_pod(node: Node) -> None:
    """With restartPolicy Never a failed init container fails the pod."""
    inits = [{"name": "one", "image": "init:1", "command": ["exit", "4"]}]
    await node.client.create(Pod, pod_object(initContainers=inits, restartPolicy="Never"))
    pod = await node.until(lambda pod: dig(pod, "status.phase") == "Failed")
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4


async def test_sidecar_stays_and_ends_last(node: Node) -> None:
    """A sidecar runs beside the container, and does not keep a finished pod from ending."""
    sidecar = {"name": "side", "image": "init:1", "restartPolicy": "Always"}
    pod = pod_object(containers=main(["sleep", "8"]), initContainers=[sidecar], restartPolicy="Never")
    await node.client.create(Pod, pod)
    running = await node.running()
    assert running["status"]["initContainerStatuses"][0]["started"] is True
    await node.clock.advance(8.1)
    done = await node.until(lambda pod: dig(pod, "status.phase") == "Succeeded")
    assert "terminated" in done["status"]["initContainerStatuses"][0]["state"]


async def test_deadline_fails_the_pod(node: Node) -> None:
    """A pod older than activeDeadlineSeconds is ended as DeadlineExceeded."""
    await node.client.create(Pod, pod_object(activeDeadlineSeconds=60))
    await node.running()
    await node.clock.advance(61)
    pod = await node.until(lambda pod: dig(pod, "status.phase") == "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert node.events("DeadlineExceeded") == [("DeadlineExceeded", pod["status"]["message"])]


async def test_missing_image_backs_off(node: Node) -> None:
    """An image that cannot be pulled gives ErrImagePull, then ImagePullBackOff, then another try."""
    await node.client.create(Pod, pod_object(containers=[{"name": "main", "image": "none:1"}]))
    pod = await node.until(lambda pod: waiting(pod) == "ErrImagePull")
    assert "not found" in pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    await node.clock.advance(3.1)
    await node.until(lambda pod: waiting(pod) == "ImagePullBackOff")
    node.runtime.images.pulls["docker.io/library/none:1"] = ""
    await node.clock.advance(10)
    await node.running()
    assert [message for _, message in node.events("Pulling")] == ['Pulling image "none:1"']
    assert ("Failed", "Error: ErrImagePull") in node.events()
    assert ("BackOff", 'Back-off pulling image "none:1"') in node.events()


@pytest.mark.parametrize(
    ("image", "policy", "reason"),
    [("none:1", "Never", "ErrImageNeverPull"), ("Bad//Name", "IfNotPresent", "InvalidImageName")],
)
async def test_image_refusals(node: Node, image: str, policy: str, reason: str) -> None:
    """An image that may not be pulled, or has no valid name, is told as such."""
    spec = {"name": "main", "image": image, "imagePullPolicy": policy}
    await node.client.create(Pod, pod_object(containers=[spec]))
    await node.until(lambda pod: waiting(pod) == reason)


async def test_missing_config_is_told_and_awaited(node: Node) -> None:
    """A container whose ConfigMap is missing waits with the reason and starts once it is there."""
    env = [{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "paint", "key": "colour"}}}]
    await node.client.create(Pod, pod_object(containers=main([], env=env)))
    pod = await node.until(lambda pod: waiting(pod) == "CreateContainerConfigError")
    message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message == 'configmap "paint" not found'
    paint = {"metadata": {"name": "paint", "namespace": "default"}, "data": {"colour": "red"}}
    await node.client.create(ConfigMap, paint)
    pod = await node.running()
    config = node.runtime.running[node.container_id(pod)].config
    assert dict(config.env)["COLOUR"] == "red"


async def test_failed_start_is_told(node: Node) -> None:
    """A command that cannot run gives RunContainerError and backs off."""
    await node.client.create(Pod, pod_object(containers=main(["fail", "no", "such", "file"])))
    pod = await node.until(lambda pod: waiting(pod) in ("RunContainerError", "CrashLoopBackOff"))
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["message"] == "no such file"
    assert ("Failed", "Error: no such file") in node.events()


async def test_start_that_failed_for_good_is_told_once(node: Node) -> None:
    """A container that could not be started, and will not be again, has no last state and began in 1970."""
    container = {"name": "main", "image": "app:1", "command": ["fail", "no", "such", "file"]}
    await node.client.create(Pod, pod_object(containers=[container], restartPolicy="Never"))
    pod = await node.until(lambda pod: pod["status"]["phase"] == "Failed")
    (status,) = pod["status"]["containerStatuses"]
    assert status["lastState"] == {}
    assert status["state"]["terminated"]["startedAt"] == "1970-01-01T00:00:00Z"


async def test_lost_sandbox_is_replaced(node: Node) -> None:
    """When the sandbox dies, the pod gets a new one and its containers are restarted there."""
    await node.client.create(Pod, pod_object())
    before = await node.running()
    sandbox = next(iter(node.runtime.pods))
    node.runtime.kill_sandbox(sandbox)
    after = await node.until(
        lambda pod: (
            pod["status"]["containerStatuses"][0]["restartCount"] == 1
            and pod["status"]["containerStatuses"][0]["ready"]
        )
    )
    assert after["status"]["podIP"] != before["status"]["podIP"]
    assert [entry["ip"] for entry in after["status"]["podIPs"]] == [after["status"]["podIP"]]


async def test_new_image_restarts_the_container(node: Node) -> None:
    """A changed image in the spec replaces the container."""
    await node.client.create(Pod, pod_object())
    before = await node.running()
    change = {"spec": {"containers": [{"name": "main", "image": "app:2"}]}}
    await node.client.patch(Pod, Key("default", "web"), change, type="application/strategic-merge-patch+json")
    after = await node.until(lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1)
    assert node.container_id(after) != node.container_id(before)
    assert after["status"]["containerStatuses"][0]["image"].endswith("app:2")
    assert node.events("Killing") == [("Killing", "Container main definition changed, will be restarted")]


async def test_pre_stop_sleep_takes_from_the_grace(node: Node) -> None:
    """A preStop hook runs before the stop signal, within the grace period."""
    hook = {"preStop": {"sleep": {"seconds": 10}}}
    await node.client.create(Pod, pod_object(containers=main(["stubborn"], lifecycle=hook)))
    await node.running()
    await node.client.delete(Pod, Key("default", "web"))
    await settle()
    await node.clock.advance(29)
    assert "running" in (await node.pod())["status"]["containerStatuses"][0]["state"]
    await node.clock.advance(1.5)
    await node.gone()


async def test_failed_post_start_hook_kills_the_container(node: Node) -> None:
    """A container whose postStart hook fails is killed and started again later."""
    hook = {"postStart": {"exec": {"command": ["exit", "1"]}}}
    await node.client.create(Pod, pod_object(containers=main([], lifecycle=hook)))
    pod = await node.until(lambda pod: dig(pod, "status.containerStatuses", [{}])[0].get("restartCount") == 1)
    assert node.events("FailedPostStartHook")
    assert pod["status"]["phase"] != "Failed"


async def test_failing_post_start_hook_backs_off(node: Node) -> None:
    """A container whose postStart hook fails each time is started again at growing intervals."""
    hook = {"postStart": {"exec": {"command": ["exit", "1"]}}}
    await node.client.create(Pod, pod_object(containers=main([], lifecycle=hook)))
    pod = await node.until(lambda pod: waiting(pod) == "CrashLoopBackOff")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 1
    await settle()
    await node.clock.advance(9)
    await settle()
    assert (await node.pod())["status"]["containerStatuses"][0]["restartCount"] == 1
    await node.clock.advance(1.5)
    await node.until(lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 2)


async def test_running_containers_are_adopted(idle_node: Node) -> None:
    """A new kubelet goes on with the containers that run, and writes nothing where nothing has changed."""
    async with kubelet_running(idle_node):
        await idle_node.client.create(Pod, pod_object())
        before = await idle_node.running()
        await settle()
    assert len(idle_node.runtime.running) == 1
    node = Node(
        idle_node.clock,
        idle_node.client,
        idle_node.runtime,
        idle_node.config,
        Kubelet(idle_node.client, idle_node.runtime, idle_node.clock, idle_node.config),
    )
    async with kubelet_running(node):
        await settle()
        after = await node.pod()
        assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        assert list(node.runtime.running) == [node.container_id(before)]
        node.runtime.exit(node.container_id(before), 1)
        again = await node.until(lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1)
        assert again["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1


async def test_pods_lost_while_away_are_not_ready_at_once(idle_node: Node) -> None:
    """After a reboot the API is told that a pod is not Ready before it is brought back."""
    async with kubelet_running(idle_node):
        await idle_node.client.create(Pod, pod_object())
        before = await idle_node.running()
        await settle()
    for sandbox in await idle_node.runtime.sandboxes.list():
        idle_node.runtime.kill_sandbox(sandbox.id)
    for container in list(idle_node.runtime.running):
        idle_node.runtime.exit(container, 137)
    seen: list[bool] = []
    unsubscribe = idle_node.client.cache.subscribe(
        Pod, lambda change: seen.append(condition_is(change.object, "Ready"))
    )
    node = Node(
        idle_node.clock,
        idle_node.client,
        idle_node.runtime,
        idle_node.config,
        Kubelet(idle_node.client, idle_node.runtime, idle_node.clock, idle_node.config),
    )
    async with kubelet_running(node):
        again = await node.until(lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1)
        assert again["metadata"]["uid"] == before["metadata"]["uid"]
        await settle()
    unsubscribe()
    assert seen[:2] == [True, False]
    assert seen[-1] is True


async def test_pods_deleted_while_away_are_removed(idle_node: Node) -> None:
    """Containers of a pod that was deleted while no kubelet ran are stopped and removed."""
    async with kubelet_running(idle_node):
        await idle_node.client.create(Pod, pod_object())
        await idle_node.running()
        await settle()
    await idle_node.client.delete(Pod, Key("default", "web"), {"gracePeriodSeconds": 0})
    async with kubelet_running(idle_node):
        await settle()
        await idle_node.clock.advance(idle_node.config.relist_interval + 1)
        await settle()
        assert (idle_node.runtime.pods, idle_node.runtime.running) == ({}, {})
        assert not list(idle_node.config.root_dir.glob("pods/*"))


async def test_forced_deletion_kills(node: Node) -> None:
    """A pod that was removed from the API by force is stopped on the node, within two seconds or so whatever
    grace it had; nothing of it stays, its logs neither."""
    await node.client.create(Pod, pod_object(containers=main(["stubborn"])))
    pod = await node.running()
    logs = node.config.pod_log_dir("default", "web", pod["metadata"]["uid"])
    assert logs.is_dir()
    await node.client.delete(Pod, Key("default", "web"), {"gracePeriodSeconds": 0})
    await settle()
    await node.clock.advance(2.1)
    await node.kubelet.idle()
    assert (node.runtime.pods, logs.exists()) == ({}, False)


async def test_lost_sandbox_found_while_starting_is_replaced_at_once(node: Node) -> None:
    """Where a sandbox dies unnoticed, the first failed start tells; its pod does not wait for a retry."""
    await node.client.create(Pod, pod_object(containers=main(["sleep", "5", "exit", "1"])))
    before = await node.running()
    lost = next(iter(node.runtime.pods.values()))
    lost.sandbox = replace(lost.sandbox, state="notready")  # no event
    await node.clock.advance(5.1)
    await node.until(lambda pod: pod["status"]["podIP"] != before["status"]["podIP"])
    assert [pod.sandbox.state for pod in node.runtime.pods.values() if pod is not lost] == ["ready"]


async def test_traces_of_unknown_pods_are_removed(idle_node: Node) -> None:
    """Logs and directories of pods that are long gone do not stay for ever."""
    config = idle_node.config
    logs, folder = config.pod_log_dir("default", "old", "uid-1"), config.pod_dir("uid-2")
    for path in (logs, folder):
        path.mkdir(parents=True)
    async with kubelet_running(idle_node):
        await settle()
        await idle_node.clock.advance(config.relist_interval + 1)
        await settle()
        assert [path for path in (logs, folder) if path.exists()] == []
