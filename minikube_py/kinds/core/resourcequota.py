"""ResourceQuota: how much the objects of a namespace may use together."""

from collections.abc import Callable, Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.kinds.core.quotascopes import validate_scope_selector, validate_scopes
from minikube_py.kinds.resourcenames import validate_quota_name, validate_resources
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import IMMUTABLE, invalid


def prepare(quota: Obj, old: Obj | None) -> None:
    if old is None:
        quota["status"] = {}


def validate(quota: Obj, old: Obj | None) -> Iterable[Violation]:
    spec = quota.get("spec") or {}
    yield from validate_resources(spec.get("hard"), validate_quota_name, "spec.hard")
    yield from validate_scopes(spec)
    yield from validate_scope_selector(spec)
    if old is not None:
        before = (old.get("spec") or {}).get("scopes") or ()
        if set(spec.get("scopes") or ()) != set(before):
            yield invalid("spec.scopes", spec.get("scopes"), IMMUTABLE)


def validate_status(quota: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a quota's new status."""
    for field in ("hard", "used"):
        amounts = dig(quota, f"status.{field}")
        yield from validate_resources(amounts, validate_quota_name, f"status.{field}")


def _usage(limits: bool) -> Callable[[Obj, datetime], str]:
    def cell(quota: Obj, now: datetime) -> str:
        hard, used = dig(quota, "status.hard", {}), dig(quota, "status.used", {})
        names = [name for name in sorted(hard) if (name.startswith("limits.")) is limits]
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in names)

    return cell


ResourceQuota = Kind(
    "ResourceQuota",
    "v1",
    "resourcequotas",
    short_names=("quota",),
    subresources=("status",),
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    returns_deleted=True,
    columns=(
        NAME,
        Column("Request", _usage(limits=False), description="Requests and counts: used and allowed"),
        Column("Limit", _usage(limits=True), description="Limits: used and allowed"),
        AGE,
    ),
)
