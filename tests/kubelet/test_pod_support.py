"""docs/pod-support.md: every field of a pod is told, as the schema has it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from minikube_py.kinds.podspec.disabled import drop_disabled
from minikube_py.kubelet.pod_volumes import volume_kinds

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def support() -> ModuleType:
    """The script that makes the page."""
    spec = importlib.util.spec_from_file_location("pod_support", ROOT / "hack" / "pod_support.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_field_of_the_schema_is_told(support: ModuleType) -> None:
    """Each type below a PodSpec is listed with the very fields that the schema has, none more or less."""
    schema = support.schema_fields()
    assert {name: set(rows) for name, rows in support.told().items()} == schema
    assert len(schema) > 100


def test_the_page_is_what_the_list_says(support: ModuleType) -> None:
    """docs/pod-support.md is what `python hack/pod_support.py` writes."""
    assert (ROOT / "docs" / "pod-support.md").read_text() == support.render()


def test_volumes_told_are_the_volumes_there(support: ModuleType) -> None:
    """What the page calls enforced among volumes is what the kubelet has a kind for, but one that only
    refuses."""
    enforced = {field for field, (state, _) in support.told()["Volume"].items() if state == "enforced"} - {
        "name"
    }
    assert enforced | {"gitRepo"} == set(volume_kinds())


def test_alpha_fields_are_dropped(support: ModuleType) -> None:
    """The fields of alpha gates are not kept, so none is there without effect."""
    spec = {
        "hostnameOverride": "x",
        "containers": [
            {
                "name": "main",
                "restartPolicyRules": [{"action": "Restart"}],
                "lifecycle": {"stopSignal": "SIGUSR1"},
                "env": [{"name": "A", "valueFrom": {"fileKeyRef": {"key": "k"}}}],
            },
            {"name": "other", "lifecycle": {"stopSignal": "SIGUSR1", "preStop": {"sleep": {"seconds": 1}}}},
        ],
        "volumes": [{"name": "v", "projected": {"sources": [{"podCertificate": {"keyType": "ED25519"}}]}}],
    }
    drop_disabled(spec)
    assert spec == {
        "containers": [
            {"name": "main", "env": [{"name": "A", "valueFrom": {}}]},
            {"name": "other", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}},
        ],
        "volumes": [{"name": "v", "projected": {"sources": [{}]}}],
    }
    dropped = {
        field for rows in support.told().values() for field, (_, note) in rows.items() if "dropped" in note
    }
    assert dropped >= {"hostnameOverride", "restartPolicyRules", "stopSignal", "fileKeyRef", "podCertificate"}
