"""Names, labels, keys and ports: what is allowed, and the words of a refusal."""

import pytest

from minikube_py.meta import names

GOOD = [
    (names.dns1123_label, "a-1"),
    (names.dns1123_subdomain, "a.b-c.1"),
    (names.dns1035_label, "web-1"),
    (names.wildcard_subdomain, "*.example.com"),
    (names.path_segment_name, "system:node"),
    (names.qualified_name, "example.com/My_name"),
    (names.qualified_name, "app"),
    (names.label_value, ""),
    (names.label_value, "A_b.c"),
    (names.config_map_key, "my.conf"),
    (names.environment_name, "MY.VAR-1"),
    (names.http_header_name, "X-Test"),
    (names.percent, "25%"),
    (names.port_name, "http-1"),
    (names.ip_address, "::1"),
    (names.for_prefix(names.dns1123_label), "web-"),
]
BAD = [
    (names.dns1123_label, "A", "a lowercase RFC 1123 label must consist of lower case alphanumeric characters"),
    (names.dns1123_label, "a.b", "must not contain dots"),
    (names.dns1123_label, "a" * 64, "must be no more than 63 bytes"),
    (names.dns1123_label, "a\n", "a lowercase RFC 1123 label must"),
    (names.dns1123_subdomain, "..", "a lowercase RFC 1123 subdomain must consist of"),
    (names.dns1123_subdomain, "a_b", "(e.g. 'example.com', regex used for validation is '[a-z0-9]("),
    (names.dns1035_label, "1a", "a DNS-1035 label must consist of"),
    (names.wildcard_subdomain, "example.com", "a wildcard DNS-1123 subdomain must start with '*.'"),
    (names.path_segment_name, "..", "may not be '..'"),
    (names.path_segment_name, "a/b", "may not contain '/'"),
    (names.path_segment_name, "a%b", "may not contain '%'"),
    (names.qualified_name, "/x", "prefix part must be non-empty"),
    (
        names.qualified_name,
        "a/b/c",
        "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
    ),
    (names.qualified_name, "", "name part must be non-empty"),
    (names.qualified_name, "x" * 64, "name part must be no more than 63 bytes"),
    (names.qualified_name, "A/b", "prefix part a lowercase RFC 1123 subdomain"),
    (names.label_value, "-", "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"),
    (names.config_map_key, "..", "must not be '..'"),
    (names.config_map_key, "..a", "must not start with '..'"),
    (names.config_map_key, "a/b", "a valid config key must consist of"),
    (names.environment_name, "a=b", "a valid environment variable name"),
    (names.http_header_name, "a b", "a valid HTTP header must"),
    (names.percent, "25", "a valid percent string must"),
    (names.port_name, "80", "must contain at least one letter (a-z)"),
    (names.port_name, "a--b", "must not contain consecutive hyphens"),
    (names.port_name, "a" * 16, "must be no more than 15 bytes"),
    (names.port_name, "-a", "must not begin or end with a hyphen"),
    (names.ip_address, "1.2.3", "must be a valid IP address"),
]


@pytest.mark.parametrize(("rule", "value"), GOOD, ids=lambda one: getattr(one, "__name__", one))
def test_good_names_pass(rule: names.NameRule, value: str) -> None:
    """A well-formed name has nothing against it."""
    assert rule(value) == []


@pytest.mark.parametrize(("rule", "value", "words"), BAD, ids=lambda one: getattr(one, "__name__", one)[:20])
def test_bad_names_are_refused(rule: names.NameRule, value: str, words: str) -> None:
    """A malformed name is refused in Kubernetes' words."""
    assert words in "\n".join(rule(value))


def test_port_numbers() -> None:
    """Ports go from 1 to 65535."""
    assert names.port_number(65535) == []
    assert names.port_number(0) == ["must be between 1 and 65535, inclusive"]


def test_a_lone_dash_is_no_prefix() -> None:
    """A generateName of a dash alone is judged as it stands."""
    assert names.for_prefix(names.dns1123_label)("-") == names.dns1123_label("-") != []
