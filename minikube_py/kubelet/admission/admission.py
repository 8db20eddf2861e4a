"""May a pod that is bound to this node run here? Pure predicates, in the real kubelet's order and words.

The scheduler has asked much of this before; but a pod may name its node itself, and the node may have changed
since. A pod that is refused is Failed for good; its controller makes another one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from minikube_py.kinds.podspec.nodefit import NO_EXECUTE, selects, taints_of, untolerated
from minikube_py.kinds.podspec.totals import pod_requests
from minikube_py.kubelet.cm.allocatable import is_extended
from minikube_py.kubelet.kuberuntime.security import apparmor_profile
from minikube_py.kubelet.kuberuntime.sysctls import forbidden
from minikube_py.kubelet.plan import is_sidecar
from minikube_py.meta.objects import (
    Obj,
    annotations_of,
    containers_of,
    dig,
    labels_of,
    name_of,
    uid_of,
)
from minikube_py.meta.quantity import int_value, milli_value

OS_LABEL = "kubernetes.io/os"
SOURCE = "kubernetes.io/config.source"
EVERY_ADDRESS = "0.0.0.0"

HostPort = tuple[str, str, int]
"""(host address, protocol, port)"""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a pod may not run here: the pod's status.reason, and a message. `resource` is the one that lacks, and
    `lacking` how much of it, in the unit of claims."""

    reason: str
    message: str
    resource: str = ""
    lacking: int = 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pod is judged by, besides the other pods. `node` is the Node object."""

    node: Obj
    apparmor: bool = False
    strict_groups: bool = False
    allowed_sysctls: Sequence[str] = ()
    lacking: str = ""
    """Why device plugins cannot give the pod what it asks for."""
    governed: Set[str] = frozenset()
    """The resources of device plugins, which count them themselves."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one pod takes of the node: CPU in millicores, everything else in its unit."""

    requests: Mapping[str, int]
    ports: frozenset[HostPort]


@dataclass(slots=True)
class Load:
    """The claims of the pods that were admitted, by uid, and their sum."""

    claims: dict[str, Claim] = field(default_factory=dict)
    requested: Counter[str] = field(default_factory=Counter)

    def put(self, pod: Obj) -> None:
        """The pod is on the node, as it is now."""
        uid = uid_of(pod)
        self.remove(uid)
        claim = self.claims[uid] = claim_of(pod)
        self.requested.update(claim.requests)

    def remove(self, uid: str) -> None:
        """The pod takes nothing any more."""
        if claim := self.claims.pop(uid, None):
            self.requested.subtract(claim.requests)

    def without(self, uid: str) -> "Load":
        """The load of all other pods."""
        return Load({u: c for u, c in self.claims.items() if u != uid}, self._less(uid))

    def _less(self, uid: str) -> Counter[str]:
        rest = Counter(self.requested)
        if claim := self.claims.get(uid):
            rest.subtract(claim.requests)
        return rest


def amount(resource: str, quantity: str) -> int:
    """A quantity in the unit of claims."""
    return milli_value(quantity) if resource == "cpu" else int_value(quantity)


def claim_of(pod: Obj) -> Claim:
    """What the pod takes of its node."""
    requests = pod_requests(pod["spec"])
    return Claim({name: amount(name, asked) for name, asked in requests.items()}, host_ports(pod["spec"]))


def host_ports(spec: Obj) -> frozenset[HostPort]:
    """The node's ports that a pod spec takes."""
    holders = [*(c for c in spec.get("initContainers") or () if is_sidecar(c)), *spec["containers"]]
    return frozenset(
        (port.get("hostIP") or EVERY_ADDRESS, port.get("protocol") or "TCP", int(port["hostPort"]))
        for container in holders
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def is_static(pod: Obj) -> bool:
    """Whether the pod comes from this node's own files, not from the API."""
    return annotations_of(pod).get(SOURCE, "api") != "api"


def was_admitted(pod: Obj) -> bool:
    """Whether a kubelet has admitted the pod before: it is not judged again after a restart."""
    return bool(dig(pod, "status.startTime"))


def judge(pod: Obj, around: Surroundings, load: Load) -> list[Rejection]:
    """Every reason why the pod may not run, the one that is told first; empty where it may. `load` is without
    the pod itself."""
    if why := forbidden(pod, around.allowed_sysctls):
        return [Rejection("SysctlForbidden", why)]
    if refusal := _impossible(pod, around):
        return [refusal]
    if around.lacking:
        return [without_devices(around.lacking)]
    if found := list(_unfit(pod, around, load)):
        return found
    if not around.apparmor and _wants_apparmor(pod):
        return [Rejection("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")]
    return []


def _impossible(pod: Obj, around: Surroundings) -> Rejection | None:
    """What no change of the other pods can make possible."""
    spec = pod["spec"]
    wanted = (spec.get("nodeSelector") or {}).get(OS_LABEL)
    if wanted is not None and wanted != labels_of(around.node).get(OS_LABEL):
        told = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Rejection("PodOSSelectorNodeLabelDoesNotMatch", told)
    if (dig(spec, "os.name") or "linux") != "linux":
        return Rejection("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    if dig(spec, "securityContext.supplementalGroupsPolicy") == "Strict" and not around.strict_groups:
        told = "SupplementalGroupsPolicy=Strict is not supported in this node"
        return Rejection("SupplementalGroupsPolicyNotSupported", told)
    return None


def without_devices(why: str) -> Rejection:
    """The refusal of a pod that cannot get its devices."""
    return Rejection("UnexpectedAdmissionError", f"Allocate failed due to {why}, which is unexpected")


def _unfit(pod: Obj, around: Surroundings, load: Load) -> Iterator[Rejection]:
    """The general predicates: resources, node affinity, ports, taints."""
    node, whole = around.node, claim_of(pod)
    counted = {name: count for name, count in whole.requests.items() if name not in around.governed}
    claim = replace(whole, requests=counted)
    yield from insufficient(claim, node, load)
    if not selects(pod["spec"], node):
        yield _failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    if pod["spec"].get("nodeName") not in (None, "", name_of(node)):
        yield _failed("NodeName", "node(s) didn't match the requested node name")
    taken = [port for other in load.claims.values() for port in other.ports]
    if any(_conflict(wanted, used) for wanted in claim.ports for used in taken):
        yield _failed("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    tolerations = pod["spec"].get("tolerations") or []
    if not is_static(pod) and untolerated(taints_of(node), tolerations, (NO_EXECUTE,)):
        yield _failed("TaintToleration", "node(s) had taints that the pod didn't tolerate")


def insufficient(claim: Claim, node: Obj, load: Load) -> Iterator[Rejection]:
    """The resources of which the node has too little for `claim` beside `load`. Extended resources that the
    node knows nothing of are not its own to count."""
    room = {name: amount(name, most) for name, most in dig(node, "status.allocatable", {}).items()}
    yield from _lacks("pods", 1, len(load.claims), room.get("pods", 0))
    order = ("cpu", "memory", "ephemeral-storage")
    for name in sorted(claim.requests, key=lambda name: (order.index(name) if name in order else 3, name)):
        if claim.requests[name] and (name in room or not is_extended(name)):
            yield from _lacks(name, claim.requests[name], load.requested[name], room.get(name, 0))


def _lacks(resource: str, asked: int, used: int, room: int) -> Iterator[Rejection]:
    if asked > room - used:
        told = (
            f"Node didn't have enough resource: {resource}, requested: {asked}, used: {used}, capacity: {room}"
        )
        yield Rejection(f"OutOf{resource}", told, resource, asked - (room - used))


def _failed(predicate: str, why: str) -> Rejection:
    return Rejection(predicate, f"Predicate {predicate} failed: {why}")


def _conflict(left: HostPort, right: HostPort) -> bool:
    return left[1:] == right[1:] and (left[0] == right[0] or EVERY_ADDRESS in (left[0], right[0]))


def _wants_apparmor(pod: Obj) -> bool:
    profiles = (apparmor_profile(pod, container) for container in containers_of(pod["spec"]))
    return any(profile.get("type", "Unconfined") != "Unconfined" for profile in profiles)
