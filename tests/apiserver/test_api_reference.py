"""The table of all that is served."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def reference() -> ModuleType:
    """The script that makes the table."""
    spec = importlib.util.spec_from_file_location("api_resources", ROOT / "hack" / "api_resources.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_resources_is_what_is_served(reference: ModuleType) -> None:
    """docs/api-resources.md is what `python hack/api_resources.py` writes."""
    assert (ROOT / "docs" / "api-resources.md").read_text() == reference.render(reference.built_in())


@pytest.mark.parametrize(
    "row",
    [
        "| v1 | Pod | pods | po | all | yes | all | ",
        "| autoscaling/v1 | HorizontalPodAutoscaler | horizontalpodautoscalers | hpa | all | yes | all | st",
        "| policy/v1 | PodDisruptionBudget | poddisruptionbudgets | pdb | - | yes | all | status (",
        "| certificates.k8s.io/v1 | CertificateSigningRequest | certificatesigningrequests | csr | - | no | "
        "all | approval (get, patch, update), status (get, patch, update) |",
    ],
)
def test_rows(reference: ModuleType, row: str) -> None:
    """A row tells the names, the scope, the verbs and the subresources of a kind."""
    assert f"\n{row}" in reference.render(reference.built_in())
