"""The disruption controller: what budgets allow, by tables, and in a cluster."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from minikube_py.controllers.disruption import Scales, expected, failed, plan
from minikube_py.errors import TooManyRequests
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from minikube_py.meta.objects import Key, Obj, name_of, timestamp

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(name: str, *, ready: bool = True, deleting: bool = False) -> Obj:
    meta: Obj = {"name": name, "namespace": "default", "labels": {"app": "web"}}
    if deleting:
        meta["deletionTimestamp"] = timestamp(NOW)
    return {
        "metadata": meta,
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def budget(status: Obj | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": "b", "generation": 2}, "spec": spec, "status": status or {}}


@pytest.mark.parametrize(
    ("spec", "pods", "scale", "counts"),
    [
        ({"minAvailable": 1}, 3, 0, (3, 1)),
        ({"minAvailable": "50%"}, 3, 5, (5, 3)),
        ({"maxUnavailable": 1}, 3, 4, (4, 3)),
        ({"maxUnavailable": "30%"}, 3, 5, (5, 3)),
        ({"maxUnavailable": 9}, 3, 5, (5, 0)),
        ({}, 3, 0, (0, 0)),
    ],
)
def test_expected(spec: Obj, pods: int, scale: int, counts: tuple[int, int]) -> None:
    """Shares are of what the controllers want; a number of pods is of those that there are."""
    found = expected(budget(**spec), [pod(str(n)) for n in range(pods)], Scales({"u": scale}))
    assert found == counts


@pytest.mark.parametrize(
    ("pods", "healthy", "allowed"),
    [
        ([pod("a"), pod("b")], 2, 1),
        ([pod("a"), pod("b", ready=False)], 1, 0),
        ([pod("a"), pod("b", deleting=True)], 1, 0),
        ([], 0, 0),
    ],
)
def test_status(pods: list[Obj], healthy: int, allowed: int) -> None:
    """Ready pods that stay are healthy; what is above the bound may be disrupted."""
    status = plan(budget(minAvailable=1), pods, Scales(), NOW).status
    verdict = status["conditions"][0]
    assert status | {"conditions": []} == {
        "currentHealthy": healthy,
        "desiredHealthy": 1,
        "disruptionsAllowed": allowed,
        "expectedPods": len(pods),
        "observedGeneration": 2,
        "conditions": [],
    }
    assert (verdict["status"], verdict["reason"]) == (
        ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    )


def test_noted_disruptions_expire() -> None:
    """A pod about to be evicted does not count, until its time is over; then it is told of."""
    young, old = timestamp(NOW - timedelta(seconds=30)), timestamp(NOW - timedelta(seconds=121))
    noted = {"a": young, "b": old, "gone": young}
    wanted = plan(budget({"disruptedPods": noted}, minAvailable=0), [pod("a"), pod("b")], Scales(), NOW)
    assert wanted.status["disruptedPods"] == {"a": young}
    assert (wanted.status["currentHealthy"], wanted.again) == (1, 90)
    assert [name_of(late) for late in wanted.late] == ["b"]


def test_what_cannot_be_counted_allows_nothing() -> None:
    """A failure keeps the counts, allows no disruption, and says why."""
    status = failed(budget({"currentHealthy": 3, "disruptionsAllowed": 2}), "no scale", NOW)
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (3, 0)
    assert (status["conditions"][0]["reason"], status["conditions"][0]["message"]) == ("SyncFailed", "no scale")


async def test_evictions_wait_for_the_replacement(world: Any) -> None:
    """A budget lets one pod of a Deployment go at a time, and the next once its replacement is ready."""
    await world.add_node("n1")
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "ok:1"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    await world.create(Deployment, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
    bounds = {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    await world.create(PodDisruptionBudget, {"metadata": {"name": "b", "namespace": "default"}, "spec": bounds})
    await world.settle()

    def counts() -> list[int]:
        status = world.the(PodDisruptionBudget, "b")["status"]
        return [
            status[field]
            for field in ("expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed")
        ]

    assert counts() == [3, 2, 3, 1]
    first, second, _ = world.pods()
    client = world.clients.named("drainer")
    await client.post(Pod, Key("default", name_of(first)), "eviction", {"metadata": {"name": name_of(first)}})
    body = {"metadata": {"name": name_of(second)}}
    with pytest.raises(TooManyRequests):
        await client.post(Pod, Key("default", name_of(second)), "eviction", body)
    await world.settle()
    assert counts() == [3, 2, 3, 1]
    assert name_of(first) not in world.names(Pod)
    await client.post(Pod, Key("default", name_of(second)), "eviction", body)


async def test_a_budget_of_pods_without_an_owner_counts_none(world: Any) -> None:
    """A share needs an owner that says how many pods there should be."""
    await world.add_node("n1")
    meta = {"name": "alone", "namespace": "default", "labels": {"app": "web"}}
    await world.create(Pod, {"metadata": meta, "spec": {"containers": [{"name": "c", "image": "ok:1"}]}})
    bounds = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    await world.create(PodDisruptionBudget, {"metadata": {"name": "b", "namespace": "default"}, "spec": bounds})
    await world.settle()
    status = world.the(PodDisruptionBudget, "b")["status"]
    assert (status["expectedPods"], status["disruptionsAllowed"]) == (0, 0)
    assert len(world.events("UnmanagedPods")) == 1
