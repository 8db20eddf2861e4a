"""JSONPath as printer columns use it."""

from typing import Any

import pytest

from minikube_py.meta.jsonpath import compile_path

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
}


@pytest.mark.parametrize(("path", "expected"), MALFORMED.items(), ids=MALFORMED)
def test_malformed_paths_are_refused(path: str, expected: str) -> None:
    """A path that cannot be read is a ValueError that says where."""
    with pytest.raises(ValueError, match=expected):
        compile_path(path)
