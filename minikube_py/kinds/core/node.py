"""Node: a machine that runs pods."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from minikube_py.kinds.columns import AGE, NAME, NONE, UNKNOWN, text
from minikube_py.kinds.resourcenames import validate_resource
from minikube_py.kinds.strategy import drop, if_absent, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import cidr, label_value, qualified_name
from minikube_py.meta.objects import Obj, annotations_of, condition, dig, labels_of
from minikube_py.meta.violations import duplicate, forbidden, invalid, not_supported, required

_FACTS = (
    "architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion", "kubeletVersion",
    "machineID", "operatingSystem", "osImage", "systemUUID",
)  # fmt: skip
"""What a node's nodeInfo always has, known or not."""
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
"""The labels that say which machine a node is, and where."""
SIMULATED = "minikube-py.io/simulated"
"""The annotation ("true") of a node that has no machine: its pods are simulated."""
ROLE_PREFIX, ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def is_simulated(node: Obj) -> bool:
    """Whether the node's pods are simulated."""
    return annotations_of(node).get(SIMULATED) == "true"


def default(node: Obj) -> None:
    spec = node.get("spec")
    if spec and spec.get("podCIDR") and not spec.get("podCIDRs"):
        spec["podCIDRs"] = [spec["podCIDR"]]
    status = section(node, "status")
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])
    if_absent(section(section(status, "daemonEndpoints"), "kubeletEndpoint"), "Port", 0)
    facts = section(status, "nodeInfo")
    for name in _FACTS:
        if_absent(facts, name, "")


_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def prepare(node: Obj, old: Obj | None) -> None:
    """The configuration from the cluster is gone; nobody may set it any more."""
    if dig(old, "spec.configSource") is None:
        drop(node.get("spec") or {}, "configSource")


def validate(node: Obj, old: Obj | None) -> Iterable[Violation]:
    yield from _taints(dig(node, "spec.taints", ()), "metadata.taints")
    yield from _resources(node)
    if old is None:
        yield from _pod_networks(dig(node, "spec.podCIDRs", []))
        return
    for field, shown in (("podCIDRs", "podCIDR"), ("providerID", "providerID")):
        before = dig(old, f"spec.{field}")
        if before and dig(node, f"spec.{field}") != before:
            yield forbidden(f"spec.{field}", f'node updates may not change {shown} except from "" to valid')
    if dig(node, "spec.externalID", "") != dig(old, "spec.externalID", ""):
        yield forbidden("spec.externalID", "may not be updated")


def _taints(taints: Iterable[Obj], base: str) -> Iterable[Violation]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        path, key, effect = f"{base}[{index}]", taint.get("key") or "", taint.get("effect") or ""
        for reason in qualified_name(key):
            yield invalid(f"{path}.key", key, reason)
        if reasons := label_value(taint.get("value") or ""):
            yield invalid(f"{path}.value", taint["value"], ";".join(reasons))
        if not effect:
            yield required(f"{path}.effect")
        elif effect not in _EFFECTS:
            yield not_supported(f"{path}.effect", effect, _EFFECTS)
        if (key, effect) in seen:
            yield duplicate(path, taint, "taints must be unique by key and effect pair")
        seen.add((key, effect))


def _resources(node: Obj) -> Iterable[Violation]:
    for field in ("capacity", "allocatable"):
        for name, amount in dig(node, f"status.{field}", {}).items():
            yield from validate_resource(name, amount, f"status.{field}.{name}")


def _pod_networks(networks: list[str]) -> Iterable[Violation]:
    for index, network in enumerate(networks):
        for reason in cidr(network):
            yield invalid(f"spec.podCIDRs[{index}]", network, reason)
    if len(networks) > 2 or len({":" in network for network in networks}) < len(networks):
        yield invalid("spec.podCIDRs", networks, "may specify no more than one CIDR for each IP family")


def validate_status(node: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a node's new status: amounts are amounts, each address is told once."""
    yield from _resources(node)
    addresses = dig(node, "status.addresses", [])
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            yield duplicate(f"status.addresses[{index}]", address)


def _status(node: Obj, now: datetime) -> str:
    ready = condition(node, "Ready")
    state = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{state},SchedulingDisabled" if dig(node, "spec.unschedulable") else state


def _roles(node: Obj, now: datetime) -> str:
    roles = {key.removeprefix(ROLE_PREFIX) for key in labels_of(node) if key.startswith(ROLE_PREFIX)}
    roles.add(labels_of(node).get(ROLE_LABEL) or "")
    return ",".join(sorted(roles - {""})) or NONE


def _address(type: str) -> Any:
    def cell(node: Obj, now: datetime) -> str:
        found = (a["address"] for a in dig(node, "status.addresses", ()) if a.get("type") == type)
        return next(found, NONE)

    return cell


def _info(name: str, default: str = UNKNOWN) -> Any:
    return text(f"status.nodeInfo.{name}", default)


Node = Kind(
    "Node",
    "v1",
    "nodes",
    short_names=("no",),
    namespaced=False,
    subresources=("status", "proxy"),
    default=default,
    default_of_whole=True,
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    fields={"spec.unschedulable": "spec.unschedulable"},
    columns=(
        NAME,
        Column("Status", _status, description="The status of the node"),
        Column("Roles", _roles, description="The roles of the node"),
        AGE,
        Column("Version", _info("kubeletVersion", ""), description="The kubelet's version"),
        Column("Internal-IP", _address("InternalIP"), priority=1, description="Address within the cluster"),
        Column("External-IP", _address("ExternalIP"), priority=1, description="Address from outside"),
        Column("OS-Image", _info("osImage"), priority=1, description="The operating system"),
        Column("Kernel-Version", _info("kernelVersion"), priority=1, description="The kernel's version"),
        Column("Container-Runtime", _info("containerRuntimeVersion"), priority=1, description="The runtime"),
    ),
)
