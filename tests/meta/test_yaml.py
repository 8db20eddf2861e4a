"""kubectl's YAML dialect: scalars by a table, refusals with their line, and what is written is read back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.meta import yaml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y", True), ("Yes", True), ("on", True), ("true", True), ("n", False), ("Off", False), ("NO", False),
        ("yES", "yES"), ("", None), ("~", None), ("null", None), ("Null", None), ("nil", "nil"),
        ("0", 0), ("-7", -7), ("+7", 7), ("0777", 511), ("0o777", 511), ("0x1F", 31), ("0b101", 5),
        ("-0777", -511),
        ("08", 8.0), ("1_000", 1000), ("12e3", 12000), ("1.5", 1.5), (".5", 0.5), ("1e400x", "1e400x"),
        ("1:30", "1:30"), ("2001-01-01", "2001-01-01"), ("=", "="), ("1.2.3", "1.2.3"),
        ("10Mi", "10Mi"),
        ("'yes'", "yes"), ('"1"', "1"), ("!!str 12", "12"), ("!!float 3", 3.0),
    ],
)  # fmt: skip
def test_scalars(text: str, expected: Any) -> None:
    """Each scalar is what kubectl takes it for, in value and in type."""
    found = yaml.load(f"a: {text}\n")["a"]
    assert (type(found), found) == (type(expected), expected)


def test_documents_keys_and_merges() -> None:
    """Several documents come apart, keys become text, << merges below what is given."""
    text = "1: a\ntrue: b\n---\n---\nbase: &b {x: 1, z: 2}\nmore:\n  <<: *b\n  z: 3\n"
    first, empty, last = yaml.load_all(text)
    assert (first, empty) == ({"1": "a", "true": "b"}, None)
    assert last["more"] == {"x": 1, "z": 3}


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 'line 3: key "a" already set in map'),
        ("a: [1\nb: 2", "line 2: did not find expected ',' or ']'"),
        ("a: &x {b: *x}\n", "line 1: anchor 'x' value contains itself"),
        ("a: *none\n", "line 1: unknown anchor 'none' referenced"),
        (BOMB, "excessive aliasing"),
        ("[" * 500 + "]" * 500, "exceeded max depth"),
        ("a: !!python/object:os.system x\n", "unknown tag"),
        ("? [a]\n: b\n", "line 1: invalid map key"),
    ],
    ids=["duplicate", "syntax", "self", "anchor", "bomb", "depth", "tag", "key"],
)
def test_refusals(text: str, message: str) -> None:
    """What cannot be, or would explode, is refused with its line, quickly."""
    with pytest.raises(yaml.YamlError) as refused:
        yaml.load(text)
    assert message in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("abc01yn:-# \n'\"=~.", max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ayn10", max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_what_is_written_is_read_back(value: Any) -> None:
    """Any JSON value survives being printed and read, whatever its strings look like."""
    assert yaml.load(yaml.dump({"v": value}))["v"] == value
