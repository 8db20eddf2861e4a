"""PATCH: the four patch types, retries, subresources, who owns which field."""

from typing import Any

import pytest
from registry_objects import CONTEXT, WIDGET, pod_body

from minikube_py.aio.clock import VirtualClock
from minikube_py.errors import BadRequest, Conflict, Invalid, NotFound, UnsupportedMediaType
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, dig
from minikube_py.registry.base import Context, Patch
from minikube_py.registry.patching import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from minikube_py.registry.resource import Registry


async def patched(registry: Registry, kind: Any, name: str, patch: Patch, subresource: str = "") -> Obj:
    entry, _ = await registry.patch(kind, "default", name, patch, CONTEXT, subresource)
    return registry.decoded(entry)


@pytest.mark.parametrize(
    ("type", "body", "expected"),
    [
        (JSON_PATCH, [{"op": "add", "path": "/data/b", "value": "2"}], {"a": "1", "b": "2"}),
        (JSON_PATCH, [{"op": "remove", "path": "/data/a"}], None),
        (MERGE_PATCH, {"data": {"a": None, "b": "2"}}, {"b": "2"}),
        (STRATEGIC_PATCH, {"data": {"b": "2"}}, {"a": "1", "b": "2"}),
    ],
)
async def test_patch_types(registry: Registry, config_map: Obj, type: str, body: Any, expected: Any) -> None:
    """Each patch type changes the object by its own rules."""
    stored = await patched(registry, ConfigMap, "one", Patch(type, body))
    assert (stored.get("data") or None) == expected


async def test_strategic_patch_merges_lists_by_key(registry: Registry, create: Any) -> None:
    """A strategic patch finds the container by its name."""
    await create(Pod, "p", pod_body())
    body = {"spec": {"containers": [{"name": "main", "image": "example/app:2"}]}}
    stored = await patched(registry, Pod, "p", Patch(STRATEGIC_PATCH, body))
    assert [(c["name"], c["image"]) for c in stored["spec"]["containers"]] == [("main", "example/app:2")]


async def test_custom_resources_have_no_strategic_patch(registry: Registry, create: Any) -> None:
    """A strategic patch of a custom resource is an unsupported media type, which names the others."""
    await create(WIDGET, "w", {"spec": {}})
    with pytest.raises(UnsupportedMediaType) as refused:
        await patched(registry, WIDGET, "w", Patch(STRATEGIC_PATCH, {}))
    assert "application/merge-patch+json" in refused.value.message
    assert STRATEGIC_PATCH not in refused.value.message


@pytest.mark.parametrize(
    ("patch", "error"),
    [
        (Patch(JSON_PATCH, {"op": "add"}), BadRequest),
        (Patch(JSON_PATCH, [{"op": "test", "path": "/data/a", "value": "x"}]), Invalid),
        (Patch(MERGE_PATCH, ["x"]), BadRequest),
        (Patch(MERGE_PATCH, {"data": {"a": 1}}), Invalid),
        (Patch(MERGE_PATCH, {"metadata": {"name": "two"}}), BadRequest),
        (Patch(MERGE_PATCH, {"metadata": {"labels": {"a b": "c"}}}), Invalid),
        (Patch("text/plain", {}), UnsupportedMediaType),
    ],
    ids=["no list", "test fails", "no object", "wrong type", "other name", "bad label", "other media type"],
)
async def test_bad_patches_store_nothing(
    registry: Registry, config_map: Obj, patch: Patch, error: type[Exception]
) -> None:
    """A patch that does not apply, or makes something that may not be, is refused."""
    before = registry.revision
    with pytest.raises(error):
        await patched(registry, ConfigMap, "one", patch)
    assert registry.revision == before


@pytest.mark.parametrize(
    ("type", "body", "shown", "why"),
    [
        (
            MERGE_PATCH,
            {"data": {"a": 1}},
            r'"data\":{\"a\":1}',
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (STRATEGIC_PATCH, {"data": {"a": 1}}, "map[data:map[a:1]]", "cannot convert int64 to string"),
        (STRATEGIC_PATCH, {"immutable": "x"}, "map[immutable:x]", "unrecognized type: bool"),
        (STRATEGIC_PATCH, {"data": ["x"]}, "map[data:[x]]", "cannot restore map from slice"),
        (
            STRATEGIC_PATCH,
            {"metadata": {"finalizers": "x"}},
            "map[metadata:map[finalizers:x]]",
            "cannot restore slice from string",
        ),
        (
            STRATEGIC_PATCH,
            {"metadata": {"ownerReferences": ["x"]}},
            "map[metadata:map[ownerReferences:[x]]]",
            "cannot restore struct from: string",
        ),
    ],
)
async def test_a_wrong_type_is_the_fault_of_the_patch(
    registry: Registry, config_map: Obj, type: str, body: Obj, shown: str, why: str
) -> None:
    """The refusal shows a strategic patch, or the object that another patch makes, and names what is wrong."""
    with pytest.raises(Invalid) as refused:
        await patched(registry, ConfigMap, "one", Patch(type, body))
    (cause,) = refused.value.causes
    assert cause.message.endswith(f'": {why}')
    assert shown in cause.message


async def test_patch_that_changes_nothing(registry: Registry, config_map: Obj) -> None:
    """A patch to what is already there writes nothing."""
    before = registry.revision
    await patched(registry, ConfigMap, "one", Patch(MERGE_PATCH, {"data": {"a": "1"}}))
    assert registry.revision == before


class Racer:
    """An admission during whose first `times` calls another client writes the same object."""

    def __init__(self, registry: Registry, times: int, field: str = "other") -> None:
        self.registry, self.left, self.field, self.racing = registry, times, field, False

    async def mutate(self, request: Any) -> None:
        if self.left and not self.racing:
            self.left -= 1
            self.racing = True
            other = {"metadata": {"name": "one"}, "data": {self.field: str(self.left)}}
            await self.registry.update(ConfigMap, "default", "one", other, CONTEXT)
            self.racing = False

    async def validate(self, request: Any) -> None:
        return None


async def test_patch_is_retried_on_the_newer_object(registry: Registry, config_map: Obj) -> None:
    """Where another write comes first, the patch is applied to its result."""
    registry.admission = Racer(registry, 2)
    stored = await patched(registry, ConfigMap, "one", Patch(MERGE_PATCH, {"data": {"b": "2"}}))
    assert stored["data"] == {"other": "0", "b": "2"}


async def test_patch_gives_up_in_the_end(registry: Registry, config_map: Obj) -> None:
    """Five lost races are a Conflict, and with a resourceVersion one is."""
    registry.admission = Racer(registry, 5)
    with pytest.raises(Conflict):
        await patched(registry, ConfigMap, "one", Patch(MERGE_PATCH, {"data": {"b": "2"}}))
    registry.admission = Racer(registry, 1, "another")
    version = dig(registry.decoded(registry.get(ConfigMap, "default", "one")), "metadata.resourceVersion")
    body = {"metadata": {"resourceVersion": version}, "data": {"b": "2"}}
    with pytest.raises(Conflict):
        await patched(registry, ConfigMap, "one", Patch(MERGE_PATCH, body))


async def test_status_patch_leaves_the_spec(registry: Registry, create: Any) -> None:
    """A patch of status changes the status only; one of the object, all but the status."""
    await create(WIDGET, "w", {"spec": {"size": 1}})
    body = {"spec": {"size": 2}, "status": {"ready": 3}}
    stored = await patched(registry, WIDGET, "w", Patch(MERGE_PATCH, body), "status")
    assert (stored["spec"], stored["status"]) == ({"size": 1}, {"ready": 3})
    body = {"spec": {"size": 5}, "status": {"ready": 6}}
    stored = await patched(registry, WIDGET, "w", Patch(MERGE_PATCH, body))
    assert (stored["spec"], stored["status"]) == ({"size": 5}, {"ready": 3})


async def test_missing_object(registry: Registry) -> None:
    """A patch of what does not exist is NotFound, but for an apply."""
    with pytest.raises(NotFound):
        await patched(registry, ConfigMap, "none", Patch(MERGE_PATCH, {}))


def config(**data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}


async def apply(registry: Registry, manager: str, body: Obj, *, force: bool = False) -> tuple[Obj, bool]:
    patch = Patch(APPLY_PATCH, body, force=force)
    entry, created = await registry.patch(ConfigMap, "default", "one", patch, Context(field_manager=manager))
    return registry.decoded(entry), created


async def test_apply_creates_and_merges(registry: Registry) -> None:
    """An apply creates the object; another manager's adds; each owns its fields; what is dropped goes."""
    assert (await apply(registry, "one", config(a="1", b="2")))[1] is True
    stored, created = await apply(registry, "two", config(c="3"))
    assert (stored["data"], created) == ({"a": "1", "b": "2", "c": "3"}, False)
    stored, _ = await apply(registry, "one", config(a="1"))
    assert stored["data"] == {"a": "1", "c": "3"}
    owned = {e["manager"]: (e["operation"], e["fieldsV1"]) for e in stored["metadata"]["managedFields"]}
    assert owned == {
        "one": ("Apply", {"f:data": {"f:a": {}}}),
        "two": ("Apply", {"f:data": {"f:c": {}}}),
    }


async def test_apply_conflicts_unless_forced(registry: Registry) -> None:
    """A field that another manager owns is a Conflict with a cause; force takes it."""
    await apply(registry, "one", config(a="1"))
    with pytest.raises(Conflict) as refused:
        await apply(registry, "two", config(a="2"))
    assert [(cause.reason, cause.field) for cause in refused.value.causes] == [
        ("FieldManagerConflict", ".data.a")
    ]
    stored, _ = await apply(registry, "two", config(a="2"), force=True)
    assert stored["data"] == {"a": "2"}


async def test_apply_of_the_same_writes_nothing(registry: Registry) -> None:
    """Applying the same configuration again keeps the revision."""
    await apply(registry, "one", config(a="1"))
    before = registry.revision
    await apply(registry, "one", config(a="1"))
    assert registry.revision == before


async def test_apply_of_defaulted_atomic_values_writes_nothing(registry: Registry, clock: VirtualClock) -> None:
    """A value that is replaced as a whole and defaulted again is no change, however much later."""
    reference = {"fieldRef": {"fieldPath": "metadata.name"}}
    container = {"name": "c", "image": "i", "env": [{"name": "ME", "valueFrom": reference}]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [container]},
    }
    patch = Patch("application/apply-patch+yaml", pod)
    revisions = []
    for _ in range(2):
        entry, _ = await registry.patch(Pod, "default", "p", patch, Context(field_manager="one"))
        revisions.append(entry.revision)
        await clock.advance(60)
    assert revisions[0] == revisions[1]


async def test_apply_needs_a_manager(registry: Registry) -> None:
    """An apply without a field manager is Invalid."""
    with pytest.raises(Invalid) as refused:
        await apply(registry, "", config(a="1"))
    assert "fieldManager: Required value" in refused.value.message


async def test_apply_after_update(registry: Registry, config_map: Obj) -> None:
    """A field that an ordinary write set belongs to its writer: applying another value is a Conflict."""
    with pytest.raises(Conflict) as refused:
        await apply(registry, "two", config(a="2"))
    assert '"test" using v1' in refused.value.message


async def test_ordinary_writes_are_tracked(registry: Registry, create: Any) -> None:
    """managedFields name the writer of spec and of status, and the defaults count as the creator's."""
    await create(Deployment, "d", deployment())
    body = {"status": {"replicas": 1}}
    stored = await patched(registry, Deployment, "d", Patch(MERGE_PATCH, body), "status")
    entries = {e.get("subresource", ""): e for e in stored["metadata"]["managedFields"]}
    assert (entries[""]["manager"], entries["status"]["fieldsV1"]) == ("test", {"f:status": {"f:replicas": {}}})
    assert "f:progressDeadlineSeconds" in entries[""]["fieldsV1"]["f:spec"]
    assert "f:status" not in entries[""]["fieldsV1"]


def deployment(replicas: int = 2) -> Obj:
    return {
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "example/web:1"}]},
            },
        }
    }
