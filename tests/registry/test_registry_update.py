"""UPDATE: compare-and-swap, what may not change, spec apart from status, finalizers, nothing-changed."""

from typing import Any

import pytest
from registry_objects import CONTEXT, WIDGET, pod_body

from minikube_py.errors import BadRequest, Conflict, Invalid, NotFound
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, copy
from minikube_py.registry.base import Context, DeleteOptions
from minikube_py.registry.resource import Registry


async def put(registry: Registry, kind: Any, obj: Obj, subresource: str = "") -> Obj:
    name = obj["metadata"]["name"]
    entry, _ = await registry.update(kind, "default", name, copy(obj), CONTEXT, subresource)
    return copy(registry.decoded(entry))


async def test_current_version_is_replaced(registry: Registry, config_map: Obj) -> None:
    """An update at the current resourceVersion is stored at a new one."""
    config_map["data"] = {"b": "2"}
    stored = await put(registry, ConfigMap, config_map)
    assert stored["data"] == {"b": "2"}
    assert stored["metadata"]["resourceVersion"] == str(registry.revision)


async def test_stale_version_is_refused(registry: Registry, config_map: Obj) -> None:
    """An update at an old resourceVersion is the Conflict that clients know to retry."""
    await put(registry, ConfigMap, {**config_map, "data": {"b": "2"}})
    with pytest.raises(Conflict) as refused:
        await put(registry, ConfigMap, {**config_map, "data": {"c": "3"}})
    assert refused.value.message == (
        'Operation cannot be fulfilled on configmaps "one": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


async def test_without_version_the_last_write_wins(registry: Registry, config_map: Obj) -> None:
    """An update without a resourceVersion is unconditional."""
    for data in ({"b": "2"}, {"c": "3"}):
        stored = await put(registry, ConfigMap, {"metadata": {"name": "one"}, "data": data})
        assert stored["data"] == data


async def test_unconditional_update_survives_a_race(registry: Registry, config_map: Obj) -> None:
    """Where another write comes between, an unconditional update is tried again on the newer object."""

    class Racer:
        """An admission during whose first call another client writes."""

        raced = False

        async def mutate(self, request: Any) -> None:
            if not Racer.raced:
                Racer.raced = True
                await put(registry, ConfigMap, {"metadata": {"name": "one", "labels": {"by": "other"}}})

        async def validate(self, request: Any) -> None:
            return None

    registry.admission = Racer()
    before = registry.revision
    stored = await put(registry, ConfigMap, {"metadata": {"name": "one"}, "data": {"z": "1"}})
    assert (registry.revision - before, stored["data"]) == (2, {"z": "1"})


async def test_missing_object_is_not_found(registry: Registry) -> None:
    """An update of what does not exist is NotFound."""
    with pytest.raises(NotFound) as refused:
        await put(registry, Deployment, {"metadata": {"name": "x"}, "spec": {}})
    assert refused.value.message == 'deployments.apps "x" not found'
    assert refused.value.details == {"name": "x", "group": "apps", "kind": "deployments"}


async def test_nothing_changed_writes_nothing(registry: Registry, config_map: Obj) -> None:
    """An update that changes nothing keeps the revision, and answers with the stored entry."""
    before = registry.revision
    assert await put(registry, ConfigMap, config_map) == config_map
    assert registry.revision == before


async def test_true_is_not_one(registry: Registry, create: Any) -> None:
    """A change from 1 to true is a change."""
    made = await create(WIDGET, "w", {"spec": {"on": 1}})
    stored = await put(registry, WIDGET, {**made, "spec": {"on": True}})
    assert stored["spec"]["on"] is True
    assert registry.decoded(registry.get(WIDGET, "default", "w"))["spec"]["on"] is True


async def test_identity_is_kept(registry: Registry, config_map: Obj) -> None:
    """creationTimestamp, uid and generation are the server's; a wrong uid is a Conflict."""
    changed = copy(config_map)
    changed["metadata"].update(creationTimestamp="2000-01-01T00:00:00Z", generation=7, selfLink="/x")
    assert await put(registry, ConfigMap, changed) == config_map
    changed["metadata"]["uid"] = "another"
    with pytest.raises(Conflict) as refused:
        await put(registry, ConfigMap, changed)
    assert "Precondition failed: UID in precondition: another, UID in object meta:" in refused.value.message


async def test_name_must_be_that_of_the_url(registry: Registry, config_map: Obj) -> None:
    """A body that names another object is a bad request."""
    with pytest.raises(BadRequest) as refused:
        await registry.update(ConfigMap, "default", "two", config_map, CONTEXT)
    assert refused.value.message == "the name of the object (one) does not match the name on the URL (two)"


async def test_spec_and_status_are_apart(registry: Registry, create: Any) -> None:
    """A main update leaves the status, a status update the spec; only a spec change counts the generation."""
    widget = copy(await create(WIDGET, "w", {"spec": {"size": 1}}))
    widget["spec"], widget["status"] = {"size": 2}, {"ready": 9}
    widget = await put(registry, WIDGET, widget)
    assert (widget["spec"], "status" in widget, widget["metadata"]["generation"]) == ({"size": 2}, False, 2)
    widget["spec"], widget["status"] = {"size": 3}, {"ready": 1}
    widget = await put(registry, WIDGET, widget, "status")
    assert (widget["spec"], widget["status"], widget["metadata"]["generation"]) == (
        {"size": 2},
        {"ready": 1},
        2,
    )
    widget["metadata"]["labels"] = {"a": "b"}
    widget = await put(registry, WIDGET, widget)
    assert (widget["status"], widget["metadata"]["generation"]) == ({"ready": 1}, 2)


async def test_custom_metadata_belongs_to_the_main_resource(registry: Registry, create: Any) -> None:
    """A status update of a custom resource does not touch its metadata."""
    widget = copy(await create(WIDGET, "w", {"spec": {}}))
    widget["metadata"]["labels"], widget["status"] = {"a": "b"}, {"x": 1}
    stored = await put(registry, WIDGET, widget, "status")
    assert (stored["metadata"].get("labels"), stored["status"]) == (None, {"x": 1})


async def test_qos_class_survives_status_updates(registry: Registry, create: Any) -> None:
    """A pod's qosClass, fixed at creation, stays when a status leaves it out."""
    pod = copy(await create(Pod, "p", pod_body()))
    pod["status"] = {"phase": "Running"}
    assert (await put(registry, Pod, pod, "status"))["status"] == {"phase": "Running", "qosClass": "BestEffort"}


async def test_last_finalizer_lets_go(registry: Registry, create: Any) -> None:
    """An object whose deletion waits goes with its last finalizer; new finalizers are refused meanwhile."""
    await create(ConfigMap, "held", finalizers=["example.com/a", "example.com/b"])
    deletion = await registry.delete(ConfigMap, "default", "held", DeleteOptions(), CONTEXT)
    held = copy(registry.decoded(deletion.entry))
    assert (deletion.gone, held["metadata"]["deletionGracePeriodSeconds"]) == (False, 0)
    held["metadata"]["finalizers"] = ["example.com/c"]
    with pytest.raises(Invalid) as refused:
        await put(registry, ConfigMap, held)
    assert "no new finalizers can be added if the object is being deleted" in refused.value.message
    held["metadata"]["finalizers"] = ["example.com/b"]
    held = await put(registry, ConfigMap, held)
    held["metadata"].pop("finalizers")
    last = await put(registry, ConfigMap, held)
    assert last["metadata"]["resourceVersion"] == str(registry.revision)
    with pytest.raises(NotFound):
        registry.get(ConfigMap, "default", "held")


async def test_ephemeral_containers_alone_change(registry: Registry, create: Any) -> None:
    """The ephemeralcontainers subresource changes those containers and nothing else."""
    pod = copy(await create(Pod, "p", pod_body()))
    pod["spec"]["nodeName"] = "elsewhere"
    pod["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "example/debug"}]
    stored = await put(registry, Pod, pod, "ephemeralcontainers")
    assert [c["name"] for c in stored["spec"]["ephemeralContainers"]] == ["debug"]
    assert "nodeName" not in stored["spec"]
    assert stored["spec"]["ephemeralContainers"][0]["terminationMessagePolicy"] == "File"
    for fewer in ([], [{"name": "debug", "image": "example/other"}]):
        pod = copy(stored)
        pod["spec"]["ephemeralContainers"] = fewer
        with pytest.raises(Invalid):
            await put(registry, Pod, pod, "ephemeralcontainers")
    assert stored["metadata"]["generation"] == 2


async def test_unknown_subresource_is_not_found(registry: Registry, config_map: Obj) -> None:
    """A subresource that the kind does not have is not found."""
    with pytest.raises(NotFound):
        await put(registry, ConfigMap, config_map, "status")


async def test_dry_run_changes_nothing(registry: Registry, config_map: Obj) -> None:
    """A dry run of an update answers with its result and stores nothing."""
    before = registry.revision
    changed = {**config_map, "data": {"x": "y"}}
    entry, created = await registry.update(ConfigMap, "default", "one", changed, Context(dry_run=True))
    assert (registry.decoded(entry)["data"], created) == ({"x": "y"}, False)
    assert registry.revision == before


async def test_create_on_update(registry: Registry) -> None:
    """A kind that allows it is created by a PUT."""
    from dataclasses import replace

    kind = replace(ConfigMap, create_on_update=True)
    entry, created = await registry.update(kind, "default", "new", {"metadata": {"name": "new"}}, CONTEXT)
    assert (created, entry.revision) == (True, registry.revision)
