"""A Job's pods as they are sorted while they change, and what is counted of them at a time."""

import random
from typing import Any

import pytest

from minikube_py.client.base import Change
from minikube_py.controllers.job import patience
from minikube_py.controllers.jobs import counting
from minikube_py.controllers.jobs.failures import judge
from minikube_py.controllers.jobs.podsets import FINALIZER, JobPods, PodSet
from minikube_py.controllers.jobs.template import job_pod
from minikube_py.kinds.batch.job import UID_LABEL
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, dig

INDEX = "batch.kubernetes.io/job-completion-index"
SINCE = "2026-01-01T00:00:00Z"
ENDED = ("Succeeded", "Failed")


def pod(uid: str, phase: str = "Running", *, tracked: bool = True, owner: str = "j", **more: Any) -> Obj:
    """A pod of the Job with this uid (empty: of none); `more` are its index, and whether it is `deleting`."""
    meta: Obj = {"name": uid, "namespace": "default", "uid": uid, "labels": {UID_LABEL: "j"}}
    if owner:
        ref = {"apiVersion": "batch/v1", "kind": "Job", "name": owner, "uid": owner, "controller": True}
        meta["ownerReferences"] = [ref]
    if tracked:
        meta["finalizers"] = [FINALIZER]
    if more.get("deleting"):
        meta["deletionTimestamp"] = SINCE
    if more.get("index") is not None:
        meta["annotations"] = {INDEX: str(more["index"])}
    ready = {"type": "Ready", "status": "True" if phase == "Running" else "False"}
    return {"metadata": meta, "spec": {}, "status": {"phase": phase, "conditions": [ready]}}


def shape(pods: PodSet) -> tuple[Any, ...]:
    return pods.active, pods.left, pods.ready, pods.tracked, pods.indexes, pods.selected


def random_pod(dice: random.Random, uid: str) -> Obj:
    return pod(
        uid,
        dice.choice(["Pending", "Running", *ENDED]),
        tracked=dice.random() < 0.7,
        owner=dice.choice(["j", "j", "k", ""]),
        deleting=dice.random() < 0.3,
        index=dice.choice([None, 0, 1]),
    )


@pytest.mark.parametrize("seed", range(20))
def test_pods_are_sorted_as_they_change(seed: int) -> None:
    """After any changes the pods stand as if all of them were sorted anew."""
    dice, known, pods = random.Random(seed), dict[str, Obj](), JobPods()
    for _ in range(200):
        uid = f"p{dice.randrange(8)}"
        old = known.get(uid)
        if old is not None and dice.random() < 0.2:
            del known[uid]
            pods.note(Change("DELETED", Pod, old, old))
            continue
        known[uid] = random_pod(dice, uid)
        pods.note(Change("ADDED" if old is None else "MODIFIED", Pod, known[uid], old))
        for job in ("j", "k"):
            mine = [p for p in known.values() if dig(p, "metadata.ownerReferences", [{}])[0].get("uid") == job]
            assert shape(pods.of(job)) == shape(PodSet(mine))


def a_job(status: Obj | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": "j", "namespace": "default", "uid": "j"}, "spec": spec, "status": status or {}}


def test_so_many_pods_are_counted_at_a_time() -> None:
    """The status names at most 500 pods; the others count already for what is to be done next."""
    pods = PodSet(pod(f"p{number}", ENDED[number % 2]) for number in range(1200))
    first = counting.tally(a_job(completions=2000), pods)
    stored = counting.counts(a_job(), first)
    waiting = stored["uncountedTerminatedPods"]
    assert len(waiting["succeeded"]) + len(waiting["failed"]) == counting.MAX_UNCOUNTED == len(first.release)
    assert (first.succeeded, first.failed, first.is_settled) == (600, 600, False)
    gone = {dig(released, "metadata.uid") for released in first.release}
    rest = PodSet(p for uid, p in pods.left.items() if uid not in gone)
    again = counting.tally(a_job(stored, completions=2000), rest)
    assert (again.counted_succeeded + again.counted_failed, len(again.release)) == (500, 500)
    assert (again.succeeded, again.failed) == (600, 600)


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([], False),
        ([pod("a", index=0), pod("b", index=1)], False),
        ([pod("a", index=0), pod("b", index=0)], True),
        ([pod("a", index=2)], True),
        ([pod("a")], True),
        ([pod("a", "Failed", index=2)], False),
    ],
)
def test_doubles(pods: list[Obj], expected: bool) -> None:
    """Of two indexes each has one pod that runs, and no others are."""
    assert PodSet(pods).has_doubles(2) == expected


def test_failed_indexes_are_told_where_they_are_counted() -> None:
    """The field is there, if empty, where indexes fail one by one; else it is not."""
    spec: Obj = {"completionMode": "Indexed", "completions": 2}
    one_by_one = a_job(**spec, backoffLimitPerIndex=1)
    assert counting.counts(one_by_one, counting.tally(one_by_one, PodSet()))["failedIndexes"] == ""
    together = a_job(**spec)
    assert "failedIndexes" not in counting.counts(together, counting.tally(together, PodSet()))


def test_an_index_gives_the_host_name() -> None:
    """The pods of an Indexed Job are named by their index, whatever the template says."""
    template = {"metadata": {}, "spec": {"hostname": "mine", "containers": [{"name": "main"}]}}
    made = job_pod({**a_job(template=template), "apiVersion": "batch/v1", "kind": "Job"}, 3)
    assert made["spec"]["hostname"] == "j-3"


def test_containers_are_judged_before_init_containers() -> None:
    """Where both failed with a code that a rule names, the message tells of the container."""
    ended = [{"name": name, "state": {"terminated": {"exitCode": 42}}} for name in ("main", "init")]
    failed = pod("p", "Failed")
    failed["status"] |= {"containerStatuses": ended[:1], "initContainerStatuses": ended[1:]}
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    found = judge(a_job(podFailurePolicy={"rules": [rule]}), failed)
    assert (
        found.message
        == "Container main for pod default/p failed with exit code 42 matching FailJob rule at index 0"
    )


@pytest.mark.parametrize(("count", "expected"), [(0, 0.0), (99, 0.0), (100, 0.1), (500, 0.5), (3000, 1.0)])
def test_a_large_job_is_looked_at_seldom(count: int, expected: float) -> None:
    """The more pods a Job has, the more of their changes are looked at together."""
    assert patience(PodSet(pod(f"p{number}") for number in range(count))) == expected
