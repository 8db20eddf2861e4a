"""Judges pods by a standard: the checks of its level that its version knows, told in one order."""

from collections.abc import Sequence
from functools import lru_cache

from minikube_py.apiserver.admission.podsecurity import baseline, restricted
from minikube_py.apiserver.admission.podsecurity.checks import Judge, Offence
from minikube_py.apiserver.admission.podsecurity.policy import BASELINE, PRIVILEGED, Standard
from minikube_py.meta.objects import Obj


@lru_cache(maxsize=256)
def judges(standard: Standard) -> tuple[Judge, ...]:
    """The checks that a standard means: those of baseline, then those of restricted, each unless a stricter
    one stands in for it."""
    if standard.level == PRIVILEGED:
        return ()
    stricter = () if standard.level == BASELINE else restricted.CHECKS
    known = [(check, judge) for check in stricter if (judge := check.judge(standard.minor))]
    overridden = {check.overrides for check, _ in known}
    common = [
        judge
        for check in baseline.CHECKS
        if check.id not in overridden and (judge := check.judge(standard.minor))
    ]
    return (*common, *(judge for _, judge in known))


def offences(standard: Standard, pod: Obj) -> list[Offence]:
    """Why a pod, or pod template, does not keep to the standard; empty where it does."""
    return [found for judge in judges(standard) if (found := judge(pod)) is not None]


def reasons(found: Sequence[Offence]) -> str:
    """`host namespaces, privileged`."""
    return ", ".join(one.reason for one in found)


def details(found: Sequence[Offence]) -> str:
    """`host namespaces (hostNetwork=true), privileged (...)`."""
    return ", ".join(f"{one.reason} ({one.detail})" if one.detail else one.reason for one in found)
