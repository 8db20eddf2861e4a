"""Conforming: whether Kubernetes would store a value as it is, told by walkers compiled from a type.

They touch no path strings and answer the common case of a write; where they say no, `decoding` walks again. A
walker is compiled at the first use and kept with its type; what it says is what the plain walk would say.
"""

import binascii
import re
from collections.abc import Callable
from typing import Any

from minikube_py.meta import schema as forms
from minikube_py.meta.quantity import canonical
from minikube_py.meta.schema import Type

Check = Callable[[Any], bool]
CheckBeside = Callable[[Any, Any], bool]
"""Of a value, and of one that conforms."""

_TIME = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ", re.ASCII)
_MICRO_TIME = re.compile(_TIME.pattern[:-1] + r"\.\d{6}Z", re.ASCII)
_LIMITS = {forms.INT32: 2**31, forms.INT64: 2**63}


def conforms(type: Type) -> Check:
    """A function that tells whether a value is of the type and already canonical, compiled once."""
    return type.compiled("conforms", _compile)


def conforms_beside(type: Type) -> CheckBeside:
    """As `conforms`, of a value beside one that conforms: the parts that it shares with it are not looked at
    again."""
    return type.compiled("conforms beside", _compile_beside)


def _compile_beside(type: Type) -> CheckBeside:
    whole = conforms(type)
    if type.form != forms.STRUCT:
        return lambda value, known: value is known or whole(value)
    checks: dict[str, CheckBeside] = {}  # filled at the first use, so that recursive types end

    def check(value: Any, known: Any) -> bool:
        if value is known:
            return True
        if value.__class__ is not dict or known.__class__ is not dict:
            return whole(value)
        for name, item in value.items():
            before = known.get(name)
            if item is before and item is not None:
                continue
            test = checks.get(name) or _beside(type, name, checks)
            if test is None:
                if not type.open:
                    return False
            elif not test(item, before):
                return False
        return True

    return check


def _beside(type: Type, name: str, checks: dict[str, CheckBeside]) -> CheckBeside | None:
    """The check of the field `name`, remembered in `checks`; None where there is no such field."""
    child = type.fields.get(name)
    if child is None:
        return None
    test = conforms_beside(child)
    if not child.custom and child.form in (forms.LIST, forms.MAP):  # an empty one may have to go
        checks[name] = lambda value, known: bool(value) and test(value, known)
    else:
        checks[name] = test
    return checks[name]


def _compile(type: Type) -> Check:
    form = type.form
    if form == forms.STRUCT:
        return _struct(type)
    if form in (forms.MAP, forms.LIST):
        return _elements(type)
    if form in (forms.ANY, forms.DEDUCED):
        return lambda value: value is not None
    if form == forms.RAW:
        return lambda value: value.__class__ is dict
    return _scalar(form)


def _struct(type: Type) -> Check:
    scalars: dict[str, Any] = {}
    checks: dict[str, Check] = {}
    pending = [True]  # fields are compiled at the first use, so that recursive types end

    def prepare() -> None:
        for name, one in type.fields.items():
            if one.form in (forms.STRING, forms.BOOL):
                scalars[name] = str if one.form == forms.STRING else bool
            else:
                checks[name] = _optional(one, name in type.required)
        pending.clear()

    open_ = type.open

    def check(value: Any) -> bool:
        if pending:
            prepare()
        if value.__class__ is not dict:
            return False
        for name, item in value.items():
            kind = scalars.get(name)
            if kind is not None:
                if item.__class__ is not kind:
                    return False
                continue
            test = checks.get(name)
            if test is None:
                if not open_:
                    return False
            elif not test(item):
                return False
        return True

    return check


def _optional(type: Type, needed: bool) -> Check:
    """The check of a field: optional lists and maps must not be empty (Kubernetes omits them)."""
    check = conforms(type)
    if needed or type.custom or type.form not in (forms.LIST, forms.MAP):
        return check
    return lambda value: bool(value) and check(value)


def _elements(type: Type) -> Check:
    expected: Any = dict if type.form == forms.MAP else list
    if type.items.form == forms.STRING:
        strings = {str}

        def all_strings(value: Any) -> bool:
            if value.__class__ is not expected:
                return False
            items = value.values() if expected is dict else value
            return not value or {item.__class__ for item in items} == strings

        return all_strings
    inner: list[Check] = []

    def check(value: Any) -> bool:
        if value.__class__ is not expected:
            return False
        if not inner:
            inner.append(conforms(type.items))
        test = inner[0]
        for item in value.values() if expected is dict else value:  # noqa: SIM110 - measured: all() is slower
            if not test(item):
                return False
        return True

    return check


def _scalar(form: str) -> Check:
    if form in _LIMITS:
        limit = _LIMITS[form]
        return lambda value: value.__class__ is int and -limit <= value < limit
    if form == forms.INT_OR_STRING:
        return lambda value: value.__class__ is str or (value.__class__ is int and -(2**31) <= value < 2**31)
    if form in (forms.STRING, forms.BOOL):
        expected: Any = str if form == forms.STRING else bool
        return lambda value: value.__class__ is expected
    if form == forms.NUMBER:
        return lambda value: value.__class__ is float or value.__class__ is int
    return {
        forms.QUANTITY: _is_canonical,
        forms.TIME: lambda value: value.__class__ is str and _TIME.fullmatch(value) is not None,
        forms.MICRO_TIME: lambda value: value.__class__ is str and _MICRO_TIME.fullmatch(value) is not None,
        forms.BYTES: lambda value: value.__class__ is str and base64_fault(value) is None,
    }[form]


def _is_canonical(value: Any) -> bool:
    try:
        return value.__class__ is str and canonical(value) == value
    except ValueError:
        return False


def base64_fault(value: str) -> int | None:
    """Where `value` stops being base64, or None."""
    try:
        binascii.a2b_base64(value.encode(), strict_mode=True)
    except binascii.Error:
        wrong = re.search(r"[^A-Za-z0-9+/]", value)
        return wrong.start() if wrong else len(value) - len(value) % 4
    return None
