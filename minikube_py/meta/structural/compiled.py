"""Structural: a compiled schema, as a custom resource's Kind uses it."""

from collections.abc import Iterable
from functools import cached_property

from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj
from minikube_py.meta.structural import checks, embedded, lists
from minikube_py.meta.structural.defaulting import Fill, compile_default
from minikube_py.meta.structural.expressions import Visit, compile_rules, judge
from minikube_py.meta.structural.faults import ABSENT, ROOT, faults_of
from minikube_py.meta.structural.nodes import Schema, mentions
from minikube_py.meta.violations import invalid

_BLOCKING = frozenset(
    (
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    )
)
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


_DEFAULT, _EMBEDDED = "default", "x-kubernetes-embedded-resource"
_LIST_TYPE, _RULES = "x-kubernetes-list-type", "x-kubernetes-validations"


class Structural:
    """The schema of one version, compiled as it is used."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    @cached_property
    def _mentions(self) -> frozenset[str]:
        return mentions(self.schema, (_DEFAULT, _EMBEDDED, _LIST_TYPE, _RULES))

    @cached_property
    def _fill(self) -> Fill | None:
        return compile_default(self.schema) if _DEFAULT in self._mentions else None

    @cached_property
    def _check(self) -> checks.Check:
        return checks.passes(checks.compile_check(self.schema))

    @cached_property
    def _embedded(self) -> lists.Look | None:
        return embedded.compile_embedded(self.schema) if _EMBEDDED in self._mentions else None

    @cached_property
    def _lists(self) -> lists.Look | None:
        return lists.compile_lists(self.schema) if _LIST_TYPE in self._mentions else None

    @cached_property
    def _rules(self) -> Visit | None:
        return compile_rules(self.schema, root=True) if _RULES in self._mentions else None

    def default(self, obj: Obj) -> None:
        """Fill in the defaults, in place."""
        if self._fill is not None:
            self._fill(obj)

    def is_valid(self, obj: Obj) -> bool:
        """Whether the values are those of the schema; embedded resources, lists and rules apart."""
        return self._check(obj)

    def validate_values(self, obj: Obj, old: Obj | None) -> Iterable[Violation]:
        """The refusals of values; with `old`, of those that have changed."""
        return () if self._check(obj) else faults_of(self.schema, obj, ABSENT if old is None else old)

    def validate_rest(self, obj: Obj, old: Obj | None, before: Iterable[Violation]) -> Iterable[Violation]:
        """The refusals of embedded resources, of repeated items, and of the rules, which are not run where the
        object was refused `before` for its shape."""
        found: list[Violation] = []
        if self._embedded is not None:
            found += self._embedded(obj, "")
        if self._lists is not None:
            repeated = list(self._lists(obj, ""))
            if repeated and (old is None or not any(self._lists(old, ""))):
                found += repeated
        if self._rules is not None:
            if any(one.reason in _BLOCKING for one in (*before, *found)):
                found.append(invalid(ROOT, "null", _UNCHECKED))
            else:
                found += judge(self._rules, obj, old)
        return found

    def validate(self, obj: Obj, old: Obj | None = None) -> Iterable[Violation]:
        """Every refusal of an object after defaulting."""
        found = list(self.validate_values(obj, old))
        return found + list(self.validate_rest(obj, old, found))
