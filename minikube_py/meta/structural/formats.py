"""The string formats that Kubernetes checks in custom resources, by their name in a schema.

A format that is not here is not checked. Names are compared without dashes, as upstream compares them.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final
from urllib.parse import urlsplit

from minikube_py.meta.names import dns1123_label, dns1123_subdomain

Format = Callable[[str], bool]

_HEX = "[0-9a-f]"
_DAYTIME = re.compile(r"(\d{2}):(\d{2}):(\d{2})(.\d+)?(z|([+-]\d{2}:\d{2}))", re.ASCII)
_GO_DURATION = re.compile(r"[-+]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_UNITS = "ns nanos? nanoseconds? us µs micros? microseconds? ms millis? milliseconds? s secs? seconds? "
_UNITS += "m mins? minutes? h hrs? hours? d days? w wks? weeks?"
_WORDED_DURATION = re.compile(rf"(\d+\s*({'|'.join(_UNITS.split())})\s*)+", re.ASCII)
_EMAIL = re.compile(
    r"""(?:(?:"[^"]*"|[^<>@",;:\\\[\]]*)<)?[^\s<>@",;:\\()\[\]]+@[^\s<>@",;:\\()]+>?""",
)
_HOSTNAME = re.compile(
    r"([a-zA-Z0-9\u00a1-\uffff]([-a-zA-Z0-9\u00a1-\uffff]*[a-zA-Z0-9\u00a1-\uffff])?)"
    r"(\.[a-zA-Z0-9\u00a1-\uffff]([-a-zA-Z0-9\u00a1-\uffff]*[a-zA-Z0-9\u00a1-\uffff])?)*\.?"
)
_CARD = r"4\d{12}(\d{3})?|5[1-5]\d{14}|6(011|5\d\d)\d{12}|"
_CARD += r"3[47]\d{13}|3(0[0-5]|[68]\d)\d{11}|(2131|1800|35\d{3})\d{11}"
_RGB = r"rgb\(\s*(\d|\d\d|1\d\d|2[0-4]\d|25[0-5])\s*(,\s*(\d|\d\d|1\d\d|2[0-4]\d|25[0-5])\s*){2}\)"


def _matching(pattern: str, flags: int = 0) -> Format:
    compiled = re.compile(pattern, re.ASCII | flags)
    return lambda text: compiled.fullmatch(text) is not None


def _uuid(version: str = _HEX, variant: str = _HEX) -> Format:
    tail = f"{version}{_HEX}{{3}}-?{variant}{_HEX}{{3}}-?{_HEX}{{12}}"
    return _matching(f"{_HEX}{{8}}-?{_HEX}{{4}}-?{tail}", re.IGNORECASE)


def _date(text: str) -> bool:
    try:
        return len(text) == 10 and text[4] == "-" and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _date_time(text: str) -> bool:
    day, separator, rest = text.lower().partition("t")
    found = _DAYTIME.fullmatch(rest)
    if not separator or not _date(day) or found is None:
        return False
    return found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


def _duration(text: str) -> bool:
    return bool(_GO_DURATION.fullmatch(text) or _WORDED_DURATION.fullmatch(text.strip().lower()))


def _byte(text: str) -> bool:
    try:
        base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    plain = not any(ord(character) < 0x21 or ord(character) == 0x7F for character in text)
    return plain and bool(parts.scheme or text.startswith("/"))


def _address(version: int) -> Format:
    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version and "%" not in text
        except ValueError:
            return False

    return check


def _cidr(text: str) -> bool:
    address, slash, length = text.partition("/")
    try:
        return (
            bool(slash)
            and length.isdigit()
            and ipaddress.ip_network(f"{address}/{length}", strict=False) is not None
        )
    except ValueError:
        return False


def _mac(text: str) -> bool:
    for separator, width in ((":", 2), ("-", 2), (".", 4)):
        pieces = text.split(separator)
        if len(pieces) > 1:
            size = len(pieces) * width // 2
            return size in (6, 8, 20) and all(
                re.fullmatch(f"[0-9a-fA-F]{{{width}}}", piece) for piece in pieces
            )
    return False


def _isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{9}[\dX]", digits, re.ASCII):
        return False
    return sum((10 - at) * (10 if one == "X" else int(one)) for at, one in enumerate(digits)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{13}", digits, re.ASCII):
        return False
    return sum((3 if at % 2 else 1) * int(one) for at, one in enumerate(digits)) % 10 == 0


def _card(text: str) -> bool:
    digits = re.sub(r"[^0-9]+", "", text)
    if not re.fullmatch(_CARD, digits, re.ASCII):
        return False
    doubled = (int(one) * (2 if at % 2 else 1) for at, one in enumerate(reversed(digits)))
    return sum(one - 9 if one > 9 else one for one in doubled) % 10 == 0


_FORMATS: Final[Mapping[str, Format]] = {
    "bsonobjectid": _matching(f"{_HEX}{{24}}", re.IGNORECASE),
    "uri": _uri,
    "email": lambda text: _EMAIL.fullmatch(text.strip()) is not None,
    "hostname": lambda text: len(text) <= 255 and _HOSTNAME.fullmatch(text) is not None,
    "ipv4": _address(4),
    "ipv6": _address(6),
    "cidr": _cidr,
    "mac": _mac,
    "uuid": _uuid(),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _card,
    "ssn": _matching(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _matching("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matching(_RGB),
    "byte": _byte,
    "password": lambda text: True,
    "date": _date,
    "duration": _duration,
    "datetime": _date_time,
    "k8sshortname": lambda text: not dns1123_label(text),
    "k8slongname": lambda text: not dns1123_subdomain(text),
}


def unknown_formats(schema: Mapping[str, Any]) -> set[str]:
    """The formats of strings, anywhere in a schema, that are not checked since nobody knows them."""
    found: set[str] = set()
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Mapping):
            continue
        form = node.get("format")
        if form and node.get("type") == "string" and form.replace("-", "") not in _FORMATS:
            found.add(form)
        waiting += (node.get("properties") or {}).values()
        waiting += (node[key] for key in ("items", "additionalProperties", "not") if key in node)
        for key in ("allOf", "anyOf", "oneOf"):
            waiting += node.get(key) or ()
    return found


def string_format(schema: Mapping[str, Any]) -> Format | None:
    """What the schema's `format` demands of a string; None where it demands nothing."""
    name = schema.get("format")
    if not name or schema.get("type", "string") != "string":
        return None
    return _FORMATS.get(name.replace("-", ""))
