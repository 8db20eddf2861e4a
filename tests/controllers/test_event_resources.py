"""Events, which two API groups serve: counted in both, heard once, nobody's dependents."""

from typing import Any

from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.meta.objects import Obj, condition, uid_of


def event(namespace: str, **metadata: Any) -> Obj:
    return {
        "metadata": {"name": "told", "namespace": namespace, **metadata},
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "web"},
        "reason": "Told",
        "type": "Normal",
    }


async def test_a_namespace_waits_for_its_events(world: Any) -> None:
    """An Event that is held holds its namespace, is counted in both groups, and lets it go by its end."""
    await world.create(Namespace, {"metadata": {"name": "team"}})
    await world.create(Event, event("team", finalizers=["example.com/hold"]))
    await world.delete(Namespace, "team")
    message = condition(world.get(Namespace, "team", ""), "NamespaceContentRemaining")["message"]  # type: ignore[index]
    assert message == (
        "Some resources are remaining: events. has 1 resource instances, "
        "events.events.k8s.io. has 1 resource instances"
    )
    await world.patch(Event, "told", {"metadata": {"finalizers": None}}, namespace="team")
    assert world.get(Namespace, "team") is None


async def test_events_outlive_their_owners(world: Any) -> None:
    """The garbage collector leaves Events alone: they expire."""
    owner = await world.create(ConfigMap, {"metadata": {"name": "owner", "namespace": "default"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid_of(owner)}
    await world.create(Event, event("default", ownerReferences=[reference]))
    await world.delete(ConfigMap, "owner")
    assert world.get(Event, "told") is not None
