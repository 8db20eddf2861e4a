"""The types of CEL, and how messages show them.

Types are immutable values. `param` types are the variables of generic signatures (`list<A>`); `dyn` is a type
that is known only when the expression runs; `object` types have named fields.
"""

from collections.abc import Mapping
from typing import Any, Final

NULLABLE: Final = frozenset(("object", "opaque", "timestamp", "duration", "null", "optional"))


class CelType:
    """A type: its kind (dyn, error, null, bool, int, uint, double, string, bytes, timestamp, duration, list,
    map, optional, type, object, opaque, param), what it is made of, its name, and the fields of an object."""

    __slots__ = ("fields", "kind", "name", "params", "source")

    def __init__(
        self,
        kind: str,
        params: tuple["CelType", ...] = (),
        name: str = "",
        fields: Mapping[str, "CelType"] | None = None,
        source: Any = None,
    ) -> None:
        self.kind = kind
        self.params = params
        self.name: str = name or _NAMES.get(kind, kind)
        self.fields: Mapping[str, CelType] = fields or {}
        self.source = source
        """The schema that the type was made of, from which its values are converted."""

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, CelType)
            and self.kind == other.kind
            and self.name == other.name
            and self.params == other.params
            and (self.kind != "object" or self.fields is other.fields)
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.params))

    def __str__(self) -> str:
        if not self.params:
            return self.name
        return f"{self.name}({', '.join(map(str, self.params))})"

    __repr__ = __str__


_NAMES: Final[dict[str, str]] = {"null": "null_type", "optional": "optional_type", "error": "!error!"}

DYN: Final = CelType("dyn")
ERROR: Final = CelType("error")
NULL: Final = CelType("null")
BOOL: Final = CelType("bool")
INT: Final = CelType("int")
UINT: Final = CelType("uint")
DOUBLE: Final = CelType("double")
STRING: Final = CelType("string")
BYTES: Final = CelType("bytes")
TIMESTAMP: Final = CelType("timestamp")
DURATION: Final = CelType("duration")


def opaque(name: str) -> CelType:
    """A type of which only functions know more."""
    return CelType("opaque", name=name)


IP: Final = opaque("net.IP")
CIDR: Final = opaque("net.CIDR")
URL: Final = opaque("kubernetes.URL")
QUANTITY: Final = opaque("kubernetes.Quantity")
SEMVER: Final = opaque("kubernetes.Semver")
FORMAT: Final = opaque("kubernetes.NamedFormat")
AUTHORIZER: Final = opaque("kubernetes.authorization.Authorizer")
PATH_CHECK: Final = opaque("kubernetes.authorization.PathCheck")
GROUP_CHECK: Final = opaque("kubernetes.authorization.GroupCheck")
RESOURCE_CHECK: Final = opaque("kubernetes.authorization.ResourceCheck")
DECISION: Final = opaque("kubernetes.authorization.Decision")
OPAQUES: Final = (
    IP,
    CIDR,
    URL,
    QUANTITY,
    SEMVER,
    FORMAT,
    AUTHORIZER,
    PATH_CHECK,
    GROUP_CHECK,
    RESOURCE_CHECK,
    DECISION,
)


def list_of(items: CelType) -> CelType:
    """`list(items)`."""
    return CelType("list", (items,))


def map_of(keys: CelType, values: CelType) -> CelType:
    """`map(keys, values)`."""
    return CelType("map", (keys, values))


def optional(value: CelType) -> CelType:
    """`optional_type(value)`."""
    return CelType("optional", (value,))


def type_type(of: CelType) -> CelType:
    """The type of the type `of`."""
    return CelType("type", (of,))


def param(name: str) -> CelType:
    """A type variable of a signature."""
    return CelType("param", name=name)


def signature(arguments: "list[CelType]", *, member: bool) -> str:
    """Arguments as messages show them: `(int, string)`, or `int.(string)` of a member."""
    listed = [str(argument) for argument in arguments]
    if member and listed:
        return f"{listed[0]}.({', '.join(listed[1:])})"
    return f"({', '.join(listed)})"


TYPE_NAMES: Final[Mapping[str, CelType]] = {
    **{t.name: t for t in (DYN, NULL, BOOL, INT, UINT, DOUBLE, STRING, BYTES, *OPAQUES)},
    "google.protobuf.Timestamp": TIMESTAMP,
    "google.protobuf.Duration": DURATION,
    "list": list_of(DYN),
    "map": map_of(DYN, DYN),
    "optional_type": optional(DYN),
    "type": CelType("type", (DYN,)),
}
"""The types that expressions may name."""
