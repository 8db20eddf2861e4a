"""CREATE: names, system fields, namespaces, admission, validation, dry run."""

from typing import Any

import pytest
from registry_objects import CONTEXT, WIDGET, pod_body

from minikube_py.errors import AlreadyExists, BadRequest, Forbidden, Invalid
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.meta.objects import copy, dig
from minikube_py.registry.base import Attributes, Context
from minikube_py.registry.resource import Registry


async def test_system_fields_are_set(registry: Registry) -> None:
    """A new object gets uid, creationTimestamp, namespace and revision from the server, whatever is sent."""
    body = {
        "metadata": {
            "name": "one",
            "selfLink": "/x",
            "uid": "mine",
            "deletionTimestamp": "2020-01-01T00:00:00Z",
            "creationTimestamp": None,
        },
        "data": {"a": "1"},
    }
    entry = await registry.create(ConfigMap, "default", body, CONTEXT)
    stored = registry.decoded(entry)
    meta = dict(stored["metadata"])
    assert len(meta.pop("uid")) == 36
    meta.pop("managedFields", None)
    assert meta == {
        "name": "one",
        "namespace": "default",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "resourceVersion": str(entry.revision),
    }
    assert (stored["apiVersion"], stored["kind"], stored["data"]) == ("v1", "ConfigMap", {"a": "1"})
    assert entry.revision == registry.revision


async def test_bytes_and_object_agree(registry: Registry, create: Any) -> None:
    """The stored bytes decode to the shared object, resourceVersion included."""
    import orjson

    await create(Pod, "web", pod_body())
    entry = registry.get(Pod, "default", "web")
    assert orjson.loads(entry.data) == registry.decoded(entry)


async def test_name_is_generated(registry: Registry) -> None:
    """generateName gives the prefix and five characters, and the prefix is cut to leave room."""
    names = []
    for prefix in ("web-", "x" * 63):
        body = {"metadata": {"generateName": prefix}}
        names.append(
            registry.decoded(await registry.create(ConfigMap, "default", body, CONTEXT))["metadata"]["name"]
        )
    assert [len(name) for name in names] == [9, 63]
    assert names[0].startswith("web-")


async def test_existing_name_is_refused(registry: Registry, config_map: Any) -> None:
    """A second object of a name is AlreadyExists, with Kubernetes' message and details."""
    with pytest.raises(AlreadyExists) as refused:
        await registry.create(ConfigMap, "default", {"metadata": {"name": "one"}}, CONTEXT)
    assert refused.value.message == 'configmaps "one" already exists'
    assert refused.value.details == {"name": "one", "kind": "configmaps"}


@pytest.mark.parametrize(
    ("meta", "namespace", "error", "message"),
    [
        ({}, "default", Invalid, "metadata.name: Required value: name or generateName is required"),
        (
            {"name": "Bad_Name"},
            "default",
            Invalid,
            'metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123',
        ),
        ({"name": "a/../b"}, "default", Invalid, "metadata.name: Invalid value"),
        (
            {"name": "a", "namespace": "other"},
            "default",
            BadRequest,
            "does not match the namespace sent on the request",
        ),
        ({"name": "a", "resourceVersion": "7"}, "default", BadRequest, "resourceVersion should not be set"),
        ({"name": "a", "labels": {"a b": "c"}}, "default", Invalid, "metadata.labels: Invalid value"),
        ({"name": "a", "finalizers": ["mine"]}, "default", Invalid, "metadata.finalizers[0]: Invalid value"),
    ],
    ids=["no name", "bad name", "path", "other namespace", "with version", "bad label", "bad finalizer"],
)
async def test_bad_metadata_is_refused(
    registry: Registry, meta: Any, namespace: str, error: type[Exception], message: str
) -> None:
    """Faults of metadata are named and nothing is stored."""
    before = registry.revision
    with pytest.raises(error) as refused:
        await registry.create(ConfigMap, namespace, {"metadata": meta}, CONTEXT)
    assert message in str(refused.value)
    assert registry.revision == before


async def test_names_follow_the_kind(registry: Registry) -> None:
    """A Service's name is a DNS label that begins with a letter."""
    with pytest.raises(Invalid) as refused:
        await registry.create(Service, "default", {"metadata": {"name": "1a"}, "spec": {}}, CONTEXT)
    assert 'metadata.name: Invalid value: "1a": a DNS-1035 label' in refused.value.message


async def test_wrong_kind_is_refused(registry: Registry) -> None:
    """A body of another kind or version than the URL's is a bad request."""
    for wrong in ({"kind": "Pod"}, {"apiVersion": "v2"}):
        with pytest.raises(BadRequest):
            await registry.create(ConfigMap, "default", {"metadata": {"name": "a"}, **wrong}, CONTEXT)


@pytest.mark.parametrize(
    ("mode", "warnings"),
    [("Warn", ['unknown field "datum"']), ("Ignore", [])],
)
async def test_unknown_fields_are_pruned(registry: Registry, mode: str, warnings: list[str]) -> None:
    """Unknown fields are dropped, with a warning if asked."""
    context = Context(field_validation=mode)
    body = {"metadata": {"name": "a"}, "datum": 1}
    stored = registry.decoded(await registry.create(ConfigMap, "default", body, context))
    assert "datum" not in stored
    assert context.warnings == warnings


async def test_unknown_fields_are_refused_when_strict(registry: Registry) -> None:
    """With Strict, an unknown field is a bad request that names it."""
    body = {"metadata": {"name": "a"}, "datum": 1}
    with pytest.raises(BadRequest) as refused:
        await registry.create(ConfigMap, "default", body, Context(field_validation="Strict"))
    assert 'strict decoding error: unknown field "datum"' in refused.value.message


async def test_dry_run_stores_nothing(registry: Registry) -> None:
    """A dry run answers with the whole object and changes neither store nor revision."""
    before = registry.revision
    entry = await registry.create(ConfigMap, "default", {"metadata": {"name": "a"}}, Context(dry_run=True))
    assert registry.decoded(entry)["metadata"]["uid"]
    assert registry.revision == before
    assert registry.store.get(entry.key) is None


async def test_dry_run_meets_existing_names(registry: Registry, config_map: Any) -> None:
    """A dry run of a name that is taken is refused as the real one would be."""
    with pytest.raises(AlreadyExists):
        await registry.create(ConfigMap, "default", {"metadata": {"name": "one"}}, Context(dry_run=True))


async def test_namespace_comes_with_its_companions(registry: Registry, create: Any) -> None:
    """A namespace, its default ServiceAccount and its root CA appear at one revision."""
    before = registry.revision
    namespace = await create(Namespace, "team")
    account = registry.get(ServiceAccount, "team", "default")
    authority = registry.get(ConfigMap, "team", "kube-root-ca.crt")
    assert {registry.revision, account.revision, authority.revision} == {before + 1}
    assert namespace["spec"]["finalizers"] == ["kubernetes"]
    assert namespace["status"]["phase"] == "Active"
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    assert registry.decoded(account)["metadata"]["resourceVersion"] == str(before + 1)


async def test_generation_begins_at_one(create: Any) -> None:
    """Kinds with a generation begin at 1, custom ones too; a ConfigMap has none."""
    generations = [
        dig(await create(Pod, "a", pod_body()), "metadata.generation"),
        dig(await create(WIDGET, "a", {"spec": {"size": 1}}), "metadata.generation"),
        dig(await create(ConfigMap, "a"), "metadata.generation"),
    ]
    assert generations == [1, 1, None]


class Plugins:
    """An admission that labels, notes what it sees, and refuses what is labelled so."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, bool]] = []

    async def mutate(self, request: Attributes) -> None:
        if request.object is not None:
            request.object["metadata"].setdefault("labels", {})["seen"] = "yes"

    async def validate(self, request: Attributes) -> None:
        self.seen.append((request.operation, request.name, request.subresource, request.old is not None))
        if request.object and request.object["metadata"]["labels"].get("deny"):
            raise Forbidden("no")


async def test_admission_sees_every_write(registry: Registry) -> None:
    """Admission changes objects before they are validated, refuses them, and is told of each operation."""
    plugins = registry.admission = Plugins()
    body = {"metadata": {"name": "a"}}
    stored = registry.decoded(await registry.create(WIDGET, "default", body, CONTEXT))
    assert stored["metadata"]["labels"] == {"seen": "yes"}
    await registry.update(WIDGET, "default", "a", {**copy(stored), "status": {"x": 1}}, CONTEXT, "status")
    with pytest.raises(Forbidden):
        await registry.create(WIDGET, "default", {"metadata": {"name": "b", "labels": {"deny": "1"}}}, CONTEXT)
    from minikube_py.registry.base import DeleteOptions

    await registry.delete(WIDGET, "default", "a", DeleteOptions(), CONTEXT)
    assert plugins.seen == [
        ("CREATE", "a", "", False),
        ("UPDATE", "a", "status", True),
        ("CREATE", "b", "", False),
        ("DELETE", "a", "", True),
    ]
