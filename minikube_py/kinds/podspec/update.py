"""What may change in a pod that exists: images, a shorter deadline, more tolerations, fewer gates."""

from collections.abc import Iterable, Iterator
from typing import Any

from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj, copy
from minikube_py.meta.violations import NOT_NEGATIVE, forbidden, invalid, shown

_FIXED = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_SHOWN_CHANGES = 10


def validate_pod_update(new: Obj, old: Obj) -> Iterable[Violation]:
    """The refusals of a change from the spec `old` to `new`, both defaulted."""
    for field in ("containers", "initContainers"):
        if len(new.get(field) or ()) != len(old.get(field) or ()):
            yield forbidden(f"spec.{field}", "pod updates may not add or remove containers")
            return
    yield from _deadline(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))
    yield from _tolerations(new, old)
    yield from _gates(new, old)
    allowed = _with_allowed_changes(new, old)
    changes = list(_differences(allowed, old, "spec"))
    if changes:
        told = "".join(
            f"\n  {path}: {shown(before)} -> {shown(after)}" for path, before, after in changes[:_SHOWN_CHANGES]
        )
        yield forbidden("spec", _FIXED + told)


def _deadline(new: int | None, old: int | None) -> Iterable[Violation]:
    path = "spec.activeDeadlineSeconds"
    if new is not None and new < 0:
        yield invalid(path, new, NOT_NEGATIVE)
    elif new is not None and old is not None and new > old:
        yield invalid(path, new, "must be less than or equal to previous value")
    elif new is None and old is not None:
        yield invalid(path, new, "must not update from a positive integer to nil value")


def _tolerations(new: Obj, old: Obj) -> Iterable[Violation]:
    kept = [_without_seconds(toleration) for toleration in new.get("tolerations") or ()]
    if any(_without_seconds(toleration) not in kept for toleration in old.get("tolerations") or ()):
        told = "existing toleration can not be modified except its tolerationSeconds"
        yield forbidden("spec.tolerations", told)


def _without_seconds(toleration: Obj) -> Obj:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _gates(new: Obj, old: Obj) -> Iterable[Violation]:
    known = [gate.get("name") for gate in old.get("schedulingGates") or ()]
    for index, gate in enumerate(new.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            told = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            yield forbidden(f"spec.schedulingGates[{index}]", told)


def _with_allowed_changes(new: Obj, old: Obj) -> Obj:
    """`new` with what may change set back to what `old` says."""
    spec: Obj = copy(new)
    for field in ("containers", "initContainers"):
        for container, before in zip(spec.get(field) or (), old.get(field) or (), strict=True):
            _restore(container, before, ("image",))
    fields = ["activeDeadlineSeconds", "tolerations", "schedulingGates", "ephemeralContainers"]
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        fields.append("terminationGracePeriodSeconds")
    if old.get("schedulingGates"):
        fields += ["nodeSelector", "affinity"]
    _restore(spec, old, fields)
    return spec


def _restore(obj: Obj, old: Obj, fields: Iterable[str]) -> None:
    for field in fields:
        obj.pop(field, None)
        if field in old:
            obj[field] = old[field]


def _differences(new: Any, old: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Each place where two JSON values differ: path, old value, new value."""
    if isinstance(new, dict) and isinstance(old, dict):
        for key in sorted(new.keys() | old.keys()):
            yield from _differences(new.get(key), old.get(key), f"{path}.{key}")
    elif isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        for index, (after, before) in enumerate(zip(new, old, strict=True)):
            yield from _differences(after, before, f"{path}[{index}]")
    elif new != old:
        yield path, old, new
