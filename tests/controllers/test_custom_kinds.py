"""Controllers and kinds that come and go: namespaces are emptied of custom resources, owners are followed."""

from typing import Any

from minikube_py.kinds.apiextensions.customresourcedefinition import CustomResourceDefinition
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, owner_reference

SCHEMA: Obj = {
    "type": "object",
    "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
}
Widget = Kind("Widget", "example.com/v1", "widgets", schema=SCHEMA)


async def defined(world: Any) -> None:
    """Widget is served, and its definition exists."""
    world.clients.registry.catalogue.add(Widget)
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}
    names = {"plural": "widgets", "kind": "Widget"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    await world.create(CustomResourceDefinition, {"metadata": {"name": "widgets.example.com"}, "spec": spec})


def named(name: str, namespace: str = "default", **meta: Any) -> Obj:
    return {"metadata": {"name": name, "namespace": namespace, **meta}}


async def test_dependents_of_custom_resources_are_collected(world: Any) -> None:
    """What a custom resource owns goes with it, and a custom resource with its owner."""
    await defined(world)
    widget = await world.create(Widget, named("owner"))
    config = await world.create(ConfigMap, named("owned", ownerReferences=[owner_reference(widget)]))
    await world.create(Widget, named("last", ownerReferences=[owner_reference(config)]))
    await world.delete(Widget, "owner")
    assert (world.names(Widget), "owned" in world.names(ConfigMap)) == ([], False)


async def test_a_namespace_is_emptied_of_custom_resources(world: Any) -> None:
    """Custom resources keep a namespace until their finalizers are gone."""
    await defined(world)
    await world.create(Namespace, {"metadata": {"name": "work"}})
    await world.create(Widget, named("free", "work"))
    await world.create(Widget, named("held", "work", finalizers=["example.com/hold"]))
    await world.delete(Namespace, "work")
    assert (
        world.names(Widget, "work"),
        world.the(Namespace, "work")["status"]["phase"],
    ) == (["held"], "Terminating")
    await world.patch(Widget, "held", {"metadata": {"finalizers": None}}, "work")
    assert world.get(Namespace, "work") is None


async def test_a_new_schema_holds_for_controllers(world: Any) -> None:
    """What the garbage collector changes of an object keeps the fields of the schema as it is now."""
    await defined(world)
    owner = await world.create(ConfigMap, named("owner"))
    kept = await world.create(ConfigMap, named("kept"))
    fields = {"a": {"type": "string"}, "b": {"type": "string"}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}
    newer = Kind("Widget", "example.com/v1", "widgets", schema=schema)
    world.clients.registry.catalogue.add(newer)
    owners = [owner_reference(one, controller=False) for one in (owner, kept)]
    await world.create(newer, {**named("w", ownerReferences=owners), "spec": {"a": "1", "b": "2"}})
    await world.delete(ConfigMap, "owner")
    found = world.the(newer, "w")
    assert (
        [one["name"] for one in found["metadata"]["ownerReferences"]],
        found["spec"],
    ) == (["kept"], {"a": "1", "b": "2"})
