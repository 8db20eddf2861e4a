"""The volumes of pods on a node without containers: real mounts, an in-process API, a CSI driver."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minikube_py.aio.clock import SystemClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Change, Client
from minikube_py.client.events import EventRecorder
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.secret import Secret
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.kuberuntime.environment import PodFacts
from minikube_py.kubelet.node.csiplugins import TYPE, CsiPlugins
from minikube_py.kubelet.node.plugins import PluginWatch
from minikube_py.kubelet.pod_volumes import PodVolumes, volume_kinds
from minikube_py.kubelet.volumes.base import VolumeContext, VolumeFailed
from minikube_py.kubelet.volumes.mounts import unmount_below
from minikube_py.kubelet.volumes.storage import Storage
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj
from minikube_py.testing.csi_hostpath import NAME, CsiHostPath, CsiHostPathConfig
from minikube_py.testing.inprocess import local_cluster

NODE = "node-1"


@dataclass
class VolumeNode:
    """The storage of one node, and what is told of it."""

    client: Client
    config: KubeletConfig
    storage: Storage
    recorder: EventRecorder
    registered: asyncio.Event
    folder: Path
    kinds: dict[str, Any] = field(default_factory=volume_kinds)

    def volumes(self, pod: Obj) -> PodVolumes:
        """The volumes of a pod, as a kubelet that has just started knows them."""
        context = VolumeContext(
            pod, self.client, SystemClock(), self.config, PodFacts(), self._lookup, self.storage
        )
        return PodVolumes(context, self.kinds)

    def _lookup(self, kind: str, namespace: str, name: str) -> Obj | None:
        return self.client.cache.get(Secret, Key(namespace, name))

    async def failure(self, pod: Obj) -> str:
        """Why a pod's volumes cannot be mounted; '' if they can."""
        try:
            await self.volumes(pod).prepare()
        except VolumeFailed as failed:
            return str(failed)
        return ""

    async def events(self, reason: str) -> list[str]:
        await self.recorder.flush()
        return [event["message"] for event in self.client.cache.list(Event) if event["reason"] == reason]

    async def seen(self, kind: Kind, name: str, check: Any) -> Obj:
        """An object once `check` holds for it."""
        found: asyncio.Future[Obj] = asyncio.get_running_loop().create_future()

        def see(change: Change) -> None:
            ours = change.object["metadata"]["name"] == name and change.type != "DELETED"
            if ours and not found.done() and check(change.object):
                found.set_result(change.object)

        unsubscribe = self.client.cache.subscribe(kind, see)
        try:
            return await asyncio.wait_for(found, 10)
        finally:
            unsubscribe()

    @contextlib.asynccontextmanager
    async def driver(self, **config: Any) -> AsyncIterator[CsiHostPath]:
        """A driver that has registered."""
        whole = CsiHostPathConfig(self.config.root_dir, self.folder / "csi-data", **config)
        self.registered.clear()
        async with CsiHostPath(whole) as driver:
            await asyncio.wait_for(self.registered.wait(), 10)
            yield driver

    async def bound(self, name: str, source: Obj, **spec: Any) -> tuple[Obj, Obj]:
        """A claim and a PersistentVolume of that name, bound to each other."""
        labels = spec.pop("claim", {})
        modes, size = spec.pop("accessModes", ["ReadWriteOnce"]), {"storage": "1Gi"}
        mode = {"volumeMode": spec["volumeMode"]} if "volumeMode" in spec else {}
        claim = await self.client.create(
            PersistentVolumeClaim,
            {
                "metadata": {"name": name, "namespace": "default", **labels},
                "spec": {"accessModes": modes, "resources": {"requests": size}, "volumeName": name} | mode,
            },
        )
        ref = {"namespace": "default", "name": name, "uid": claim["metadata"]["uid"]}
        volume = await self.client.create(
            PersistentVolume,
            {
                "metadata": {"name": name},
                "spec": {"accessModes": modes, "capacity": size, "claimRef": ref, **source, **spec},
            },
        )
        status = {"status": {"phase": "Bound", "accessModes": modes, "capacity": size}}
        key = Key("default", name)
        claim = await self.client.patch(PersistentVolumeClaim, key, status, subresource="status")
        return claim, volume


def csi_source(handle: str = "vol-1", **more: Any) -> Obj:
    """The source of a PersistentVolume of the test driver."""
    return {"csi": {"driver": NAME, "volumeHandle": handle, **more}}


def volume_pod(name: str, *volumes: Obj, **spec: Any) -> Obj:
    """A pod whose container mounts each volume."""
    mounts = [{"name": v["name"], "mountPath": f"/{v['name']}"} for v in volumes]
    container = {"name": "main", "image": "app:1", "volumeMounts": mounts} | spec.pop("container", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"containers": [container], "volumes": list(volumes), **spec},
    }


def claim_volume(claim: str, **more: Any) -> Obj:
    return {"name": "data", "persistentVolumeClaim": {"claimName": claim, **more}}


@contextlib.asynccontextmanager
async def volume_node(folder: Path) -> AsyncIterator[VolumeNode]:
    """A node whose plugins are watched; nothing stays mounted."""
    clients = await local_cluster(namespaces=("default", "kube-system"))
    client, clock = clients.named("kubelet"), SystemClock()
    config = KubeletConfig(node_name=NODE, node_ip="10.0.0.1", root_dir=folder / "k", log_dir=folder / "logs")
    await client.create(Node, {"metadata": {"name": NODE, "labels": {"zone": "a"}}})
    recorder = EventRecorder(client, clock, "kubelet")
    config.root_dir.mkdir()
    storage = Storage(client, clock, config, recorder)
    registered = asyncio.Event()
    storage.changed = registered.set
    async with recorder, Tasks("test") as tasks:
        await storage.open()
        ready = asyncio.Event()
        drivers = CsiPlugins(storage)
        await drivers.open()
        plugins = PluginWatch(storage.config.root_dir, storage.clock, {TYPE: drivers})
        watch = tasks.spawn(plugins.run(ready), "plugins")
        await asyncio.wait_for(ready.wait(), 10)
        try:
            yield VolumeNode(client, config, storage, recorder, registered, folder)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await storage.close()
            unmount_below(config.root_dir)
            clients.cache.close()
