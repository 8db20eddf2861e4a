"""Validation of the policies of a Job: which failures of pods count, and which successes are enough."""

from collections.abc import Iterable

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import qualified_name
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import (
    NOT_NEGATIVE,
    duplicate,
    invalid,
    not_supported,
    omitted,
    required,
    too_long,
    too_many,
)

_MAX_RULES, _MAX_PATTERNS, _MAX_CODES = 20, 20, 255
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
_MAX_INDEXES = 64 * 1024


def validate_failure_policy(spec: Obj, path: str) -> Iterable[Violation]:
    """The refusals of `podFailurePolicy` of a Job's spec."""
    rules = spec["podFailurePolicy"].get("rules") or ()
    if len(rules) > _MAX_RULES:
        yield too_many(f"{path}.rules", len(rules), _MAX_RULES)
    pod = spec["template"]["spec"]
    names = {c.get("name") for field in ("containers", "initContainers") for c in pod.get(field) or ()}
    for index, rule in enumerate(rules):
        yield from _rule(spec, rule, names, f"{path}.rules[{index}]")


def _listed(values: Iterable[str]) -> str:
    return "valid values: [" + " ".join(f'"{value}"' for value in values) + "]"


def _rule(spec: Obj, rule: Obj, names: set[str | None], path: str) -> Iterable[Violation]:
    action = rule.get("action") or ""
    if not action:
        yield required(f"{path}.action", _listed(_ACTIONS))
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        yield invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")
    elif action not in _ACTIONS:
        yield not_supported(f"{path}.action", action, _ACTIONS)
    codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
    if codes is not None:
        yield from _exit_codes(codes, names, f"{path}.onExitCodes")
    if len(patterns) > _MAX_PATTERNS:
        yield too_many(f"{path}.onPodConditions", len(patterns), _MAX_PATTERNS)
    for index, pattern in enumerate(patterns):
        yield from _condition(pattern, f"{path}.onPodConditions[{index}]")
    if codes is not None and patterns:
        yield omitted(path, "specifying both OnExitCodes and OnPodConditions is not supported")
    if codes is None and not patterns:
        yield omitted(path, "specifying one of OnExitCodes and OnPodConditions is required")


def _condition(pattern: Obj, path: str) -> Iterable[Violation]:
    type, status = pattern.get("type") or "", pattern.get("status") or ""
    for reason in qualified_name(type):
        yield invalid(f"{path}.type", type, reason)
    if not status:
        yield required(f"{path}.status", _listed(_STATUSES))
    elif status not in _STATUSES:
        yield not_supported(f"{path}.status", status, _STATUSES)


def _exit_codes(codes: Obj, names: set[str | None], path: str) -> Iterable[Violation]:
    operator, name, values = codes.get("operator") or "", codes.get("containerName"), codes.get("values") or []
    if not operator:
        yield required(f"{path}.operator", _listed(_OPERATORS))
    elif operator not in _OPERATORS:
        yield not_supported(f"{path}.operator", operator, _OPERATORS)
    if name is not None and name not in names:
        told = "must be one of the container or initContainer names in the pod template"
        yield invalid(f"{path}.containerName", name, told)
    place = f"{path}.values"
    if not values:
        yield invalid(place, values, "at least one value is required")
    elif len(values) > _MAX_CODES:
        yield too_many(place, len(values), _MAX_CODES)
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            yield invalid(f"{place}[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            yield duplicate(f"{place}[{index}]", value)
    if values != sorted(values):
        yield invalid(place, values, "must be ordered")


def validate_success_policy(spec: Obj, path: str) -> Iterable[Violation]:
    """The refusals of `successPolicy` of a Job's spec."""
    policy = spec["successPolicy"]
    if spec["completionMode"] != "Indexed":
        yield invalid(path, policy, "requires indexed completion mode")
        return
    rules = policy.get("rules") or ()
    if not rules:
        told = "at least one rules must be specified when the successPolicy is specified"
        yield required(f"{path}.rules", told)
    if len(rules) > _MAX_RULES:
        yield too_many(f"{path}.rules", len(rules), _MAX_RULES)
    for index, rule in enumerate(rules):
        yield from _success(rule, spec.get("completions") or 0, f"{path}.rules[{index}]")


def _success(rule: Obj, completions: int, path: str) -> Iterable[Violation]:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        told = "at least one of succeededCount or succeededIndexes must be specified"
        yield required(path, told)
    total = 0
    if indexes is not None:
        if len(indexes) > _MAX_INDEXES:
            yield too_long(f"{path}.succeededIndexes", _MAX_INDEXES)
        try:
            total = len_of_indexes(indexes, completions)
        except ValueError as error:
            told = f"error parsing succeededIndexes: {error}"
            yield invalid(f"{path}.succeededIndexes", indexes, told)
    if count is None:
        return
    place = f"{path}.succeededCount"
    if count < 0:
        yield invalid(place, count, NOT_NEGATIVE)
    if count > completions:
        told = f"must be less than or equal to {completions} (the number of specified completions)"
        yield invalid(place, count, told)
    if indexes is not None and count > total:
        words = "the number of indexes in the specified succeededIndexes field"
        yield invalid(place, count, f"must be less than or equal to {total} ({words})")


def len_of_indexes(text: str, completions: int) -> int:
    """How many indexes a text such as `1,3-5` names. Errors: ValueError in the words of the API."""
    return sum(last - first + 1 for first, last in index_intervals(text, completions))


def index_intervals(text: str, completions: int) -> list[tuple[int, int]]:
    """The first and last index of each interval of a text such as `1,3-5`, rising. Errors: ValueError."""
    found: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        limits = part.split("-")
        if len(limits) > 2:
            raise ValueError(
                f'the fragment "{part}" violates the requirement that an index interval can have at most two '
                "parts separated by '-'"
            )
        numbers = [_index(limit, completions) for limit in limits]
        first, last = numbers[0], numbers[-1]
        if len(numbers) > 1 and first >= last:
            raise ValueError(f"non-increasing order, previous: {first}, current: {last}")
        if found and found[-1][1] >= first:
            raise ValueError(f"non-increasing order, previous: {found[-1][1]}, current: {first}")
        found.append((first, last))
    return found


def _index(text: str, completions: int) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    if int(text) >= completions:
        raise ValueError(f'too large index: "{text}"')
    return int(text)
