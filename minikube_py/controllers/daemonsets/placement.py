"""Which nodes a DaemonSet's pods belong to, and what its pods look like. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from minikube_py.controllers.pods import created_at, is_finished, pod_from_template
from minikube_py.kinds.apps.daemonset import TEMPLATE_GENERATION
from minikube_py.kinds.podspec.nodefit import (
    NETWORK_UNAVAILABLE,
    NO_EXECUTE,
    NO_SCHEDULE,
    NOT_READY,
    UNREACHABLE,
    UNSCHEDULABLE,
    selects,
    taints_of,
    untolerated,
)
from minikube_py.meta.objects import Obj, annotations_of, dig, is_deleting, name_of

REVISION_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"


@dataclass(frozen=True, slots=True)
class Placement:
    """Whether a node should get a pod, and whether one that is there may stay."""

    run: bool
    stay: bool


@dataclass(frozen=True, slots=True)
class Moves:
    """Nodes that need a pod, and pods to delete; `failed` of them because they ended."""

    create: list[str] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    failed: list[Obj] = field(default_factory=list)


def tolerations(template_spec: Obj) -> list[Obj]:
    """The template's tolerations and those that every DaemonSet pod has, so that it runs on troubled nodes."""
    added = [
        {"key": NOT_READY, "operator": "Exists", "effect": NO_EXECUTE},
        {"key": UNREACHABLE, "operator": "Exists", "effect": NO_EXECUTE},
        {"key": "node.kubernetes.io/disk-pressure", "operator": "Exists", "effect": NO_SCHEDULE},
        {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": NO_SCHEDULE},
        {"key": "node.kubernetes.io/pid-pressure", "operator": "Exists", "effect": NO_SCHEDULE},
        {"key": UNSCHEDULABLE, "operator": "Exists", "effect": NO_SCHEDULE},
    ]
    if template_spec.get("hostNetwork"):
        added.append({"key": NETWORK_UNAVAILABLE, "operator": "Exists", "effect": NO_SCHEDULE})
    own = template_spec.get("tolerations") or []
    return [*own, *(toleration for toleration in added if toleration not in own)]


NOWHERE, EVERYWHERE = Placement(False, False), Placement(True, True)


def placer(ds: Obj) -> Callable[[Obj], Placement]:
    """What `ds` wants on a node, for many nodes."""
    spec = dig(ds, "spec.template.spec", {})
    tolerated = tolerations(spec)

    def place(node: Obj) -> Placement:
        if spec.get("nodeName") and spec["nodeName"] != name_of(node):
            return NOWHERE
        if not selects(spec, node):
            return NOWHERE
        taints = taints_of(node)
        if not taints:
            return EVERYWHERE
        if untolerated(taints, tolerated, (NO_EXECUTE,)):
            return NOWHERE
        return Placement(not untolerated(taints, tolerated, (NO_SCHEDULE,)), True)

    return place


def node_of(pod: Obj) -> str:
    """The node a daemon pod runs on or is meant for."""
    if assigned := dig(pod, "spec.nodeName"):
        return str(assigned)
    path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    for term in dig(pod, path, []):
        for requirement in term.get("matchFields") or ():
            if requirement.get("key") == "metadata.name" and requirement.get("values"):
                return str(requirement["values"][0])
    return ""


def by_node(pods: Iterable[Obj]) -> dict[str, list[Obj]]:
    """The pods of each node, those that are bound to it before others, the oldest first."""
    found: dict[str, list[Obj]] = {}
    for pod in sorted(pods, key=lambda pod: (not dig(pod, "spec.nodeName"), created_at(pod), name_of(pod))):
        found.setdefault(node_of(pod), []).append(pod)
    return found


def plan_placement(ds: Obj, nodes: Sequence[Obj], placed: Mapping[str, Sequence[Obj]], surge: bool) -> Moves:
    """One pod on every node that should have one, and none elsewhere. With `surge` a node may have an old
    and a new pod during an update. Pods of nodes that are gone are left to the pod garbage collector, unless
    no node was found yet."""
    moves = Moves()
    known, wants = set(), placer(ds)
    for node in nodes:
        name = name_of(node)
        known.add(name)
        _plan_node(moves, wants(node), name, placed.get(name, ()), surge)
    for name, pods in placed.items():
        if name not in known:
            moves.delete.extend(p for p in pods if not dig(p, "spec.nodeName") and not is_deleting(p))
    return moves


def _plan_node(moves: Moves, placement: Placement, node: str, pods: Sequence[Obj], surge: bool) -> None:
    if placement.run and not pods:
        moves.create.append(node)
        return
    if not placement.stay:
        moves.delete.extend(pod for pod in pods if not is_deleting(pod))
        return
    alive = []
    for pod in pods:
        if is_deleting(pod):
            continue
        if is_finished(pod):
            moves.delete.append(pod)
            moves.failed.append(pod)
        else:
            alive.append(pod)
    if surge:
        newest_of_each = {dig(pod, "metadata.labels", {}).get(REVISION_LABEL): pod for pod in alive}
        keep = [id(pod) for pod in newest_of_each.values()][-2:]
        moves.delete.extend(pod for pod in alive if id(pod) not in keep)
    else:
        moves.delete.extend(alive[1:])


def template_generation(ds: Obj) -> str:
    """How many templates the set has had, as old clients count them; empty where that is not known."""
    number: str = annotations_of(ds).get(TEMPLATE_GENERATION, "")
    return number if number.isascii() and number.isdecimal() else ""


def new_pod(ds: Obj, node: str, revision_hash: str) -> Obj:
    """The pod of `ds` for one node: bound to it by affinity, so that the scheduler places it."""
    pod = pod_from_template(ds["spec"]["template"], ds)
    labels = pod["metadata"].setdefault("labels", {})
    if generation := template_generation(ds):
        labels[GENERATION_LABEL] = generation
    labels[REVISION_LABEL] = revision_hash
    spec = pod["spec"]
    spec["tolerations"] = tolerations(spec)
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    this_node = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    required["nodeSelectorTerms"] = [{"matchFields": this_node}]  # the template's own terms chose the node
    return pod
