"""The plugin's contract: prepare once per pod, filter and score per node.

Plugins are pure: they see a pod and a node as the snapshot holds them, and answer with values. One that
defines no `filter` or no `score` is not asked for it. A refusal is a value with the reason users read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar

from minikube_py.scheduler.snapshot import NodeInfo, PodInfo, Snapshot

MAX_SCORE = 100


class Change(Enum):
    """What may make a rejected pod fit."""

    NODE_ADDED = auto()
    NODE_ALLOCATABLE = auto()
    NODE_LABELS = auto()
    NODE_TAINTS = auto()
    POD_ASSIGNED = auto()
    POD_FREED = auto()
    """A pod left its node: it ended, was deleted, or asks for less."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Why a node does not take a pod, in upstream's words; several reasons count each."""

    reasons: tuple[str, ...]
    resolvable: bool = True
    """Whether evicting other pods could help."""


def reject(*reasons: str, resolvable: bool = True) -> Reject:
    return Reject(reasons, resolvable)


class Skip:
    """What `prepare` returns where the plugin has no say on this pod."""


SKIP = Skip()


class Plugin:
    """A scheduling rule. `wakes_on` lists the changes after which a pod it refused is tried again."""

    order: ClassVar[int] = 100
    """Plugins are asked in this order; cheap refusals come first."""
    weight: ClassVar[int] = 1
    wakes_on: ClassVar[tuple[Change, ...]] = (Change.NODE_ADDED,)
    normalize: ClassVar[str] = ""
    """"max": raw scores are scaled so that the best gets 100; "reverse": so that the best is the lowest."""

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        """What `filter` and `score` are handed for each node; SKIP where this pod needs neither."""
        return None

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        """None if the node may take the pod."""
        raise NotImplementedError

    def score(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> int:
        """How well the node suits the pod; 0 to 100 unless `normalize` says otherwise."""
        raise NotImplementedError

    @classmethod
    def filters(cls) -> bool:
        return cls.filter is not Plugin.filter

    @classmethod
    def scores(cls) -> bool:
        return cls.score is not Plugin.score


def label_terms_match(
    labels: Mapping[str, str], expressions: Any, fields: Mapping[str, str], wanted: Any
) -> bool:
    """Whether all matchExpressions hold for `labels`, and all matchFields for `fields`."""
    return all(_holds(labels, e) for e in expressions or ()) and all(_holds(fields, e) for e in wanted or ())


def _holds(values: Mapping[str, str], expression: Mapping[str, Any]) -> bool:
    key, operator, wanted = expression["key"], expression["operator"], expression.get("values") or ()
    actual = values.get(key)
    match operator:
        case "In":
            return actual in wanted
        case "NotIn":
            return actual is None or actual not in wanted
        case "Exists":
            return actual is not None
        case "DoesNotExist":
            return actual is None
        case "Gt" | "Lt":
            return _compare(actual, operator, wanted)
    return False


def _compare(actual: str | None, operator: str, wanted: Any) -> bool:
    try:
        left, right = int(actual or ""), int(wanted[0])
    except (ValueError, IndexError):
        return False
    return left > right if operator == "Gt" else left < right
