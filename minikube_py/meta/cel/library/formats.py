"""Named formats of text: Kubernetes' `format` library (`format.dns1123Label().validate(x)`)."""

import re
from base64 import b64decode
from collections.abc import Callable
from typing import Any, Final

from minikube_py.meta import names
from minikube_py.meta.cel import costs
from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import Overload, function, overload
from minikube_py.meta.cel.library.times import parse_date, parse_timestamp
from minikube_py.meta.cel.library.urls import parse_url
from minikube_py.meta.cel.types import FORMAT
from minikube_py.meta.cel.values import ABSENT, Present

_UUID: Final = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
Faults = Callable[[str], list[str]]


class Format:
    """A named format; `faults` says what is wrong with a text."""

    TYPE = FORMAT.name
    __slots__ = ("faults", "name", "weight")

    def __init__(self, name: str, faults: Faults, weight: int = 60) -> None:
        self.name = name
        self.faults = faults
        self.weight = weight


def _uri(text: str) -> list[str]:
    try:
        parse_url(text)
    except EvaluationError as error:
        return [error.message.partition("from string: ")[2]]
    return []


def _uuid(text: str) -> list[str]:
    return [] if _UUID.fullmatch(text) else ["does not match the UUID format"]


def _byte(text: str) -> list[str]:
    try:
        return [] if text and b64decode(text, validate=True) is not None else ["invalid base64"]
    except ValueError:
        return ["invalid base64"]


def _parses(parse: Callable[[str], Any], fault: str) -> Faults:
    def faults(text: str) -> list[str]:
        try:
            parse(text)
        except EvaluationError:
            return [fault]
        return []

    return faults


def _date(text: str) -> Any:
    if len(text) != 10:
        raise EvaluationError("invalid date")
    return parse_date(text)


FORMATS: Final[dict[str, Format]] = {
    "dns1123Label": Format("DNS1123Label", names.dns1123_label, 30),
    "dns1123Subdomain": Format("DNS1123Subdomain", names.dns1123_subdomain),
    "dns1035Label": Format("DNS1035Label", names.dns1035_label, 30),
    "qualifiedName": Format("QualifiedName", names.qualified_name),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", names.for_prefix(names.dns1123_label), 30),
    "dns1123SubdomainPrefix": Format("DNS1123SubdomainPrefix", names.for_prefix(names.dns1123_subdomain)),
    "dns1035LabelPrefix": Format("DNS1035LabelPrefix", names.for_prefix(names.dns1035_label), 30),
    "labelValue": Format("LabelValue", names.label_value, 40),
    "uri": Format("URI", _uri),
    "uuid": Format("uuid", _uuid),
    "byte": Format("byte", _byte),
    "date": Format("date", _parses(_date, "invalid date")),
    "datetime": Format("datetime", _parses(parse_timestamp, "invalid datetime")),
}


def _validate(format: Format, text: str) -> Any:
    faults = format.faults(text)
    return Present(faults) if faults else ABSENT


def _cost(args: tuple[Any, ...], result: Any) -> int:
    return costs.pattern((args[1], "x" * args[0].weight), result)


def _named(name: str) -> Any:
    found = FORMATS.get(name)
    return ABSENT if found is None else Present(found)


def _shorthand(name: str, format: Format) -> Overload:
    return function(f"format.{name}(): format", lambda: format)


OVERLOADS: Final = (
    function("format.named(string): optional<format>", _named),
    *(_shorthand(name, format) for name, format in FORMATS.items()),
    overload("format.validate(string): optional<list<string>>", _validate, _cost),
)
