"""The pure parts of the Deployment controller, by tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from minikube_py.controllers.deployments import revisions, rolling, status
from minikube_py.meta.objects import Obj, timestamp

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def deployment(replicas: int, surge: int | str = "25%", unavailable: int | str = "25%", **more: Any) -> Obj:
    parameters = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "d", "generation": 2},
        "spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": parameters}},
        **more,
    }


def replicaset(name: str, replicas: int, available: int | None = None, **annotations: str) -> Obj:
    known = {f"deployment.kubernetes.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    available = replicas if available is None else available
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": f"2026-01-0{name[-1]}T00:00:00Z",
            "annotations": known,
        },
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "availableReplicas": available},
    }


def sizes(steps: list[rolling.Scale]) -> dict[str, int]:
    return {step.rs["metadata"]["name"]: step.replicas for step in steps}


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        ("25%", "25%", 4, (1, 1)),
        ("25%", "25%", 10, (3, 2)),
        ("25%", "25%", 1, (1, 0)),
        (0, 0, 3, (0, 1)),
        ("0%", "10%", 3, (0, 1)),
        (2, 5, 3, (2, 3)),
        ("100%", "0%", 3, (3, 0)),
    ],
)
def test_limits(surge: Any, unavailable: Any, replicas: int, expected: tuple[int, int]) -> None:
    """The surge is rounded up, what may be unavailable down, and one of the two is at least 1."""
    found = deployment(replicas, surge, unavailable)
    assert (rolling.max_surge(found), rolling.max_unavailable(found)) == expected


@pytest.mark.parametrize(
    ("wanted", "new", "old", "expected"),
    [
        pytest.param((4, 1, 0), (0, 0), [(4, 4)], {"new2": 1}, id="grow-by-the-surge"),
        pytest.param((4, 1, 0), (1, 0), [(4, 4)], {}, id="wait-for-the-new"),
        pytest.param((4, 1, 0), (1, 1), [(4, 4)], {"old1": 3}, id="shrink-the-old"),
        pytest.param((4, 1, 0), (1, 1), [(3, 3)], {"new2": 2}, id="grow-again"),
        pytest.param((4, 0, 1), (0, 0), [(4, 4)], {"old1": 3}, id="no-surge-shrinks-first"),
        pytest.param((4, 1, 0), (0, 0), [(4, 1)], {"new2": 1}, id="growth-before-cleanup"),
        pytest.param((4, 1, 1), (1, 0), [(4, 2)], {"old1": 3}, id="broken-old-pods-go-first"),
        pytest.param((4, 1, 0), (4, 4), [], {}, id="done"),
        pytest.param((2, 1, 0), (4, 4), [], {"new2": 2}, id="too-many"),
        pytest.param((2, "25%", "25%"), (2, 2), [(1, 1)], {"old1": 0}, id="last-old-one"),
    ],
)
def test_rolling_steps(wanted: Any, new: Any, old: Any, expected: dict[str, int]) -> None:
    """A step grows the new set within the surge, or else shrinks old ones within what may be missing."""
    olds = [replicaset(f"old{number + 1}", *size) for number, size in enumerate(old)]
    assert sizes(rolling.plan_rolling(deployment(*wanted), replicaset("new2", *new), olds)) == expected


@pytest.mark.parametrize(
    ("new", "old", "running", "expected"),
    [
        (None, [(3, 3)], True, {"old1": 0}),
        ((0, 0), [(0, 0)], True, {}),
        ((0, 0), [(0, 0)], False, {"new2": 3}),
        ((3, 3), [(0, 0)], False, {}),
    ],
)
def test_recreate_steps(new: Any, old: Any, running: bool, expected: dict[str, int]) -> None:
    """Recreate removes every old pod, waits for their end, and then makes all new ones."""
    recreate = {"spec": {"replicas": 3, "strategy": {"type": "Recreate"}}}
    olds = [replicaset(f"old{number + 1}", *size) for number, size in enumerate(old)]
    found = rolling.plan_recreate(recreate, replicaset("new2", *new) if new else None, olds, running)
    assert sizes(found) == expected


@pytest.mark.parametrize(
    ("wanted", "new", "old", "expected"),
    [
        pytest.param(5, 3, [], {"new2": 5}, id="one-set"),
        pytest.param(5, 0, [3], {"old1": 5}, id="only-an-old-one-runs"),
        pytest.param(15, 8, [5], {"new2": 11, "old1": 7}, id="documented-example"),
        pytest.param(0, 2, [2], {"new2": 0, "old1": 0}, id="to-nothing"),
        pytest.param(6, 4, [8], {"old1": 6, "new2": 3}, id="down"),
    ],
)
def test_proportional_scaling(wanted: int, new: int, old: list[int], expected: dict[str, int]) -> None:
    """Several active sets share a new size in proportion; a single one takes it all."""
    surge = 3
    total = new + sum(old)
    bound = {"desired_replicas": str(total - surge), "max_replicas": str(total)}
    sets = [replicaset(f"old{number + 1}", size, **bound) for number, size in enumerate(old)]
    found = rolling.plan_scaling(deployment(wanted, surge), replicaset("new2", new, 0, **bound), sets)
    assert sizes(found) == expected


def template(image: str = "a", **labels: str) -> Obj:
    return {"metadata": {"labels": {"app": "web", **labels}}, "spec": {"containers": [{"image": image}]}}


def test_a_template_is_found_again() -> None:
    """A ReplicaSet stands for a template whatever its hash label; of several the oldest counts."""
    found = deployment(1)
    found["spec"]["template"] = template()
    sets = []
    for number, pod in enumerate((template("b"), template(**{"pod-template-hash": "x"}), template())):
        rs = replicaset(f"rs{3 - number}", 1)
        sets.append({**rs, "spec": {**rs["spec"], "template": pod}})
    new = revisions.find_new(found, sets)
    assert new is not None and new["metadata"]["name"] == "rs1"
    found["spec"]["template"] = template("c")
    assert revisions.find_new(found, sets) is None


def test_hashes_are_stable_and_safe() -> None:
    """The hash depends on the value and the collisions, not on the order of keys, and uses safe letters."""
    first = revisions.safe_hash({"a": 1, "b": 2})
    assert revisions.safe_hash({"b": 2, "a": 1}) == first
    assert revisions.safe_hash({"a": 1, "b": 2}, 1) != first
    assert set(first) <= set(revisions.SAFE)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], None, ("1", None)),
        (["1", "2"], None, ("3", None)),
        (["2", "3"], "1", ("4", "1")),
        (["1"], "2", (None, None)),
    ],
)
def test_revisions_count_up(old: list[str], new: str | None, expected: tuple[str | None, str | None]) -> None:
    """The current set's revision is above all old ones; what it was before is its history."""
    olds = [replicaset(f"old{n + 1}", 0, revision=text) for n, text in enumerate(old)]
    current = replicaset("new9", 1, revision=new) if new else None
    found = revisions.wanted_annotations(deployment(1), current, olds)
    assert (found.get(revisions.REVISION), found.get(revisions.HISTORY)) == expected


def test_annotations_are_copied_but_for_the_private_ones() -> None:
    """The change cause goes to the ReplicaSet, what kubectl applied does not."""
    found = deployment(1)
    found["metadata"]["annotations"] = {
        "kubernetes.io/change-cause": "why",
        next(iter(revisions.NOT_COPIED)): "x",
    }
    assert revisions.wanted_annotations(found, None, []) == {
        "kubernetes.io/change-cause": "why",
        revisions.REVISION: "1",
    }


def condition(reason: str, status_: str = "True", age: int = 0) -> Obj:
    moment = timestamp(NOW - timedelta(seconds=age))
    times = {"lastUpdateTime": moment, "lastTransitionTime": moment}
    return {"type": "Progressing", "status": status_, "reason": reason, "message": "", **times}


@pytest.mark.parametrize(
    ("known", "new", "expected"),
    [
        pytest.param([], 3, ("True", "NewReplicaSetAvailable"), id="complete"),
        pytest.param([condition("NewReplicaSetCreated")], 2, ("True", "ReplicaSetUpdated"), id="moves"),
        pytest.param([condition("ReplicaSetUpdated", age=99)], 1, ("True", "ReplicaSetUpdated"), id="waits"),
        pytest.param(
            [condition("ReplicaSetUpdated", age=101)], 1, ("False", "ProgressDeadlineExceeded"), id="too-late"
        ),
        pytest.param(
            [condition("ProgressDeadlineExceeded", "False", 200)],
            3,
            ("True", "NewReplicaSetAvailable"),
            id="late",
        ),
        pytest.param(
            [condition("NewReplicaSetAvailable", age=999)], 1, ("True", "NewReplicaSetAvailable"), id="done"
        ),
    ],
)
def test_progress(known: list[Obj], new: int, expected: tuple[str, str]) -> None:
    """The Progressing condition tells of completion, movement, and of a deadline that has passed."""
    before = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 1, "conditions": known}
    found = deployment(3, status=before)
    found["spec"]["progressDeadlineSeconds"] = 100
    result = status.observed(found, replicaset("new1", 3, new), [replicaset("new1", 3, new)], known, NOW)
    [progressing] = [c for c in result["conditions"] if c["type"] == "Progressing"]
    assert (progressing["status"], progressing["reason"]) == expected


def test_a_set_that_fails_is_told_of() -> None:
    """ReplicaFailure of a ReplicaSet is the Deployment's too, and goes with it."""
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "no quota"}
    failing = replicaset("new1", 3, 0)
    failing["status"]["conditions"] = [failure]
    told = status.observed(deployment(3), failing, [failing], [], NOW)["conditions"]
    assert [c["message"] for c in told if c["type"] == "ReplicaFailure"] == ["no quota"]
    well = replicaset("new1", 3)
    told = status.observed(deployment(3), well, [well], told, NOW)["conditions"]
    assert [c for c in told if c["type"] == "ReplicaFailure"] == []


def test_history_beyond_the_limit_expires() -> None:
    """The oldest idle revisions beyond the limit go; what still runs stays."""
    sets = [replicaset(f"rs{n}", 0, revision=str(n)) for n in (3, 1, 2)] + [replicaset("rs0", 1, revision="0")]
    found = deployment(1)
    found["spec"]["revisionHistoryLimit"] = 1
    assert [rs["metadata"]["name"] for rs in revisions.expired(found, sets)] == ["rs1", "rs2"]
