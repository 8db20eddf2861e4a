"""Validation of where a pod may run: node selectors, affinity, tolerations, topology spread."""

from collections.abc import Iterable

from minikube_py.kinds.selectors import validate_label_selector
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import label_value, qualified_name
from minikube_py.meta.object_meta import validate_labels
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, forbidden, invalid, not_supported, required

_NODE_OPERATORS = ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_SPREAD = ("DoNotSchedule", "ScheduleAnyway")
_NO_TOPOLOGY = "can not be empty"


def validate_placement(spec: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a pod spec's placement."""
    yield from validate_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    yield from validate_tolerations(spec.get("tolerations") or (), f"{path}.tolerations")
    yield from _affinity(spec.get("affinity") or {}, f"{path}.affinity")
    yield from _spread(spec.get("topologySpreadConstraints") or (), f"{path}.topologySpreadConstraints")


def validate_tolerations(tolerations: Iterable[Obj], path: str) -> Iterable[Violation]:
    """The refusals of tolerations."""
    for index, toleration in enumerate(tolerations):
        place, key = f"{path}[{index}]", toleration.get("key") or ""
        operator, effect = toleration.get("operator") or "", toleration.get("effect") or ""
        for reason in qualified_name(key) if key else ():
            yield invalid(f"{place}.key", key, reason)
        if not key and operator != "Exists":
            told = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield invalid(f"{place}.operator", operator, told)
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            yield invalid(
                f"{place}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"
            )
        value = toleration.get("value") or ""
        if operator in ("", "Equal"):
            if reasons := label_value(value):
                yield invalid(f"{place}.operator", value, ";".join(reasons))
        elif operator == "Exists" and value:
            yield invalid(f"{place}.operator", toleration, "value must be empty when `operator` is 'Exists'")
        elif operator != "Exists":
            yield not_supported(f"{place}.operator", operator, ("Equal", "Exists"))
        if effect and effect not in EFFECTS:
            yield not_supported(f"{place}.effect", effect, EFFECTS)


def _affinity(affinity: Obj, path: str) -> Iterable[Violation]:
    if node := affinity.get("nodeAffinity"):
        yield from _node_affinity(node, f"{path}.nodeAffinity")
    for name in ("podAffinity", "podAntiAffinity"):
        yield from _pod_affinity(affinity.get(name) or {}, f"{path}.{name}")


def _node_affinity(affinity: Obj, path: str) -> Iterable[Violation]:
    needed = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if needed is not None:
        place = f"{path}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
        if not needed.get("nodeSelectorTerms"):
            yield required(place, "must have at least one node selector term")
        for index, term in enumerate(needed.get("nodeSelectorTerms") or ()):
            yield from _node_term(term, f"{place}[{index}]")
    for index, wish in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        place = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        yield from _weight(wish, place)
        yield from _node_term(wish.get("preference") or {}, f"{place}.preference")


def _weight(wish: Obj, path: str) -> Iterable[Violation]:
    if not 1 <= (wish.get("weight") or 0) <= 100:
        yield invalid(f"{path}.weight", wish.get("weight") or 0, "must be in the range 1-100")


def _node_term(term: Obj, path: str) -> Iterable[Violation]:
    for field in ("matchExpressions", "matchFields"):
        for index, requirement in enumerate(term.get(field) or ()):
            place, operator = f"{path}.{field}[{index}]", requirement.get("operator") or ""
            values = requirement.get("values") or []
            if operator in ("In", "NotIn") and not values:
                yield required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'")
            elif operator in ("Exists", "DoesNotExist") and values:
                told = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield forbidden(f"{place}.values", told)
            elif operator in ("Gt", "Lt") and len(values) != 1:
                yield required(
                    f"{place}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"
                )
            elif operator not in _NODE_OPERATORS:
                yield invalid(f"{place}.operator", operator, "not a valid selector operator")
            if field == "matchExpressions":
                for reason in qualified_name(requirement.get("key") or ""):
                    yield invalid(f"{place}.key", requirement.get("key") or "", reason)


def _pod_affinity(affinity: Obj, path: str) -> Iterable[Violation]:
    for index, term in enumerate(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
        yield from _pod_term(term, f"{path}.requiredDuringSchedulingIgnoredDuringExecution[{index}]")
    for index, wish in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        place = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        yield from _weight(wish, place)
        yield from _pod_term(wish.get("podAffinityTerm") or {}, f"{place}.podAffinityTerm")


def _pod_term(term: Obj, path: str) -> Iterable[Violation]:
    for name in ("labelSelector", "namespaceSelector"):
        yield from validate_label_selector(term.get(name), f"{path}.{name}")
    key = term.get("topologyKey") or ""
    if not key:
        yield required(f"{path}.topologyKey", _NO_TOPOLOGY)
    for reason in qualified_name(key) if key else ():
        yield invalid(f"{path}.topologyKey", key, reason)


def _spread(constraints: Iterable[Obj], path: str) -> Iterable[Violation]:
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        place, key = f"{path}[{index}]", constraint.get("topologyKey") or ""
        unsatisfiable = constraint.get("whenUnsatisfiable") or ""
        if (constraint.get("maxSkew") or 0) <= 0:
            yield invalid(f"{place}.maxSkew", constraint.get("maxSkew") or 0, "must be greater than zero")
        if not key:
            yield required(f"{place}.topologyKey", _NO_TOPOLOGY)
        if unsatisfiable not in _SPREAD:
            yield not_supported(f"{place}.whenUnsatisfiable", unsatisfiable, _SPREAD)
        if (key, unsatisfiable) in seen:
            yield duplicate(f"{place}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {unsatisfiable}}}")
        seen.add((key, unsatisfiable))
        minimum = constraint.get("minDomains")
        if minimum is not None and minimum <= 0:
            yield invalid(f"{place}.minDomains", minimum, "must be greater than zero")
        yield from validate_label_selector(constraint.get("labelSelector"), f"{place}.labelSelector")
