"""Kubelet: the service that runs this node's pods.

It follows the pods bound to this node, gives each a worker, feeds the workers with runtime events, and keeps
the Node, its Lease, the logs and its HTTPS server. Containers outlive it: a new kubelet recognises them by
their labels and goes on; those whose pods are gone are removed. A slow relist catches what events missed.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks, first_ended
from minikube_py.client.base import Change, Client
from minikube_py.client.events import EventRecorder
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import BY_NODE, Pod, node_of
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.node.runtimeclass import RuntimeClass
from minikube_py.kubelet.admission.gate import Gate, node_with
from minikube_py.kubelet.cm.allocatable import allocatable, capacity, enforced
from minikube_py.kubelet.cm.cgroups import PodCgroups, find, host_limits
from minikube_py.kubelet.cm.oom import OomWatch
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.devicemanager.devices import Devices
from minikube_py.kubelet.eviction.ephemeralstorage import StorageLimits
from minikube_py.kubelet.eviction.pressure import Pressure, Rest
from minikube_py.kubelet.eviction.signals import read_signals
from minikube_py.kubelet.images.puller import ImagePuller
from minikube_py.kubelet.kuberuntime.instrumented import InstrumentedRuntime
from minikube_py.kubelet.kuberuntime.isolation import Isolation
from minikube_py.kubelet.kuberuntime.orphans import Orphans
from minikube_py.kubelet.kuberuntime.pace import PER_CORE, Pace
from minikube_py.kubelet.kuberuntime.sandbox import host_resolver
from minikube_py.kubelet.kuberuntime.usernamespaces import UserNamespaces
from minikube_py.kubelet.kuberuntime.view import RuntimeView
from minikube_py.kubelet.logs.rotation import LogRotation
from minikube_py.kubelet.metrics import KubeletMetrics
from minikube_py.kubelet.node.machine import Machine, has_apparmor, read_machine
from minikube_py.kubelet.node.node import NodeReporter
from minikube_py.kubelet.node.node_status import node_object
from minikube_py.kubelet.node.nodeplugins import watch_plugins
from minikube_py.kubelet.pod_volumes import volume_kinds
from minikube_py.kubelet.publish import pause_for
from minikube_py.kubelet.server.access import Access
from minikube_py.kubelet.server.reviews import ReviewAccess
from minikube_py.kubelet.server.server import KubeletServer
from minikube_py.kubelet.server.stats_handlers import StatsHandlers
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.static.manifests import is_mirror
from minikube_py.kubelet.static.static_pods import StaticPods, Workers
from minikube_py.kubelet.stats.state import State
from minikube_py.kubelet.volumes.base import ANY_DRIVER, Mounted, ObjectRef
from minikube_py.kubelet.volumes.localpath import LocalPaths
from minikube_py.kubelet.volumes.storage import Storage
from minikube_py.kubelet.worker import Mirror, PodWorker
from minikube_py.meta.objects import Key, Obj, dig, key_of, uid_of
from minikube_py.runtime.base import Runtime, RuntimeFailed

log = logging.getLogger(__name__)

LOOK_AGAIN = 2.0  # seconds until what seems to be left of a pod without an object is looked at again
RECONNECT = 1.0  # seconds until the runtime's events are asked for again
EVICTION_GRACE = 1.0  # seconds that an evicted pod has
RESTART_WORKER = 5.0  # seconds until a pod whose worker failed gets a new one


class Kubelet:
    """The node agent, a Service. `access` decides on requests to its server that carry no administrator's
    certificate (None: `client` is asked by reviews)."""

    name = "kubelet"

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        clock: Clock,
        config: KubeletConfig,
        access: Access | None = None,
    ) -> None:
        self._metrics = KubeletMetrics()
        runtime = InstrumentedRuntime(runtime, self._metrics)
        self._client, self._runtime, self._clock = client, runtime, clock
        self._config, self._access = config, access or ReviewAccess(client, clock)
        self._workers: dict[str, PodWorker] = {}
        self._needed_by: dict[ObjectRef, set[str]] = {}
        self._starting: set[str] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._static: StaticPods | None = None
        self._tasks = Tasks("kubelet")
        self._node = NodeReporter(client, runtime, clock, config)
        self.read_signals = partial(read_signals, config.root_dir, config.image_disk, config.cgroup_root)
        """Reads the eviction signals of the machine; may block."""

    async def idle(self) -> None:
        """Wait until nothing of any pod is left on this node."""
        await self._empty.wait()

    async def run(self, ready: asyncio.Event) -> None:
        """Run pods until cancelled; ready once the node is registered and known pods have their workers."""
        config = self._config
        for directory in (config.root_dir, config.log_dir):
            directory.mkdir(parents=True, exist_ok=True)
        machine = await asyncio.to_thread(read_machine, config.root_dir)
        name, pause = config.node_name, partial(pause_for, self._starting)
        recorder = EventRecorder(self._client, self._clock, "kubelet", host=name, pause=pause)
        images = ImagePuller(
            self._runtime.images,
            self._clock,
            parallel=config.parallel_pulls,
            node_config=config.root_dir / "config.json",
        )
        images.pulled = self._metrics.image_pulled
        view = RuntimeView(self._runtime, self._wake)
        shared = self._shared(machine, (recorder, images, view))
        shared.storage.changed = lambda: self._tell_users(ANY_DRIVER)
        self._static = self._static_pods(shared)
        self._gate = Gate(
            config,
            self._client.cache,
            node_with(node_object(config, machine), shared.allocatable),
            lambda: self._node.info,
        )
        self._gate.apparmor = await asyncio.to_thread(has_apparmor)
        self._gate.others, self._gate.devices = self._pods, shared.devices.plugins
        pressure = self._pressure(shared)
        self._node.recorder = recorder
        self._node.made_anew = lambda: shared.storage.tell_again()
        self._node.tell("Normal", "Starting", "Starting kubelet.")
        unsubscribe: list[Callable[[], None]] = []
        try:
            async with recorder, shared.devices, self._tasks:
                await asyncio.to_thread(shared.cgroups.make_tiers, enforced(config, capacity(config, machine)))
                events = self._tasks.spawn(self._follow_runtime(view), "runtime-events")
                await view.relist()
                await pressure.evictor.look()
                await self._node.register(machine)
                plugins = await watch_plugins(shared.storage, shared.devices, self._tasks)
                await self._client.cache.file(Pod, BY_NODE, node_of)
                self._gate.remember(filter(self._is_ours, self._client.cache.list(Pod)), view.uids())
                follow, keep = self._client.cache.follow, unsubscribe.append
                keep(await follow(Node, self._on_node))
                keep(await follow(Pod, lambda change: self._on_pod(change, shared)))
                shared.devices.all_known(self._pods)
                keep(await follow(ConfigMap, self._on_object))
                keep(await follow(Secret, self._on_object))
                keep(await follow(PersistentVolumeClaim, self._on_object))
                keep(await follow(PersistentVolume, self._on_volume))
                orphans = Orphans(shared, lambda: self._workers.keys(), self._tasks)
                lasting = [*self._lasting(shared, orphans, pressure), plugins, events]
                await self._serve(shared, lasting, pressure, ready)
        finally:
            for stop in unsubscribe:
                stop()
            await images.close()
            await shared.storage.close()
            self._workers.clear()
            self._needed_by.clear()

    def _shared(self, machine: Machine, parts: tuple[EventRecorder, ImagePuller, RuntimeView]) -> Shared:
        config = self._config
        recorder, images, view = parts
        hierarchies = find(Path("/proc/mounts").read_text() if config.cgroup_root else "")
        whole, limits = capacity(config, machine), host_limits(hierarchies, machine.hugepages)
        return Shared(
            self._client,
            self._runtime,
            self._clock,
            config,
            view,
            images,
            PodCgroups(config.cgroup_root, hierarchies, config.pod_pids_limit, limits.page_sizes),
            recorder,
            volume_kinds(),
            Storage(self._client, self._clock, config, recorder),
            host_resolver(config),
            machine.memory,
            allocatable(config, whole),
            isolation=Isolation(
                lambda name: self._client.cache.get(RuntimeClass, Key("", name)),
                lambda: self._node.info.handlers if self._node.info else {},
                UserNamespaces(config.root_dir / "pods", config.max_pods),
            ),
            host_limits=limits,
            devices=self._devices(),
            pace=Pace(self._clock, PER_CORE * machine.cores),
            starting=self._starting,
            metrics=self._metrics,
        )

    def _devices(self) -> Devices:
        devices = Devices(self._client, self._clock, self._config)
        devices.plugins.changed, self._node.devices = self._node.changed, devices.plugins.endpoints.amounts
        return devices

    def _pressure(self, shared: Shared) -> Pressure:
        """What watches over memory and disk of the node, wired to the rest of this kubelet."""
        workers = self._workers

        def pressed() -> None:
            self._gate.pressures = pressure.evictor.pressures
            self._node.changed()

        def evict(uid: str, message: str, grace: float) -> None:
            if worker := workers.get(uid):
                worker.evict("Evicted", message, grace, disrupted=True)

        kubelet = Rest(self._pods, self._mounted, evict, self._node.tell, pressed, lambda: self.read_signals())
        pressure = Pressure(shared, kubelet)
        self._node.pressures = lambda: pressure.evictor.pressures
        return pressure

    def _pods(self) -> list[Obj]:
        return [worker.pod for worker in self._workers.values()]

    def _mounted(self, uid: str) -> Mapping[str, Mounted]:
        return self._workers[uid].mounted() if uid in self._workers else {}

    def _lasting(self, shared: Shared, orphans: Orphans, pressure: Pressure) -> list[asyncio.Task[None]]:
        """The tasks that run as long as the kubelet does."""
        config, spawn = self._config, self._tasks.spawn
        rotation = LogRotation(self._runtime, shared.view, self._clock, config)
        limits = StorageLimits(config, self._clock, self._runtime.monitor, self._pods)
        lasting = [
            spawn(self._node.keep_status(), "node-status"),
            spawn(self._node.keep_lease(), "lease"),
            spawn(LocalPaths(shared.storage).run(), "local-paths"),
            spawn(self._relist(shared.view, orphans), "relist"),
            spawn(rotation.run(), "log-rotation"),
            spawn(limits.run(shared.view, self._evict), "storage-limits"),
            spawn(pressure.evictor.run(), "eviction"),
            spawn(pressure.images.run(config.image_disk), "image-gc"),
            spawn(OomWatch(partial(self._node.tell, "Warning", "SystemOOM")).run(), "oom"),
        ]
        if self._static is not None:
            lasting.append(spawn(self._static.run(), "static-pods"))
        return lasting

    async def _serve(
        self, shared: Shared, lasting: list[asyncio.Task[None]], pressure: Pressure, ready: asyncio.Event
    ) -> None:
        """Run the lasting tasks; the first one that fails ends the service."""
        if self._config.server is None:
            ready.set()
            await first_ended(lasting)
            return
        state = State(self._pods, self._mounted, lambda: [w.probe_counts for w in self._workers.values()])
        machine = await asyncio.to_thread(read_machine, self._config.root_dir)
        stats = StatsHandlers(shared, pressure.measuring, state, machine)
        async with KubeletServer(shared, self._config.server, self._access, stats):
            ready.set()
            await first_ended(lasting)

    def _evict(self, uid: str, message: str) -> None:
        if worker := self._workers.get(uid):
            worker.evict("Evicted", message, EVICTION_GRACE)

    def _is_ours(self, pod: Obj) -> bool:
        return bool(dig(pod, "spec.nodeName") == self._config.node_name) and not is_mirror(pod)

    def _static_pods(self, shared: Shared) -> StaticPods | None:
        folder, workers = self._config.static_pod_path, self._workers
        if folder is None:
            return None

        def end(uid: str) -> None:
            if worker := workers.get(uid):
                worker.removed()

        def retell(uid: str) -> None:
            if worker := workers.get(uid):
                worker.told_anew()

        return StaticPods(
            shared, folder, Workers(lambda pod, mirror: self._begin(pod, shared, mirror), end, retell)
        )

    def _on_node(self, change: Change) -> None:
        if change.object["metadata"]["name"] == self._config.node_name:
            self._node.seen(change.object)

    def _wake(self, uid: str) -> None:
        if worker := self._workers.get(uid):
            worker.wake()

    def _on_pod(self, change: Change, shared: Shared) -> None:
        pod = change.object
        if is_mirror(pod) and self._static is not None:
            self._static.mirror_changed(change)
        if not self._is_ours(pod):
            return
        self._gate.update(pod)
        worker = self._workers.get(uid_of(pod))
        if change.type == "DELETED":
            if worker is not None:
                self._gate.release(worker.uid)  # by force, maybe: what still ends counts no more
                worker.removed()
        elif worker is not None:
            worker.update(pod)
        else:
            self._begin(pod, shared)

    def _begin(self, pod: Obj, shared: Shared, mirror: Mirror | None = None) -> None:
        worker = PodWorker(pod, shared, mirror)
        self._metrics.containers_per_pod.observe((), len(pod["spec"]["containers"]))
        if rejections := self._gate.admit(pod):
            self._metrics.rejections.add((rejections[0].reason,))
            worker.reject(rejections[0])
        worker.displace([self._workers[uid] for uid in self._gate.victims])
        self._workers[worker.uid] = worker
        self._empty.clear()
        for ref in worker.needs():
            self._needed_by.setdefault(ref, set()).add(worker.uid)
        self._tasks.spawn(self._drive(worker, shared, mirror), f"pod/{key_of(pod)}")

    async def _drive(self, worker: PodWorker, shared: Shared, mirror: Mirror | None) -> None:
        """Run a worker to its end; one that fails is replaced by a new one."""
        try:
            await worker.run()
        except Exception:
            log.exception("the worker of pod %s failed; a new one follows", key_of(worker.pod))
            await self._clock.sleep(RESTART_WORKER)
            self._drop(worker)
            current = None if mirror else self._client.cache.get(Pod, key_of(worker.pod))
            if current is not None and uid_of(current) == worker.uid:
                self._begin(current, shared)
            return
        self._drop(worker)

    def _drop(self, worker: PodWorker) -> None:
        self._workers.pop(worker.uid, None)
        self._gate.release(worker.uid)
        if self._static is not None:
            self._static.ended(worker.uid)
        for other in self._workers.values():
            other.room_made()
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
        self._tell_users(ObjectRef(change.kind.kind, meta.get("namespace", ""), meta["name"]))

    def _on_volume(self, change: Change) -> None:
        """A PersistentVolume concerns the pods that use its claim."""
        if claim := dig(change.object, "spec.claimRef"):
            self._tell_users(
                ObjectRef(PersistentVolumeClaim.kind, claim.get("namespace", ""), claim.get("name", ""))
            )

    def _tell_users(self, ref: ObjectRef) -> None:
        for uid in self._needed_by.get(ref, ()):
            if worker := self._workers.get(uid):
                worker.object_changed()

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
                suspects = await orphans.remove()
                await self._clock.sleep(LOOK_AGAIN if suspects else self._config.relist_interval)
                await self._metrics.timed_relist(view.relist, self._clock)
            except (RuntimeFailed, TimeoutError) as error:
                log.warning("cannot list what the container runtime holds: %s", error)
                await self._clock.sleep(RECONNECT)
