"""What is kept incrementally equals the plain computation, on random clusters."""

import random
from typing import Any

from builders import affinity, cluster, labelled, node, pod_term
from hypothesis import given, settings
from hypothesis import strategies as st

from minikube_py.meta.objects import Obj, labels_of
from minikube_py.scheduler.configuration import Profile, plugins_of
from minikube_py.scheduler.cycle import Cycle, Placement, Unschedulable
from minikube_py.scheduler.podinfo import PodInfo, PodReader
from minikube_py.scheduler.snapshot import Snapshot
from minikube_py.scheduler.tallies import eligible
from minikube_py.scheduler.terms import Question

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
APPS = st.sampled_from(["web", "db", "new"])
KEYS = st.sampled_from([ZONE, HOST, "rack"])
NODES = 4


@st.composite
def pods(draw: Any) -> Obj:
    """A pod with labels, room it asks for, and perhaps terms and constraints."""
    spec: Obj = {}
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["podAffinity", "podAntiAffinity"]))
        spec["affinity"] = affinity(kind, pod_term(draw(KEYS), app=draw(APPS)))
    if draw(st.booleans()):
        one = {"maxSkew": 1, "topologyKey": draw(KEYS), "labelSelector": {"matchLabels": {"app": draw(APPS)}}}
        action = draw(st.sampled_from(["DoNotSchedule", "ScheduleAnyway"]))
        spec["topologySpreadConstraints"] = [{**one, "whenUnsatisfiable": action}]
    cpu = draw(st.sampled_from(["", "100m", "1"]))
    made = labelled("p", {"app": draw(APPS)}, cpu=cpu, priority=draw(st.integers(0, 2)), **spec)
    if draw(st.integers(0, 5)) == 0:
        made["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return made


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "drop", "label", "ask"]), st.integers(0, 9), pods()), max_size=30
)


def some_node(number: int, zone: int) -> Obj:
    return node(
        f"n{number}", cpu="3", labels={ZONE: f"z{zone}"} | ({"rack": f"r{number}"} if number % 2 else {})
    )


def plain_count(
    question: Question, nodes: dict[str, Obj], placed: dict[str, tuple[PodInfo, str]]
) -> dict[str, int]:
    """The pods by domain, counted one by one."""
    values = {name: labels_of(one)[question.key] for name, one in nodes.items() if eligible(question, one)}
    counts = dict.fromkeys(values.values(), 0)
    for info, name in placed.values():
        passed_over = info.terminating and question.leaves_out_terminating
        means = all(term.matches(info.key.namespace, info.labels, {}) for term in question.terms)
        if name in values and means and not passed_over:
            counts[values[name]] += 1
    return counts


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_what_is_kept_equals_a_plain_count(steps: list[tuple[str, int, Obj]]) -> None:
    """After any pods that come and go and nodes that change, tallies, standing terms and decisions are those
    of a snapshot that was made anew."""
    nodes = {f"n{number}": some_node(number, number % 2) for number in range(NODES)}
    snapshot, reader = cluster(nodes.values()), PodReader()
    placed: dict[str, tuple[PodInfo, str]] = {}
    cycle = Cycle(plugins_of(Profile()))
    for number, (step, which, pod) in enumerate(steps):
        info = reader.read({**pod, "metadata": {**pod["metadata"], "name": f"p{number}", "uid": f"u{which}"}})
        target = f"n{which % NODES}"
        if step == "put":
            snapshot.put_pod(info, target)
            placed[info.uid] = (info, target)
        elif step == "drop":
            snapshot.remove_pod(info.uid)
            placed.pop(info.uid, None)
        elif step == "label":
            nodes[target] = some_node(which % NODES, number % 3)
            snapshot.put_node(nodes[target])
        else:
            agrees(cycle, snapshot, info, nodes, placed)


def agrees(
    cycle: Cycle,
    snapshot: Snapshot,
    info: PodInfo,
    nodes: dict[str, Obj],
    placed: dict[str, tuple[PodInfo, str]],
) -> None:
    """The snapshot answers as one that has just been made."""
    fresh = cluster(nodes.values(), ((one.pod, name) for one, name in placed.values()))
    for one in (*info.terms.must_spread, *info.terms.may_spread):
        assert snapshot.tally(one.question).counts == plain_count(one.question, nodes, placed)
    assert snapshot.standing.anti_affinity == fresh.standing.anti_affinity
    assert snapshot.standing.scored == fresh.standing.scored
    again = PodInfo.of(info.pod)
    expected, found = (cycle.ask(one, where) for one, where in ((again, fresh), (info, snapshot)))
    assert not isinstance(expected, Unschedulable) and not isinstance(found, Unschedulable)
    for name in nodes:
        before = fresh.node(name)
        now = snapshot.node(name)
        assert before is not None and now is not None
        left, right = cycle.fits(again, before, fresh, expected), cycle.fits(info, now, snapshot, found)
        assert (left and left[1]) == (right and right[1])
    chosen = [
        Cycle(plugins_of(Profile()), random.Random(1)).decide(i, w)
        for i, w in ((again, fresh), (info, snapshot))
    ]
    assert isinstance(chosen[0], Placement) == isinstance(chosen[1], Placement)
