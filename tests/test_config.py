"""Settings: their precedence, and refusals that name where a bad value came from."""

from pathlib import Path
from typing import Any

import pytest

from minikube_py.config import BadSetting, Settings, reserved, settings, words


def test_precedence(tmp_path: Path) -> None:
    """Flags stand above the environment, that above the file, that above defaults."""
    file = tmp_path / "config.yaml"
    file.write_text("log_level: error\nmax_pods: 10\ndurability: normal\n")
    environment = {"MINIKUBE_PY_MAX_PODS": "20", "MINIKUBE_PY_LOG_LEVEL": "debug"}
    flags = {"log_level": "warning", "max_pods": None}
    expected = Settings(log_level="warning", max_pods=20, durability="normal")
    assert settings(flags, environment, file) == expected
    assert settings({}, {}, None) == Settings()


@pytest.mark.parametrize(
    ("flags", "environment", "text", "message"),
    [
        ({"max_pods": "many"}, {}, "", "--max-pods: 'many' is no number of pods"),
        ({}, {"MINIKUBE_PY_DURABILITY": "half"}, "", "MINIKUBE_PY_DURABILITY: 'half' is none of full, normal"),
        ({"pod_pids_limit": -2}, {}, "", "--pod-pids-limit: -2 is no number of processes"),
        ({"system_reserved": "pods=1"}, {}, "", "--system-reserved: 'pods=1' is no amount of cpu, memory, eph"),
        ({}, {"MINIKUBE_PY_KUBE_RESERVED": "cpu=x"}, "", "MINIKUBE_PY_KUBE_RESERVED: "),
        (
            {},
            {},
            "allowed_unsafe_sysctls: net.core.*,vm.swappiness",
            "'vm.swappiness' is no sysctl of the IPC or network namespace",
        ),
        ({"nodes": 3}, {}, "", "3 nodes beside this machine's can only be simulated: add --simulate"),
        ({"nodes": -1, "simulate": True}, {}, "", "--nodes: -1 is no number of nodes"),
        (
            {"simulate": True},
            {"MINIKUBE_PY_NODES": "few"},
            "",
            "MINIKUBE_PY_NODES: 'few' is no number of nodes",
        ),
        (
            {"nodes": 3},
            {"MINIKUBE_PY_SIMULATE": "no"},
            "",
            "MINIKUBE_PY_SIMULATE: 'no' is neither true nor false",
        ),
        ({}, {}, "colour: red", 'there is no setting "colour"'),
        ({}, {}, "- a", "is no map of settings"),
        ({}, {}, "a: 1\na: 2", 'key "a" already set in map'),
    ],
)
def test_bad_values(flags: Any, environment: dict[str, str], text: str, message: str, tmp_path: Path) -> None:
    """A value that cannot be used is refused with its origin."""
    file = tmp_path / "config.yaml"
    if text:
        file.write_text(text)
    with pytest.raises(BadSetting) as refused:
        settings(flags, environment, file)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("flags", "environment", "text"),
    [
        ({"nodes": "3", "simulate": True}, {}, ""),
        ({"nodes": 3}, {"MINIKUBE_PY_SIMULATE": "true"}, ""),
        ({"simulate": True}, {"MINIKUBE_PY_NODES": "3"}, ""),
        ({}, {}, "nodes: 3\nsimulate: true\n"),
    ],
)
def test_simulated_nodes(flags: Any, environment: dict[str, str], text: str, tmp_path: Path) -> None:
    """Nodes may be simulated wherever that is said, and how many may be said elsewhere."""
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert settings(flags, environment, file) == Settings(nodes=3, simulate=True)


def test_lists_of_settings() -> None:
    """Reserved amounts and lists are told in one line."""
    assert reserved("cpu=500m, memory=1Gi") == {"cpu": "500m", "memory": "1Gi"}
    assert (reserved(""), words("a, b,,c")) == ({}, ("a", "b", "c"))
