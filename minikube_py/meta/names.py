"""Rules for names, labels, keys and ports, with apimachinery's messages.

Each rule takes a string (a port number: an int) and gives the reasons why it is refused; an empty list is
approval. `prefix=True` judges a generateName, which may end in a dash.
"""

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

from minikube_py.meta.remembered import remembered

NameRule = Callable[[str], list[str]]
"""The reasons why a name is refused."""

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = f"{_LABEL}(\\.{_LABEL})*"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HEADER = "[-A-Za-z0-9]+"
_PERCENT = "[0-9]+%"
_WILDCARD = f"\\*\\.{_SUBDOMAIN}"

_QUALIFIED_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character"
)


def regex_error(text: str, regex: str, *examples: str) -> str:
    """`text` with the examples and the regex, as apimachinery joins them (two spaces before `or`)."""
    if not examples:
        return f"{text} (regex used for validation is '{regex}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{regex}')"


def max_length_error(length: int) -> str:
    return f"must be no more than {length} bytes"


@lru_cache(maxsize=128)
def _compiled(regex: str) -> re.Pattern[str]:
    return re.compile(regex, re.ASCII)


def _judge(value: str, regex: str, length: int, message: str) -> list[str]:
    matches = _compiled(regex).fullmatch(value) is not None
    if matches and len(value) <= length:  # what matches is ASCII
        return []
    problems = [max_length_error(length)] if len(value.encode()) > length else []
    return problems if matches else [*problems, message]


_LABEL_MESSAGE = regex_error(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and"
    " end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_MESSAGE = regex_error(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"
    " start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_DNS1035_MESSAGE = regex_error(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic"
    " character, and end with an alphanumeric character",
    _DNS1035,
    "my-name",
    "abc-123",
)
_WILDCARD_MESSAGE = regex_error(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist"
    " of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    _WILDCARD,
    "*.example.com",
)
_UNDERSCORED = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*"
_UNDERSCORED_MESSAGE = regex_error(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"
    " start and end with an alphanumeric character",
    _UNDERSCORED,
    "example.com",
)
_NAME_PART = regex_error(f"name part {_QUALIFIED_TEXT}", _QUALIFIED, "MyName", "my.name", "123-abc")
_WHOLE_NAME = (
    regex_error(f"a qualified name {_QUALIFIED_TEXT}", _QUALIFIED, "MyName", "my.name", "123-abc")
    + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
)
_LABEL_VALUE_MESSAGE = regex_error(
    f"a valid label must be an empty string or {_QUALIFIED_TEXT.removeprefix('must ')}",
    _LABEL_VALUE,
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY_MESSAGE = regex_error(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)


def dns1123_label(value: str) -> list[str]:
    """At most 63 lower-case letters, digits and dashes, as in names of Namespaces."""
    dotted = "." in value and _compiled(_SUBDOMAIN).fullmatch(value) is not None
    return _judge(value, _LABEL, 63, "must not contain dots" if dotted else _LABEL_MESSAGE)


def dns1123_subdomain(value: str) -> list[str]:
    """At most 253 bytes of dotted labels: the rule for most objects' names."""
    return _judge(value, _SUBDOMAIN, 253, _SUBDOMAIN_MESSAGE)


def dns1035_label(value: str) -> list[str]:
    """A label that begins with a letter, as in names of Services."""
    return _judge(value, _DNS1035, 63, _DNS1035_MESSAGE)


def wildcard_subdomain(value: str) -> list[str]:
    """A subdomain after `*.`, as in hosts of Ingresses."""
    return _judge(value, _WILDCARD, 253, _WILDCARD_MESSAGE)


def search_domain(value: str) -> list[str]:
    """A search path of DNS: a subdomain that may have underscores and end in a dot, or the root alone."""
    if value == ".":
        return []
    return _judge(value.removesuffix("."), _UNDERSCORED, 253, _UNDERSCORED_MESSAGE)


def path_segment_name(value: str) -> list[str]:
    """A name that may stand in a URL path: the rule for RBAC objects."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in value]


def for_prefix(rule: NameRule) -> NameRule:
    """`rule` for a generateName: a trailing dash is allowed, since a suffix follows."""
    return lambda value: rule(value[:-2] + "a" if len(value) > 1 and value.endswith("-") else value)


@remembered(4096)
def _qualified(value: str) -> tuple[str, ...]:
    prefix, slash, name = value.rpartition("/")
    if value.count("/") > 1:
        return (_WHOLE_NAME,)
    problems: list[str] = []
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash:
        problems += [f"prefix part {reason}" for reason in dns1123_subdomain(prefix)]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name.encode()) > 63:
        problems.append(f"name part {max_length_error(63)}")
    if not _compiled(_QUALIFIED).fullmatch(name):
        problems.append(_NAME_PART)
    return tuple(problems)


def qualified_name(value: str) -> list[str]:
    """`name` or `prefix/name`, as in keys of labels and taints."""
    return list(_qualified(value))


@remembered(4096)
def _valid_label_value(value: str) -> tuple[str, ...]:
    return tuple(_judge(value, _LABEL_VALUE, 63, _LABEL_VALUE_MESSAGE))


def label_value(value: str) -> list[str]:
    """The value of a label."""
    return list(_valid_label_value(value))


def config_map_key(value: str) -> list[str]:
    """A key in the data of a ConfigMap or Secret."""
    problems = _judge(value, _CONFIG_KEY, 253, _CONFIG_KEY_MESSAGE)
    if value in (".", ".."):
        return [*problems, f"must not be '{value}'"]
    return [*problems, "must not start with '..'"] if value.startswith("..") else problems


def environment_name(value: str) -> list[str]:
    """The name of an environment variable, by the relaxed rule of v1.34."""
    if _compiled("[ -<>-~]+").fullmatch(value):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def http_header_name(value: str) -> list[str]:
    """The name of an HTTP header in a probe."""
    text = regex_error(
        "a valid HTTP header must consist of alphanumeric characters or '-'", _HEADER, "X-Header-Name"
    )
    return [] if _compiled(_HEADER).fullmatch(value) else [text]


def percent(value: str) -> list[str]:
    """A percentage such as `25%`."""
    text = regex_error(
        "a valid percent string must be a numeric string followed by an ending '%'", _PERCENT, "1%", "93%"
    )
    return [] if _compiled(_PERCENT).fullmatch(value) else [text]


def port_name(value: str) -> list[str]:
    """An IANA service name, as in names of container ports."""
    problems: list[str] = []
    if len(value) > 15:
        problems.append(max_length_error(15))
    if not _compiled("[-a-z0-9]+").fullmatch(value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _compiled(".*[a-z].*").fullmatch(value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(value: int) -> list[str]:
    """A TCP or UDP port."""
    return [] if 1 <= value <= 65535 else ["must be between 1 and 65535, inclusive"]


def cidr(value: str) -> list[str]:
    """A network as an address and the length of its prefix."""
    try:
        if "/" in value and value.rpartition("/")[2].isdecimal():
            ipaddress.ip_interface(value)
            return []
    except ValueError:
        pass
    return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]


def ip_address(value: str) -> list[str]:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []
