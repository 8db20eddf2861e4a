"""DefaultPreemption: which pods give way to a more urgent one that no node takes. Pure: nodes are tried dry.

On each node that could help, every less urgent pod is taken off; if the pod then fits, they are put back, the
most important first, as long as it still does; who stays off is a victim. Of the nodes that one is chosen whose
victims violate the fewest disruption budgets, then are the least urgent, the fewest, the youngest. As upstream,
only a share of the nodes is tried: a tenth, at least 100.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from minikube_py.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from minikube_py.meta.objects import Obj, condition_is, dig
from minikube_py.meta.selectors import from_label_selector
from minikube_py.scheduler.cycle import Asked, Cycle, Refusal, Unschedulable, first_refusal, told_reasons
from minikube_py.scheduler.framework import Reject
from minikube_py.scheduler.plugins.dynamic_resources import DynamicResources
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Objects, Snapshot

MIN_CANDIDATES = 100
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_NOTES = "not found"
NO_CLAIMS, CLAIMS_LEFT = "no new claims to deallocate", "still not schedulable"
OFFSET = 1 << 31
"""Added to each priority in a sum, so that more pods are more even where priorities are negative."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that would take the pod without its victims, the most important first."""

    node: str
    victims: tuple[PodInfo, ...]
    violations: int = 0


def ineligible(pod: PodInfo, snapshot: Snapshot) -> str:
    """Why the pod may not make others give way; empty where it may."""
    if pod.spec.get("preemptionPolicy") == "Never":
        return "not eligible due to preemptionPolicy=Never."
    node = snapshot.node(snapshot.nomination(pod.uid))
    if node is not None and any(_gives_way(other, pod) for other in node.pods.values()):
        return "not eligible due to a terminating pod on the nominated node."
    return ""


def _gives_way(other: PodInfo, pod: PodInfo) -> bool:
    return other.terminating and other.priority < pod.priority and is_preempted(other.pod)


def is_preempted(pod: Obj) -> bool:
    """Whether a pod was told to give way to another."""
    found = dig(pod, "status.conditions", ())
    return condition_is(pod, "DisruptionTarget") and any(
        one.get("type") == "DisruptionTarget" and one.get("reason") == "PreemptionByScheduler" for one in found
    )


class Preemptor:
    """Looks for candidates on one snapshot; remembers what it found on a node until that changes."""

    def __init__(self, cycle: Cycle, chance: random.Random | None = None) -> None:
        self._cycle = cycle
        self._chance = chance or random.Random()

    def search(self, pod: PodInfo, snapshot: Snapshot, refusal: Unschedulable) -> Iterator[Candidate | Reject]:
        """What a dry run finds on each node worth trying, until there are enough candidates. The snapshot may
        be changed between two of them."""
        nodes = [node for node in refusal.resolvable if snapshot.node(node.name) is node]
        enough = max(MIN_CANDIDATES, len(snapshot) // 10)
        start, found, harmless = self._chance.randrange(len(nodes)) if nodes else 0, 0, False
        asked, budgets = self._cycle.ask(pod, snapshot), budgets_for(snapshot.objects)
        for node in (*nodes[start:], *nodes[:start]):
            if isinstance(asked, Unschedulable) or asked.filters:
                asked = self._cycle.ask(pod, snapshot)
            outcome = self._victims_on(pod, node, snapshot, asked, budgets)
            yield outcome
            if isinstance(outcome, Candidate):
                found, harmless = found + 1, harmless or not outcome.violations
                if found >= enough and harmless:
                    return

    def victims_on(self, pod: PodInfo, node: NodeInfo, snapshot: Snapshot) -> Candidate | Reject:
        """Who has to go from `node` for the pod, or why nobody helps."""
        asked = self._cycle.ask(pod, snapshot)
        return self._victims_on(pod, node, snapshot, asked, budgets_for(snapshot.objects))

    def _victims_on(
        self,
        pod: PodInfo,
        node: NodeInfo,
        snapshot: Snapshot,
        asked: Asked | Unschedulable,
        budgets: "Budgets",
    ) -> Candidate | Reject:
        if isinstance(asked, Unschedulable):
            return Reject((asked.whole,), resolvable=False)
        kept_by = (pod.shape, pod.priority, budgets.state)
        plain = not asked.filters and not snapshot.nominated_before(pod, node.name)
        if plain and (known := node.memo.get(kept_by)) is not None:
            remembered: Candidate | Reject = known
            return remembered
        memo = node.memo
        lower = [other for other in node.pods.values() if other.priority < pod.priority]
        outcome: Candidate | Reject
        if not lower:
            outcome = Reject((NO_VICTIMS,), resolvable=False)
        else:
            outcome = _dry_run(_Trial(self._cycle, pod, node, snapshot, asked, plain), lower, budgets)
        node.memo = memo
        if plain:
            node.remember(kept_by, outcome)
        return outcome


@dataclass(slots=True)
class _Trial:
    """One node tried dry; `plain` where nothing but the node itself decides."""

    cycle: Cycle
    pod: PodInfo
    node: NodeInfo
    snapshot: Snapshot
    asked: Asked
    plain: bool

    def take(self, other: PodInfo) -> None:
        if self.plain:
            self.node.remove(other.uid)
        else:
            self.snapshot.remove_pod(other.uid)

    def put(self, other: PodInfo) -> None:
        if self.plain:
            self.node.add(other)
        else:
            self.snapshot.put_pod(other, self.node.name)

    def refusal(self) -> Refusal | None:
        if self.plain:
            return first_refusal(self.pod, self.node, self.asked.local)
        asked = self.cycle.ask(self.pod, self.snapshot)
        if isinstance(asked, Unschedulable):
            return next(iter(asked.plugins)), Reject((asked.whole,), resolvable=False)
        self.node.memo = {}
        return self.cycle.fits(self.pod, self.node, self.snapshot, asked)


def _dry_run(trial: _Trial, lower: list[PodInfo], budgets: "Budgets") -> Candidate | Reject:
    off: dict[str, PodInfo] = {}
    with ExitStack() as stack:
        for other in lower:
            stack.callback(_put_back, trial, off, other)
            trial.take(other)
            off[other.uid] = other
        if (refused := trial.refusal()) is not None:
            return refused[1]
        violating, others = budgets.split(sorted(lower, key=importance))
        violations = 0
        for other in (*violating, *others):
            trial.put(other)
            if trial.refusal() is None:
                del off[other.uid]
                continue
            trial.take(other)
            violations += other in violating
        victims = sorted(off.values(), key=importance)
        return Candidate(trial.node.name, tuple(victims), violations)


def _put_back(trial: _Trial, off: dict[str, PodInfo], other: PodInfo) -> None:
    if other.uid in off:
        trial.put(other)


def started(pod: PodInfo) -> str:
    """When the pod began to run; what has not begun sorts last."""
    text: str = dig(pod.pod, "status.startTime") or "~"
    return text


def importance(pod: PodInfo) -> tuple[int, str]:
    """Sorts pods, the most important first: by priority, then by who began first."""
    return -pod.priority, started(pod)


@dataclass(frozen=True, slots=True)
class Budgets:
    """The disruption budgets, and `state`, which is equal where they allow the same."""

    budgets: tuple[Obj, ...]
    state: tuple[tuple[str, str], ...]

    def split(self, pods: Sequence[PodInfo]) -> tuple[list[PodInfo], list[PodInfo]]:
        """The pods whose going would violate a budget, and the others; those before count as gone."""
        left = {number: dig(b, "status.disruptionsAllowed", 0) for number, b in enumerate(self.budgets)}
        violating: list[PodInfo] = []
        others: list[PodInfo] = []
        for pod in pods:
            meant = [number for number, budget in enumerate(self.budgets) if _means(budget, pod)]
            for number in meant:
                left[number] -= 1
            (violating if any(left[number] < 0 for number in meant) else others).append(pod)
        return violating, others


def budgets_for(objects: Objects) -> Budgets:
    """Every budget of the cluster."""
    found = tuple(objects.list(PodDisruptionBudget))
    state = tuple((b["metadata"].get("uid", ""), b["metadata"].get("resourceVersion", "")) for b in found)
    return Budgets(found, state)


def _means(budget: Obj, pod: PodInfo) -> bool:
    if budget["metadata"].get("namespace") != pod.key.namespace or not pod.labels:
        return False
    if pod.key.name in dig(budget, "status.disruptedPods", {}):
        return False
    selector = from_label_selector(dig(budget, "spec.selector"))
    return bool(selector.requirements) and selector.matches(pod.labels)


def best(candidates: Iterable[Candidate]) -> Candidate:
    """The candidate whose victims hurt least."""
    found = list(candidates)
    least = min(_harm(one) for one in found)
    equal = [one for one in found if _harm(one) == least]
    return max(equal, key=lambda one: min((started(v) for v in _highest(one)), default="~"))


def _highest(candidate: Candidate) -> list[PodInfo]:
    top = max((victim.priority for victim in candidate.victims), default=0)
    return [victim for victim in candidate.victims if victim.priority == top]


def _harm(candidate: Candidate) -> tuple[int, int, int, int]:
    priorities = [victim.priority for victim in candidate.victims]
    total = sum(priority + OFFSET for priority in priorities)
    return candidate.violations, max(priorities, default=-OFFSET), total, len(priorities)


def remark(pod: PodInfo, why: str) -> str:
    """What the message of an unschedulable pod ends with."""
    claims = CLAIMS_LEFT if pod.spec.get("resourceClaims") else NO_CLAIMS
    return f"{claims}, preemption: {why}"


def broken_off(refusal: Unschedulable) -> str:
    """What is told where a plugin that prepares before DynamicResources has refused every node: in v1.34 that
    one then misses its own notes, says so, and nobody is asked to give way."""
    refused_by = next(iter(refusal.plugins), None)
    early = refused_by is not None and refused_by.order < DynamicResources.order
    return NO_NOTES if refusal.whole and early else ""


def not_found(nodes: int, refused: Iterable[Reject]) -> str:
    """Why no node has victims, told like any refusal."""
    reasons: Counter[str] = Counter()
    tried = 0
    for rejected in refused:
        tried += 1
        reasons.update(rejected.reasons)
    if nodes > tried:
        reasons[NOT_HELPFUL] += nodes - tried
    return f"0/{nodes} nodes are available: {told_reasons(reasons)}."


def displaced(candidate: Candidate, pod: PodInfo, snapshot: Snapshot) -> list[PodInfo]:
    """The less urgent pods that were nominated to the candidate's node and must look elsewhere."""
    nominated = snapshot.nominated.get(candidate.node, {})
    return [other for other in nominated.values() if other.priority < pod.priority]


def disruption(pod: PodInfo, now: str) -> Obj:
    """The condition of a pod that gives way to `pod`."""
    name = pod.spec.get("schedulerName", "default-scheduler")
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": f"{name}: preempting to accommodate a higher priority pod",
        "lastProbeTime": None,
        "lastTransitionTime": now,
    }
