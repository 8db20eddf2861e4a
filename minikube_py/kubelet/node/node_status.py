"""The Node object as this kubelet tells it: labels, addresses, what it has, its conditions and images. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from minikube_py.kinds.storage.localpath import ROOT
from minikube_py.kubelet.cm.allocatable import allocatable, capacity, extended, withdrawn
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.node.machine import Machine
from minikube_py.meta.objects import Obj, dig, timestamp, with_condition
from minikube_py.runtime.base import Image, RuntimeInfo

MAX_IMAGES = 50

PRESSURES = (
    ("MemoryPressure", "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory", "memory"),
    ("DiskPressure", "KubeletHasDiskPressure", "KubeletHasNoDiskPressure", "disk pressure"),
    ("PIDPressure", "KubeletHasInsufficientPID", "KubeletHasSufficientPID", "PID"),
)
"""Type, the reasons where the node is under pressure and where not, and what it is about."""
ALLOCATABLE_ENFORCED = ("NodeAllocatableEnforced", "Updated Node Allocatable limit across pods")
"""The event of a kubelet that has limited all pods together to what is allocatable: reason, message."""
NETWORK = {
    "type": "NetworkUnavailable",
    "status": "False",
    "reason": "BridgeIsUp",
    "message": "The pod network is running on this node",
}
"""What a pod network says of a node once it is set up; kubelets leave the condition to it."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the status is made of, beside the machine. `info` None: the runtime does not answer."""

    info: RuntimeInfo | None
    images: Sequence[Image]
    pressures: frozenset[str]
    """The pressure conditions that hold."""
    now: datetime
    device_capacity: Mapping[str, str] = field(default_factory=dict)
    device_allocatable: Mapping[str, str] = field(default_factory=dict)
    """Of the resources of device plugins."""


def node_object(config: KubeletConfig, machine: Machine) -> Obj:
    """The Node as it is registered."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": config.node_name,
            "labels": node_labels(config, machine),
            "annotations": node_annotations(config),
        },
        "spec": {"podCIDR": config.pod_cidr, "podCIDRs": [config.pod_cidr]} if config.pod_cidr else {},
    }


def node_annotations(config: KubeletConfig) -> dict[str, str]:
    """What is told of the node besides its labels."""
    told = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    if config.local_path_root is not None:
        told[ROOT] = str(config.local_path_root)
    return told


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


def node_status(config: KubeletConfig, machine: Machine, seen: Observation, old: Obj) -> Obj:
    """The status of the node, as a merge patch: None takes away what is no longer there.

    `old` is the one before, whose transition times are kept."""
    version = f"{seen.info.name}://{seen.info.version}" if seen.info else ""
    whole = capacity(config, machine) | extended(old) | dict(seen.device_capacity)
    given = allocatable(config, whole) | dict(seen.device_allocatable)
    addresses = [
        {"type": "InternalIP", "address": config.node_ip},
        {"type": "Hostname", "address": config.hostname or config.node_name},
    ]
    status: Obj = {
        "addresses": addresses,
        "allocatable": dict.fromkeys(withdrawn(old)) | given,
        "capacity": whole,
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
    if machine.swap:
        status["nodeInfo"]["swap"] = {"capacity": machine.swap}
    status |= _abilities(seen.info, old)
    if config.server is not None:
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": config.server.port}}
    return status


def _abilities(info: RuntimeInfo | None, old: Obj) -> Obj:
    """What the runtime can do, as it tells; what it no longer tells is taken back."""
    names = ("runtimeHandlers", "features")
    if info is None:
        return {name: old[name] for name in names if name in old}
    told: Obj = {}
    if info.handlers:
        told["runtimeHandlers"] = [
            {
                "name": name,
                "features": {
                    "recursiveReadOnlyMounts": can.recursive_read_only_mounts,
                    "userNamespaces": can.user_namespaces,
                },
            }
            for name, can in sorted(info.handlers.items())
        ]
    if info.strict_groups is not None:
        told["features"] = {"supplementalGroupsPolicy": info.strict_groups}
    return {name: None for name in names if name in old} | told


def _largest(images: Sequence[Image]) -> list[Image]:
    return sorted(images, key=lambda image: (-image.size, image.id))[:MAX_IMAGES]


def _image(image: Image) -> Obj:
    return {"names": [*image.digests, *image.tags][:5] or [image.id], "sizeBytes": image.size}


def _conditions(seen: Observation, old: list[Obj]) -> list[Obj]:
    conditions = old
    if seen.info is not None and seen.info.network_ready:
        conditions = with_condition(conditions, dict(NETWORK), seen.now)
    for kind, bad, good, what in PRESSURES:
        short = kind in seen.pressures
        has = "has" if short else "has no"
        text = (
            f"kubelet {has} {what}"
            if kind == "DiskPressure"
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


def unseen(status: Obj) -> Obj:
    """A status as a kubelet that has just started knows it: of pressures nothing, so that it tells of each."""
    pressures = {kind for kind, *_ in PRESSURES}
    return {**status, "conditions": [c for c in status.get("conditions") or () if c["type"] not in pressures]}


def told(name: str, old: Obj, new: Obj) -> Iterator[tuple[str, str, str]]:
    """The events about the node `name` that a new status after an old one is worth: type, reason, message."""
    before, now = dig(old, "nodeInfo.bootID", ""), dig(new, "nodeInfo.bootID", "")
    if before and before != now:
        yield "Warning", "Rebooted", f"Node {name} has been rebooted, boot id: {now}"
    for kind, bad, good, _ in PRESSURES:
        status = _standing(new, kind)
        if status != _standing(old, kind):
            reason = (bad if status == "True" else good).replace("Kubelet", "Node")
            yield "Normal", reason, f"Node {name} status is now: {reason}"
    ready = _standing(new, "Ready")
    if ready != _standing(old, "Ready"):
        reason = "NodeReady" if ready == "True" else "NodeNotReady"
        yield "Normal", reason, f"Node {name} status is now: {reason}"


def schedulable(name: str, *, cordoned: bool) -> tuple[str, str, str]:
    """The event that tells whether the node `name` takes pods: type, reason, message."""
    reason = "NodeNotSchedulable" if cordoned else "NodeSchedulable"
    return "Normal", reason, f"Node {name} status is now: {reason}"


def _standing(status: Obj, kind: str) -> str:
    """The status of a condition; empty where there is none."""
    return next((c["status"] for c in status.get("conditions") or () if c.get("type") == kind), "")
