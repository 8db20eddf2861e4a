"""Evictions through HTTP, against PodDisruptionBudgets."""

from typing import Any

import pytest
from api_cluster import Answer, Client

BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
PODS = "/api/v1/namespaces/default/pods"
LABELS = {"app": "web"}


async def pod(admin: Client, name: str, *, phase: str = "Running", ready: bool = True) -> None:
    """A pod in a phase."""
    spec = {"containers": [{"name": "c", "image": "nginx"}], "nodeName": "n", "serviceAccountName": "default"}
    spec["automountServiceAccountToken"] = False
    made = await admin.post(PODS, {"metadata": {"name": name, "labels": LABELS}, "spec": spec})
    assert made.code == 201, made.body
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    made.body["status"] = {"phase": phase, "conditions": conditions}
    assert (await admin.call("PUT", f"{PODS}/{name}/status", made.body)).code == 200


async def budget(admin: Client, name: str, status: Any, **spec: Any) -> None:
    """A budget whose status says what it allows."""
    body = {
        "metadata": {"name": name},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": LABELS}, **spec},
    }
    made = await admin.post(BUDGETS, body)
    assert made.code == 201, made.body
    made.body["status"] = {"observedGeneration": 1, "expectedPods": 2, **status}
    assert (await admin.call("PUT", f"{BUDGETS}/{name}/status", made.body)).code == 200


async def evict(admin: Client, name: str, **more: Any) -> Answer:
    """The answer to an Eviction."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, **more}
    return await admin.post(f"{PODS}/{name}/eviction", body)


async def is_going(admin: Client, name: str) -> bool:
    """Whether the pod is being deleted, or gone."""
    found = await admin.get(f"{PODS}/{name}")
    return found.code == 404 or "deletionTimestamp" in found["metadata"]


@pytest.fixture(autouse=True)
async def account(admin: Client) -> None:
    """The ServiceAccount of the pods."""
    await admin.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})


async def test_a_budget_is_spent(admin: Client) -> None:
    """Each eviction takes one disruption; with none left they are refused, and told why."""
    await pod(admin, "a")
    await pod(admin, "b")
    await budget(admin, "web", {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1})
    done = await evict(admin, "a")
    assert (done.code, done["status"], await is_going(admin, "a")) == (201, "Success", True)
    status = (await admin.get(f"{BUDGETS}/web"))["status"]
    assert (status["disruptionsAllowed"], list(status["disruptedPods"])) == (0, ["a"])
    assert status["conditions"][0]["reason"] == "InsufficientPods"
    refused = await evict(admin, "b")
    assert (refused.code, refused["reason"]) == (429, "TooManyRequests")
    assert refused["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert refused["details"]["causes"] == [
        {
            "reason": "DisruptionBudget",
            "message": "The disruption budget web does not allow evicting pods currently",
        }
    ]
    assert "Retry-After" not in refused.headers
    assert not await is_going(admin, "b")


async def test_an_evicted_pod_says_why_it_goes(admin: Client) -> None:
    """The pod's DisruptionTarget condition names the eviction."""
    await pod(admin, "a")
    await evict(admin, "a")
    found = (await admin.get(f"{PODS}/a"))["status"]["conditions"]
    assert [(one["type"], one.get("reason")) for one in found] == [
        ("Ready", None),
        ("DisruptionTarget", "EvictionByEvictionAPI"),
    ]


@pytest.mark.parametrize("phase", ["Pending", "Failed", "Succeeded"])
async def test_a_pod_that_does_not_run_needs_no_budget(admin: Client, phase: str) -> None:
    """Evicting it is deleting it."""
    await pod(admin, "a", phase=phase)
    await budget(admin, "web", {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 1})
    assert ((await evict(admin, "a")).code, await is_going(admin, "a")) == (201, True)


@pytest.mark.parametrize(
    ("policy", "healthy", "code"),
    [("IfHealthyBudget", 1, 201), ("IfHealthyBudget", 0, 429), ("AlwaysAllow", 0, 201), (None, 0, 429)],
)
async def test_unready_pods_go_by_the_policy_for_them(
    admin: Client, policy: str | None, healthy: int, code: int
) -> None:
    """A pod that is not ready is free where the budget is healthy, or its policy says so."""
    await pod(admin, "a", ready=False)
    more = {"unhealthyPodEvictionPolicy": policy} if policy else {}
    status = {"disruptionsAllowed": 0, "currentHealthy": healthy, "desiredHealthy": 1}
    await budget(admin, "web", status, **more)
    assert (await evict(admin, "a")).code == code


async def test_two_budgets_are_one_too_many(admin: Client) -> None:
    """A pod with several budgets is not evicted."""
    await pod(admin, "a")
    for name in ("one", "two"):
        await budget(admin, name, {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1})
    answer = await evict(admin, "a")
    assert answer.code == 500
    assert answer["message"].startswith("This pod has more than one PodDisruptionBudget, which the eviction")


async def test_a_budget_not_yet_worked_out_asks_for_patience(admin: Client) -> None:
    """While the status is older than the budget, clients are told when to come again."""
    await pod(admin, "a")
    status = {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "observedGeneration": 0}
    await budget(admin, "web", status)
    answer = await evict(admin, "a")
    assert (answer.code, answer.headers["Retry-After"]) == (429, "10")
    assert "is still being processed by the server." in answer["details"]["causes"][0]["message"]


async def test_a_dry_run_spends_nothing(admin: Client) -> None:
    """dryRun asks the budget, and leaves it and the pod."""
    await pod(admin, "a")
    await budget(admin, "web", {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1})
    answer = await evict(admin, "a", deleteOptions={"dryRun": ["All"]})
    left = (await admin.get(f"{BUDGETS}/web"))["status"]["disruptionsAllowed"]
    assert (answer.code, left, await is_going(admin, "a")) == (201, 1, False)


async def test_an_eviction_names_its_pod(admin: Client) -> None:
    """The name of the Eviction is that of the URL; its preconditions hold."""
    await pod(admin, "a")
    wrong = await admin.post(f"{PODS}/a/eviction", {"metadata": {"name": "b"}})
    assert wrong["message"] == "name in URL does not match name in Eviction object"
    stale = await evict(admin, "a", deleteOptions={"preconditions": {"uid": "other"}})
    assert stale.code == 409
