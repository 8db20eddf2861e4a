"""Label and field selectors: parsing, matching and refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.meta import selectors
from minikube_py.meta.selectors import (
    FieldRequirement,
    Requirement,
    Selector,
    from_label_selector,
    from_labels,
    parse_fields,
    parse_labels,
)

LABELS = {"app": "web", "tier": "front", "n": "5", "empty": ""}
MATCHES = {
    "": True,
    "app=web": True,
    "app==web": True,
    "app = web , tier = front": True,
    "app!=web": False,
    "missing!=x": True,
    "app in (web, api)": True,
    "app in (api)": False,
    "app notin (api,db)": True,
    "missing notin (x)": True,
    "app": True,
    "!app": False,
    "!missing": True,
    "missing": False,
    "app,tier,!missing": True,
    "empty=": True,
    "empty in ()": True,
    "empty in (,x)": True,
    "app=": False,
    "n>4": True,
    "n<5": False,
    "missing>1": False,
    "app>1": False,
    "example.com/x=1": False,
    "in in (in)": False,
}


@pytest.mark.parametrize(("text", "expected"), MATCHES.items(), ids=MATCHES)
def test_label_selectors_match(text: str, expected: bool) -> None:
    """A selector's text decides which labels match."""
    assert expected is parse_labels(text).matches(LABELS)


BAD = {
    "a b": "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    "a=b=c": "found '=', expected: ',' or 'end of string'",
    ",": "found ',', expected: !, identifier, or 'end of string'",
    "a,": "found '', expected: identifier after ','",
    "=x": "found '=', expected: !, identifier, or 'end of string'",
    "a in x": "unable to parse requirement: found 'x' expected: '('",
    "a in (x": "unable to parse requirement: found '', expected: ')'",
    "!": "unable to parse requirement: found '', expected: identifier",
    "a>x": "unable to parse requirement: for 'Gt', 'Lt' operators, the value must be an integer",
}


@pytest.mark.parametrize(("text", "message"), BAD.items(), ids=BAD)
def test_malformed_label_selectors(text: str, message: str) -> None:
    """A malformed selector is refused with what was found and what was expected."""
    with pytest.raises(ValueError) as refused:
        parse_labels(text)
    assert message == str(refused.value)


def test_bad_keys_and_values_are_named() -> None:
    """A key or value that no label can have is named in the refusal."""
    with pytest.raises(ValueError, match=r'Invalid value: "-x": name part must consist'):
        parse_labels("-x=1")
    with pytest.raises(ValueError, match=r'values\[0\]\[a\]: Invalid value: "_": a valid label must'):
        parse_labels("a=_")


def test_label_selector_objects() -> None:
    """matchLabels and matchExpressions select together; None selects nothing and {} everything."""
    found = from_label_selector(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["front", "back"]},
                {"key": "canary", "operator": "DoesNotExist"},
            ],
        }
    )
    assert str(found) == "app=web,!canary,tier in (back,front)"
    assert found.matches(LABELS)
    assert not found.matches({**LABELS, "canary": "1"})
    assert not from_label_selector(None).matches({})
    assert from_label_selector({}).matches({})
    with pytest.raises(ValueError, match='"Near" is not a valid label selector operator'):
        from_label_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})


def test_equalities_serve_an_index() -> None:
    """Labels that a selector pins to one value are known to an index."""
    assert parse_labels("a=1,b in (x,y),c in (3),!d").equalities() == {"a": "1", "c": "3"}
    assert Selector((Requirement("a", "=", frozenset(("1",))),)) == from_labels({"a": "1"})
    assert parse_labels("").everything


FIELDS = {
    "metadata.name=web": (FieldRequirement("metadata.name", "=", "web"),),
    "a==b,c!=d": (FieldRequirement("a", "=", "b"), FieldRequirement("c", "!=", "d")),
    "a=": (FieldRequirement("a", "=", ""),),
    r"a=x\,y\=z\\": (FieldRequirement("a", "=", "x,y=z\\"),),
    "": (),
    ",,a=b,": (FieldRequirement("a", "=", "b"),),
}


@pytest.mark.parametrize(("text", "expected"), FIELDS.items(), ids=FIELDS)
def test_field_selectors_parse(text: str, expected: tuple[FieldRequirement, ...]) -> None:
    """Field selectors are terms of field, operator and value, with escapes."""
    assert expected == parse_fields(text).requirements


def test_field_selectors_match() -> None:
    """Every term must hold; a field without a value is the empty text."""
    selector = parse_fields("status.phase!=Failed,spec.nodeName=n1")
    assert selector.matches({"status.phase": "Running", "spec.nodeName": "n1"})
    assert not selector.matches({"status.phase": "Failed", "spec.nodeName": "n1"})
    assert not selector.matches({"status.phase": "Running"})
    assert selector.required("spec.nodeName") == "n1"
    assert selector.required("status.phase") is None


def test_malformed_field_selectors() -> None:
    """A term without an operator is refused and named."""
    with pytest.raises(ValueError, match="invalid selector: 'a=b,c'; can't understand 'c'"):
        parse_fields("a=b,c")
    with pytest.raises(ValueError, match="invalid field selector value: 'b=c'"):
        parse_fields("a=b=c")


keys = st.sampled_from(["a", "b", "c.d/e"])
values = st.sampled_from(["", "x", "y", "z.1"])
requirements = st.one_of(
    st.builds(lambda k, o, v: selectors.requirement(k, o, [v]), keys, st.sampled_from(["=", "!="]), values),
    st.builds(
        lambda k, o, v: selectors.requirement(k, o, v),
        keys,
        st.sampled_from(["in", "notin"]),
        st.lists(values, min_size=1, max_size=3),
    ),
    st.builds(lambda k, o: selectors.requirement(k, o), keys, st.sampled_from(["exists", "!"])),
)


@given(st.lists(requirements, max_size=4), st.dictionaries(keys, values))
def test_text_is_the_selector(found: list[Requirement], labels: dict[str, str]) -> None:
    """A selector's text parses to a selector that matches the same labels."""
    selector = Selector(tuple(found))
    again = parse_labels(str(selector))
    assert selector.matches(labels) is again.matches(labels)
    assert str(selector) == str(again)


@given(st.text(max_size=20))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """No text makes the parsers fail in any way but ValueError."""
    for parse in (parse_labels, parse_fields):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)
