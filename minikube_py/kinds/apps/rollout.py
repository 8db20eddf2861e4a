"""Validation of how fast a rolling update may go."""

from collections.abc import Iterable
from typing import Any

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import percent
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import NOT_NEGATIVE, invalid, required


def validate_rolling(rolling: Obj | None, path: str) -> Iterable[Violation]:
    """The refusals of maxUnavailable and maxSurge, each a number or a percentage, not both zero."""
    if rolling is None:
        yield required(path, "this should be defaulted and never be nil")
        return
    for field in ("maxUnavailable", "maxSurge"):
        yield from _amount(rolling.get(field), f"{path}.{field}")
    if _whole(rolling.get("maxUnavailable")) > 100:
        yield invalid(f"{path}.maxUnavailable", rolling["maxUnavailable"], "must not be greater than 100%")
    if _is_zero(rolling.get("maxUnavailable")) and _is_zero(rolling.get("maxSurge")):
        told = "may not be 0 when `maxSurge` is 0"
        yield invalid(f"{path}.maxUnavailable", rolling.get("maxUnavailable"), told)


def validate_daemon_rolling(rolling: Obj | None, path: str) -> Iterable[Violation]:
    """The refusals of maxUnavailable and maxSurge of a DaemonSet: exactly one of them is zero."""
    if rolling is None:
        yield required(path)
        return
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    for field, amount in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        yield from _amount(amount, f"{path}.{field}")
    for field, amount in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        if _whole(amount) > 100:
            yield invalid(f"{path}.{field}", amount, "must not be greater than 100%")
    if not _is_zero(unavailable) and not _is_zero(surge):
        yield invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    elif _is_zero(unavailable) and _is_zero(surge):
        yield required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def validate_partitioned(rolling: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a StatefulSet's rolling update: its partition, and maxUnavailable where it is set."""
    if rolling.get("partition", 0) < 0:
        yield invalid(f"{path}.partition", rolling["partition"], NOT_NEGATIVE)
    amount = rolling.get("maxUnavailable")
    yield from _amount(amount, f"{path}.maxUnavailable")
    if _whole(amount) > 100:
        yield invalid(f"{path}.maxUnavailable", amount, "must not be greater than 100%")
    if amount is not None and _is_zero(amount):
        yield invalid(f"{path}.maxUnavailable", amount, "cannot be 0")


def _amount(amount: Any, path: str) -> Iterable[Violation]:
    if isinstance(amount, str):
        for reason in percent(amount):
            yield invalid(path, amount, reason)
    elif amount is not None and amount < 0:
        yield invalid(path, amount, NOT_NEGATIVE)


def _whole(amount: Any) -> int:
    """The number of a percentage, 0 for anything else."""
    return int(amount[:-1]) if isinstance(amount, str) and not percent(amount) else 0


def _is_zero(amount: Any) -> bool:
    return amount in (None, 0, "0%") or (
        isinstance(amount, str) and not percent(amount) and _whole(amount) == 0
    )
