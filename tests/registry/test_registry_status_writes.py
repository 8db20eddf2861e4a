"""Writes of a status alone: the rest is the stored object's own, and is neither sent nor made again."""

from typing import Any

import pytest
from registry_objects import CONTEXT, WIDGET, Create, pod_body

from minikube_py.client.local import LocalClients
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, copy
from minikube_py.registry.resource import Registry


@pytest.fixture
async def stored(create: Create) -> Obj:
    """A pod as it is stored."""
    return await create(Pod, "web", pod_body(nodeName="n1"))


async def test_the_spec_stays_the_same_value(registry: Registry, stored: Obj) -> None:
    """A new status leaves the spec as it is in memory, whatever the request says of it."""
    sent = copy(stored)
    sent["status"], sent["spec"]["nodeName"] = {"phase": "Running"}, "n2"
    entry, _ = await registry.update(Pod, "default", "web", sent, CONTEXT, "status")
    found = registry.decoded(entry)
    assert (found["status"]["phase"], found["spec"]["nodeName"]) == ("Running", "n1")
    assert found["spec"] is stored["spec"]
    assert "phase" not in stored["status"] or stored["status"]["phase"] == "Pending"


@pytest.mark.parametrize("with_spec", [True, False])
async def test_a_status_needs_no_spec(registry: Registry, stored: Obj, with_spec: bool) -> None:
    """The local client's write of a status is the same with the spec and without."""
    client = LocalClients(registry).named("kubelet")
    sent = {key: part for key, part in stored.items() if with_spec or key != "spec"}
    made = await client.update(Pod, {**sent, "status": {"phase": "Running"}}, subresource="status")
    assert (made["spec"], made["status"]["phase"]) == (stored["spec"], "Running")


async def test_a_custom_resource_is_sent_whole(registry: Registry, create: Create) -> None:
    """The status of a custom resource is written as ever."""
    stored: Any = await create(WIDGET, "one", {"spec": {"size": 1}})
    client = LocalClients(registry).named("operator")
    made = await client.update(WIDGET, {**stored, "status": {"phase": "Good"}}, subresource="status")
    assert (made.get("spec"), made["status"]) == (stored.get("spec"), {"phase": "Good"})
