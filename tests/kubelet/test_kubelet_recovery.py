"""What a kubelet does with the remains of what was killed, in virtual time: orphans, starts that were cut off,
forced deletions, answers that come late, a runtime that hangs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from kubelet_node import NODE, Node, kubelet_running, pod_object, settle

from minikube_py.aio.clock import VirtualClock
from minikube_py.kinds.core.node import Node as NodeKind
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.agent import Kubelet
from minikube_py.kubelet.images.puller import ImagePuller, ImageRefused
from minikube_py.kubelet.kuberuntime.view import POD_UID, RuntimeView, as_ended, was_cut_off
from minikube_py.meta.objects import Key, condition, dig
from minikube_py.runtime.base import (
    Container,
    Image,
    Images,
    RuntimeEvent,
    RuntimeInfo,
    RuntimeUnavailable,
    SandboxConfig,
)
from minikube_py.runtime.simulated_pods import SimulatedSandboxes

FORCE = {"gracePeriodSeconds": 0}


def container(state: str, **more: Any) -> Container:
    """A container of pod "u"."""
    made = Container("c1", "s1", "main", 0, state, "app:1", "sha", 1.0, labels={POD_UID: "u"})
    return replace(made, **more)


@dataclass
class Answering:
    """A runtime's container service whose `status` waits until it is let answer."""

    answers: list[Container]
    gates: list[asyncio.Event] = field(default_factory=list)
    containers: Any = None

    def __post_init__(self) -> None:
        self.containers = self
        self.gates = [asyncio.Event() for _ in self.answers]
        self._asked = 0

    async def status(self, id: str) -> Container:
        turn = self._asked
        self._asked += 1
        await self.gates[turn].wait()
        return self.answers[turn]


async def begun(work: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
    """A task of `work` that has got to its first wait."""
    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    return task


async def test_a_late_answer_does_not_wake_the_dead() -> None:
    """An answer from before an exit, arriving after it, leaves the container exited."""
    runtime = Answering([container("running"), container("exited", exit_code=3)])
    view = RuntimeView(runtime, lambda uid: None)  # type: ignore[arg-type]
    view.record_container(container("running"))
    early = await begun(lambda: view.refresh("c1"))
    event = await begun(lambda: view.handle(RuntimeEvent("exited", "c1", 3)))
    runtime.gates[1].set()
    await event
    runtime.gates[0].set()
    assert (await early).state == "exited"
    assert view.of("u").containers["c1"].exit_code == 3


async def test_an_end_is_believed_before_the_runtime_confirms_it() -> None:
    """What the event tells of a running container's end is known at once; the runtime is not asked."""
    woken: list[str] = []
    view = RuntimeView(Answering([]), woken.append)  # type: ignore[arg-type]
    view.record_container(container("running"))
    await view.handle(RuntimeEvent("ended", "c1", 3, 7.5))
    await view.handle(RuntimeEvent("exited", "c1", 3, 7.5))
    ended = view.of("u").containers["c1"]
    assert (ended.state, ended.exit_code, ended.reason, ended.finished_at) == ("exited", 3, "Error", 7.5)
    assert set(woken) == {"u"}


async def test_the_end_of_what_was_not_seen_to_run_is_asked_for() -> None:
    """A container that ended before its start was recorded is not told from the event: its exit follows."""
    woken: list[str] = []
    view = RuntimeView(Answering([]), woken.append)  # type: ignore[arg-type]
    view.record_container(container("created"))
    await view.handle(RuntimeEvent("ended", "c1", 0, 7.5))
    assert view.of("u").containers["c1"].state == "created"
    assert not woken


@pytest.mark.parametrize(
    ("known", "code", "reason"), [("", 0, "Completed"), ("", 1, "Error"), ("OOMKilled", 1, "OOMKilled")]
)
def test_the_reason_of_an_end(known: str, code: int, reason: str) -> None:
    """It is what the runtime will say: by the exit code, unless memory ran out before."""
    ended = as_ended(container("running", reason=known), RuntimeEvent("ended", "c1", code, 7.5))
    assert ended.reason == reason


async def test_a_late_answer_does_not_bring_back_what_was_removed() -> None:
    """An answer about a container that was removed meanwhile is not believed."""
    runtime = Answering([container("exited")])
    view = RuntimeView(runtime, lambda uid: None)  # type: ignore[arg-type]
    view.record_container(container("running"))
    early = await begun(lambda: view.refresh("c1"))
    view.forget("c1")
    runtime.gates[0].set()
    assert await early is None
    assert view.uids() == []


async def test_a_start_that_was_cut_off_never_ran() -> None:
    """A start that containerd gave up as its caller died counts as a container that was only made."""
    cut = container("exited", reason="StartError", message="failed to start: context canceled", exit_code=128)
    bad = replace(cut, message='exec: "nope": executable file not found')
    assert [was_cut_off(cut), was_cut_off(bad), was_cut_off(container("running"))] == [True, False, False]
    runtime = Answering([cut])
    runtime.gates[0].set()
    view = RuntimeView(runtime, lambda uid: None)  # type: ignore[arg-type]
    view.record_container(container("created"))
    found = await view.refresh("c1")
    assert found is not None
    assert found.state == "created"


async def test_a_container_that_was_only_made_is_no_restart(idle_node: Node) -> None:
    """After a kill between making and starting a container, it is made anew without a restart."""
    node = idle_node
    async with kubelet_running(node):
        await node.client.create(Pod, pod_object())
        await node.running()
    [(id, running)] = node.runtime.running.items()
    running.container = replace(running.container, state="created", started_at=0.0)
    node.kubelet = Kubelet(node.client, node.runtime, node.clock, node.config)
    async with kubelet_running(node):
        pod = await node.until(
            lambda pod: dig(pod, "status.phase") == "Running" and node.container_id(pod) != id
        )
        assert dig(pod, "status.containerStatuses")[0]["restartCount"] == 0
        assert id not in node.runtime.running


async def test_orphans_go_within_seconds(idle_node: Node) -> None:
    """What runs of a pod that was deleted while no kubelet ran is gone after the second look."""
    node = idle_node
    async with kubelet_running(node):
        await node.client.create(Pod, pod_object())
        await node.running()
    await node.client.delete(Pod, Key("default", "web"), FORCE)
    node.kubelet = Kubelet(node.client, node.runtime, node.clock, node.config)
    async with kubelet_running(node):
        await settle()
        assert len(node.runtime.pods) == 1
        await node.clock.advance(2.0)
        await settle()
        assert node.runtime.pods == {}
        assert list(node.config.root_dir.glob("pods/*")) == []


async def test_a_pod_that_was_deleted_by_force_takes_no_room(node: Node) -> None:
    """While its container still ends, another pod gets what it had asked for."""
    room = dig(await node.client.get(NodeKind, NODE), "status.allocatable.cpu")
    whole = {"resources": {"requests": {"cpu": room}}}
    stubborn = {"name": "main", "image": "app:1", "command": ["stubborn"], **whole}
    await node.client.create(Pod, pod_object("victim", containers=[stubborn]))
    await node.running("victim")
    await node.client.delete(Pod, Key("default", "victim"), FORCE)
    await node.client.create(Pod, pod_object("next", containers=[{"name": "main", "image": "app:1", **whole}]))
    assert dig(await node.running("next"), "status.phase") == "Running"


async def test_a_runtime_that_hangs_makes_the_node_unready(idle_node: Node) -> None:
    """A runtime that takes calls and never answers is as one that is down: NotReady within a minute."""
    node = idle_node
    async with kubelet_running(node):
        answers, hung = node.runtime.monitor.info, asyncio.Event()

        async def info() -> RuntimeInfo:
            if not hung.is_set():
                return await answers()
            return await asyncio.Future()

        node.runtime.monitor.info = info  # type: ignore[method-assign]
        hung.set()
        for _ in range(60):
            await node.clock.advance(1.0)
            await settle_briefly()
        ready = condition(await node.client.get(NodeKind, NODE), "Ready")
        assert ready is not None
        assert (ready["status"], ready["message"]) == ("False", "container runtime is down")
        hung.clear()
        for _ in range(15):
            await node.clock.advance(1.0)
            await settle_briefly()
        assert (condition(await node.client.get(NodeKind, NODE), "Ready") or {})["status"] == "True"


async def settle_briefly() -> None:
    """Let what is due act."""
    for _ in range(5):
        await asyncio.sleep(0)


class Away(SimulatedSandboxes):
    """Sandboxes of a runtime that does not answer for a while."""

    away = True

    async def run(self, config: SandboxConfig) -> str:
        if self.away:
            raise RuntimeUnavailable("the container runtime does not answer: connection refused")
        return await super().run(config)


async def test_a_runtime_that_is_back_is_noticed_at_once(idle_node: Node) -> None:
    """However long the runtime was away, a pod made meanwhile starts within two seconds of its return."""
    sandboxes = idle_node.runtime.sandboxes = Away(idle_node.runtime)
    async with kubelet_running(idle_node):
        await idle_node.client.create(Pod, pod_object())
        for _ in range(30):
            await idle_node.clock.advance(2)
            await settle()
        assert (await idle_node.pod())["status"]["phase"] == "Pending"
        assert idle_node.events("Pulled") == []
        sandboxes.away = False
        await idle_node.clock.advance(2)
        await idle_node.running()
        await settle()
        assert [len(idle_node.events(reason)) for reason in ("FailedCreatePodSandBox", "Pulled")] == [1, 1]


class Failing(SimulatedSandboxes):
    """Sandboxes that fail in a way that nobody foresaw, and how often they did."""

    fault: Exception
    tries = 0

    async def run(self, config: SandboxConfig) -> str:
        self.tries += 1
        raise self.fault


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            OSError(28, "No space left on device", "/pods/u"),
            "FailedToMakePodDataDirectories: error making pod data directories: "
            "[Errno 28] No space left on device: '/pods/u'",
        ),
        (LookupError("nothing there"), "FailedSync: error determining status: nothing there"),
    ],
)
async def test_no_failure_is_tried_again_at_once(idle_node: Node, fault: Exception, told: str) -> None:
    """A start that fails for whatever reason is told in an event and tried after 1, 2, 4 and 8 seconds."""
    sandboxes = idle_node.runtime.sandboxes = Failing(idle_node.runtime)
    sandboxes.fault = fault
    async with kubelet_running(idle_node):
        await idle_node.client.create(Pod, pod_object())
        for _ in range(16):
            await idle_node.clock.advance(1)
            await settle()
        assert sandboxes.tries == 5
        assert {f"{reason}: {message}" for reason, message in idle_node.events()} == {told}


class Absent:
    """A registry behind a runtime that is away."""

    async def pull(self, reference: str, credentials: object = None) -> Image:
        raise RuntimeUnavailable("the container runtime does not answer: connection refused")


async def test_pulls_do_not_back_off_while_the_runtime_is_away() -> None:
    """An image that could not be pulled because no runtime answers is tried again soon, however often."""
    clock = VirtualClock()
    puller = ImagePuller(cast(Images, Absent()), clock, parallel=1)
    waits = []
    for _ in range(8):
        now = clock.now().timestamp()
        with pytest.raises(ImageRefused) as refused:
            await puller.ensure(pod_object(), {"image": "a:1", "imagePullPolicy": "Always"}, [], tell)
        assert refused.value.reason == "ErrImagePull"
        waits.append((refused.value.retry_at or 0) - now)
        await clock.advance(waits[-1])
    assert waits == [3.0] * 8
    await puller.close()


def tell(type: str, reason: str, message: str) -> None:
    """Nobody listens."""
