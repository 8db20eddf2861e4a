"""Jobs in virtual time: adoption and release, elastic indexes, replacement, deletion with and without pods."""

from typing import Any

import pytest

from minikube_py.controllers.jobs.podsets import PodSet
from minikube_py.controllers.jobs.removal import surplus
from minikube_py.kinds.batch.job import Job
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, annotations_of, controller_of, dig, name_of, parse_time, uid_of

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"


def job(image: str, **spec: Any) -> Obj:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}
    meta = {"name": "work", "namespace": "default"}
    return {"metadata": meta, "spec": {"template": {"spec": pod}, **spec}}


def indexes(world: Any) -> list[str]:
    return sorted(annotations_of(pod)[INDEX] for pod in world.pods())


async def test_an_orphan_is_adopted_and_a_stranger_released(world: Any) -> None:
    """A pod that lost its controller is adopted again; one whose labels change is let go and replaced."""
    await world.add_node("n1")
    await world.create(Job, job("ok", parallelism=2, completions=2))
    first, mine = world.names(Pod)[0], uid_of(world.the(Job, "work"))
    await world.patch(Pod, first, {"metadata": {"ownerReferences": None}})
    adopted = world.the(Pod, first)
    assert (controller_of(adopted)["uid"], dig(adopted, "metadata.finalizers")) == (mine, [FINALIZER])
    assert len(world.pods()) == 2
    await world.patch(Pod, first, {"metadata": {"labels": None}})
    released = world.the(Pod, first)
    assert (controller_of(released), dig(released, "metadata.finalizers") or []) == (None, [])
    assert len([pod for pod in world.pods() if (controller_of(pod) or {}).get("uid") == mine]) == 2


async def test_orphaned_pods_keep_no_finalizer(world: Any) -> None:
    """Deleted without its pods, a Job leaves them free to go."""
    await world.add_node("n1")
    await world.create(Job, job("ok"))
    await world.delete(Job, "work", propagationPolicy="Orphan")
    [pod] = world.pods()
    assert (controller_of(pod), dig(pod, "metadata.finalizers") or []) == (None, [])
    await world.delete(Pod, name_of(pod))
    assert world.pods() == []


@pytest.mark.parametrize("propagation", ["Foreground", "Background"])
@pytest.mark.parametrize("policy", ["Failed", "TerminatingOrFailed"])
async def test_a_running_job_is_deleted(world: Any, propagation: str, policy: str) -> None:
    """Nothing of a deleted Job stays, also where pods are replaced only once they have ended."""
    await world.add_node("n1")
    await world.create(Job, job("ok", podReplacementPolicy=policy))
    await world.delete(Job, "work", propagationPolicy=propagation)
    assert (world.names(Job), world.pods()) == ([], [])


async def test_an_elastic_job(world: Any) -> None:
    """Completions and parallelism of an Indexed Job change together: the highest indexes go, and come back."""
    await world.add_node("n1")
    await world.create(Job, job("ok", parallelism=3, completions=3, completionMode="Indexed"))
    assert indexes(world) == ["0", "1", "2"]
    await world.patch(Job, "work", {"spec": {"parallelism": 1, "completions": 1}})
    assert (indexes(world), world.the(Job, "work")["status"].get("failed", 0)) == (["0"], 0)
    await world.patch(Job, "work", {"spec": {"parallelism": 2, "completions": 2}})
    assert (indexes(world), world.the(Job, "work")["status"]["active"]) == (["0", "1"], 2)


async def test_an_elastic_job_completes_when_it_shrinks(world: Any) -> None:
    """A Job whose wanted indexes have all succeeded is complete, whatever became of the others."""
    world.agent.images["some:1"] = "succeed"
    await world.add_node("n1")
    await world.create(Job, job("some:1", parallelism=2, completions=2, completionMode="Indexed", suspend=True))
    await world.patch(Job, "work", {"spec": {"parallelism": 1, "completions": 1}})
    await world.patch(Job, "work", {"spec": {"suspend": False}})
    status = world.the(Job, "work")["status"]
    assert (status["completedIndexes"], status["succeeded"]) == ("0", 1)
    assert [c["type"] for c in status["conditions"]] == ["Suspended", "SuccessCriteriaMet", "Complete"]


async def test_a_replacement_waits_for_the_end(world: Any) -> None:
    """With podReplacementPolicy Failed an index has no second pod while its first one is ending."""
    await world.add_node("n1")
    spec = {"completionMode": "Indexed", "podReplacementPolicy": "Failed"}
    await world.create(Job, job("ok", parallelism=2, completions=2, **spec))
    world.agent.silent.add("n1")
    first = next(name_of(pod) for pod in world.pods() if annotations_of(pod)[INDEX] == "0")
    await world.delete(Pod, first)
    status = world.the(Job, "work")["status"]
    assert (indexes(world), status["terminating"], status["active"]) == (["0", "1"], 1, 1)
    pod = world.the(Pod, first)
    await world.api.update(Pod, {**pod, "status": {**pod["status"], "phase": "Failed"}}, subresource="status")
    await world.settle()
    await world.pass_time(11)
    status = world.the(Job, "work")["status"]
    assert (status["failed"], status["terminating"], status["active"]) == (1, 0, 2)


async def test_another_manager_s_job_is_left_alone(world: Any) -> None:
    """A Job that is managed by someone else gets neither pods nor a status."""
    await world.create(Job, job("ok", managedBy="example.com/other"))
    assert (world.pods(), world.the(Job, "work").get("status") or {}) == ([], {})


async def test_a_failed_job_counts_what_it_takes_away(world: Any) -> None:
    """Past its deadline a Job's running pods are deleted and counted as failed, whatever the policy."""
    await world.add_node("n1")
    await world.create(Job, job("ok", parallelism=2, activeDeadlineSeconds=5, podReplacementPolicy="Failed"))
    await world.pass_time(7)
    status = world.the(Job, "work")["status"]
    assert (world.pods(), status["failed"], status.get("active", 0)) == ([], 2, 0)


def running(name: str, index: int | None, ready: bool = True) -> Obj:
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": WHEN}
    annotations = {} if index is None else {INDEX: str(index)}
    meta = {"name": name, "uid": name, "annotations": annotations, "creationTimestamp": WHEN}
    return {
        "metadata": meta,
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "conditions": [condition]},
    }


WHEN = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("pods", "too_many", "expected"),
    [
        ([running("a", 0), running("b", 1)], 0, []),
        ([running("a", 0), running("b", 0, ready=False)], 0, ["b"]),
        ([running("a", 0), running("b", 5)], 0, ["b"]),
        ([running("a", 0), running("b", None)], 0, ["b"]),
        ([running("a", 0), running("b", 5), running("c", 1, ready=False)], 2, ["b", "c"]),
    ],
)
def test_the_surplus_of_an_indexed_job(pods: list[Obj], too_many: int, expected: list[str]) -> None:
    """Pods of indexes that the Job has not, and doubles, go first; then as many more as are too many."""
    now = parse_time(WHEN)
    wanted = {"spec": {"completionMode": "Indexed", "completions": 2}}
    assert [name_of(pod) for pod in surplus(wanted, PodSet(pods), too_many, now)] == expected
