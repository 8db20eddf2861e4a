"""Which names a CustomResourceDefinition is given, and the conditions that tell of it. Pure.

As apiextensions-apiserver's naming, establishing and approval controllers: a name that another definition of
the group has already is refused, all others are accepted; once all names are, a definition is established.
"""

from collections.abc import Iterable
from datetime import datetime
from urllib.parse import urlsplit

from minikube_py.meta.objects import Obj, annotations_of, condition, condition_is, with_condition

APPROVED = "api-approved.kubernetes.io"
CONFORMANT = "KubernetesAPIApprovalPolicyConformant"
_ONE_BY_ONE = (
    ("plural", "PluralConflict"),
    ("singular", "SingularConflict"),
    ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
)
_KINDS = ("kind", "listKind")


def names_in_use(others: Iterable[Obj]) -> tuple[set[str], set[str]]:
    """The names of resources, and those of kinds, that other definitions of the group have."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        accepted = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {
            accepted.get("plural") or "",
            accepted.get("singular") or "",
            *(accepted.get("shortNames") or ()),
        }
        kinds |= {accepted.get("kind") or "", accepted.get("listKind") or ""}
    return resources - {""}, kinds - {""}


def accept(definition: Obj, others: Iterable[Obj]) -> tuple[Obj, str, str]:
    """The names that the definition has from now on, and the reason and message of the last conflict."""
    resources, kinds = names_in_use(others)
    asked, had = definition["spec"]["names"], (definition.get("status") or {}).get("acceptedNames") or {}
    names, reason, message = dict(had), "NoConflicts", "no conflicts found"
    own = {had.get("plural"), had.get("singular"), *(had.get("shortNames") or ())}
    for field, conflict in (*_ONE_BY_ONE[:2], ("shortNames", "ShortNamesConflict"), *_ONE_BY_ONE[2:]):
        taken = kinds if field in _KINDS else resources
        wanted = (asked.get(field) or []) if field == "shortNames" else [asked.get(field) or ""]
        clashes = [name for name in wanted if name in taken and name != had.get(field) and name not in own]
        if clashes:
            told = ", ".join(f'"{name}" is already in use' for name in clashes)
            reason, message = conflict, f"[{told}]" if len(clashes) > 1 else told
        elif asked.get(field):
            names[field] = asked[field]
        else:
            names.pop(field, None)
    names.pop("categories", None)
    if asked.get("categories"):
        names["categories"] = asked["categories"]
    return names, reason, message


def settled(definition: Obj, others: Iterable[Obj], now: datetime) -> Obj:
    """The status of a definition after its names were looked at."""
    status = dict(definition.get("status") or {})
    conditions = list(status.get("conditions") or ())
    names, reason, message = accept(definition, others)
    accepted = reason == "NoConflicts"
    status["acceptedNames"] = names
    conditions = _note(conditions, ("NamesAccepted", accepted, reason, message), now)
    if not condition_is(definition, "Established"):
        if accepted:
            told = "the initial names have been accepted"
            conditions = _note(conditions, ("Established", True, "InitialNamesAccepted", told), now)
        else:
            told = "not all names are accepted"
            conditions = _note(conditions, ("Established", False, "NotAccepted", told), now)
    if approval := approval_of(definition):
        conditions = _note(conditions, approval, now)
    status["conditions"] = conditions
    return status


def _note(conditions: list[Obj], new: tuple[str, bool, str, str], now: datetime) -> list[Obj]:
    type, is_true, reason, message = new
    made = {"type": type, "status": str(is_true), "reason": reason, "message": message}
    old = condition({"status": {"conditions": conditions}}, type)
    if old is not None and {**old, **made} == old:
        return conditions
    return with_condition(conditions, made, now)


def approval_of(definition: Obj) -> tuple[str, bool, str, str] | None:
    """The condition that tells whether an API of the Kubernetes community is approved; None for others."""
    group = definition["spec"]["group"]
    if not group.endswith((".k8s.io", ".kubernetes.io")) and group not in ("k8s.io", "kubernetes.io"):
        return None
    given, see = (
        annotations_of(definition).get(APPROVED, ""),
        "see https://github.com/kubernetes/enhancements/pull/1111",
    )
    told = f'protected groups must have approval annotation "{APPROVED}"'
    if not given:
        return CONFORMANT, False, "MissingAnnotation", f"{told}, {see}"
    if given.startswith("unapproved"):
        return CONFORMANT, False, "UnapprovedAnnotation", f'not approved: "{given}"'
    parts = urlsplit(given)
    if parts.scheme and parts.netloc:
        return CONFORMANT, True, "ApprovedAnnotation", f"approved in {given}"
    why = f'{told} with either a URL or a reason starting with "unapproved", {see}'
    return CONFORMANT, False, "InvalidAnnotation", why


def terminating(definition: Obj, step: tuple[bool, str, str], now: datetime) -> Obj:
    """The status of a definition on its way out; `step` is the condition's status, reason and message."""
    status = dict(definition.get("status") or {})
    status["conditions"] = _note(list(status.get("conditions") or ()), ("Terminating", *step), now)
    return status
