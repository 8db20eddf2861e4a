"""PodDisruptionBudget: how many pods of an application may be away at a time, of their own accord."""

from collections.abc import Iterable
from typing import Any

from minikube_py.kinds.columns import AGE, NAME, integer
from minikube_py.kinds.selectors import validate_label_selector
from minikube_py.kinds.strategy import fresh_status, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import percent
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import NOT_NEGATIVE, invalid, non_negative, not_supported

NOT_AVAILABLE = "N/A"
_UNHEALTHY = ("AlwaysAllow", "IfHealthyBudget")
_BOUNDS = ("minAvailable", "maxUnavailable")


def default(budget: Obj) -> None:
    section(budget, "spec")


def prepare(budget: Obj, old: Obj | None) -> None:
    fresh_status(budget, old)
    if old is None:
        fields = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")
        budget["status"] = dict.fromkeys(fields, 0)


def validate(budget: Obj, old: Obj | None) -> Iterable[Violation]:
    spec = budget.get("spec") or {}
    if all(spec.get(bound) is not None for bound in _BOUNDS):
        yield invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for bound in _BOUNDS:
        yield from _amount(spec.get(bound), f"spec.{bound}")
    yield from validate_label_selector(spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in _UNHEALTHY:
        yield not_supported("spec.unhealthyPodEvictionPolicy", policy, _UNHEALTHY)


def _amount(amount: Any, path: str) -> Iterable[Violation]:
    if isinstance(amount, str):
        faults = percent(amount)
        for reason in faults:
            yield invalid(path, amount, reason)
        if not faults and int(amount[:-1]) > 100:
            yield invalid(path, amount, "must not be greater than 100%")
    elif amount is not None and amount < 0:
        yield invalid(path, amount, NOT_NEGATIVE)


def validate_status(budget: Obj, old: Obj | None) -> Iterable[Violation]:
    for field in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        yield from non_negative(budget, f"status.{field}")


def _bound(field: str) -> Any:
    return lambda budget, now: str(dig(budget, f"spec.{field}", NOT_AVAILABLE))


PodDisruptionBudget = Kind(
    "PodDisruptionBudget",
    "policy/v1",
    "poddisruptionbudgets",
    short_names=("pdb",),
    subresources=("status",),
    default=default,
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    columns=(
        NAME,
        Column("Min Available", _bound("minAvailable"), description="How many pods must be available"),
        Column("Max Unavailable", _bound("maxUnavailable"), description="How many pods may be unavailable"),
        Column(
            "Allowed Disruptions",
            integer("status.disruptionsAllowed"),
            "integer",
            description="How many pods may be disrupted now",
        ),
        AGE,
    ),
    unconditional_update=False,
)
