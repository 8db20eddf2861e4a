"""Several versions of a resource over one storage: built-in conversions, custom resources, webhooks."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from registry_objects import CONTEXT

from minikube_py.errors import Conflict, InternalError, Invalid
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, copy
from minikube_py.meta.violations import required
from minikube_py.registry.base import Context, DeleteOptions, ListOptions, Patch, WatchOptions
from minikube_py.registry.resource import Registry
from minikube_py.registry.versions import converted

APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def schema(**spec: Any) -> Obj:
    """A custom resource's schema whose spec has these properties."""
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}, "status": OPEN}}


def text_default(obj: Obj) -> None:
    """The default of v1's spec.mode."""
    obj.setdefault("spec", {}).setdefault("mode", "fast")


TEXT = {"type": "string"}
V1 = Kind(
    "Gadget",
    "example.com/v1",
    "gadgets",
    subresources=("status", "scale"),
    fields={"spec.mode": "spec.mode"},
    schema=schema(mode=TEXT, size=TEXT, replicas={"type": "integer"}),
)
V2 = replace(V1, api_version="example.com/v2", storage=V1)


def to_template(obj: Obj) -> Obj:
    """The name moves into a template."""
    spec = obj.get("spec") or {}
    return {**obj, "spec": {"replicas": 1, "template": {"name": spec["name"]}}} if "name" in spec else obj


def check_template(obj: Obj, old: Obj | None) -> Any:
    """The stored form needs a template."""
    return () if (obj.get("spec") or {}).get("template") else (required("spec.template"),)


STORED = Kind("Machine", "built.in/v2", "machines", validate=check_template)
OLD = Kind(
    "Machine",
    "built.in/v1",
    "machines",
    storage=STORED,
    fields={"spec.name": "spec.name"},
    default=lambda obj: obj.setdefault("spec", {}).setdefault("name", "unnamed"),
    to_storage=to_template,
    from_storage=lambda obj: {**obj, "spec": {"name": obj["spec"]["template"]["name"]}},
)
"""A kind without facts, as a built-in one is: what it stores is called differently."""


class Upper:
    """A conversion webhook: v2 writes sizes in capitals. Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def convert(self, kind: Kind, objects: Sequence[Obj], api_version: str) -> list[Obj]:
        """The objects in `api_version`."""
        self.asked.append((api_version, len(objects)))
        await self.gate.wait()
        made = copy(list(objects))
        for obj in made:
            size = (obj.get("spec") or {}).get("size", "")
            obj["apiVersion"] = api_version
            obj.setdefault("spec", {})["size"] = size.upper() if api_version.endswith("v2") else size.lower()
        found: list[Obj] = made
        return found


@pytest.fixture
def kinds(registry: Registry) -> None:
    """The kinds of this module are served."""
    for kind in (V1, V2, STORED, OLD):
        registry.catalogue.add(kind)


@pytest.fixture
def webhook(registry: Registry) -> Upper:
    """Gadgets are converted by a webhook."""
    made = Upper()
    registry.converter = made
    for kind in (replace(V1, remote_conversion=True), replace(V2, remote_conversion=True)):
        registry.catalogue.add(kind)
    return made


def served(registry: Registry, version: str) -> Kind:
    """The Gadget of a version as it is served now."""
    found = registry.catalogue.by_kind(f"example.com/{version}", "Gadget")
    assert found is not None
    return found


async def add(registry: Registry, kind: Kind, name: str, spec: Obj, context: Context = CONTEXT) -> Obj:
    """Store an object; what is answered."""
    body = {"metadata": {"name": name}, "spec": spec}
    return registry.decoded(await registry.create(kind, "default", body, context))


async def seen(registry: Registry, kind: Kind, name: str) -> Obj:
    """The object in a version, as its bytes say."""
    entry = await registry.read(kind, "default", name)
    assert copy(registry.decoded(entry)) == registry.decoded(entry)
    return registry.decoded(entry)


def owned(obj: Obj) -> dict[tuple[str, str], Obj]:
    """The spec's owned fields by manager and version."""
    entries = obj["metadata"]["managedFields"]
    return {(e["manager"], e["apiVersion"]): e["fieldsV1"].get("f:spec") for e in entries}


# Built-in kinds


@pytest.mark.usefixtures("kinds")
async def test_a_built_in_version_is_stored_converted(registry: Registry) -> None:
    """The request's defaults come first; the answer is in the request's version, the store has its own."""
    made = await add(registry, OLD, "one", {})
    assert (made["apiVersion"], made["spec"]) == ("built.in/v1", {"name": "unnamed"})
    stored = registry.decoded(registry.get(STORED, "default", "one"))
    expected = ("built.in/v2", {"replicas": 1, "template": {"name": "unnamed"}})
    assert (stored["apiVersion"], stored["spec"]) == expected
    assert (await seen(registry, OLD, "one"))["metadata"]["resourceVersion"] == str(registry.revision)


@pytest.mark.usefixtures("kinds")
async def test_the_stored_form_judges(registry: Registry) -> None:
    """Validation is the stored form's, whichever version a request is in."""
    with pytest.raises(Invalid, match=r'Machine.built.in "one" is invalid: spec.template: Required value'):
        await add(registry, STORED, "one", {"replicas": 1})
    made = await add(registry, OLD, "two", {"name": "x"})
    assert made["spec"] == {"name": "x"}


@pytest.mark.usefixtures("kinds")
async def test_writes_through_either_version_meet(registry: Registry) -> None:
    """Updates, patches and deletions of one version change the object of the other."""
    made = copy(await add(registry, OLD, "one", {"name": "a"}))
    made["spec"]["name"] = "b"
    entry, created = await registry.update(OLD, "default", "one", made, CONTEXT)
    assert (registry.decoded(entry)["spec"], created) == ({"name": "b"}, False)
    patch = Patch(MERGE, {"spec": {"template": {"name": "c"}}})
    await registry.patch(STORED, "default", "one", patch, CONTEXT)
    entry, _ = await registry.patch(
        OLD, "default", "one", Patch(MERGE, {"metadata": {"labels": {"x": "y"}}}), CONTEXT
    )
    assert registry.decoded(entry)["spec"] == {"name": "c"}
    listing = await registry.read_list(OLD, "", ListOptions(labels="x=y", fields="spec.name=c"))
    assert [registry.decoded(e)["apiVersion"] for e in listing.entries] == ["built.in/v1"]
    assert (await registry.read_list(OLD, "", ListOptions(fields="spec.name=a"))).entries == []
    done = await registry.delete(OLD, "default", "one", DeleteOptions(), CONTEXT)
    assert (done.gone, registry.decoded(done.entry)["spec"]) == (True, {"name": "c"})


@pytest.mark.usefixtures("kinds")
async def test_managed_fields_name_the_version_of_the_request(registry: Registry) -> None:
    """Each entry has the paths of its own version, and loses what a write through another one changes."""
    await add(registry, OLD, "one", {"name": "a"}, Context(field_manager="old"))
    stored = registry.decoded(registry.get(STORED, "default", "one"))
    assert owned(stored) == {("old", "built.in/v1"): {".": {}, "f:name": {}}}
    patch = Patch(MERGE, {"spec": {"template": {"name": "b"}}})
    await registry.patch(STORED, "default", "one", patch, Context(field_manager="new"))
    stored = registry.decoded(registry.get(STORED, "default", "one"))
    assert owned(stored) == {
        ("new", "built.in/v2"): {"f:template": {"f:name": {}}},
        ("old", "built.in/v1"): {},  # the spec as such
    }


@pytest.mark.usefixtures("kinds")
async def test_apply_meets_owners_of_another_version(registry: Registry) -> None:
    """A field that another version's manager owns is a conflict, unless forced."""
    old = {"apiVersion": OLD.api_version, "kind": OLD.kind}
    applied = {**old, "metadata": {"name": "one"}, "spec": {"name": "a"}}
    await registry.patch(OLD, "default", "one", Patch(APPLY, applied), Context(field_manager="old"))
    other: Obj = {**old, "apiVersion": STORED.api_version, "metadata": {"name": "one"}}
    other["spec"] = {"template": {"name": "b"}}
    new = Context(field_manager="new")
    with pytest.raises(Conflict, match=r'1 conflict: conflict with "old": \.spec\.name'):
        await registry.patch(STORED, "default", "one", Patch(APPLY, other), new)
    await registry.patch(STORED, "default", "one", Patch(APPLY, other, force=True), new)
    assert (await seen(registry, OLD, "one"))["spec"] == {"name": "b"}


# Custom resources


@pytest.mark.usefixtures("kinds")
async def test_custom_versions_without_conversion(registry: Registry) -> None:
    """Only apiVersion differs; the store has the storage version, whose bytes begin with it."""
    made = await add(registry, V2, "one", {"size": "m", "unknown": 1})
    assert (made["apiVersion"], made["spec"]) == ("example.com/v2", {"size": "m"})
    assert registry.get(V1, "default", "one").data.startswith(b'{"apiVersion":"example.com/v1","kind":"Gadget"')
    assert (await seen(registry, V1, "one"))["apiVersion"] == "example.com/v1"
    assert [e["apiVersion"] for e in made["metadata"]["managedFields"]] == ["example.com/v2"]


async def test_objects_of_a_former_storage_version_convert(registry: Registry) -> None:
    """Where the storage version changes, what is stored stays readable and is rewritten by the next update."""
    registry.catalogue.add(V1)
    await add(registry, V1, "one", {"size": "m"})
    stored, other = replace(V1, api_version="example.com/v2"), replace(V1, storage=None)
    registry.catalogue.add(stored)
    registry.catalogue.add(replace(other, storage=stored))
    shown = await seen(registry, stored, "one")
    assert (shown["apiVersion"], shown["spec"]) == ("example.com/v2", {"size": "m"})
    patch = Patch(MERGE, {"spec": {"size": "l"}})
    await registry.patch(served(registry, "v1"), "default", "one", patch, CONTEXT)
    assert registry.get(stored, "default", "one").data.startswith(b'{"apiVersion":"example.com/v2"')


async def test_a_new_schema_gives_its_defaults_to_what_is_stored(registry: Registry) -> None:
    """Defaults are given, and unknown fields dropped, on reading; nothing is written for that."""
    registry.catalogue.add(V1)
    await add(registry, V1, "one", {"size": "m"})
    revision = registry.revision
    registry.catalogue.add(replace(V1, schema=schema(mode=TEXT), default=text_default))
    assert (await seen(registry, served(registry, "v1"), "one"))["spec"] == {"mode": "fast"}
    listing = await registry.read_list(served(registry, "v1"), "", ListOptions(fields="spec.mode=fast"))
    assert (len(listing.entries), registry.revision) == (1, revision)


async def test_a_watch_goes_on_over_a_new_kind(registry: Registry) -> None:
    """A watch that was opened before a Kind value was replaced sees what is written after."""
    registry.catalogue.add(V1)
    watch = registry.watch(V1, "default")
    await add(registry, V1, "one", {"size": "m"})
    assert [event.type for event in await anext(watch)] == ["ADDED"]
    registry.catalogue.add(replace(V1, schema=schema(mode=TEXT), default=text_default))
    await add(registry, served(registry, "v1"), "two", {})
    (event,) = await anext(watch)
    assert registry.decoded(event.entry)["spec"] == {"mode": "fast"}
    watch.close()


async def test_scale_paths(registry: Registry) -> None:
    """The Scale reads and writes where the kind says."""
    paths = replace(V1.scale, spec="spec.replicas", status="status.count", selector="status.selector")
    kind = replace(V1, scale=paths)
    registry.catalogue.add(kind)
    made = await add(registry, kind, "one", {"replicas": 2})
    with_status = {**copy(made), "status": {"count": 1, "selector": "a=b"}}
    await registry.update(kind, "default", "one", with_status, CONTEXT, "status")
    scale = registry.decoded(await registry.read(kind, "default", "one", subresource="scale"))
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 1, "selector": "a=b"})
    scale = {**copy(scale), "spec": {"replicas": 5}}
    await registry.update(kind, "default", "one", scale, CONTEXT, "scale")
    assert (await seen(registry, kind, "one"))["spec"]["replicas"] == 5


async def test_no_scale_without_replicas(registry: Registry) -> None:
    """A custom resource that has no replicas has no Scale."""
    registry.catalogue.add(V1)
    await add(registry, V1, "one", {})
    with pytest.raises(InternalError, match=r'the spec replicas field "\.spec\.replicas" does not exist'):
        await registry.read(V1, "default", "one", subresource="scale")


# Webhooks


async def test_a_webhook_converts_both_ways(registry: Registry, webhook: Upper) -> None:
    """Writes ask for the stored version, reads for the one asked; what is known is not asked again."""
    v1, v2 = V1, served(registry, "v2")
    made = await add(registry, replace(v2, storage=served(registry, "v1")), "one", {"size": "M"})
    assert made["spec"] == {"size": "M"}
    assert registry.decoded(registry.get(v1, "default", "one"))["spec"] == {"size": "m"}
    assert webhook.asked == [("example.com/v1", 1), ("example.com/v2", 1)]


async def test_many_watchers_convert_once(registry: Registry, webhook: Upper) -> None:
    """A hundred watchers of another version cost one conversion an event, and share it."""
    v2 = served(registry, "v2")
    watches = [registry.watch(v2, "default", WatchOptions(fields="spec.mode=x")) for _ in range(50)]
    watches += [registry.watch(v2, "default") for _ in range(50)]
    webhook.gate.clear()
    reading = [asyncio.ensure_future(anext(watch)) for watch in watches]
    await add(registry, served(registry, "v1"), "one", {"size": "m", "mode": "x"})
    await asyncio.sleep(0)
    reading[0].cancel()  # whoever was first leaves: the others ask again
    await asyncio.sleep(0)
    webhook.gate.set()
    batches = await asyncio.gather(*reading[1:])
    assert {registry.decoded(event.entry)["spec"]["size"] for batch in batches for event in batch} == {"M"}
    assert len({id(event.entry) for batch in batches for event in batch}) == 1
    assert webhook.asked == [("example.com/v2", 1)] * 2
    for watch in watches:
        watch.close()


async def test_lists_and_first_events_are_converted(registry: Registry, webhook: Upper) -> None:
    """A list asks once for all its objects; field selectors see the version of the request."""
    v1, v2 = served(registry, "v1"), replace(served(registry, "v2"), fields={"spec.size": "spec.size"})
    registry.catalogue.add(v2)
    for name in "abc":
        await add(registry, v1, name, {"size": name})
    listing = await registry.read_list(v2, "default", ListOptions(fields="spec.size!=B", limit=1))
    assert [registry.decoded(e)["spec"]["size"] for e in listing.entries] == ["A"]
    more = ListOptions(fields="spec.size!=B", limit=1, continue_token=listing.continue_token)
    assert [e.key[-1] for e in (await registry.read_list(v2, "default", more)).entries] == ["c"]
    assert webhook.asked == [("example.com/v2", 3)]
    watch = registry.watch(v2, "default", WatchOptions(fields="spec.size=B"))
    assert [registry.decoded(event.entry)["spec"] for event in await anext(watch)] == [{"size": "B"}]
    watch.close()


async def test_without_a_converter_nothing_is_read(registry: Registry, webhook: Upper) -> None:
    """What cannot be converted is an internal error, not another version's object."""
    await add(registry, served(registry, "v1"), "one", {"size": "m"})
    registry.converter = None
    with pytest.raises(InternalError, match=r"has no conversion to example\.com/v2"):
        await registry.read(served(registry, "v2"), "default", "one")
    assert webhook.asked == []


@pytest.mark.usefixtures("kinds")
async def test_dry_runs_and_new_events(registry: Registry) -> None:
    """A dry run is answered in the request's version; so is what a watcher of it sees."""
    watch = registry.watch(OLD, "default")
    body = {"metadata": {"name": "one"}, "spec": {"name": "a"}}
    dry = await registry.create(OLD, "default", copy(body), Context(dry_run=True))
    assert registry.decoded(dry)["spec"] == {"name": "a"}
    await registry.create(OLD, "default", body, CONTEXT)
    (event,) = await anext(watch)
    assert (event.type, registry.decoded(event.entry)["apiVersion"]) == ("ADDED", "built.in/v1")
    watch.close()


async def test_followers_see_the_version(registry: Registry) -> None:
    """A cache of one version is handed that version's objects."""
    for kind in (STORED, OLD):
        registry.catalogue.add(kind)
    found: dict[Key, Obj] = {}
    stop = registry.follow(OLD, lambda obj: found.update({Key("", obj["metadata"]["name"]): obj}), print)
    await add(registry, STORED, "one", {"template": {"name": "a"}})
    assert found[Key("", "one")]["spec"] == {"name": "a"}
    stop()


def test_conversion_leaves_its_object_alone() -> None:
    """Converting makes a new object."""
    obj = {"apiVersion": "built.in/v1", "kind": "Machine", "metadata": {}, "spec": {"name": "a"}}
    before = copy(obj)
    converted(OLD, STORED, obj)
    assert obj == before
