"""Critical pods make room for themselves: which pods go, by table and on a node."""

import pytest
from kubelet_node import NODE, Node, pod_object, settle

from minikube_py.kinds.core.node import Node as NodeKind
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.admission.preemption import told, victims
from minikube_py.meta.objects import Key, Obj, condition, dig, name_of

CRITICAL = 2_000_001_000


def asking(name: str, cpu: str = "", memory: str = "", *, priority: int = 0, guaranteed: bool = False) -> Obj:
    """A pod that asks for this much."""
    amounts = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    resources = {"requests": amounts} | ({"limits": amounts} if guaranteed else {})
    made = pod_object(name, containers=[{"name": "main", "image": "app:1", "resources": resources}])
    made["metadata"]["uid"] = name
    made["spec"]["priority"] = priority
    return made


BEST = asking("best")
SMALL, LARGE = asking("small", "200m", "100Mi"), asking("large", "1", "100Mi")
GOOD = asking("good", "500m", "100Mi", guaranteed=True)
OTHER = asking("other", "2", priority=CRITICAL)


@pytest.mark.parametrize(
    ("lacking", "others", "expected"),
    [
        ({"cpu": 100}, [SMALL, LARGE, GOOD], ["small"]),
        ({"cpu": 300}, [SMALL, LARGE, GOOD], ["large"]),
        ({"cpu": 1100}, [SMALL, LARGE, GOOD], ["large", "small"]),
        ({"cpu": 1400}, [SMALL, LARGE, GOOD, BEST], ["large", "good"]),
        ({"cpu": 1600}, [SMALL, LARGE, GOOD], ["large", "small", "good"]),
        ({"pods": 1}, [LARGE, GOOD, BEST], ["best"]),
        ({"pods": 1, "cpu": 300}, [GOOD, BEST], ["good"]),
        ({"cpu": 2000}, [SMALL, LARGE, GOOD], None),
        ({"cpu": 100}, [OTHER], None),
        ({"cpu": 100}, [], None),
    ],
)
def test_who_goes(lacking: dict[str, int], others: list[Obj], expected: list[str] | None) -> None:
    """The better QoS classes are spared, what comes closest goes, other critical pods never."""
    chosen = victims(asking("new", priority=CRITICAL), lacking, others)
    assert (None if chosen is None else [name_of(pod) for pod in chosen]) == expected


async def test_a_critical_pod_makes_room(node: Node) -> None:
    """Others end, Failed for Preempting, and the critical pod runs; one that is not critical is refused."""
    room = int(dig(await node.client.get(NodeKind, NODE), "status.allocatable.cpu"))
    await node.client.create(Pod, asking("low", str(room)))
    await node.running("low")
    await node.client.create(Pod, asking("plain", "1"))
    assert (await node.until(lambda pod: dig(pod, "status.reason"), "plain"))["status"]["reason"] == "OutOfcpu"
    await node.client.create(Pod, asking("critical", "1", priority=CRITICAL))
    await node.running("critical")
    ended = await node.until(lambda pod: dig(pod, "status.phase") == "Failed", "low")
    words = "Preempted in order to admit critical pod"
    assert (ended["status"]["reason"], ended["status"]["message"]) == ("Preempting", words)
    target = condition(ended, "DisruptionTarget")
    assert target is not None
    assert (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
    assert node.events("Preempting") == [("Preempting", words)]


async def test_it_starts_after_those_that_make_room(node: Node) -> None:
    """The critical pod waits until the others have ended, however long their grace is."""
    room = int(dig(await node.client.get(NodeKind, NODE), "status.allocatable.cpu"))
    low = asking("low", str(room))
    low["spec"]["containers"][0]["command"] = ["stubborn"]
    await node.client.create(Pod, low)
    running = await node.running("low")
    await node.client.create(Pod, asking("critical", "1", priority=CRITICAL))
    await settle()
    assert len(node.events("Preempting")) == 1
    await node.clock.advance(29)
    await settle()
    view = {container.name: container.state for container in await node.runtime.containers.list()}
    assert view == {"main": "running"}
    assert (await node.pod("critical"))["status"]["phase"] == "Pending"
    await node.clock.advance(2)
    await node.running("critical")
    assert node.container_id(running) != node.container_id(await node.pod("critical"))


async def test_a_critical_pod_that_goes_does_not_wait(node: Node) -> None:
    """Deleted while others still make room for it, it is gone at once."""
    room = int(dig(await node.client.get(NodeKind, NODE), "status.allocatable.cpu"))
    low = asking("low", str(room))
    low["spec"]["containers"][0]["command"] = ["stubborn"]
    await node.client.create(Pod, low)
    await node.running("low")
    await node.client.create(Pod, asking("critical", "1", priority=CRITICAL))
    await settle()
    await node.client.delete(Pod, Key("default", "critical"))
    await node.gone("critical")
    assert node.events("Started") == [("Started", "Started container main")]


async def test_nobody_can_make_room(node: Node) -> None:
    """A critical pod that is larger than the node ends nobody and says so."""
    room = int(dig(await node.client.get(NodeKind, NODE), "status.allocatable.cpu"))
    await node.client.create(Pod, asking("low", "1"))
    await node.running("low")
    await node.client.create(Pod, asking("huge", str(room + 1), priority=CRITICAL))
    failed = await node.until(lambda pod: dig(pod, "status.reason"), "huge")
    assert failed["status"]["reason"] == "UnexpectedAdmissionError"
    assert failed["status"]["message"] == f"Pod was rejected: {told({'cpu': 2000})}"
    assert dig(await node.pod("low"), "status.phase") == "Running"
