"""NodeResourcesFit: a node takes what fits into its allocatable resources, scored by how full it gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minikube_py.scheduler.framework import MAX_SCORE, Change, Happening, Plugin, Reject, reject
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo

LEAST, MOST, RATIO = "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"
MAX_RATIO_SCORE = 10


@dataclass(frozen=True, slots=True)
class Scoring:
    """The scoringStrategy: its type, the weight of each resource, and for RequestedToCapacityRatio the points
    (used percent, score 0 to 10) of its shape, by rising use."""

    type: str = LEAST
    resources: tuple[tuple[str, int], ...] = (("cpu", 1), ("memory", 1))
    shape: tuple[tuple[int, int], ...] = ()


class NodeResourcesFit(Plugin):
    """Requests against allocatable, and the number of pods; scored by LeastAllocated unless told otherwise."""

    order = 5
    local = True
    wakes_on = (Change.NODE_ADDED, Change.NODE_ALLOCATABLE, Change.POD_FREED)

    def __init__(self, scoring: Scoring | None = None) -> None:
        self.scoring = scoring or Scoring()

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        allocatable, requested = node.allocatable, node.requested
        lacking, resolvable = [], True
        if len(node.pods) + 1 > allocatable.get("pods", 0):
            lacking.append("Too many pods")
        for resource, wanted in pod.shape.requests.items():
            there = allocatable.get(resource, 0)
            if wanted and wanted > there - requested.get(resource, 0):
                lacking.append(f"Insufficient {resource}")
                resolvable = resolvable and wanted <= there
        return reject(*lacking, resolvable=resolvable) if lacking else None

    def score(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> int:
        total = weights = 0
        for resource, weight in self.scoring.resources:
            allocatable = node.allocatable.get(resource, 0)
            if not allocatable:
                continue
            total += weight * self._rated(_used(pod, node, resource), allocatable)
            weights += weight
        return total // weights if weights else 0

    def _rated(self, used: int, allocatable: int) -> int:
        if self.scoring.type == MOST:
            return min(used, allocatable) * MAX_SCORE // allocatable
        if self.scoring.type == RATIO:
            percent = 100 if used > allocatable else used * 100 // allocatable
            return broken_line(self.scoring.shape, percent) * MAX_SCORE // MAX_RATIO_SCORE
        return least_allocated(used, allocatable)

    def may_help(self, pod: PodInfo, happening: Happening) -> bool:
        if happening.new is None or happening.pod is not None:
            return True
        allocatable = happening.node.allocatable
        wanted = pod.requests.items()
        return allocatable.get("pods", 0) > 0 and all(v <= allocatable.get(r, 0) for r, v in wanted if v)


def _used(pod: PodInfo, node: NodeInfo, resource: str) -> int:
    if resource == "cpu":
        return node.scored_cpu + pod.shape.scored_cpu
    if resource == "memory":
        return node.scored_memory + pod.shape.scored_memory
    return node.requested.get(resource, 0) + pod.shape.requests.get(resource, 0)


def least_allocated(requested: int, allocatable: int) -> int:
    """100 for a node that would stay empty, 0 for a full one."""
    if not allocatable or requested > allocatable:
        return 0
    return (allocatable - requested) * MAX_SCORE // allocatable


def broken_line(points: Sequence[tuple[int, int]], at: int) -> int:
    """The height at `at` of the line through `points`, level before the first and after the last."""
    for number, (x, y) in enumerate(points):
        if at <= x:
            if number == 0:
                return y
            before_x, before_y = points[number - 1]
            return before_y + int((y - before_y) * (at - before_x) / (x - before_x))
    return points[-1][1] if points else 0
