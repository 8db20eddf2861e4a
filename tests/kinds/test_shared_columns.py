"""Cells that kinds share: durations, labels, selectors."""

import pytest
from kind_objects import NOW, ago

from minikube_py.kinds.columns import age, first_three, format_labels, human_duration, selector_text, since

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-3, "<invalid>"),
        (-1.5, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (2 * MINUTE, "2m"),
        (3 * MINUTE + 20, "3m20s"),
        (10 * MINUTE + 5, "10m"),
        (179 * MINUTE, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 5 * MINUTE, "3h5m"),
        (8 * HOUR + 5 * MINUTE, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + 3 * HOUR, "2d3h"),
        (9 * DAY + 3 * HOUR, "9d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + 12 * DAY, "2y12d"),
        (9 * YEAR + 12 * DAY, "9y"),
    ],
)
def test_human_duration(seconds: float, expected: str) -> None:
    """A duration is told in two or three significant figures."""
    assert human_duration(seconds) == expected


def test_ages() -> None:
    """The age counts from creation; what has none is unknown, what is no time invalid."""
    assert age({"metadata": {"creationTimestamp": ago(90)}}, NOW) == "90s"
    assert age({"metadata": {}}, NOW) == "<unknown>"
    assert since("yesterday", NOW) == "<invalid>"


def test_labels_and_selectors_as_text() -> None:
    """Labels and selectors are written in the order of their keys."""
    assert format_labels({"b": "2", "a": "1"}) == "a=1,b=2"
    assert format_labels({}) == "<none>"
    selector = {
        "matchLabels": {"b": "2"},
        "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]},
            {"key": "c", "operator": "DoesNotExist"},
        ],
    }
    assert selector_text(selector) == "a in (x,y),b=2,!c"
    assert selector_text({"matchExpressions": [{"key": "a", "operator": "Like"}]}) == "<invalid>"


def test_first_three() -> None:
    """A list is cut after three texts and says how many are missing."""
    assert first_three("abcde") == ("a,b,c", 2)
    assert first_three("ab") == ("a,b", 0)
