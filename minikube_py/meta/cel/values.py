"""Values while an expression runs, what they are equal to, and their JSON.

null, bool, int, double, string, bytes, lists and maps are Python's own (None, bool, int, float, str, bytes,
list, dict: JSON as it stands); the rest are the classes here. `Struct` shows a JSON object as its schema says.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from minikube_py.meta.cel.errors import EvaluationError

NANO: Final = 10**9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MIN_TIME: Final = -62135596800 * NANO
MAX_TIME: Final = 253402300800 * NANO - 1
INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1


class UInt(int):
    """An unsigned integer."""

    __slots__ = ()


class _Moment:
    """A number of nanoseconds with a meaning."""

    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        self.nanos = nanos

    def __eq__(self, other: object) -> bool:
        return other.__class__ is self.__class__ and other.nanos == self.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __lt__(self, other: "_Moment") -> bool:
        return self.nanos < other.nanos


class Timestamp(_Moment):
    """Nanoseconds since 1970, UTC. Errors: EvaluationError outside the years 1 to 9999."""

    __slots__ = ()

    def __init__(self, nanos: int) -> None:
        if not MIN_TIME <= nanos <= MAX_TIME:
            raise EvaluationError("timestamp overflow")
        super().__init__(nanos)

    @property
    def moment(self) -> datetime:
        """The time, to the microsecond."""
        return _EPOCH + timedelta(microseconds=self.nanos // 1000)

    def __str__(self) -> str:
        seconds, nanos = divmod(self.nanos, NANO)
        whole = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
        return f"{whole}.{nanos:09d}".rstrip("0") + "Z" if nanos else f"{whole}Z"


class Duration(_Moment):
    """A length of time in nanoseconds. Errors: EvaluationError above some 290 years."""

    __slots__ = ()

    def __init__(self, nanos: int) -> None:
        if not INT_MIN <= nanos <= INT_MAX:
            raise EvaluationError("duration overflow")
        super().__init__(nanos)

    def __str__(self) -> str:
        seconds, nanos = divmod(abs(self.nanos), NANO)
        sign = "-" if self.nanos < 0 else ""
        return sign + (f"{seconds}.{nanos:09d}".rstrip("0") if nanos else str(seconds)) + "s"


class Present:
    """An optional that has a value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _Absent:
    """An optional without a value."""

    __slots__ = ()


ABSENT: Final = _Absent()


class TypeValue:
    """A type as a value."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


Convert = Callable[[Any], Any]


class Struct:
    """A JSON object of a schema: `fields` has, by CEL name, each field's JSON name and conversion."""

    __slots__ = ("fields", "raw")

    def __init__(self, raw: Mapping[str, Any], fields: Mapping[str, tuple[str, Convert | None]]) -> None:
        self.raw = raw
        self.fields = fields

    def get(self, name: str, default: Any = None) -> Any:
        """The field of that CEL name."""
        field = self.fields.get(name)
        if field is None or field[0] not in self.raw:
            return default
        value = self.raw[field[0]]
        return field[1](value) if field[1] is not None and value is not None else value

    def __contains__(self, name: object) -> bool:
        field = self.fields.get(name) if isinstance(name, str) else None
        return field is not None and field[0] in self.raw

    def __iter__(self) -> Iterator[str]:
        return (name for name, field in self.fields.items() if field[0] in self.raw)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Lazy:
    """An object whose fields are made when they are first asked for (a policy's `variables`)."""

    __slots__ = ("_known", "makers")

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self.makers = makers
        self._known: dict[str, Any] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """The field, or the error that making it ended in, each time again."""
        if name not in self._known:
            maker = self.makers.get(name)
            if maker is None:
                return default
            try:
                self._known[name] = maker()
            except EvaluationError as error:
                self._known[name] = error
        found = self._known[name]
        if isinstance(found, EvaluationError):
            raise found
        return found

    def __contains__(self, name: object) -> bool:
        return name in self.makers


class SetList(list[Any]):
    """A list of the schema's list type `set`: equal in any order."""

    __slots__ = ()


class MapList(list[Any]):
    """A list of the schema's list type `map`: its items are told apart by `keys`, equal in any order."""

    __slots__ = ("keys",)
    keys: tuple[str, ...]

    def key_of(self, item: Any) -> tuple[Any, ...]:
        """What tells an item apart."""
        return tuple(item.get(key) for key in self.keys)


NUMBERS: Final[frozenset[Any]] = frozenset((int, UInt, float))
LISTS: Final[frozenset[Any]] = frozenset((list, SetList, MapList))
MAPS: Final[frozenset[Any]] = frozenset((dict, Struct, Lazy))
_SCALARS: Final = frozenset((str, bool, int, float, UInt, bytes, type(None), Timestamp, Duration, TypeValue))
TYPE_NAMES: Final[dict[type, str]] = {
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    type(None): "null_type",
    list: "list",
    SetList: "list",
    MapList: "list",
    dict: "map",
    Struct: "object",
    Lazy: "object",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    TypeValue: "type",
    Present: "optional_type",
    _Absent: "optional_type",
    IPv4Address: "net.IP",
    IPv6Address: "net.IP",
}


def type_name(value: Any) -> str:
    """The name of a value's type."""
    return TYPE_NAMES.get(value.__class__) or str(getattr(value, "TYPE", "dyn"))


def equal(left: Any, right: Any) -> bool:
    """Whether two values are equal; numbers compare across types, what has different types is not equal."""
    first, second = left.__class__, right.__class__
    if first is second and first in _SCALARS:
        return bool(left == right)
    if first in NUMBERS:
        return second in NUMBERS and bool(left == right)
    if first in LISTS:
        return second in LISTS and _equal_lists(left, right)
    if first in MAPS:
        return second in MAPS and _equal_maps(left, right)
    if first is Present:
        return second is Present and equal(left.value, right.value)
    return bool(left == right) if first is second else False


def _equal_lists(left: list[Any], right: list[Any]) -> bool:
    if len(left) != len(right):
        return False
    if isinstance(left, MapList):
        others = {left.key_of(item): item for item in right}
        return all(
            left.key_of(item) in others and equal(item, others[left.key_of(item)]) for item in left
        ) and len(others) == len(left)
    if isinstance(left, SetList):
        return all(any(equal(item, other) for other in right) for item in left)
    return all(equal(item, other) for item, other in zip(left, right, strict=True))


_MISSING: Final = object()


def _equal_maps(left: Any, right: Any) -> bool:
    if len(left) != len(right):
        return False
    for key in left:
        other = right.get(key, _MISSING)
        if other is _MISSING or not equal(left.get(key), other):
            return False
    return True


def exported(value: Any) -> Any:
    """The value as JSON, timestamps and durations as text; what has no JSON form as it is."""
    kind = value.__class__
    if kind in (str, bool, int, float, type(None), bytes):
        return value
    if kind is UInt:
        return int(value)
    if kind in (Timestamp, Duration):
        return str(value)
    if kind in LISTS:
        return [exported(item) for item in value]
    if kind is dict:
        return {key: exported(item) for key, item in value.items()}
    return value.raw if kind is Struct else value
