"""Validation of where a pod may run: node selectors, affinity, tolerations, topology spread."""

from collections.abc import Iterable, Sequence

from minikube_py.kinds.resourcenames import NOT_POSITIVE
from minikube_py.kinds.selectors import validate_label_selector
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain, label_value, qualified_name
from minikube_py.meta.object_meta import validate_labels
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, forbidden, invalid, not_supported, required

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_SPREAD = ("DoNotSchedule", "ScheduleAnyway")
_INCLUSION = ("Honor", "Ignore")
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
            yield invalid(f"{place}.operator", value, "value must be empty when `operator` is 'Exists'")
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
        place = f"{path}.requiredDuringSchedulingIgnoredDuringExecution"
        yield from validate_node_selector(needed, place)
    for index, wish in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        place = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        yield from _weight(wish, place)
        yield from _node_term(wish.get("preference") or {}, f"{place}.preference", values=False)


def validate_node_selector(selector: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a NodeSelector: terms of which one must match a node."""
    if not selector.get("nodeSelectorTerms"):
        yield required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(selector.get("nodeSelectorTerms") or ()):
        yield from _node_term(term, f"{path}.nodeSelectorTerms[{index}]", values=True)


def _weight(wish: Obj, path: str) -> Iterable[Violation]:
    if not 1 <= (wish.get("weight") or 0) <= 100:
        yield invalid(f"{path}.weight", wish.get("weight") or 0, "must be in the range 1-100")


def _node_term(term: Obj, path: str, *, values: bool) -> Iterable[Violation]:
    """A term; what is only preferred may name label values that no node can have (`values` is False)."""
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        yield from _node_requirement(requirement, f"{path}.matchExpressions[{index}]", values=values)
    for index, requirement in enumerate(term.get("matchFields") or ()):
        yield from _node_field(requirement, f"{path}.matchFields[{index}]")


def _node_requirement(requirement: Obj, path: str, *, values: bool) -> Iterable[Violation]:
    operator, given = requirement.get("operator") or "", requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if not given:
            yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if given:
            told = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield forbidden(f"{path}.values", told)
    elif operator in ("Gt", "Lt"):
        if len(given) != 1:
            yield required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")
    for reason in qualified_name(requirement.get("key") or ""):
        yield invalid(f"{path}.key", requirement.get("key") or "", reason)
    for index, value in enumerate(given if values else ()):
        for reason in label_value(value):
            yield invalid(f"{path}.values[{index}]", value, reason)


def _node_field(requirement: Obj, path: str) -> Iterable[Violation]:
    operator, given = requirement.get("operator") or "", requirement.get("values") or []
    key = requirement.get("key") or ""
    if operator not in ("In", "NotIn"):
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")
    elif len(given) != 1:
        told = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield required(f"{path}.values", told)
    if key != "metadata.name":
        yield invalid(f"{path}.key", key, "not a valid field selector key")
        return
    for index, value in enumerate(given):
        for reason in dns1123_subdomain(value):
            yield invalid(f"{path}.values[{index}]", value, reason)


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
    for namespace in term.get("namespaces") or ():
        for reason in dns1123_label(namespace):
            yield invalid(f"{path}.namespace", namespace, reason)
    yield from _label_keys(term, path)
    key = term.get("topologyKey") or ""
    if not key:
        yield required(f"{path}.topologyKey", _NO_TOPOLOGY)
    for reason in qualified_name(key):
        yield invalid(f"{path}.topologyKey", key, reason)


def _label_keys(term: Obj, path: str) -> Iterable[Violation]:
    """matchLabelKeys and mismatchLabelKeys: keys whose values of the pod itself join the selector."""
    selector = term.get("labelSelector")
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        keys = term.get(field) or ()
        if keys and selector is None:
            yield forbidden(f"{path}.{field}", "must not be specified when labelSelector is not set")
            continue
        for index, key in enumerate(keys):
            for reason in qualified_name(key):
                yield invalid(f"{path}.{field}[{index}]", key, reason)
    matched = term.get("matchLabelKeys") or ()
    named = set((selector or {}).get("matchLabels") or ())
    for expression in (selector or {}).get("matchExpressions") or ():
        key = expression.get("key") or ""
        if key in matched and key in named:
            told = "exists in both matchLabelKeys and labelSelector"
            yield invalid(f"{path}[{list(matched).index(key)}]", key, told)
        named.add(key)
    for index, key in enumerate(matched):
        if key in (term.get("mismatchLabelKeys") or ()):
            told = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield invalid(f"{path}.matchLabelKeys[{index}]", key, told)


def _spread(constraints: Sequence[Obj], path: str) -> Iterable[Violation]:
    pairs = [(one.get("topologyKey") or "", one.get("whenUnsatisfiable") or "") for one in constraints]
    for index, constraint in enumerate(constraints):
        place, (key, action) = f"{path}[{index}]", pairs[index]
        if (constraint.get("maxSkew") or 0) <= 0:
            yield invalid(f"{place}.maxSkew", constraint.get("maxSkew") or 0, NOT_POSITIVE)
        if not key:
            yield required(f"{place}.topologyKey", _NO_TOPOLOGY)
        if action not in _SPREAD:
            yield not_supported(f"{place}.whenUnsatisfiable", action, _SPREAD)
        if pairs[index] in pairs[index + 1 :]:
            yield duplicate(f"{place}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        minimum = constraint.get("minDomains")
        if minimum is not None and minimum <= 0:
            yield invalid(f"{place}.minDomains", minimum, NOT_POSITIVE)
        if minimum is not None and action != "DoNotSchedule":
            told = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
            yield invalid(f"{place}.minDomains", minimum, told)
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(field) is not None and constraint[field] not in _INCLUSION:
                yield not_supported(f"{place}.{field}", constraint[field], _INCLUSION)
        yield from _label_keys(constraint, place)
        yield from validate_label_selector(constraint.get("labelSelector"), f"{place}.labelSelector")
