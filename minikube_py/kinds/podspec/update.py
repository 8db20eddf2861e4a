"""What may change in a pod that exists: images, a shorter deadline, more tolerations, fewer gates."""

from collections.abc import Iterable, Sequence

from minikube_py.kinds.differences import told_differences
from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj, copy, dig
from minikube_py.meta.violations import forbidden, invalid

_FIXED = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_MAX_DEADLINE = 2**31 - 1
_REQUIRED_TERMS = "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"


def validate_pod_update(new: Obj, old: Obj) -> Iterable[Violation]:
    """The refusals of a change from the spec `old` to `new`, both defaulted."""
    for field in ("containers", "initContainers"):
        if len(new.get(field) or ()) != len(old.get(field) or ()):
            yield forbidden(f"spec.{field}", "pod updates may not add or remove containers")
            return
    wrong = list(_deadline(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")))
    yield from wrong
    if wrong and new.get("activeDeadlineSeconds") is not None:
        return
    yield from _tolerations(new, old)
    yield from _gates(new, old)
    if old.get("schedulingGates"):
        yield from _directives(new, old)
    if told := told_differences(_with_allowed_changes(new, old), old, "spec"):
        yield forbidden("spec", _FIXED + told)


def _deadline(new: int | None, old: int | None) -> Iterable[Violation]:
    path = "spec.activeDeadlineSeconds"
    if new is not None and not 0 <= new <= _MAX_DEADLINE:
        yield invalid(path, new, f"must be between 0 and {_MAX_DEADLINE}, inclusive")
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
            yield forbidden(f"spec.schedulingGates[{index}].name", told)


def _directives(new: Obj, old: Obj) -> Iterable[Violation]:
    """A pod that waits before scheduling may be told more of where it may run, and nothing less."""
    selector = new.get("nodeSelector") or {}
    if any(selector.get(key) != value for key, value in (old.get("nodeSelector") or {}).items()):
        told = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield invalid("spec.nodeSelector", selector, told)
    before: Sequence[Obj] = dig(old, f"affinity.nodeAffinity.{_REQUIRED_TERMS}") or ()
    after: Sequence[Obj] = dig(new, f"affinity.nodeAffinity.{_REQUIRED_TERMS}") or ()
    path = f"spec.affinity.nodeAffinity.{_REQUIRED_TERMS}"
    if before and len(before) != len(after):
        told = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        yield invalid(path, list(after), told)
        return
    for index, (term, known) in enumerate(zip(after, before, strict=False)):
        if not _only_adds(term, known):
            told = "only additions are allowed (no mutations or deletions)"
            yield invalid(f"{path}[{index}]", term, told)


def _only_adds(term: Obj, known: Obj) -> bool:
    fields = ("matchExpressions", "matchFields")
    if not any(known.get(field) for field in fields):
        return not any(term.get(field) for field in fields)
    kept = ((known.get(field) or [], term.get(field) or []) for field in fields)
    return all(after[: len(before)] == before for before, after in kept)


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
        fields.append("nodeSelector")
        _restore_node_affinity(spec, old)
    _restore(spec, old, fields)
    return spec


def _restore_node_affinity(spec: Obj, old: Obj) -> None:
    affinity = {key: value for key, value in (spec.get("affinity") or {}).items() if key != "nodeAffinity"}
    if (before := (old.get("affinity") or {}).get("nodeAffinity")) is not None:
        affinity["nodeAffinity"] = before
    if affinity or old.get("affinity") is not None:
        spec["affinity"] = affinity
    else:
        spec.pop("affinity", None)


def _restore(obj: Obj, old: Obj, fields: Iterable[str]) -> None:
    for field in fields:
        obj.pop(field, None)
        if field in old:
            obj[field] = old[field]
