"""The compiled walkers that tell whether a value may be stored as it is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.conforming import conforms, conforms_beside
from minikube_py.meta.objects import Obj
from minikube_py.meta.schema import type_of

LABELS = {"app": "web"}
CONTAINER = {
    "name": "web",
    "image": "web:1",
    "ports": [{"containerPort": 80}],
    "resources": {"limits": {"cpu": "1"}},
    "livenessProbe": {"httpGet": {"port": "http"}},
}
STORED: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": LABELS, "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"containers": [CONTAINER], "nodeSelector": {"disk": "ssd"}, "hostNetwork": True},
    "status": {"phase": "Running"},
}
PLACES: list[tuple[str | int, ...]] = [
    ("kind",),
    ("metadata",),
    ("metadata", "labels"),
    ("metadata", "labels", "app"),
    ("metadata", "creationTimestamp"),
    ("metadata", "unknown"),
    ("spec",),
    ("spec", "containers", 0, "ports"),
    ("spec", "containers", 0, "ports", 0, "containerPort"),
    ("spec", "containers", 0, "resources", "limits", "cpu"),
    ("spec", "containers", 0, "livenessProbe", "httpGet", "port"),
    ("spec", "hostNetwork"),
    ("spec", "nodeSelector"),
    ("unknown",),
]
VALUES = st.sampled_from(
    [None, True, 1, 1.5, 2**40, "x", "100m", "0.1", "2026-01-01T00:00:00Z", {}, [], {"a": "b"}]
)


def changed(value: Any, place: tuple[str | int, ...], new: Any) -> Any:
    """A value that is `new` at `place` and shares the rest."""
    if not place:
        return new
    step, rest = place[0], place[1:]
    if isinstance(value, list):
        return [changed(item, rest, new) if at == step else item for at, item in enumerate(value)]
    below = value.get(step) if isinstance(value, dict) else None
    return {**(value if isinstance(value, dict) else {}), step: changed(below, rest, new)}


@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), max_size=3))
def test_beside_a_stored_object_the_same_conforms(changes: list[tuple[tuple[str | int, ...], Any]]) -> None:
    """Skipping what is shared with an object that conforms changes no answer."""
    value: Any = STORED
    for place, new in changes:
        value = changed(value, place, new)
    pod = type_of(Pod)
    assert conforms(pod)(value) == conforms_beside(pod)(value, STORED)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (STORED, True),
        ({**STORED, "metadata": {"name": "web", "labels": {"app": "other"}}}, True),
        ({**STORED, "metadata": {"name": "web", "labels": {"app": 1}}}, False),
        ({**STORED, "metadata": {"name": "web", "labels": {}}}, False),
        ({**STORED, "metadata": None}, False),
        ({**STORED, "more": 1}, False),
        ({**STORED, "spec": {**STORED["spec"], "more": 1}}, False),
        ([], False),
    ],
)
def test_conforms_beside(value: Any, expected: bool) -> None:
    """What a patch left is not looked at; what it set must be of the type and canonical."""
    assert conforms_beside(type_of(Pod))(value, STORED) == expected


def test_beside_nothing_everything_is_looked_at() -> None:
    """A part that the stored object does not have is judged as a whole."""
    config_map = type_of(ConfigMap)
    known = {"metadata": {"name": "one"}}
    assert conforms_beside(config_map)({**known, "data": {"a": "1"}}, known)
    assert not conforms_beside(config_map)({**known, "data": {"a": 1}}, known)
