"""Quantities: exact parsing, canonical text and arithmetic."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.meta import quantity
from minikube_py.meta.quantity import canonical, format_quantity, int_value, milli_value, parse_quantity

PARSED = {
    "0": Fraction(0),
    "500m": Fraction(1, 2),
    "1.5": Fraction(3, 2),
    ".5": Fraction(1, 2),
    "1.": Fraction(1),
    "+2": Fraction(2),
    "-3k": Fraction(-3000),
    "128Mi": Fraction(128 * 1024**2),
    "1.5Gi": Fraction(3 * 512 * 1024**2),
    "12e6": Fraction(12_000_000),
    "1E3": Fraction(1000),
    "1E": Fraction(10**18),
    "5e-3": Fraction(5, 1000),
    "1n": Fraction(1, 10**9),
    "0.5n": Fraction(1, 10**9),
    "-0.1n": Fraction(-1, 10**9),
    "100Ei": Fraction(2**63 - 1),
    "1e100000000": Fraction(2**63 - 1),
    "1e-100000000": Fraction(1, 10**9),
}


@pytest.mark.parametrize(("text", "expected"), PARSED.items(), ids=PARSED)
def test_parsing_is_exact(text: str, expected: Fraction) -> None:
    """A quantity's text has one exact value; finer than nano rounds away from zero."""
    assert expected == parse_quantity(text)


@pytest.mark.parametrize(("number", "expected"), [(2, "2"), (0.1, "100m"), (1e21, "9223372036854775807")])
def test_numbers_are_quantities(number: float, expected: str) -> None:
    """A JSON number is read as its decimal text."""
    assert expected == canonical(number)


CANONICAL = {
    "0.5": "500m",
    "1000m": "1",
    "1024Mi": "1Gi",
    "1500Mi": "1500Mi",
    "1.5Gi": "1536Mi",
    "0.5Mi": "512Ki",
    "0.5Ki": "512",
    "1.1Ki": "1126400m",
    "1000000": "1M",
    "1000Ki": "1000Ki",
    "12e6": "12e6",
    "1200e3": "1200e3",
    "1e3": "1e3",
    "0Gi": "0",
    "-500m": "-500m",
    "-2048Ki": "-2Mi",
    "100u": "100u",
    "1100n": "1100n",
}


@pytest.mark.parametrize(("text", "expected"), CANONICAL.items(), ids=CANONICAL)
def test_canonical_text(text: str, expected: str) -> None:
    """The canonical text has no fraction, the greatest exact suffix and the format that was given."""
    assert expected == canonical(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", quantity.FORMAT_ERROR),
        ("x", quantity.FORMAT_ERROR),
        ("Mi", quantity.FORMAT_ERROR),
        ("1 Gi", quantity.FORMAT_ERROR),
        ("1.2.3", quantity.NUMERIC_ERROR),
        (".", quantity.NUMERIC_ERROR),
        ("1mm", quantity.SUFFIX_ERROR),
        ("1e", quantity.SUFFIX_ERROR),
        ("1e+", quantity.SUFFIX_ERROR),
        ("1Ki5", quantity.SUFFIX_ERROR),
        ("\u0661", quantity.FORMAT_ERROR),
        (True, quantity.FORMAT_ERROR),
        (float("nan"), quantity.FORMAT_ERROR),
    ],
)
def test_malformed_quantities(text: object, message: str) -> None:
    """What is no quantity is refused in Kubernetes' words."""
    with pytest.raises(ValueError) as refused:
        canonical(text)  # type: ignore[arg-type]
    assert message == str(refused.value)


def test_rounding_goes_up() -> None:
    """Whole and milli values round away from zero, so that a limit is never understated."""
    assert [int_value(one) for one in ("1m", "1001m", "-1m", "2500m")] == [1, 2, -1, 3]
    assert [milli_value(one) for one in ("1u", "0.1", 2, "128Mi")] == [1, 100, 2000, 134217728000]


def test_sums_keep_the_left_format() -> None:
    """Sums have the left one's format, or the right one's where the left is zero."""
    assert quantity.add("1Gi", "512Mi") == "1536Mi"
    assert quantity.add("0", "1Gi") == "1Gi"
    assert quantity.sub("500m", "200m") == "300m"
    assert quantity.milli_quantity(1500) == "1500m"


quantities = st.one_of(
    st.builds(
        lambda sign, whole, rest, suffix: f"{sign}{whole}{rest}{suffix}",
        st.sampled_from(["", "-", "+"]),
        st.integers(0, 10**7),
        st.one_of(st.just(""), st.integers(0, 999).map(lambda n: f".{n}")),
        st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2", "e9"]),
    )
)


@given(quantities)
def test_canonical_keeps_the_value(text: str) -> None:
    """Canonical text is a fixed point with the same value."""
    told = canonical(text)
    assert parse_quantity(text) == parse_quantity(told)
    assert told == canonical(told)


@given(st.text(max_size=12))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """No text makes the parser fail in any way but ValueError."""
    assert quantity.is_quantity(text) in (True, False)


@given(quantities, quantities)
def test_addition_is_exact(left: str, right: str) -> None:
    """The sum's value is the sum of the values."""
    assert parse_quantity(left) + parse_quantity(right) == parse_quantity(quantity.add(left, right))


@given(st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=1000))
def test_formatting_a_number(value: Fraction) -> None:
    """A formatted number parses to itself where nano holds it, and never below it in magnitude."""
    assert abs(parse_quantity(format_quantity(value))) >= abs(value)
