"""Who gives way to a more urgent pod, by tables of one node and several."""

import random
from typing import Any

import pytest
from builders import cluster, labelled, node, pod

from minikube_py.meta.objects import Obj
from minikube_py.scheduler.configuration import Profile, plugins_of
from minikube_py.scheduler.cycle import Cycle, Unschedulable
from minikube_py.scheduler.framework import Reject
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.preemption import Candidate, Preemptor, best, ineligible, not_found

NO_VICTIMS = "No preemption victims found for incoming pod"


def running(name: str, priority: int, cpu: str = "1", start: int = 0, **labels: str) -> Obj:
    """A pod that began to run `start` seconds after midnight."""
    made = labelled(name, labels or {"app": name}, cpu=cpu, priority=priority)
    return {**made, "status": {"startTime": f"2026-01-01T00:00:{start:02}Z"}}


def budget(allowed: int, **labels: str) -> Obj:
    meta = {"name": "b", "namespace": "default", "uid": "b", "resourceVersion": "1"}
    spec, status = {"selector": {"matchLabels": labels}}, {"disruptionsAllowed": allowed}
    return {"kind": "PodDisruptionBudget", "metadata": meta, "spec": spec, "status": status}


def victims(incoming: Obj, placed: list[Obj], *objects: Obj) -> Any:
    """Who goes from one node of 3 CPUs: their names and the violations, or why nobody does."""
    snapshot = cluster([node("n1", cpu="3")], ((one, "n1") for one in placed), *objects)
    target = snapshot.nodes[0]
    before = dict(target.requested), sorted(target.pods)
    found = Preemptor(Cycle(plugins_of(Profile()))).victims_on(PodInfo.of(incoming), target, snapshot)
    assert before == (target.requested, sorted(target.pods))
    if isinstance(found, Reject):
        return found.reasons
    return [victim.key.name for victim in found.victims], found.violations


@pytest.mark.parametrize(
    ("incoming", "placed", "objects", "expected"),
    [
        pytest.param(
            pod("p", cpu="1", priority=5),
            [running("a", 1), running("b", 2), running("c", 3)],
            [],
            (["a"], 0),
            id="the least urgent",
        ),
        pytest.param(
            pod("p", cpu="1", priority=5),
            [running("a", 1, start=1), running("b", 1, start=3), running("c", 1, start=2)],
            [],
            (["b"], 0),
            id="the youngest of equals",
        ),
        pytest.param(
            pod("p", cpu="2", priority=5),
            [running("a", 1), running("b", 7), running("c", 2)],
            [],
            (["c", "a"], 0),
            id="as many as needed, none that is more urgent",
        ),
        pytest.param(
            pod("p", cpu="1", priority=1),
            [running("a", 1), running("b", 1), running("c", 1)],
            [],
            (NO_VICTIMS,),
            id="equals stay",
        ),
        pytest.param(
            pod("p", cpu="3", priority=5),
            [running("a", 1), running("b", 9), running("c", 1)],
            [],
            ("Insufficient cpu",),
            id="not enough",
        ),
        pytest.param(
            pod("p", cpu="1", priority=5),
            [running("a", 1, app="web"), running("b", 2), running("c", 3)],
            [budget(0, app="web")],
            (["b"], 0),
            id="a budget protects",
        ),
        pytest.param(
            pod("p", cpu="3", priority=5),
            [running("a", 1, app="web"), running("b", 2), running("c", 3)],
            [budget(0, app="web")],
            (["c", "b", "a"], 1),
            id="a budget is violated at last",
        ),
        pytest.param(
            pod("p", port=80, priority=5),
            [{**pod("a", port=80, priority=1)}, running("b", 1)],
            [],
            (["a"], 0),
            id="who holds the port",
        ),
    ],
)
def test_victims(incoming: Obj, placed: list[Obj], objects: list[Obj], expected: Any) -> None:
    """The victims of one node, the most important first; a dry run leaves it as it was."""
    assert expected == victims(incoming, placed, *objects)


def candidate(name: str, *pods: Obj, violations: int = 0) -> Candidate:
    return Candidate(name, tuple(PodInfo.of(one) for one in pods), violations)


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([candidate("a", running("x", 1), violations=1), candidate("b", running("y", 9))], "b"),
        ([candidate("a", running("x", 3)), candidate("b", running("y", 2), running("z", 2))], "b"),
        (
            [
                candidate("a", running("x", 3), running("y", 2)),
                candidate("b", running("z", 3), running("v", 1)),
            ],
            "b",
        ),
        ([candidate("a", running("x", 3), running("y", 3)), candidate("b", running("z", 3))], "b"),
        ([candidate("a", running("x", 3, start=1)), candidate("b", running("y", 3, start=2))], "b"),
    ],
    ids=["budgets", "highest priority", "sum of priorities", "number", "youngest"],
)
def test_best_candidate(candidates: list[Candidate], expected: str) -> None:
    """Of several nodes the one whose victims hurt least."""
    assert expected == best(candidates).node


def test_who_may_not_preempt() -> None:
    """A pod with preemptionPolicy Never, and one for which others are on their way out already."""
    snapshot = cluster([node("n1")])
    never = PodInfo.of(pod("p", priority=5, preemptionPolicy="Never"))
    assert ineligible(never, snapshot) == "not eligible due to preemptionPolicy=Never."
    urgent = PodInfo.of(pod("p", priority=5))
    assert ineligible(urgent, snapshot) == ""
    leaving = running("a", 1)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    leaving["status"]["conditions"] = [
        {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    ]
    snapshot.put_pod(PodInfo.of(leaving), "n1")
    snapshot.nominate(urgent, "n1")
    assert ineligible(urgent, snapshot) == "not eligible due to a terminating pod on the nominated node."


def test_why_preemption_does_not_help() -> None:
    """Nodes that were tried say why, those that were not are of no help."""
    told = not_found(3, [Reject((NO_VICTIMS,)), Reject((NO_VICTIMS,))])
    helpless = "1 Preemption is not helpful for scheduling"
    assert told == f"0/3 nodes are available: {helpless}, 2 {NO_VICTIMS}."


def test_room_of_nominated_pods_is_kept() -> None:
    """A less urgent pod does not take the room that others made; a more urgent one does."""
    snapshot = cluster([node("n1", cpu="1")])
    snapshot.nominate(PodInfo.of(pod("owner", cpu="1", priority=5)), "n1")
    cycle = Cycle(plugins_of(Profile()))
    decisions = [cycle.decide(PodInfo.of(pod("p", cpu="1", priority=p)), snapshot) for p in (1, 5, 6)]
    assert [isinstance(one, Unschedulable) for one in decisions] == [True, True, False]
    assert snapshot.nodes[0].requested == {"cpu": 0} or snapshot.nodes[0].requested == {}


def test_search_tries_what_is_resolvable_only() -> None:
    """Nodes that no eviction opens are not tried; what was found once is found again."""
    taint = [{"key": "k", "effect": "NoSchedule"}]
    snapshot = cluster([node("n1", cpu="1"), node("n2", taints=taint)], [(running("a", 1), "n1")])
    cycle, urgent = Cycle(plugins_of(Profile())), PodInfo.of(pod("p", cpu="1", priority=5))
    refusal = cycle.decide(urgent, snapshot)
    assert isinstance(refusal, Unschedulable)
    preemptor = Preemptor(cycle, random.Random(1))
    first = list(preemptor.search(urgent, snapshot, refusal))
    assert [one.node for one in first if isinstance(one, Candidate)] == ["n1"]
    assert first == list(preemptor.search(urgent, snapshot, refusal))
