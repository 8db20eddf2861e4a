"""The resize subresource: which resources of a pod that runs may change."""

from typing import Any

import pytest
from kind_objects import container, created, pod

from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, copy

FIRST = "spec.containers[0]"


def sized(requests: Obj, limits: Obj | None = None, **more: Any) -> Obj:
    resources = {"requests": requests, **({"limits": limits} if limits else {})}
    return container(resources=resources, **more)


def resized(old: Obj, sent: Obj) -> tuple[Obj, list[str]]:
    """The pod that is stored when `sent` is written to the subresource, and the refusals."""
    part = Pod.parts["resize"]
    stored = part.merge(copy(sent), copy(old))
    return stored, [f"{one.field}: {one.message}" for one in part.validate(stored, old)]


def test_cpu_and_memory_change_and_nothing_else() -> None:
    """Of what was sent only resources and resize policies are taken."""
    old = created(Pod, pod(sized({"cpu": "1", "memory": "1Gi"})))
    sent = copy(old)
    sent["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2", "memory": "1Gi"}}
    sent["spec"]["containers"][0]["image"] = "other"
    sent["metadata"]["labels"] = {"a": "b"}
    stored, found = resized(old, sent)
    assert found == []
    assert stored["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "2", "memory": "1Gi"}
    assert (stored["spec"]["containers"][0]["image"], stored["metadata"]) == ("nginx:1.27", old["metadata"])


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            sized({"cpu": "1"}, {"cpu": "1", "memory": "1Gi"}),
            sized({"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"}),
            [],
        ),
        (
            sized({"cpu": "1", "memory": "1Gi"}),
            sized({"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"}),
            ['spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'],
        ),
        (
            sized({"cpu": "1", "memory": "1Gi"}),
            sized({"cpu": "1"}),
            [f"{FIRST}.resources.requests: Forbidden: resource requests cannot be removed"],
        ),
        (
            sized({"cpu": "1", "ephemeral-storage": "1Gi"}),
            sized({"cpu": "1", "ephemeral-storage": "2Gi"}),
            ["spec: Forbidden: only cpu and memory resources are mutable"],
        ),
        (
            sized({"cpu": "1"}),
            sized({"cpu": "2"}, name="other"),
            [f'{FIRST}.name: Forbidden: containers may not be renamed or reordered on resize'],
        ),
    ],
)  # fmt: skip
def test_resize_refusals(before: Obj, after: Obj, expected: list[str]) -> None:
    """The QoS class stays, nothing goes away, and only cpu and memory change."""
    old = created(Pod, pod(before))
    old["status"]["qosClass"] = old["status"].get("qosClass", "Burstable")
    sent = copy(old)
    sent["spec"]["containers"] = created(Pod, pod(after))["spec"]["containers"]
    assert resized(old, sent)[1] == expected
