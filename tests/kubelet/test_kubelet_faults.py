"""What could leave a pod waiting for ever, in virtual time: news that come in another order, refusals that
pass, containers of which the runtime has lost sight, calls that hang, tasks that fail.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from kubelet_node import Node, kubelet_running, pod_object, settle

from minikube_py.client.base import Cache, Change, Client
from minikube_py.errors import Conflict
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.agent import Kubelet
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, dig
from minikube_py.runtime.base import Container, RuntimeEvent, SandboxConfig
from minikube_py.runtime.simulated_pods import SimulatedContainers, SimulatedSandboxes

FORCE = {"gracePeriodSeconds": 0}
WEB = Key("default", "web")


async def comes_true(node: Node, check: Callable[[], bool], within: float = 60.0) -> bool:
    """Whether `check` holds before `within` seconds of the node's clock have passed."""
    for _ in range(int(within)):
        await settle()
        if check():
            return True
        await node.clock.advance(1.0)
    return check()


def is_gone(node: Node, name: str = "web") -> bool:
    """Whether the API has the pod no more."""
    return node.client.cache.get(Pod, Key("default", name)) is None


class Lagging:
    """A cache whose followers hear of pods only while it is not `held`."""

    def __init__(self, inner: Cache) -> None:
        self._inner = inner
        self._late: list[tuple[Callable[[Change], None], Change]] = []
        self.held = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def follow(self, kind: Kind, on_change: Callable[[Change], None]) -> Callable[[], None]:
        def take(change: Change) -> None:
            if self.held and kind is Pod:
                self._late.append((on_change, change))
            else:
                on_change(change)

        return await self._inner.follow(kind, take)

    def release(self) -> None:
        """Tell all that is due."""
        self.held, late, self._late = False, self._late, []
        for on_change, change in late:
            on_change(change)


class Altered:
    """A client with another cache, and `refusals`: how many of the writes to a pod meet a Conflict."""

    def __init__(self, inner: Client) -> None:
        self._inner = inner
        self.cache = Lagging(inner.cache)
        self.refusals = {"patch": 0, "delete": 0}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _refuse(self, verb: str, kind: Kind) -> None:
        if kind is Pod and self.refusals[verb]:
            self.refusals[verb] -= 1
            raise Conflict("the object has been modified; please apply your changes to the latest version")

    async def patch(self, kind: Kind, key: Key, body: Any, **how: Any) -> Obj:
        self._refuse("patch", kind)
        return await self._inner.patch(kind, key, body, **how)

    async def delete(self, kind: Kind, key: Key, options: Obj | None = None) -> None:
        self._refuse("delete", kind)
        await self._inner.delete(kind, key, options)


def altered(node: Node) -> Altered:
    """The client that the node's kubelet has from now on."""
    client = Altered(node.client)
    node.kubelet = Kubelet(cast(Client, client), node.runtime, node.clock, node.config)
    return client


def renewed(node: Node) -> Node:
    """The node with a new kubelet, which sees the runtime as it is now."""
    node.kubelet = Kubelet(node.client, node.runtime, node.clock, node.config)
    return node


async def test_a_deletion_that_a_write_tells_of_first(idle_node: Node) -> None:
    """A pod whose deletion shows in the answer to a write of its status, before the cache tells, ends."""
    two = [{"name": name, "image": "app:1"} for name in ("main", "other")]
    client = altered(idle_node)
    async with kubelet_running(idle_node):
        await idle_node.client.create(Pod, pod_object(containers=two, restartPolicy="Never"))
        pod = await idle_node.running()
        await settle()
        client.cache.held = True
        await idle_node.client.delete(Pod, WEB)
        idle_node.runtime.exit(idle_node.container_id(pod), 0)
        await settle()
        client.cache.release()
        assert await comes_true(idle_node, lambda: is_gone(idle_node))


async def test_a_deletion_that_meets_conflicts_is_tried_again(idle_node: Node) -> None:
    """A pod to whose object others write all the while is deleted in the end."""
    client = altered(idle_node)
    async with kubelet_running(idle_node):
        await idle_node.client.create(Pod, pod_object())
        await idle_node.running()
        client.refusals["delete"] = 2
        await idle_node.client.delete(Pod, WEB)
        assert await comes_true(idle_node, lambda: is_gone(idle_node))


async def test_a_status_that_meets_conflicts_is_tried_again(idle_node: Node) -> None:
    """The last status of a pod gets through, however many others write to it."""
    client = altered(idle_node)
    async with kubelet_running(idle_node):
        await idle_node.client.create(Pod, pod_object(restartPolicy="Never"))
        pod = await idle_node.running()
        client.refusals["patch"] = 2
        idle_node.runtime.exit(idle_node.container_id(pod), 0)
        cache = idle_node.client.cache
        assert await comes_true(idle_node, lambda: dig(cache.get(Pod, WEB), "status.phase") == "Succeeded")


async def test_a_start_that_went_on_after_a_kill_is_no_failure(idle_node: Node) -> None:
    """A container that was only made when the kubelet began, and ran to its end since, is not made again."""
    node = idle_node
    async with kubelet_running(node):
        await node.client.create(Pod, pod_object(restartPolicy="OnFailure"))
        await node.running()
    [(id, running)] = node.runtime.running.items()
    ended = running.container
    running.container = _as(ended, "created")

    class Ending(SimulatedContainers):
        """Containers that have run once they are asked for anew."""

        asked = 0

        async def status(self, id: str) -> Container:
            self.asked += 1
            if self.asked == 2:
                running.container = _as(ended, "exited")
            return await super().status(id)

    node.runtime.containers = Ending(node.runtime)
    async with kubelet_running(renewed(node)):
        pod = await node.until(lambda pod: dig(pod, "status.phase") == "Succeeded")
        assert node.container_id(pod) == id
        assert node.events("Failed") == []


def _as(container: Container, state: str) -> Container:
    return replace(container, state=state, finished_at=container.started_at, reason="Completed")


class Slow(SimulatedSandboxes):
    """Sandboxes that are made only once the caller has given up."""

    async def run(self, config: SandboxConfig) -> str:
        try:
            return await asyncio.Future()
        finally:
            await super().run(config)


async def test_a_sandbox_that_is_never_ready_does_not_hold_up_a_deletion(idle_node: Node) -> None:
    """A pod whose network does not come is gone some seconds after its deletion, with what was made late."""
    node = idle_node
    node.runtime.sandboxes = Slow(node.runtime)
    async with kubelet_running(renewed(node)):
        await node.client.create(Pod, pod_object())
        await settle()
        await node.client.delete(Pod, WEB)
        assert await comes_true(node, lambda: is_gone(node), within=10)
        assert await comes_true(node, lambda: not node.runtime.pods)


async def test_what_was_made_late_for_a_failed_pod_is_stopped(idle_node: Node) -> None:
    """A sandbox that comes up after its pod has failed does not stay until somebody deletes the pod."""
    node = idle_node
    node.runtime.sandboxes = Slow(node.runtime)
    async with kubelet_running(renewed(node)):
        await node.client.create(Pod, pod_object(activeDeadlineSeconds=10))
        cache, pods = node.client.cache, node.runtime.pods
        assert await comes_true(node, lambda: dig(cache.get(Pod, WEB), "status.phase") == "Failed")
        assert await comes_true(node, lambda: [pod.sandbox.state for pod in pods.values()] == ["notready"])


async def test_a_container_that_does_not_start_does_not_hold_up_a_deletion(idle_node: Node) -> None:
    """A pod whose container hangs in its start is gone some seconds after its deletion."""

    class Stuck(SimulatedContainers):
        """Containers whose start never ends."""

        async def start(self, id: str) -> None:
            await asyncio.Future()

    node = idle_node
    node.runtime.containers = Stuck(node.runtime)
    async with kubelet_running(renewed(node)):
        await node.client.create(Pod, pod_object())
        await settle()
        assert len(node.runtime.running) == 1
        await node.client.delete(Pod, WEB)
        assert await comes_true(node, lambda: is_gone(node), within=10)
        assert node.runtime.running == {}


async def test_what_may_run_is_stopped_before_it_is_started_again(idle_node: Node) -> None:
    """A container of unknown state is killed, and replaced once it has ended."""
    node = idle_node
    async with kubelet_running(node):
        await node.client.create(Pod, pod_object())
        await node.running()
    [(id, running)] = node.runtime.running.items()

    class Lost(SimulatedContainers):
        """Containers of which the first is not known to run or not, until it is stopped."""

        state = "unknown"

        async def status(self, wanted: str) -> Container:
            found = await super().status(wanted)
            return _as(found, self.state) if wanted == id else found

        async def stop(self, wanted: str, grace: float) -> None:
            await super().stop(wanted, grace)
            self.state = "exited"

    node.runtime.containers = Lost(node.runtime)
    async with kubelet_running(renewed(node)):
        pod = await node.until(
            lambda pod: dig(pod, "status.phase") == "Running" and node.container_id(pod) != id
        )
        assert dig(pod, "status.containerStatuses")[0]["restartCount"] == 1
        assert running.container.state == "exited"
        told = 'Container is in "unknown" state, try killing it before restart'
        assert ("Killing", told) in node.events("Killing")


async def test_an_orphan_whose_removal_hangs_holds_up_nothing_else(idle_node: Node) -> None:
    """While the sandbox of one orphan cannot be stopped, another goes, and the node is compared with the
    runtime as ever."""
    node = idle_node
    async with kubelet_running(node):
        for name in ("stuck", "loose", "web"):
            await node.client.create(Pod, pod_object(name))
            await node.running(name)
    for name in ("stuck", "loose"):
        await node.client.delete(Pod, Key("default", name), FORCE)
    stuck = next(id for id, pod in node.runtime.pods.items() if pod.sandbox.name == "stuck")

    class Hanging(SimulatedSandboxes):
        """Sandboxes of which one never stops."""

        async def stop(self, id: str) -> None:
            if id == stuck:
                await asyncio.Future()
            await super().stop(id)

    node.runtime.sandboxes = Hanging(node.runtime)
    async with kubelet_running(renewed(node)):
        pods = node.runtime.pods
        assert await comes_true(node, lambda: {p.sandbox.name for p in pods.values()} == {"stuck", "web"})
        id = node.container_id(await node.pod())
        node.runtime.running[id].container = _as(node.runtime.running[id].container, "exited")
        assert await comes_true(node, lambda: len(node.runtime.running) == 3)


async def test_a_kubelet_that_hears_no_events_is_no_kubelet(idle_node: Node) -> None:
    """A fault in what takes in the runtime's events ends the service, which is then started again."""
    node = idle_node

    async def broken() -> Any:
        raise KeyError("no such container")
        yield RuntimeEvent("exited", "c1")

    node.runtime.monitor.events = broken  # type: ignore[method-assign]
    ended = await asyncio.gather(renewed(node).kubelet.run(asyncio.Event()), return_exceptions=True)
    assert [type(error) for error in ended] == [KeyError]
