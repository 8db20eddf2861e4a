"""Admission on the node: the predicates by table, and pods that are refused, evicted, or known from before."""

from typing import Any

import pytest
from kubelet_node import NODE, Node, kubelet_running, pod_object, settle

from minikube_py.client.base import MERGE_PATCH
from minikube_py.kinds.core.node import Node as NodeKind
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.admission.admission import Load, Rejection, Surroundings, judge
from minikube_py.kubelet.agent import Kubelet
from minikube_py.meta.objects import Key, Obj, condition, dig

ALLOCATABLE = {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "10Gi", "pods": "3", "example.com/a": "1"}
LABELS = {"kubernetes.io/os": "linux", "disk": "ssd"}
MACHINE = {"metadata": {"name": NODE, "labels": LABELS}, "status": {"allocatable": ALLOCATABLE}}
TAINT = {"key": "down", "value": "x", "effect": "NoExecute"}
TAINTED = {**MACHINE, "spec": {"taints": [TAINT, {"key": "soft", "effect": "NoSchedule"}]}}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["hdd"]}]}]
        }
    }
}
UNMATCHED = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"


def asking(uid: str = "new", **requests: Any) -> Obj:
    """A pod that asks for this; `port` is a host port."""
    port = requests.pop("port", 0)
    container: Obj = {"name": "main", "image": "a", "resources": {"requests": requests}}
    if port:
        container["ports"] = [{"containerPort": 80, "hostPort": port}]
    subject = pod_object(uid, containers=[container])
    subject["metadata"]["uid"] = uid
    return subject


def specified(**spec: Any) -> Obj:
    """A pod with these fields."""
    subject = pod_object(**spec)
    subject["metadata"]["uid"] = "new"
    return subject


def lacking(resource: str, asked: int, used: int, room: int) -> tuple[str, str]:
    """The refusal for want of a resource."""
    text = f"Node didn't have enough resource: {resource}, requested: {asked}, used: {used}, capacity: {room}"
    return f"OutOf{resource}", text


@pytest.mark.parametrize(
    ("subject", "there", "expected"),
    [
        (asking(cpu="1"), [asking("a", cpu="1")], None),
        (asking(cpu="1500m"), [asking("a", cpu="600m")], lacking("cpu", 1500, 600, 2000)),
        (asking(memory="2Gi", cpu="1"), [], lacking("memory", 2 << 30, 0, 1 << 30)),
        (asking(**{"ephemeral-storage": "11Gi"}), [], lacking("ephemeral-storage", 11 << 30, 0, 10 << 30)),
        (asking(), [asking("a"), asking("b"), asking("c")], lacking("pods", 1, 3, 3)),
        (asking(**{"example.com/a": "2"}), [], lacking("example.com/a", 2, 0, 1)),
        (asking(**{"example.com/unknown": "2"}), [], None),
        (asking(**{"hugepages-2Mi": "2Mi"}), [], lacking("hugepages-2Mi", 2 << 20, 0, 0)),
        (
            asking(port=80),
            [asking("a", port=80)],
            (
                "NodePorts",
                "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
            ),
        ),
        (asking(port=80), [asking("a", port=81)], None),
        (specified(nodeSelector={"disk": "hdd"}), [], ("NodeAffinity", UNMATCHED)),
        (specified(nodeSelector={"disk": "ssd"}), [], None),
        (specified(affinity=AFFINITY), [], ("NodeAffinity", UNMATCHED)),
        (
            specified(os={"name": "windows"}),
            [],
            ("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"),
        ),
        (specified(os={"name": "linux"}), [], None),
        (
            specified(nodeSelector={"kubernetes.io/os": "windows"}),
            [],
            (
                "PodOSSelectorNodeLabelDoesNotMatch",
                "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
            ),
        ),
        (
            specified(securityContext={"supplementalGroupsPolicy": "Strict"}),
            [],
            (
                "SupplementalGroupsPolicyNotSupported",
                "SupplementalGroupsPolicy=Strict is not supported in this node",
            ),
        ),
        (
            specified(securityContext={"appArmorProfile": {"type": "RuntimeDefault"}}),
            [],
            ("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"),
        ),
        (specified(securityContext={"appArmorProfile": {"type": "Unconfined"}}), [], None),
        (
            specified(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
            [],
            ("SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        ),
    ],
)
def test_predicates(subject: Obj, there: list[Obj], expected: tuple[str, str] | None) -> None:
    """Each refusal has the kubelet's reason and message."""
    load = Load()
    for other in there:
        load.put(other)
    found = judge(subject, Surroundings(MACHINE), load)
    assert next(((one.reason, one.message) for one in found), None) == expected


@pytest.mark.parametrize(
    ("tolerations", "static", "expected"),
    [
        ([], False, ["TaintToleration"]),
        ([{"key": "down", "operator": "Exists"}], False, []),
        ([{"key": "down", "value": "x", "effect": "NoExecute"}], False, []),
        ([], True, []),
    ],
)
def test_taints(tolerations: list[Obj], static: bool, expected: list[str]) -> None:
    """NoExecute taints keep off what does not tolerate them, but for the node's own static pods."""
    subject = specified(tolerations=tolerations)
    if static:
        subject["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert [one.reason for one in judge(subject, Surroundings(TAINTED), Load())] == expected


def test_load_is_a_sum() -> None:
    """Pods count once, as they are now, and no more when they are gone."""
    load = Load()
    load.put(asking("a", cpu="1"))
    load.put(asking("b", cpu="500m"))
    load.put(asking("a", cpu="250m"))
    assert (load.requested["cpu"], load.without("b").requested["cpu"]) == (750, 250)
    load.remove("a")
    load.remove("a")
    assert (load.requested["cpu"], list(load.claims)) == (500, ["b"])


def test_abilities_let_pods_in() -> None:
    """What the node can do is not refused."""
    subject = specified(
        securityContext={
            "supplementalGroupsPolicy": "Strict",
            "appArmorProfile": {"type": "RuntimeDefault"},
            "sysctls": [{"name": "kernel.msgmax", "value": "1"}],
        }
    )
    able = Surroundings(MACHINE, apparmor=True, strict_groups=True, allowed_sysctls=("kernel.msg*",))
    assert judge(subject, able, Load()) == []
    assert judge(subject, Surroundings(MACHINE), Load())[0] == Rejection(
        "SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted'
    )


async def test_refused_pod_fails_and_can_be_deleted(node: Node) -> None:
    """A pod that does not fit is Failed with its reason and one event, makes nothing, and goes when deleted."""
    await node.client.create(Pod, asking("big", cpu="4k"))
    pod = await node.until(lambda pod: dig(pod, "status.phase") == "Failed", "big")
    room = dig(await node.client.get(NodeKind, NODE), "status.allocatable.cpu")
    text = f"Node didn't have enough resource: cpu, requested: 4000000, used: 0, capacity: {int(room) * 1000}"
    status = pod["status"]
    assert (status["reason"], status["message"]) == ("OutOfcpu", f"Pod was rejected: {text}")
    assert (status["qosClass"], status["observedGeneration"], "startTime" in status) == ("Burstable", 1, True)
    assert (status.keys() & {"containerStatuses", "podIP"}, status.get("conditions", [])) == (set(), [])
    await settle()
    assert node.events() == [("OutOfcpu", text)]
    assert (node.runtime.pods, list(node.config.root_dir.glob("pods/*"))) == ({}, [])
    await node.client.delete(Pod, Key("default", "big"))
    await node.gone("big")


async def test_ended_pods_make_room(node: Node) -> None:
    """A pod that has ended takes nothing of the node any more."""
    room = int(dig(await node.client.get(NodeKind, NODE), "status.allocatable.cpu"))
    first = asking("first", cpu=str(room))
    first["spec"] |= {"restartPolicy": "Never"}
    first["spec"]["containers"][0] |= {"image": "app:1", "command": ["sleep", "5"]}
    await node.client.create(Pod, first)
    await node.running("first")
    await node.client.create(Pod, asking("second", cpu="1"))
    await node.until(lambda pod: dig(pod, "status.reason") == "OutOfcpu", "second")
    await node.clock.advance(5.1)
    await node.until(lambda pod: dig(pod, "status.phase") == "Succeeded", "first")
    third = asking("third", cpu="1")
    third["spec"]["containers"][0]["image"] = "app:1"
    await node.client.create(Pod, third)
    await node.running("third")


async def test_running_pods_are_not_judged_again(idle_node: Node) -> None:
    """After a restart of the kubelet what runs stays, even where it would not be admitted now."""
    node = idle_node
    async with kubelet_running(node):
        await node.client.create(Pod, pod_object(nodeSelector={"kubernetes.io/os": "linux"}))
        await node.running()
    labels = {"metadata": {"labels": {"kubernetes.io/os": "plan9"}}}
    await node.client.patch(NodeKind, Key("", NODE), labels, type=MERGE_PATCH)
    node.kubelet = Kubelet(node.client, node.runtime, node.clock, node.config)
    async with kubelet_running(node):
        await settle()
        assert (await node.pod())["status"]["phase"] == "Running"
        assert [running.container.state for running in node.runtime.running.values()] == ["running"]


async def test_extended_resources_are_kept_and_allocatable(node: Node) -> None:
    """An extended resource that somebody tells of the node is allocatable until it is taken away."""
    body = {"status": {"capacity": {"example.com/dongle": "2"}}}
    await node.client.patch(NodeKind, Key("", NODE), body, type=MERGE_PATCH, subresource="status")
    await settle()
    for _ in range(2):
        status = (await node.client.get(NodeKind, NODE))["status"]
        assert status["allocatable"]["example.com/dongle"] == "2"
        assert status["capacity"]["example.com/dongle"] == "2"
        await node.clock.advance(301)
        await settle()
    greedy = asking("greedy", **{"example.com/dongle": "3"})
    greedy["spec"]["containers"][0]["resources"]["limits"] = {"example.com/dongle": "3"}
    await node.client.create(Pod, greedy)
    pod = await node.until(lambda pod: dig(pod, "status.phase") == "Failed", "greedy")
    assert pod["status"]["reason"] == "OutOfexample.com/dongle"
    gone = {"status": {"capacity": {"example.com/dongle": None}}}
    await node.client.patch(NodeKind, Key("", NODE), gone, type=MERGE_PATCH, subresource="status")
    await settle()
    status = (await node.client.get(NodeKind, NODE))["status"]
    assert "example.com/dongle" not in {**status["capacity"], **status["allocatable"]}


async def test_pod_above_its_local_storage_is_evicted(node: Node) -> None:
    """An emptyDir above its size limit costs the pod its life, with the kubelet's reason and message."""
    volume = {"name": "scratch", "emptyDir": {"sizeLimit": "10Ki"}}
    await node.client.create(Pod, pod_object(volumes=[volume]))
    await node.running()
    made = next(node.config.root_dir.glob("pods/*/volumes/kubernetes.io~empty-dir/scratch"))
    (made / "big").write_bytes(b"x" * 50_000)
    await settle()
    await node.clock.advance(10.1)
    pod = await node.until(lambda pod: dig(pod, "status.phase") == "Failed")
    text = 'Usage of EmptyDir volume "scratch" exceeds the limit "10Ki". '
    assert (pod["status"]["reason"], pod["status"]["message"]) == ("Evicted", text)
    assert node.events("Evicted") == [("Evicted", text)]
    assert (condition(pod, "Ready") or {})["status"] == "False"


async def test_a_runtime_without_user_namespaces_holds_the_pod(node: Node) -> None:
    """A pod with its own users waits, and says why, on a runtime that has no user namespaces."""
    await node.client.create(Pod, pod_object(hostUsers=False))
    await node.until(lambda pod: dig(pod, "status.containerStatuses"))
    await settle()
    why = "can't set `spec.hostUsers: false`, runtime does not support user namespaces"
    text = f"Failed to create pod sandbox: {why}"
    assert node.events("FailedCreatePodSandBox")[0] == ("FailedCreatePodSandBox", text)
    assert (await node.pod())["status"]["phase"] == "Pending"
