"""Functions: what an expression may call, declared by signatures, with what they do and what they cost.

    overload("string.startsWith(string): bool", str.startswith, costs.text(0))

Types in signatures: the names of CEL (`int`, `list<A>`, `map<A, B>`, `optional<A>`, `type<A>`, `dyn`), capital
letters for type variables, and `ip`, `cidr`, `url`, `quantity`, `semver`, `format`, `authorizer`, `pathCheck`,
`groupCheck`, `resourceCheck`, `decision`.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from minikube_py.meta.cel import types
from minikube_py.meta.cel.types import CelType
from minikube_py.meta.cel.values import ABSENT, LISTS, MAPS, Duration, Present, Timestamp, TypeValue, UInt

Cost = Callable[[tuple[Any, ...], Any], int]
"""What a call cost, of its arguments and its result."""


@dataclass(frozen=True, slots=True, eq=False)
class Overload:
    """One signature of a function. For members the first parameter is the target."""

    name: str
    params: tuple[CelType, ...]
    result: CelType
    member: bool
    run: Callable[..., Any]
    cost: Cost | None = None
    """None: 1."""


_SIMPLE: Final = {
    "bool": types.BOOL,
    "int": types.INT,
    "uint": types.UINT,
    "double": types.DOUBLE,
    "string": types.STRING,
    "bytes": types.BYTES,
    "timestamp": types.TIMESTAMP,
    "duration": types.DURATION,
    "null": types.NULL,
    "dyn": types.DYN,
    "ip": types.IP,
    "cidr": types.CIDR,
    "url": types.URL,
    "quantity": types.QUANTITY,
    "semver": types.SEMVER,
    "format": types.FORMAT,
    "authorizer": types.AUTHORIZER,
    "pathCheck": types.PATH_CHECK,
    "groupCheck": types.GROUP_CHECK,
    "resourceCheck": types.RESOURCE_CHECK,
    "decision": types.DECISION,
}
_SIGNATURE: Final = re.compile(
    r"(?:(?P<target>[a-zA-Z]+(?:<.*?>+)?)\.)?(?P<name>[^(]+)\((?P<args>.*)\): (?P<result>.+)"
)


def overload(
    text: str, run: Callable[..., Any], cost: Cost | None = None, *, member: bool | None = None
) -> Overload:
    """An overload of its signature. `member=False` says that a dot belongs to the name (`sets.contains`)."""
    match = _SIGNATURE.fullmatch(text)
    if match is None:
        raise ValueError(f"no signature: {text}")
    target, name = match["target"], match["name"]
    is_member = target is not None if member is None else member
    if target is not None and not is_member:
        name = f"{target}.{name}"
    params = [_type(target)] if target is not None and is_member else []
    params += [_type(argument) for argument in _split(match["args"])]
    return Overload(name, tuple(params), _type(match["result"]), is_member, run, cost)


def function(text: str, run: Callable[..., Any], cost: Cost | None = None) -> Overload:
    """An overload that is no member, whose name may have dots in it."""
    return overload(text, run, cost, member=False)


@cache
def _type(text: str) -> CelType:
    text = text.strip()
    name, bracket, inner = text.partition("<")
    if bracket:
        inside = tuple(_type(part) for part in _split(inner[:-1]))
        return CelType(name, inside)
    if len(text) == 1 and text.isupper():
        return types.param(text)
    return _SIMPLE[text]


def _split(text: str) -> list[str]:
    """The parts between the commas that are in no brackets."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "<") - (letter == ">")
        if letter == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [part for part in (*parts, text[start:]) if part.strip()]


_CLASSES: Final[dict[str, frozenset[type]]] = {
    "bool": frozenset((bool,)),
    "int": frozenset((int,)),
    "uint": frozenset((UInt,)),
    "double": frozenset((float,)),
    "string": frozenset((str,)),
    "bytes": frozenset((bytes,)),
    "null": frozenset((type(None),)),
    "timestamp": frozenset((Timestamp,)),
    "duration": frozenset((Duration,)),
    "list": LISTS,
    "map": MAPS,
    "type": frozenset((TypeValue,)),
    "optional": frozenset((Present, ABSENT.__class__)),
}
_OPAQUE: Final[dict[str, frozenset[type]]] = {
    types.IP.name: frozenset((IPv4Address, IPv6Address)),
}


def accepts(wanted: CelType, value: Any) -> bool:
    """Whether a value may be given where a parameter of type `wanted` stands."""
    if wanted.kind in ("dyn", "param"):
        return True
    if wanted.kind == "opaque":
        known = _OPAQUE.get(wanted.name)
        return value.__class__ in known if known else getattr(value, "TYPE", "") == wanted.name
    kind: type = value.__class__
    if kind not in _CLASSES[wanted.kind]:
        return False
    if wanted.kind == "list" and value and wanted.params[0].kind not in ("dyn", "param"):
        return accepts(wanted.params[0], value[0])
    return True


def by_name(overloads: Iterable[Overload]) -> dict[str, tuple[Overload, ...]]:
    """The overloads of each function."""
    found: dict[str, list[Overload]] = {}
    for one in overloads:
        found.setdefault(one.name, []).append(one)
    return {name: tuple(listed) for name, listed in found.items()}
