"""The table of all controllers."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def reference() -> ModuleType:
    """The script that makes the table."""
    spec = importlib.util.spec_from_file_location("controllers_doc", ROOT / "hack" / "controllers_doc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_controllers_is_what_runs(reference: ModuleType) -> None:
    """docs/controllers.md is what `python hack/controllers_doc.py` writes."""
    assert (ROOT / "docs" / "controllers.md").read_text() == reference.render()


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}], "-"),
        (
            [
                {"verbs": ["update"], "apiGroups": ["apps"], "resources": ["daemonsets/status"]},
                {"verbs": ["patch", "create"], "apiGroups": [""], "resources": ["pods", "events"]},
                {"verbs": ["delete"], "apiGroups": [""], "resources": ["pods"]},
            ],
            "daemonsets/status.apps U, pods CPD",
        ),
        ([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}], "everything CUPD"),
        (
            [{"verbs": ["update"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"]}],
            "configmaps (a) U",
        ),
    ],
)
def test_writes(reference: ModuleType, rules: list[Any], expected: str) -> None:
    """What rules allow to write is gathered by resource; reading and events are left out."""
    assert reference.writes(rules) == expected
