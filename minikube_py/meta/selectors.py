"""Label and field selectors: parsed once, matched often.

`parse_labels` reads the query form (`app=web,tier in (a,b),!canary`), `from_label_selector` the object form
(matchLabels and matchExpressions), `parse_fields` the field form (`spec.nodeName=n1,status.phase!=Failed`).
Selectors are immutable values and show their requirements, so that an index may answer instead of a scan.
Errors are ValueError with Kubernetes' wording. Parsed text is cached. What takes long is told to `aio.haste`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from minikube_py.aio.haste import spend
from minikube_py.meta.names import label_value, qualified_name
from minikube_py.meta.remembered import remembered

EQUALS, NOT_EQUALS, IN, NOT_IN = "=", "!=", "in", "notin"
EXISTS, DOES_NOT_EXIST, GREATER, LESS = "exists", "!", "gt", "lt"

COST = 30
"""What reading a term, or a value, costs in the units of `aio.haste`; CHARACTERS cost one."""
CHARACTERS = 8

_TOKEN = re.compile(r"\s*(==|!=|=|!|\(|\)|,|<|>|[^\s=!(),<>]+)")
_TERM = re.compile(r"(?:[^,\\]|\\.?)+", re.DOTALL)
_FIELD_TERM = re.compile(r"((?:[^=!\\]|\\.)*)(!=|==|=)(.*)", re.DOTALL)
_SYMBOLS = frozenset(("==", "!=", "=", "!", "(", ")", ",", "<", ">"))
_OPERATORS = {
    "=": EQUALS,
    "==": EQUALS,
    "!=": NOT_EQUALS,
    "in": IN,
    "notin": NOT_IN,
    ">": GREATER,
    "<": LESS,
}
_EXPRESSION_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label. operator is one of =, !=, in, notin, exists, !, gt, lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` satisfy the condition; an absent label satisfies != and notin."""
        value, operator = labels.get(self.key), self.operator
        if operator in (EQUALS, IN):
            return value is not None and value in self.values
        if operator in (NOT_EQUALS, NOT_IN):
            return value is None or value not in self.values
        if operator == EXISTS:
            return value is not None
        if operator == DOES_NOT_EXIST:
            return value is None
        return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        try:
            actual, limit = int(value or ""), int(next(iter(self.values)))
        except ValueError:
            return False
        return actual > limit if self.operator == GREATER else actual < limit

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        if self.operator == EXISTS:
            return self.key
        if self.operator == DOES_NOT_EXIST:
            return f"!{self.key}"
        if self.operator in (IN, NOT_IN):
            return f"{self.key} {self.operator} ({values})"
        return f"{self.key}{ {GREATER: '>', LESS: '<'}.get(self.operator, self.operator) }{values}"


@dataclass(frozen=True, slots=True)
class Selector:
    """A conjunction of requirements on labels. No requirement matches everything, `nothing` nothing."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether `labels` satisfy every requirement."""
        if self.nothing:
            return False
        labels = labels or {}
        for requirement in self.requirements:  # noqa: SIM110 - a generator costs twice as much here
            if not requirement.matches(labels):
                return False
        return True

    @property
    def everything(self) -> bool:
        """Whether every object matches."""
        return not self.nothing and not self.requirements

    def equalities(self) -> dict[str, str]:
        """The labels that every matching object has with a known value, for an index."""
        return {
            r.key: next(iter(r.values))
            for r in self.requirements
            if r.operator in (EQUALS, IN) and len(r.values) == 1
        }

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One condition on a field: `field` equals the value, or not (operator = or !=)."""

    field: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """A conjunction of requirements on an object's selectable fields; a missing field has the value ""."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, values: Mapping[str, str]) -> bool:
        """Whether the fields' values (as text) satisfy every requirement."""
        return all((values.get(r.field, "") == r.value) == (r.operator == EQUALS) for r in self.requirements)

    @property
    def everything(self) -> bool:
        return not self.requirements

    def fields(self) -> tuple[str, ...]:
        """The fields that are asked about."""
        return tuple(r.field for r in self.requirements)

    def required(self, field: str) -> str | None:
        """The value that `field` must equal, or None where the selector does not pin it."""
        return next((r.value for r in self.requirements if r.field == field and r.operator == EQUALS), None)

    def __str__(self) -> str:
        return ",".join(f"{r.field}{r.operator}{r.value}" for r in self.requirements)


@remembered(1024)
def parse_labels(text: str) -> Selector:
    """The label selector that `text` says; empty text matches everything. Errors: ValueError."""
    tokens = _tokens(text)
    if not tokens:
        return EVERYTHING
    found: list[Requirement] = []
    position = 0
    while True:
        if position >= len(tokens) or (tokens[position] in _SYMBOLS and tokens[position] != "!"):
            literal = tokens[position] if position < len(tokens) else ""
            expected = "identifier after ','" if found else "!, identifier, or 'end of string'"
            raise ValueError(f"found '{literal}', expected: {expected}")
        try:
            requirement, position = _requirement(tokens, position)
        except ValueError as error:
            raise ValueError(f"unable to parse requirement: {error}") from None
        found.append(requirement)
        if position >= len(tokens):
            return Selector(tuple(found))
        if tokens[position] != ",":
            raise ValueError(f"found '{tokens[position]}', expected: ',' or 'end of string'")
        position += 1


def _tokens(text: str) -> list[str]:
    spend(len(text) // CHARACTERS)
    return _TOKEN.findall(text.rstrip())  # every character is part of some token, or blank before one


def _requirement(tokens: list[str], position: int) -> tuple[Requirement, int]:
    def token(at: int) -> str:
        return tokens[at] if at < len(tokens) else ""

    spend(COST)
    negated = token(position) == "!"
    position += negated
    key = token(position)
    if not key or key in _SYMBOLS:
        raise ValueError(f"found '{key}', expected: identifier")
    position += 1
    following = token(position)
    if negated or following in ("", ","):
        return requirement(key, DOES_NOT_EXIST if negated else EXISTS), position
    operator = _OPERATORS.get(following)
    if operator is None:
        raise ValueError(f"found '{following}', expected: in, notin, =, ==, !=, gt, lt")
    position += 1
    if operator in (IN, NOT_IN):
        values, position = _values(tokens, position)
        return requirement(key, operator, values), position
    value = token(position)
    if value in ("", ","):
        return requirement(key, operator, ("",)), position
    if value in _SYMBOLS:
        raise ValueError(f"found '{value}', expected: identifier")
    return requirement(key, operator, (value,)), position + 1


def _values(tokens: list[str], position: int) -> tuple[list[str], int]:
    """The values of `(a,b)`; an empty place between commas is the empty value."""
    opening = tokens[position] if position < len(tokens) else ""
    if opening != "(":
        raise ValueError(f"found '{opening}' expected: '('")
    values: list[str] = []
    pending = True  # whether a value may still come before the next comma
    for at in range(position + 1, len(tokens)):
        token = tokens[at]
        spend(COST)
        if token == ")":
            return ([*values, ""] if pending else values), at + 1
        if token == ",":
            values += [""] if pending else []
            pending = True
        elif token in _SYMBOLS or not pending:
            raise ValueError(f"found '{token}', expected: ',', or ')'")
        else:
            values.append(token)
            pending = False
    raise ValueError("found '', expected: ')'")


def requirement(key: str, operator: str, values: Iterable[str] = ()) -> Requirement:
    """A checked requirement. Errors: ValueError (bad key, values or number of values)."""
    chosen = frozenset(values)
    if problems := qualified_name(key):
        raise ValueError(f'key: Invalid value: "{key}": {"; ".join(problems)}')
    if operator in (IN, NOT_IN) and not chosen:
        raise ValueError("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty")
    if operator in (GREATER, LESS) and not all(re.fullmatch(r"[+-]?\d+", value) for value in chosen):
        raise ValueError("for 'Gt', 'Lt' operators, the value must be an integer")
    for index, value in enumerate(sorted(chosen)):
        if problems := label_value(value):
            raise ValueError(f'values[{index}][{key}]: Invalid value: "{value}": {"; ".join(problems)}')
    return Requirement(key, operator, chosen)


def from_labels(labels: Mapping[str, str] | None) -> Selector:
    """The selector that asks for these very labels, such as a Service's; None or empty: everything."""
    return Selector(
        tuple(Requirement(key, EQUALS, frozenset((value,))) for key, value in sorted((labels or {}).items()))
    )


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """The Selector of a metav1.LabelSelector object; None selects nothing, {} everything.
    Errors: ValueError (an unknown operator, a bad key or value)."""
    if selector is None:
        return NOTHING
    found = [
        requirement(key, EQUALS, (value,)) for key, value in sorted((selector.get("matchLabels") or {}).items())
    ]
    for expression in selector.get("matchExpressions") or ():
        operator = _EXPRESSION_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise ValueError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        values = expression.get("values") or ()
        if operator in (EXISTS, DOES_NOT_EXIST) and values:
            raise ValueError("values set must be empty for exists and does not exist")
        found.append(requirement(expression.get("key", ""), operator, values))
    return Selector(tuple(sorted(found, key=lambda r: r.key)))


@remembered(1024)
def parse_fields(text: str) -> FieldSelector:
    """The field selector that `text` says; backslash escapes `,`, `=` and itself. Errors: ValueError."""
    found: list[FieldRequirement] = []
    spend(text.count(",") * COST)
    for term in _TERM.findall(text) if "\\" in text else filter(None, text.split(",")):
        match = _FIELD_TERM.match(term)
        if match is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
        field, operator, value = match.groups()
        found.append(FieldRequirement(field, EQUALS if operator == "==" else operator, _unescaped(value)))
    return FieldSelector(tuple(found))


def _unescaped(value: str) -> str:
    if "\\" not in value and "=" not in value:
        return value
    if re.search(r"(?<!\\)(?:\\\\)*[=,]", value) or re.search(r"\\(?![\\=,])", value.replace("\\\\", "")):
        raise ValueError(f"invalid field selector value: '{value}'")
    return re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
