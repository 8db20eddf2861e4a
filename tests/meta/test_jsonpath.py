"""JSONPath as printer columns use it."""

from typing import Any

import pytest

from minikube_py.meta.jsonpath import MOST_VALUES, compile_path

OBJ: Any = {
    "spec": {"list": [1, 2, 3], "map": {"a.b": 5, "c": {"deep": True}}},
    "status": {
        "conditions": [{"type": "A", "status": "True", "n": 1}, {"type": "Ready", "status": "False", "n": 2}]
    },
}
FOUND = [
    (".spec.list[0]", [1]),
    (".spec.list[-1]", [3]),
    (".spec.list[7]", []),
    (".spec.list[1:]", [2, 3]),
    (".spec.list[0,2]", [1, 3]),
    (".spec.map['a.b','c','d']['deep']", [True]),
    (".spec.list[?(@>=2)]", [2, 3]),
    (".spec.list[*]", [1, 2, 3]),
    (".spec.map.a\\.b", [5]),
    (".spec.map['a.b']", [5]),
    ('.status.conditions[?(@.type=="Ready")].status', ["False"]),
    (".status.conditions[?(@.type=='Ready')].status", ["False"]),
    (".status.conditions[?(@.n>1)].type", ["Ready"]),
    (".status.conditions[?(@.missing)].type", []),
    (".status.conditions[*].type", ["A", "Ready"]),
    ("..deep", [True]),
    (".spec.missing.more", []),
]


@pytest.mark.parametrize(("path", "expected"), FOUND, ids=[path for path, _ in FOUND])
def test_paths_find_values(path: str, expected: list[Any]) -> None:
    """A path gives every value it leads to, and nothing where there is none."""
    assert expected == compile_path(path)(OBJ)


MALFORMED = {
    ".spec.list[": "unterminated array",
    "spec": "unexpected character at 0",
    ".a[x]": "invalid array index x",
    ".a[?(@.b==)]": "invalid filter",
    ".a[?(@.b=>1)]": "invalid filter",
    ".a[::0]": "step of a slice",
    "." + "a" * 5000: "too long",
    ".a" + "[?(@" * 200 + ")]" * 200: "too long",
}


@pytest.mark.parametrize(("path", "expected"), MALFORMED.items(), ids=[path[:20] for path in MALFORMED])
def test_malformed_paths_are_refused(path: str, expected: str) -> None:
    """A path that cannot be read is a ValueError that says where."""
    with pytest.raises(ValueError, match=expected):
        compile_path(path)


def nested(depth: int) -> Any:
    """Objects and lists in each other."""
    value: Any = {"end": "x"}
    for _ in range(depth):
        value = {"a": [value, value]}
    return value


MULTIPLYING = ["." * 40 + "end", "$" + "..*" * 20, "..[?(@..[?(@..x)])]", ".a[0,0,0,0]" * 12]


@pytest.mark.parametrize("path", MULTIPLYING)
def test_paths_that_multiply_are_bounded(path: str) -> None:
    """A path that goes over everything again and again ends soon, with the first of what it finds."""
    assert len(compile_path(path)(nested(12))) <= MOST_VALUES


def test_the_first_value_is_found_in_a_large_object() -> None:
    """What comes first is told, however much there is."""
    assert compile_path("..end")(nested(12))[0] == "x"
