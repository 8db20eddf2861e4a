"""The plugin's contract: prepare once per pod, filter and score per node.

Plugins are pure: they see a pod and a node as the snapshot holds them, and answer with values. One that
defines no `filter`, `score` or `rate` is not asked for it. A refusal is a value with the reason users read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import Any, ClassVar

from minikube_py.meta.objects import Obj, dig
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot

MAX_SCORE = 100


class Change(Enum):
    """What may make a rejected pod fit."""

    NODE_ADDED = auto()
    NODE_ALLOCATABLE = auto()
    NODE_LABELS = auto()
    NODE_TAINTS = auto()
    POD_ASSIGNED = auto()
    """A pod was placed, or the labels of a placed one changed."""
    POD_FREED = auto()
    """A pod left its node: it ended, was deleted, or asks for less."""
    NAMESPACE = auto()
    CLAIM = auto()
    VOLUME = auto()
    STORAGE_CLASS = auto()
    CSI = auto()
    """A CSINode, CSIDriver or CSIStorageCapacity."""
    DEVICES = auto()
    """A ResourceClaim, ResourceSlice or DeviceClass, one that is gone too."""


@dataclass(frozen=True)
class Happening:
    """A change with the object it happened to: `old` and `new` states (None where there is none), and of a pod
    what the scheduler knows of it."""

    change: Change
    new: Obj | None = None
    old: Obj | None = None
    pod: PodInfo | None = None

    @cached_property
    def node(self) -> NodeInfo:
        """The node as it is now."""
        return NodeInfo(self.new or {})


@dataclass(frozen=True, slots=True)
class Reject:
    """Why a node does not take a pod, in upstream's words; several reasons count each."""

    reasons: tuple[str, ...]
    resolvable: bool = True
    """Whether evicting other pods could help."""
    silent: bool = False
    """Whether the pod waits without a word, as one that is not ready to be scheduled."""


def reject(*reasons: str, resolvable: bool = True) -> Reject:
    return Reject(reasons, resolvable)


class Skip:
    """What `prepare` returns where the plugin has no say on this pod."""


SKIP = Skip()
NODE_CHANGES = (Change.NODE_ADDED, Change.NODE_ALLOCATABLE, Change.NODE_LABELS, Change.NODE_TAINTS)


class Plugin:
    """A scheduling rule. `wakes_on` lists the changes after which a pod it refused may be tried again, where
    `may_help` agrees."""

    order: ClassVar[int] = 100
    """Plugins are asked in this order; cheap refusals come first."""
    weight: int = 1
    wakes_on: ClassVar[tuple[Change, ...]] = (Change.NODE_ADDED,)
    normalize: ClassVar[str] = ""
    """"max": raw scores are scaled so that the best gets 100; "reverse": so that the best is the lowest."""
    local: ClassVar[bool] = False
    """Whether the answers depend on nothing but the pod's shape and the one node, so that they may be kept."""

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        """What `filter` and `score` are handed for each node; SKIP where this pod needs neither, a Reject where
        no node can take the pod."""
        return None

    def only(self, pod: PodInfo) -> frozenset[str] | None:
        """The names of the only nodes that can take the pod, or None where all may."""
        return None

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        """None if the node may take the pod."""
        raise NotImplementedError

    def score(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> int:
        """How well the node suits the pod; 0 to 100 unless `normalize` says otherwise."""
        raise NotImplementedError

    def rate(self, pod: PodInfo, nodes: Sequence[NodeInfo], prepared: Any) -> list[int] | None:
        """The scores of all feasible nodes at once, 0 to 100; None where they make no difference."""
        return normalized([self.score(pod, node, prepared) for node in nodes], self.normalize)

    def may_help(self, pod: PodInfo, happening: Happening) -> bool:
        """Whether a change of `wakes_on` may let the pod onto some node."""
        return True

    @classmethod
    def filters(cls) -> bool:
        return cls.filter is not Plugin.filter

    @classmethod
    def scores(cls) -> bool:
        return cls.score is not Plugin.score or cls.rate is not Plugin.rate


class NodeRule(Plugin):
    """A plugin whose refusal only the node itself can take back: it helps if the node would be taken now."""

    def may_help(self, pod: PodInfo, happening: Happening) -> bool:
        prepared = self.prepare(pod, Snapshot())
        return prepared is SKIP or self.filter(pod, happening.node, prepared) is None


def normalized(raw: list[int], how: str) -> list[int]:
    """Scores on a scale of 0 to 100; see Plugin.normalize."""
    if not how:
        return raw
    top = max(raw)
    if top == 0:
        return [MAX_SCORE] * len(raw) if how == "reverse" else raw
    scaled = [score * MAX_SCORE // top for score in raw]
    return [MAX_SCORE - score for score in scaled] if how == "reverse" else scaled


def node_changes(old: Obj | None, new: Obj) -> list[Change]:
    """What about a node changed that may let pods onto it."""
    if old is None:
        return [Change.NODE_ADDED]
    changes = []
    if dig(old, "status.allocatable") != dig(new, "status.allocatable"):
        changes.append(Change.NODE_ALLOCATABLE)
    if dig(old, "metadata.labels") != dig(new, "metadata.labels"):
        changes.append(Change.NODE_LABELS)
    if any(dig(old, path) != dig(new, path) for path in ("spec.taints", "spec.unschedulable")):
        changes.append(Change.NODE_TAINTS)
    return changes
