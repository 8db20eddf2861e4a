"""The Node object and its Lease: what this kubelet tells of itself.

`node_status` is pure. NodeReporter registers the node, renews the Lease every ten seconds and writes the
status when it changes, and every five minutes.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from minikube_py.aio.clock import Clock, within
from minikube_py.client.base import MERGE_PATCH, Client
from minikube_py.errors import AlreadyExists, ApiError, NotFound
from minikube_py.kinds.coordination.lease import Lease
from minikube_py.kinds.core.node import Node
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.machine import Machine, Pressure, read_pressure
from minikube_py.meta.objects import (
    Key,
    Obj,
    dig,
    labels_of,
    micro_timestamp,
    name_of,
    owner_reference,
    timestamp,
    with_condition,
)
from minikube_py.runtime.base import Image, Runtime, RuntimeFailed, RuntimeInfo

log = logging.getLogger(__name__)

LEASES = "kube-node-lease"
MAX_IMAGES = 50
IMAGES_INTERVAL = 60.0  # seconds between looks at the images
RUNTIME_MISSED = 30.0  # seconds of the runtime's silence that do not yet make the node unready: pods run on
CHECK_INTERVAL = 10.0  # seconds between looks at pressure and the runtime

PRESSURES = (
    ("MemoryPressure", "memory", "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory", "memory"),
    ("DiskPressure", "disk", "KubeletHasDiskPressure", "KubeletHasNoDiskPressure", "disk pressure"),
    ("PIDPressure", "pids", "KubeletHasInsufficientPID", "KubeletHasSufficientPID", "PID"),
)


@dataclass(frozen=True, slots=True)
class Observation:
    """What the status is made of, beside the machine. `info` None: the runtime does not answer."""

    info: RuntimeInfo | None
    images: Sequence[Image]
    pressure: Pressure
    now: datetime


def node_object(config: KubeletConfig, machine: Machine) -> Obj:
    """The Node as it is registered."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": config.node_name,
            "labels": node_labels(config, machine),
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {"podCIDR": config.pod_cidr, "podCIDRs": [config.pod_cidr]} if config.pod_cidr else {},
    }


def node_labels(config: KubeletConfig, machine: Machine) -> dict[str, str]:
    """The well-known labels, and the configured ones. Its role is not the node's own to say."""
    return {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": config.hostname or config.node_name,
        "kubernetes.io/os": "linux",
        **config.labels,
    }


def resources(config: KubeletConfig, machine: Machine) -> dict[str, str]:
    """The node's capacity; all of it is allocatable, as the control plane's own needs are not reserved."""
    return {
        "cpu": str(machine.cores),
        "ephemeral-storage": f"{machine.disk // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{machine.memory // 1024}Ki",
        "pods": str(config.max_pods),
    }


def node_status(config: KubeletConfig, machine: Machine, seen: Observation, old: Obj) -> Obj:
    """The status of the node; `old` is the one before, whose transition times are kept."""
    version = f"{seen.info.name}://{seen.info.version}" if seen.info else ""
    addresses = [
        {"type": "InternalIP", "address": config.node_ip},
        {"type": "Hostname", "address": config.hostname or config.node_name},
    ]
    status: Obj = {
        "addresses": addresses,
        "allocatable": resources(config, machine),
        "capacity": resources(config, machine),
        "conditions": _conditions(seen, old.get("conditions") or []),
        "images": [_image(image) for image in _largest(seen.images)],
        "nodeInfo": {
            "architecture": machine.architecture,
            "bootID": machine.boot_id,
            "containerRuntimeVersion": version or dig(old, "nodeInfo.containerRuntimeVersion", ""),
            "kernelVersion": machine.kernel,
            "kubeProxyVersion": "",
            "kubeletVersion": config.version,
            "machineID": machine.machine_id,
            "operatingSystem": "linux",
            "osImage": machine.os_image,
            "systemUUID": machine.system_uuid,
        },
    }
    if config.server is not None:
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": config.server.port}}
    return status


def _largest(images: Sequence[Image]) -> list[Image]:
    return sorted(images, key=lambda image: (-image.size, image.id))[:MAX_IMAGES]


def _image(image: Image) -> Obj:
    return {"names": [*image.digests, *image.tags][:5] or [image.id], "sizeBytes": image.size}


def _conditions(seen: Observation, old: list[Obj]) -> list[Obj]:
    conditions = old
    for kind, field, bad, good, what in PRESSURES:
        short = getattr(seen.pressure, field)
        has = "has" if short else "has no"
        text = (
            f"kubelet {has} {what}"
            if field == "disk"
            else (f"kubelet has {'insufficient' if short else 'sufficient'} {what} available")
        )
        entry = {"type": kind, "status": "True" if short else "False"}
        entry |= {"reason": bad if short else good, "message": text}
        conditions = with_condition(conditions, entry, seen.now)
    conditions = with_condition(conditions, _ready(seen.info), seen.now)
    return [{**entry, "lastHeartbeatTime": timestamp(seen.now)} for entry in conditions]


def _ready(info: RuntimeInfo | None) -> Obj:
    if info is None:
        message = "container runtime is down"
    elif not info.ready:
        message = f"container runtime not ready: {info.message}"
    elif not info.network_ready:
        message = f"container runtime network not ready: {info.message}"
    else:
        ok = "kubelet is posting ready status"
        return {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ok}
    return {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": message}


def without_heartbeats(status: Obj) -> Obj:
    """A status for comparison: what it says, but not when it was last said."""
    conditions = [
        {key: value for key, value in entry.items() if key != "lastHeartbeatTime"}
        for entry in status.get("conditions") or ()
    ]
    return {**status, "conditions": conditions}


class NodeReporter:
    """Keeps the Node and its Lease in the API true."""

    def __init__(self, client: Client, runtime: Runtime, clock: Clock, config: KubeletConfig) -> None:
        self._client, self._runtime, self._clock, self._config = client, runtime, clock, config
        self._machine: Machine | None = None
        self._changed = asyncio.Event()
        self._written: Obj = {}
        self._written_at = 0.0
        self._info: RuntimeInfo | None = None
        self._answered = 0.0
        self._images: Sequence[Image] = ()
        self._images_until = 0.0

    def changed(self) -> None:
        """The runtime may have gone or come back: look again."""
        self._images_until = 0.0
        self._changed.set()

    async def register(self, machine: Machine) -> Obj:
        """Create the Node, or bring the one that is there up to date; its object, with status and Lease."""
        self._machine = machine
        wanted = node_object(self._config, machine)
        try:
            node = await self._client.create(Node, wanted)
        except AlreadyExists:
            node = await self._client.get(Node, self._config.node_name)
            missing = {k: v for k, v in wanted["metadata"]["labels"].items() if labels_of(node).get(k) != v}
            body: Obj = {"metadata": {"labels": missing}} if missing else {}
            if not dig(node, "spec.podCIDR") and wanted["spec"]:
                body["spec"] = wanted["spec"]
            if body:
                node = await self._client.patch(Node, Key("", name_of(node)), body, type=MERGE_PATCH)
        await self._write_status(node.get("status") or {})
        await self._renew(node)
        return node

    async def observe(self) -> Observation:
        """What is true now."""
        try:
            self._info = await self._runtime.monitor.info()
            self._answered = self._clock.monotonic()
            if self._clock.monotonic() >= self._images_until:
                self._images = await self._runtime.images.list()
                self._images_until = self._clock.monotonic() + IMAGES_INTERVAL
        except (RuntimeFailed, TimeoutError) as error:
            log.warning("the container runtime does not answer: %s", error)
            if self._clock.monotonic() - self._answered >= RUNTIME_MISSED:
                self._info = None
        pressure = await asyncio.to_thread(read_pressure, self._config.root_dir)
        return Observation(self._info, self._images, pressure, self._clock.now())

    async def _write_status(self, old: Obj) -> None:
        assert self._machine is not None
        status = node_status(self._config, self._machine, await self.observe(), old)
        now = self._clock.monotonic()
        same = without_heartbeats(status) == without_heartbeats(self._written)
        if same and now - self._written_at < self._config.status_interval:
            return
        key = Key("", self._config.node_name)
        await self._client.patch(Node, key, {"status": status}, type=MERGE_PATCH, subresource="status")
        self._written, self._written_at = status, now

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
        key = Key(LEASES, self._config.node_name)
        now = micro_timestamp(self._clock.now())
        try:
            await self._client.patch(Lease, key, {"spec": {"renewTime": now}}, type=MERGE_PATCH)
            return
        except NotFound:
            node = node or await self._client.get(Node, self._config.node_name)
        owner = owner_reference({"apiVersion": "v1", "kind": "Node", **node})
        owner = {k: v for k, v in owner.items() if k not in ("controller", "blockOwnerDeletion")}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": key.name, "namespace": LEASES, "ownerReferences": [owner]},
            "spec": {
                "holderIdentity": self._config.node_name,
                "leaseDurationSeconds": self._config.lease_duration,
                "renewTime": now,
            },
        }
        try:
            await self._client.create(Lease, lease)
        except ApiError as error:
            # its namespace may not be there yet; the next renewal tries again
            log.warning("cannot create the node's lease: %s", error)
