"""x-kubernetes-validations: what rules refuse, with and without an old state, and which rules may be."""

import threading
from typing import Any

import pytest

from minikube_py.aio.haste import hasten
from minikube_py.meta.structural import Structural, check_schema

Json = dict[str, Any]
INT: Json = {"type": "integer"}


def ruled(*rules: Json, **more: Json) -> Json:
    """A schema with rules at its spec, which has the integers min, max and now, and `more`."""
    fields = {"min": INT, "max": INT, "now": INT, **more}
    spec = {"type": "object", "properties": fields, "x-kubernetes-validations": list(rules)}
    return {"type": "object", "properties": {"spec": spec}}


def told(violations: Any) -> list[str]:
    return [f"{one.field}: {one.message}" for one in violations]


ORDER = "self.min <= self.max"
REFUSED: dict[str, tuple[Json, list[str]]] = {
    "failed rule": ({"rule": ORDER}, [f'spec: Invalid value: "object": failed rule: {ORDER}']),
    "message": (
        {"rule": ORDER, "message": "min is above max"},
        ['spec: Invalid value: "object": min is above max'],
    ),
    "messageExpression": (
        {"rule": ORDER, "message": "m", "messageExpression": "'above %d'.format([self.max])"},
        ['spec: Invalid value: "object": above 1'],
    ),
    "fieldPath": (
        {"rule": ORDER, "message": "m", "fieldPath": ".min"},
        ['spec.min: Invalid value: "object": m'],
    ),
    "forbidden": ({"rule": ORDER, "message": "m", "reason": "FieldValueForbidden"}, ["spec: Forbidden: m"]),
    "required": ({"rule": ORDER, "message": "m", "reason": "FieldValueRequired"}, ["spec: Required value: m"]),
    "fails": (
        {"rule": "self.now > 0", "message": "m"},
        ['spec: Invalid value: "object": no such key: now evaluating rule: m'],
    ),
    "passes": ({"rule": "has(self.now) || self.min == 2"}, []),
    "of the old state": ({"rule": "self.min == oldSelf.min"}, []),
    "of an optional old state": (
        {"rule": "oldSelf.hasValue() || self.min < 2", "optionalOldSelf": True, "message": "m"},
        ['spec: Invalid value: "object": m'],
    ),
}


@pytest.mark.parametrize(("rule", "expected"), REFUSED.values(), ids=REFUSED)
def test_rules_refuse_on_creation(rule: Json, expected: list[str]) -> None:
    """A rule that is not true is told with its message, at its path, for its reason."""
    assert expected == told(Structural(ruled(rule)).validate({"spec": {"min": 2, "max": 1}}))


UPDATES: dict[str, tuple[Json, Json, Json, list[str]]] = {
    "a transition": (
        {"rule": "self.min == oldSelf.min", "message": "min is immutable"},
        {"min": 1},
        {"min": 2},
        ['spec: Invalid value: "object": min is immutable'],
    ),
    "unchanged": ({"rule": ORDER, "message": "m"}, {"min": 2, "max": 1}, {"min": 2, "max": 1}, []),
    "changed": (
        {"rule": ORDER, "message": "m"},
        {"min": 2, "max": 1},
        {"min": 3, "max": 1},
        ['spec: Invalid value: "object": m'],
    ),
    "optional old": (
        {
            "rule": "!oldSelf.hasValue() || oldSelf.value().min <= self.min",
            "optionalOldSelf": True,
            "message": "m",
        },
        {"min": 2},
        {"min": 1},
        ['spec: Invalid value: "object": m'],
    ),
}


@pytest.mark.parametrize(("rule", "old", "new", "expected"), UPDATES.values(), ids=UPDATES)
def test_rules_refuse_on_update(rule: Json, old: Json, new: Json, expected: list[str]) -> None:
    """Transition rules compare with the old state; others pass what has not changed."""
    before, after = ({"metadata": {"generation": at}, "spec": one} for at, one in enumerate((old, new)))
    assert expected == told(Structural(ruled(rule)).validate(after, before))


def test_items_are_compared_by_their_keys() -> None:
    """In a list-type map oldSelf is the item of the same key."""
    rule = {"rule": "self.v >= oldSelf.v", "message": "v may not shrink"}
    item = {
        "type": "object",
        "required": ["k"],
        "properties": {"k": {"type": "string"}, "v": INT},
        "x-kubernetes-validations": [rule],
    }
    items = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        "items": item,
    }
    old = {"spec": {"l": [{"k": "a", "v": 2}, {"k": "b", "v": 2}]}}
    new = {"spec": {"l": [{"k": "b", "v": 1}, {"k": "c", "v": 0}, {"k": "a", "v": 2}]}}
    assert told(Structural(ruled(l=items)).validate(new, old)) == [
        'spec.l[0]: Invalid value: "object": v may not shrink'
    ]


def test_rules_of_the_whole_object_see_its_name() -> None:
    """At the root, apiVersion, kind, metadata.name and metadata.generateName can be read."""
    schema = {
        "type": "object",
        "x-kubernetes-validations": [{"rule": "self.metadata.name.startsWith('a')", "message": "name it a..."}],
    }
    assert check_schema(schema, "s", has_status=True) == []
    judged = [
        told(Structural(schema).validate({"metadata": {"name": name, "labels": {}}})) for name in ("ab", "b")
    ]
    assert judged == [[], ['<nil>: Invalid value: "object": name it a...']]


def test_rules_wait_until_the_shape_is_right() -> None:
    """No rule is run on an object of the wrong shape, which is told."""
    found = told(Structural(ruled({"rule": ORDER})).validate({"spec": {"min": "a"}}))
    assert found == [
        'spec.min: Invalid value: "string": spec.min in body must be of type integer: "string"',
        '<nil>: Invalid value: "null": some validation rules were not checked because the object was invalid; '
        "correct the existing errors to complete validation",
    ]


V = "s.properties[spec].x-kubernetes-validations[0]"
UNACCEPTABLE: dict[str, tuple[Json, str]] = {
    "no rule": ({"rule": " "}, f"{V}.rule: Required value: rule is not specified"),
    "line breaks": (
        {"rule": "self.min\n<= 1"},
        f"{V}.message: Required value: message must be specified if rule contains line breaks",
    ),
    "a broken message": (
        {"rule": ORDER, "message": "a\nb"},
        f'{V}.message: Invalid value: "a\\nb": message must not',
    ),
    "a reason": (
        {"rule": ORDER, "reason": "Bad"},
        f'{V}.reason: Unsupported value: "Bad": supported values: "FieldValueDuplicate", '
        '"FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"',
    ),
    "a path": (
        {"rule": ORDER, "fieldPath": ".missing"},
        f'{V}.fieldPath: Invalid value: ".missing": fieldPath must be a valid path',
    ),
    "an unknown field": (
        {"rule": "self.missing == 1"},
        f'{V}.rule: Invalid value: {{"rule":"self.missing == 1"}}: compilation failed: ERROR: <input>:1:5: '
        "undefined field",
    ),
    "no truth": (
        {"rule": "self.min"},
        f'{V}.rule: Invalid value: {{"rule":"self.min"}}: cel expression must evaluate to a bool',
    ),
    "no old state": (
        {"rule": ORDER, "optionalOldSelf": True},
        f"{V}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
    ),
}


@pytest.mark.parametrize(("rule", "expected"), UNACCEPTABLE.values(), ids=UNACCEPTABLE)
def test_definitions_with_bad_rules_are_refused(rule: Json, expected: str) -> None:
    """A rule that cannot be run is told when it is defined."""
    found = told(check_schema(ruled(rule), "s", has_status=True))
    assert [expected] == [one[: len(expected)] for one in found]


def test_old_states_that_cannot_be_told_apart() -> None:
    """A transition rule in an atomic list is refused."""
    item = {"type": "integer", "x-kubernetes-validations": [{"rule": "self > oldSelf"}]}
    schema = ruled(l={"type": "array", "items": item, "maxItems": 5})
    place = "s.properties[spec].properties[l]"
    assert told(check_schema(schema, "s", has_status=True)) == [
        f'{place}.items.x-kubernetes-validations[0].rule: Invalid value: "self > oldSelf": oldSelf cannot be '
        f"used on the uncorrelatable portion of the schema within {place}"
    ]


def test_rules_that_cost_too_much_are_refused() -> None:
    """A rule over unbounded lists is refused, with the advice to bound them."""
    item = {"type": "array", "items": {"type": "string"}}
    rule = {"rule": "self.a.all(x, self.a.all(y, x == y || self.a.exists(z, z == x)))"}
    found = told(check_schema(ruled(rule, a=item), "s", has_status=True))
    assert found[0].startswith(
        f"{V}.rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x"
    )


@pytest.mark.parametrize(
    ("field", "rule", "accepted"),
    [
        ({"x-kubernetes-int-or-string": True}, "quantity(string(self)).isGreaterThan(quantity('0'))", True),
        ({"x-kubernetes-int-or-string": True, "maxLength": 20}, "isQuantity(string(self))", True),
        (INT, "string(self) + 'a' != 'a'", False),
    ],
)
def test_the_size_of_what_becomes_text(field: Json, rule: str, accepted: bool) -> None:
    """What may be text has its size as text; numbers have none that is known, as upstream estimates."""
    schema = ruled(q={**field, "x-kubernetes-validations": [{"rule": rule}]})
    assert (check_schema(schema, "s", has_status=True) == []) is accepted


@pytest.mark.parametrize(("items", "on_the_loop"), [(2, True), (400, False)])
async def test_rules_that_take_long_run_in_a_thread(items: int, on_the_loop: bool) -> None:
    """Few rules hold up the event loop; what they refuse is the same."""
    names = {"type": "array", "items": {"type": "string"}}
    schema = ruled({"rule": "!self.l.all(x, self.l.exists_one(y, x == y))", "message": "m"}, l=names)
    judge = Structural(schema)
    obj = {"spec": {"l": [str(at) for at in range(items)]}}

    def judged() -> tuple[list[str], bool]:
        found = told(judge.validate(obj))
        return found, threading.current_thread() is threading.main_thread()

    assert await hasten(judged) == (['spec: Invalid value: "object": m'], on_the_loop)


async def test_large_schemas_are_judged_in_a_thread() -> None:
    """A definition of many fields does not hold up the event loop."""
    properties = {f"field{at}": {"type": "string", "description": "x" * 100} for at in range(4000)}

    def judged() -> bool:
        assert check_schema({"type": "object", "properties": properties}, "s", has_status=False) == []
        return threading.current_thread() is threading.main_thread()

    assert not await hasten(judged)
