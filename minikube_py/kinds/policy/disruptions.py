"""What a PodDisruptionBudget allows, as its status says it: shared by those who spend it and who refill it."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.meta.objects import Obj, dig, labels_of, timestamp, with_condition
from minikube_py.meta.selectors import NOTHING, Selector, from_label_selector

ALLOWED = "DisruptionAllowed"


def selects(budget: Obj, pod: Obj) -> bool:
    """Whether the budget is about the pod (of its namespace); one without a selector is about none."""
    return selector_of(budget).matches(labels_of(pod))


def selector_of(budget: Obj) -> Selector:
    """Which pods of its namespace the budget is about; none where that cannot be read."""
    try:
        return from_label_selector(dig(budget, "spec.selector"))
    except ValueError:
        return NOTHING


def with_verdict(conditions: Iterable[Obj], status: Obj, now: datetime) -> list[Obj]:
    """`conditions` with the one that says whether `status` allows a disruption."""
    enough = (status.get("disruptionsAllowed") or 0) > 0
    verdict = {
        "type": ALLOWED,
        "status": "True" if enough else "False",
        "reason": "SufficientPods" if enough else "InsufficientPods",
        "message": "",
        "observedGeneration": status.get("observedGeneration") or 0,
    }
    return with_condition(conditions, verdict, now)


def spent(budget: Obj, pod: str, now: datetime) -> Obj:
    """The status of `budget` with one disruption less allowed, of the pod so named."""
    status: Obj = dict(budget.get("status") or {})
    status["disruptionsAllowed"] = (status.get("disruptionsAllowed") or 0) - 1
    status["disruptedPods"] = {**(status.get("disruptedPods") or {}), pod: timestamp(now)}
    if not status["disruptionsAllowed"]:
        status["conditions"] = with_verdict(status.get("conditions") or (), status, now)
    return status
