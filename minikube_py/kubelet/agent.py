"""Kubelet: the service that runs this node's pods.

It follows the pods bound to this node, gives each a worker, feeds the workers with runtime events, and keeps
the Node, its Lease, the logs and its HTTPS server. Containers outlive it: a new kubelet recognises them by
their labels and goes on; those whose pods are gone are removed. A slow relist catches what events missed.
"""

import asyncio
import logging
from pathlib import Path

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Change, Client
from minikube_py.client.events import EventRecorder
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.secret import Secret
from minikube_py.kubelet.access import Access
from minikube_py.kubelet.cgroups import PodCgroups, find
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.images import ImagePuller
from minikube_py.kubelet.machine import Machine, read_machine
from minikube_py.kubelet.node import NodeReporter, resources
from minikube_py.kubelet.orphans import Orphans
from minikube_py.kubelet.pod_volumes import volume_kinds
from minikube_py.kubelet.rotation import LogRotation
from minikube_py.kubelet.sandbox import Resolver, parse_resolv_conf
from minikube_py.kubelet.server import KubeletServer
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.view import RuntimeView
from minikube_py.kubelet.volumes.base import ObjectRef
from minikube_py.kubelet.worker import PodWorker
from minikube_py.meta.objects import Obj, dig, key_of, uid_of
from minikube_py.runtime.base import Runtime, RuntimeFailed

log = logging.getLogger(__name__)

RECONNECT = 1.0  # seconds until the runtime's events are asked for again
RESTART_WORKER = 5.0  # seconds until a pod whose worker failed gets a new one


class Kubelet:
    """The node agent, a Service. `access` decides on requests to its server that carry no administrator's
    certificate (None: they are refused)."""

    name = "kubelet"

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        clock: Clock,
        config: KubeletConfig,
        access: Access | None = None,
    ) -> None:
        self._client, self._runtime, self._clock = client, runtime, clock
        self._config, self._access = config, access
        self._workers: dict[str, PodWorker] = {}
        self._needed_by: dict[ObjectRef, set[str]] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._tasks = Tasks("kubelet")
        self._node = NodeReporter(client, runtime, clock, config)

    async def idle(self) -> None:
        """Wait until nothing of any pod is left on this node."""
        await self._empty.wait()

    async def run(self, ready: asyncio.Event) -> None:
        """Run pods until cancelled; ready once the node is registered and known pods have their workers."""
        config = self._config
        for directory in (config.root_dir, config.log_dir):
            directory.mkdir(parents=True, exist_ok=True)
        machine = await asyncio.to_thread(read_machine, config.root_dir)
        recorder = EventRecorder(self._client, self._clock, "kubelet", host=config.node_name)
        images = ImagePuller(self._runtime.images, self._clock, parallel=config.parallel_pulls)
        view = RuntimeView(self._runtime, self._wake)
        shared = self._shared(machine, (recorder, images, view))
        unsubscribe = []
        try:
            async with recorder, self._tasks:
                await asyncio.to_thread(shared.cgroups.make_tiers, machine.cores, machine.memory)
                self._tasks.spawn(self._follow_runtime(view), "runtime-events")
                await view.relist()
                await self._node.register(machine)
                unsubscribe += [
                    self._client.cache.subscribe(Pod, lambda change: self._on_pod(change, shared)),
                    self._client.cache.subscribe(ConfigMap, self._on_object),
                    self._client.cache.subscribe(Secret, self._on_object),
                ]
                orphans = Orphans(shared, lambda: self._workers.keys())
                await self._serve(shared, orphans, ready)
        finally:
            for stop in unsubscribe:
                stop()
            await images.close()
            self._workers.clear()
            self._needed_by.clear()

    def _shared(self, machine: Machine, parts: tuple[EventRecorder, ImagePuller, RuntimeView]) -> Shared:
        config = self._config
        recorder, images, view = parts
        mounts = Path("/proc/mounts").read_text() if config.cgroup_root else ""
        return Shared(
            self._client,
            self._runtime,
            self._clock,
            config,
            view,
            images,
            PodCgroups(config.cgroup_root, find(mounts)),
            recorder,
            volume_kinds(),
            _host_resolver(config),
            machine.memory,
            resources(config, machine),
        )

    async def _serve(self, shared: Shared, orphans: Orphans, ready: asyncio.Event) -> None:
        """Run the lasting tasks; the first one that fails ends the service."""
        lasting = [
            self._tasks.spawn(self._node.keep_status(), "node-status"),
            self._tasks.spawn(self._node.keep_lease(), "lease"),
            self._tasks.spawn(self._relist(shared.view, orphans), "relist"),
            self._tasks.spawn(
                LogRotation(self._runtime, shared.view, self._clock, self._config).run(), "log-rotation"
            ),
        ]
        if self._config.server is None:
            ready.set()
            await _first(lasting)
            return
        server = KubeletServer(shared, self._config.server, self._access)
        async with server:
            ready.set()
            await _first(lasting)

    def _wake(self, uid: str) -> None:
        if worker := self._workers.get(uid):
            worker.wake()

    def _on_pod(self, change: Change, shared: Shared) -> None:
        pod = change.object
        if dig(pod, "spec.nodeName") != self._config.node_name:
            return
        worker = self._workers.get(uid_of(pod))
        if change.type == "DELETED":
            if worker is not None:
                worker.removed()
        elif worker is not None:
            worker.update(pod)
        else:
            self._begin(pod, shared)

    def _begin(self, pod: Obj, shared: Shared) -> None:
        worker = PodWorker(pod, shared)
        self._workers[worker.uid] = worker
        self._empty.clear()
        for ref in worker.needs():
            self._needed_by.setdefault(ref, set()).add(worker.uid)
        self._tasks.spawn(self._drive(worker, shared), f"pod/{key_of(pod)}")

    async def _drive(self, worker: PodWorker, shared: Shared) -> None:
        """Run a worker to its end; one that fails is replaced by a new one."""
        try:
            await worker.run()
        except Exception:
            log.exception("the worker of pod %s failed; a new one follows", key_of(worker.pod))
            await self._clock.sleep(RESTART_WORKER)
            self._drop(worker)
            current = self._client.cache.get(Pod, key_of(worker.pod))
            if current is not None and uid_of(current) == worker.uid:
                self._begin(current, shared)
            return
        self._drop(worker)

    def _drop(self, worker: PodWorker) -> None:
        self._workers.pop(worker.uid, None)
        if not self._workers:
            self._empty.set()
        for ref in worker.needs():
            users = self._needed_by.get(ref)
            if users is not None:
                users.discard(worker.uid)
                if not users:
                    del self._needed_by[ref]

    def _on_object(self, change: Change) -> None:
        meta = change.object["metadata"]
        ref = ObjectRef(change.kind.kind, meta.get("namespace", ""), meta["name"])
        for uid in self._needed_by.get(ref, ()):
            self._workers[uid].object_changed()

    async def _follow_runtime(self, view: RuntimeView) -> None:
        """Hand the runtime's events to the view; when the stream breaks, ask again and compare everything."""
        while True:
            try:
                async for event in self._runtime.monitor.events():
                    await view.handle(event)
            except (RuntimeFailed, TimeoutError) as error:
                log.warning("the container runtime's events broke off: %s", error)
                self._node.changed()
            await self._clock.sleep(RECONNECT)
            try:
                await view.relist()
                self._node.changed()
            except (RuntimeFailed, TimeoutError) as error:
                log.debug("the container runtime does not answer yet: %s", error)

    async def _relist(self, view: RuntimeView, orphans: Orphans) -> None:
        while True:
            try:
                await orphans.remove()
                await self._clock.sleep(self._config.relist_interval)
                await view.relist()
            except (RuntimeFailed, TimeoutError) as error:
                log.warning("cannot list what the container runtime holds: %s", error)
                await self._clock.sleep(RECONNECT)


async def _first(tasks: list[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def _host_resolver(config: KubeletConfig) -> Resolver:
    try:
        return parse_resolv_conf(config.resolv_conf.read_text(errors="replace"))
    except OSError:
        return Resolver()
