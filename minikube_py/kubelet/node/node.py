"""The Node object and its Lease: what this kubelet tells of itself.

NodeReporter registers the node, renews the Lease every ten seconds and writes the
status when it changes, and every five minutes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from minikube_py.aio.clock import Clock, within
from minikube_py.client.base import MERGE_PATCH, Client
from minikube_py.client.events import EventRecorder
from minikube_py.errors import AlreadyExists, ApiError
from minikube_py.kinds.core.node import Node
from minikube_py.kubelet.cm.allocatable import extended, withdrawn
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.node.lease import renew
from minikube_py.kubelet.node.machine import Machine, read_machine
from minikube_py.kubelet.node.node_status import (
    ALLOCATABLE_ENFORCED,
    Observation,
    node_annotations,
    node_object,
    node_status,
    schedulable,
    told,
    unseen,
    without_heartbeats,
)
from minikube_py.kubelet.volumes.storage import nothing
from minikube_py.meta.amounts import Amounts
from minikube_py.meta.objects import (
    Key,
    Obj,
    annotations_of,
    dig,
    labels_of,
    name_of,
)
from minikube_py.runtime.base import Image, Runtime, RuntimeFailed, RuntimeInfo

log = logging.getLogger(__name__)

IMAGES_INTERVAL = 60.0  # seconds between looks at the images and at what the machine has
RUNTIME_MISSED = 30.0  # seconds of the runtime's silence that do not yet make the node unready: pods run on
CHECK_INTERVAL = 10.0  # seconds between looks at pressure and the runtime


class NodeReporter:
    """Keeps the Node and its Lease in the API true."""

    def __init__(self, client: Client, runtime: Runtime, clock: Clock, config: KubeletConfig) -> None:
        self._client, self._runtime, self._clock, self._config = client, runtime, clock, config
        self._machine: Machine | None = None
        self._changed = asyncio.Event()
        self._cordoned = False
        self._written: Obj = {}
        self._written_at = 0.0
        self._info: RuntimeInfo | None = None
        self._answered = 0.0
        self._images: Sequence[Image] = ()
        self._images_until = 0.0
        self.recorder: EventRecorder | None = None
        """Takes the events about the node; None: nobody does yet."""
        self.devices: Callable[[], tuple[Amounts, Amounts]] = lambda: ({}, {})
        """Capacity and allocatable of the resources of device plugins."""
        self.made_anew: Callable[[], Awaitable[None]] = nothing
        """What is to be done once the Node, deleted by somebody, was registered again. Errors: ApiError."""
        self.pressures: Callable[[], frozenset[str]] = frozenset
        """The pressure conditions that hold now."""

    @property
    def info(self) -> RuntimeInfo | None:
        """What the runtime last told of itself; None where it does not answer."""
        return self._info

    def seen(self, node: Obj) -> None:
        """The Node in the API: somebody may have told it of an extended resource, which is then allocatable, or
        have taken one away, or have cordoned it."""
        if (cordoned := bool(dig(node, "spec.unschedulable"))) != self._cordoned:
            self._cordoned = cordoned
            self.tell(*schedulable(name_of(node), cordoned=cordoned))
        status = node.get("status") or {}
        given, told = status.get("allocatable") or {}, self.devices()[0]
        others = {name: amount for name, amount in extended(status).items() if name not in told}
        if withdrawn(status) or any(given.get(name) != amount for name, amount in others.items()):
            self._changed.set()

    def changed(self) -> None:
        """The runtime may have gone or come back, or a pressure have changed: look again."""
        self._images_until = 0.0
        self._changed.set()

    async def register(self, machine: Machine) -> Obj:
        """Create the Node, or bring the one that is there up to date; its object, with status and Lease."""
        if self._machine is None and self._config.cgroup_root:
            self.tell("Normal", *ALLOCATABLE_ENFORCED)
        self._machine = machine
        wanted = node_object(self._config, machine)
        try:
            node = await self._client.create(Node, wanted)
        except AlreadyExists:
            node = await self._client.get(Node, self._config.node_name)
            missing = {k: v for k, v in wanted["metadata"]["labels"].items() if labels_of(node).get(k) != v}
            body: Obj = {"metadata": {"labels": missing}} if missing else {}
            untold = {
                k: v for k, v in node_annotations(self._config).items() if annotations_of(node).get(k) != v
            }
            if untold:
                body.setdefault("metadata", {})["annotations"] = untold
            if not dig(node, "spec.podCIDR") and wanted["spec"]:
                body["spec"] = wanted["spec"]
            if body:
                node = await self._client.patch(Node, Key("", name_of(node)), body, type=MERGE_PATCH)
        await self._write_status(node.get("status") or {}, first=True)
        await self._renew(node)
        return node

    async def observe(self) -> Observation:
        """What is true now."""
        try:
            self._info = await within(self._clock, CHECK_INTERVAL, self._runtime.monitor.info())
            self._answered = self._clock.monotonic()
            if self._clock.monotonic() >= self._images_until:
                self._images = await self._runtime.images.list()
                self._images_until = self._clock.monotonic() + IMAGES_INTERVAL
                self._machine = await asyncio.to_thread(read_machine, self._config.root_dir)
        except (RuntimeFailed, TimeoutError) as error:
            log.warning("the container runtime does not answer: %s", error)
            if self._clock.monotonic() - self._answered >= RUNTIME_MISSED:
                self._info = None
        return Observation(self._info, self._images, self.pressures(), self._clock.now(), *self.devices())

    def tell(self, type: str, reason: str, message: str) -> None:
        """Record an event about the node."""
        name = self._config.node_name  # such events name the node by its name in the place of its uid
        about = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}
        if self.recorder is not None:
            self.recorder.record(about, type, reason, message)

    async def _write_status(self, old: Obj, *, first: bool = False) -> None:
        seen = await self.observe()
        assert self._machine is not None
        status = node_status(self._config, self._machine, seen, old)
        now = self._clock.monotonic()
        same = without_heartbeats(status) == without_heartbeats(self._written)
        if same and now - self._written_at < self._config.status_interval:
            return
        key = Key("", self._config.node_name)
        await self._client.patch(Node, key, {"status": status}, type=MERGE_PATCH, subresource="status")
        self._written, self._written_at = status, now
        for event in told(self._config.node_name, unseen(old) if first else old, status):
            self.tell(*event)

    async def keep_status(self) -> None:
        """Write the status when it changes, until cancelled."""
        key = Key("", self._config.node_name)
        while True:
            await self._wait()
            node = self._client.cache.get(Node, key)
            try:
                if node is None and self._machine is not None:
                    self._written = {}
                    await self.register(self._machine)
                    await self.made_anew()
                else:
                    await self._write_status((node or {}).get("status") or {})
            except ApiError as error:
                log.warning("cannot write the node's status: %s", error)

    async def _wait(self) -> None:
        try:
            await within(self._clock, CHECK_INTERVAL, self._changed.wait())
        except TimeoutError:
            return
        self._changed.clear()

    async def keep_lease(self) -> None:
        """Renew the Lease until cancelled."""
        while True:
            await self._clock.sleep(self._config.lease_interval)
            try:
                await self._renew(None)
            except ApiError as error:
                log.warning("cannot renew the node's lease: %s", error)

    async def _renew(self, node: Obj | None) -> None:
        config = self._config
        await renew(self._client, config.node_name, self._clock.now(), config.lease_duration, node)
