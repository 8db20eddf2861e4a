"""Selection: a compiled label and field selector of one request, applied to entries and objects.

Fields that select are metadata.name, metadata.namespace and what the kind declares; any other is refused.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

from minikube_py.errors import BadRequest
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.selectors import EQUALS, Selector, parse_fields, parse_labels
from minikube_py.registry.entries import decoded
from minikube_py.store.base import Entry

CHUNK = 500
"""Entries that a selection looks at without a pause."""
_ZERO = ("", "0", "false")
_METADATA = {"metadata.name": "metadata.name", "metadata.namespace": "metadata.namespace"}


class FieldRule(NamedTuple):
    """One term of a field selector: the value at `path`, or at the first of several that has one, equals
    `wanted`, or not."""

    path: str | tuple[str, ...]
    wanted: str
    equal: bool


class Pin(NamedTuple):
    """One term that only a certain value satisfies: of a label, or of a field (`path` as in FieldRule)."""

    label: bool
    path: str | tuple[str, ...]
    value: str = ""

    @property
    def of(self) -> "Pin":
        """What it looks at, whatever the value."""
        return Pin(self.label, self.path)


def field_value(obj: Obj, path: str | tuple[str, ...]) -> str:
    """The value at `path` as the API's field selectors write it; empty where it is missing."""
    if isinstance(path, tuple):
        return next((value for one in path if (value := field_value(obj, one))), "")
    value = dig(obj, path)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _not_selectable(kind: Kind, field: str) -> str:
    """The refusal of a field; clients put the request around it."""
    if kind.schema is not None or (kind.fields and not kind.group):
        return f"field label not supported: {field}"
    known = ", ".join(f'"{name}"' for name in (*_METADATA, *kind.fields))
    return f'"{field}" is not a known field selector: only {known}'


class Selection:
    """What a list or watch selects of one kind."""

    def __init__(self, labels: Selector | None, fields: Sequence[FieldRule]) -> None:
        self._labels = labels
        self._fields = tuple(fields)
        self.text = ("", "")
        """The selectors as they were given; equal ones of one kind select the same."""
        self.empty = labels is None and not self._fields
        self.by_metadata = all(rule.path in _METADATA for rule in self._fields)
        """Whether it looks at nothing that differs between the versions of a resource."""
        terms = len(self._fields) + (len(labels.requirements) if labels else 0)
        self.at_once = max(1, CHUNK // (1 + terms // 8))
        """The entries to look at before the event loop turns."""
        equalities = labels.equalities() if labels else {}
        plain = labels is not None and not labels.nothing and len(equalities) == len(labels.requirements)
        self._equalities = tuple(equalities.items()) if plain else None

    @classmethod
    def of(cls, kind: Kind, labels: str, fields: str) -> Self:
        """Compile the texts of a request. Errors: BadRequest for a malformed one or a field that does not
        select."""
        try:
            by_label = parse_labels(labels) if labels else None
            by_label = None if by_label is None or by_label.everything else by_label
            terms = parse_fields(fields).requirements if fields else ()
        except ValueError as error:
            raise BadRequest(str(error)) from error
        rules = []
        for term in terms:
            path = kind.fields.get(term.field) or _METADATA.get(term.field)
            if path is None:
                raise BadRequest(_not_selectable(kind, term.field))
            rules.append(FieldRule(path, term.value, term.operator == EQUALS))
        made = cls(by_label, rules)
        made.text = labels, fields
        return made

    def _pinned(self, path: str) -> str:
        return next((rule.wanted for rule in self._fields if rule.path == path and rule.equal), "")

    def namespace_within(self, namespace: str) -> str:
        """The one namespace that can match, or empty for any."""
        return namespace or self._pinned("metadata.namespace")

    @property
    def pins(self) -> list[Pin]:
        """The terms that an index may answer: those of absent labels and fields are not among them."""
        labels = self._labels.equalities() if self._labels else {}
        by_label = [Pin(True, key, value) for key, value in labels.items() if value]
        return by_label + [
            Pin(False, rule.path, rule.wanted)
            for rule in self._fields
            if rule.equal and rule.path not in _METADATA and rule.wanted not in _ZERO
        ]

    def exact_name(self, kind: Kind, namespace: str) -> tuple[str, str] | None:
        """The namespace and name of the only object that can match, where the selectors pin one."""
        name = self._pinned("metadata.name")
        within = self.namespace_within(namespace) if kind.namespaced else ""
        if not name or (kind.namespaced and not within):
            return None
        return within, name

    def matches(self, obj: Obj) -> bool:
        """Whether `obj` is selected."""
        for path, wanted, equal in self._fields:
            if (_equals(field_value(obj, path), wanted)) is not equal:
                return False
        if self._labels is None:
            return True
        labels = obj["metadata"].get("labels") or {}
        if self._equalities is None:
            return self._labels.matches(labels)
        for key, value in self._equalities:  # noqa: SIM110 - a generator costs twice as much here
            if labels.get(key) != value:
                return False
        return True

    def choose(self, entries: Sequence[Entry]) -> list[Entry]:
        """The selected ones of `entries`; each is decoded once."""
        if self._fields or self._equalities is None or len(self._equalities) != 1:
            return [entry for entry in entries if self.matches_entry(entry)]
        ((key, value),) = self._equalities  # the commonest selector, for which a call an entry costs the most
        none: Obj = {}
        return [
            e
            for e in entries
            if ((e.decoded or decoded(e))["metadata"].get("labels") or none).get(key) == value
        ]

    def matches_entry(self, entry: Entry) -> bool:
        """Whether the entry's object is selected; decodes it once."""
        return self.matches(decoded(entry))


def _equals(actual: str, wanted: str) -> bool:
    # An absent number or boolean is Kubernetes' zero value, which a selector spells out.
    return actual == wanted or (not actual and wanted in _ZERO)
