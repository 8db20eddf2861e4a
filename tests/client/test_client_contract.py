"""The client's contract: the verbs and the cache, the same for the local and the HTTP client."""

import asyncio
from typing import Any

import pytest
from client_worlds import WIDGET, World, until

from minikube_py.client.base import APPLY_PATCH, JSON_PATCH, STRATEGIC_PATCH, Change
from minikube_py.errors import AlreadyExists, Conflict, Invalid, NotFound
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.meta.objects import Key, Obj, copy, dig, name_of, revision_of

ONE = Key("default", "one")


def config_map(name: str = "one", namespace: str = "default", **data: str) -> Obj:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


def widget(name: str, owner: str = "", **spec: Any) -> Obj:
    meta: Obj = {"name": name, "namespace": "default"}
    if owner:
        meta["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": owner}]
    return {"metadata": meta, "spec": spec}


async def test_create_and_get(world: World) -> None:
    """What is created is answered whole, and read back the same."""
    client = world.clients.named("tester")
    made = await client.create(ConfigMap, config_map(a="1"))
    assert (made["apiVersion"], made["kind"], made["data"]) == ("v1", "ConfigMap", {"a": "1"})
    assert revision_of(made) == world.registry.revision
    assert await client.get(ConfigMap, "one", "default") == made


async def test_arguments_stay_the_callers(world: World) -> None:
    """Verbs neither change what they are given nor keep it, and what they answer is the caller's own."""
    client = world.clients.named("tester")
    body = config_map(a="1")
    before = copy(body)
    made = await client.create(ConfigMap, body)
    assert body == before
    body["data"]["a"] = made["data"]["a"] = "changed"
    assert (await client.get(ConfigMap, "one", "default"))["data"] == {"a": "1"}


async def test_errors_are_api_errors(world: World) -> None:
    """Refusals arrive as the same exceptions, with message, details and causes."""
    client = world.clients.named("tester")
    await client.create(ConfigMap, config_map())
    with pytest.raises(AlreadyExists) as existing:
        await client.create(ConfigMap, config_map())
    with pytest.raises(NotFound) as missing:
        await client.get(WIDGET, "none", "default")
    with pytest.raises(Invalid) as invalid:
        await client.create(ConfigMap, config_map("Bad_Name"))
    assert existing.value.message == 'configmaps "one" already exists'
    assert missing.value.details == {"name": "none", "group": "example.com", "kind": "widgets"}
    assert [cause.field for cause in invalid.value.causes] == ["metadata.name"]


async def test_update_and_status(world: World) -> None:
    """Updates replace at the right resourceVersion; a status update leaves the spec."""
    client = world.clients.named("tester")
    made = await client.create(WIDGET, widget("w", size=1))
    changed = await client.update(WIDGET, {**made, "spec": {"size": 2}})
    with pytest.raises(Conflict):
        await client.update(WIDGET, made)
    status = {**changed, "spec": {"size": 9}, "status": {"ready": True}}
    answer = await client.update(WIDGET, status, subresource="status")
    assert (answer["spec"], answer["status"]) == ({"size": 2}, {"ready": True})


@pytest.mark.parametrize(
    ("type", "body"),
    [
        (None, {"data": {"a": None, "b": "2"}}),
        (STRATEGIC_PATCH, {"data": {"a": None, "b": "2"}}),
        (JSON_PATCH, [{"op": "replace", "path": "/data", "value": {"b": "2"}}]),
    ],
)
async def test_patches(world: World, type: str | None, body: Any) -> None:
    """The patch types work by their names; a merge patch is the default."""
    client = world.clients.named("tester")
    await client.create(ConfigMap, config_map(a="1"))
    more = {} if type is None else {"type": type}
    assert (await client.patch(ConfigMap, ONE, body, **more))["data"] == {"b": "2"}


async def test_apply_forces_under_the_components_name(world: World) -> None:
    """An apply creates, and takes fields from others by force, as the component."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", **config_map(a="1")}
    await world.clients.named("first").patch(ConfigMap, ONE, body, type=APPLY_PATCH)
    taken = copy(body)
    taken["data"]["a"] = "2"
    stored = await world.clients.named("second").patch(ConfigMap, ONE, taken, type=APPLY_PATCH)
    owners = {e["manager"]: e["fieldsV1"].get("f:data") for e in stored["metadata"]["managedFields"]}
    assert (stored["data"], owners["second"]) == ({"a": "2"}, {"f:a": {}})


async def test_field_managers_are_the_components(world: World) -> None:
    """Ordinary writes are tracked under the component's name."""
    made = await world.clients.named("my-controller").create(ConfigMap, config_map(a="1"))
    assert [entry["manager"] for entry in made["metadata"]["managedFields"]] == ["my-controller"]


async def test_scale(world: World) -> None:
    """The scale subresource is patched and answers with a Scale."""
    client = world.clients.named("tester")
    await client.create(WIDGET, widget("w", replicas=1))
    answer = await client.patch(WIDGET, Key("default", "w"), {"spec": {"replicas": 4}}, subresource="scale")
    assert (answer["kind"], answer["spec"]) == ("Scale", {"replicas": 4})
    answer["spec"]["replicas"] = 5
    await client.update(WIDGET, answer, subresource="scale")
    assert dig(await client.get(WIDGET, "w", "default"), "spec.replicas") == 5


async def test_delete_with_preconditions(world: World) -> None:
    """A deletion honours its options."""
    client = world.clients.named("tester")
    made = await client.create(ConfigMap, config_map())
    with pytest.raises(Conflict):
        await client.delete(ConfigMap, ONE, {"preconditions": {"uid": "other"}})
    await client.delete(ConfigMap, ONE, {"dryRun": ["All"]})
    await client.delete(ConfigMap, ONE, {"preconditions": {"uid": made["metadata"]["uid"]}})
    with pytest.raises(NotFound):
        await client.delete(ConfigMap, ONE)


async def test_post_binds_a_pod(world: World) -> None:
    """A binding is posted to the pod."""
    client = world.clients.named("tester")
    spec = {"containers": [{"name": "main", "image": "example/app"}]}
    await client.create(Pod, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
    target = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    await client.post(Pod, Key("default", "p"), "binding", target)
    assert dig(await client.get(Pod, "p", "default"), "spec.nodeName") == "n1"


async def test_cluster_wide_kinds(world: World) -> None:
    """A cluster-wide object has a key without namespace, and a namespace comes with its account."""
    client = world.clients.named("tester")
    await client.create(Namespace, {"metadata": {"name": "team"}})
    assert name_of(await client.get(ServiceAccount, "default", "team")) == "default"
    await until(client.cache, Namespace, lambda: client.cache.get(Namespace, Key("", "team")) is not None)


async def test_cache_follows_writes(world: World) -> None:
    """The cache shows what was created, changed and deleted, by key, namespace and in all."""
    client = world.clients.named("tester")
    cache = client.cache
    made = await client.create(WIDGET, widget("w", size=1))
    key = Key("default", "w")
    await until(cache, WIDGET, lambda: cache.get(WIDGET, key) == made)
    changed = await client.patch(WIDGET, key, {"spec": {"size": 2}})
    await until(cache, WIDGET, lambda: cache.get(WIDGET, key) == changed)
    assert cache.revision >= revision_of(changed)
    assert list(cache.list(WIDGET)) == list(cache.list(WIDGET, "default")) == [changed]
    assert list(cache.list(WIDGET, "kube-system")) == []
    await client.delete(WIDGET, key)
    await until(cache, WIDGET, lambda: not cache.list(WIDGET))
    assert cache.get(WIDGET, key) is None


async def test_cache_is_indexed(world: World) -> None:
    """Objects are found by owner and by added indexes, and move when they change."""
    client = world.clients.named("tester")
    cache = client.cache
    await client.create(WIDGET, widget("a", owner="uid-1", color="red"))
    await client.create(WIDGET, widget("b", owner="uid-1", color="blue"))
    await until(cache, WIDGET, lambda: len(cache.list(WIDGET)) == 2)
    cache.add_index(WIDGET, "color", lambda obj: [obj["spec"]["color"]])
    await client.create(WIDGET, widget("c", color="red"))
    await until(cache, WIDGET, lambda: len(cache.list(WIDGET)) == 3)

    def names(found: Any) -> list[str]:
        return sorted(name_of(obj) for obj in found)

    assert names(cache.owned(WIDGET, "uid-1")) == ["a", "b"]
    assert names(cache.indexed(WIDGET, "color", "red")) == ["a", "c"]
    await client.patch(WIDGET, Key("default", "a"), {"spec": {"color": "blue"}})
    await until(cache, WIDGET, lambda: names(cache.indexed(WIDGET, "color", "blue")) == ["a", "b"])
    await client.delete(WIDGET, Key("default", "b"))
    await until(cache, WIDGET, lambda: names(cache.owned(WIDGET, "uid-1")) == ["a"])
    assert names(cache.indexed(WIDGET, "color", "red")) == ["c"]
    assert names(cache.indexed(WIDGET, "color", "green")) == []


@pytest.mark.parametrize("in_turns", [False, True])
async def test_subscribers_are_told_all(world: World, in_turns: bool) -> None:
    """A subscriber hears of known objects, then of each change with the state before, until it leaves."""
    client = world.clients.named("tester")
    cache = client.cache
    await client.create(WIDGET, widget("w", size=1))
    await until(cache, WIDGET, lambda: len(cache.list(WIDGET)) == 1)
    heard: list[tuple[str, Any, Any, bool]] = []

    def note(change: Change) -> None:
        shown = cache.get(WIDGET, Key("default", "w")) is not None
        heard.append((change.type, dig(change.object, "spec.size"), dig(change.old or {}, "spec.size"), shown))

    unsubscribe = await cache.follow(WIDGET, note) if in_turns else cache.subscribe(WIDGET, note)
    await client.patch(WIDGET, Key("default", "w"), {"spec": {"size": 2}})
    await client.delete(WIDGET, Key("default", "w"))
    await until(cache, WIDGET, lambda: not cache.list(WIDGET))
    unsubscribe()
    await client.create(WIDGET, widget("v", size=3))
    await until(cache, WIDGET, lambda: len(cache.list(WIDGET)) == 1)
    assert heard == [("ADDED", 1, None, True), ("MODIFIED", 2, 1, True), ("DELETED", 2, 2, False)]


async def test_failing_subscriber_harms_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A subscriber that raises is logged; the write and the others go on."""
    client = world.clients.named("tester")
    heard = asyncio.Event()

    def fail(change: Change) -> None:
        if change.type == "ADDED" and name_of(change.object) == "w":
            raise RuntimeError("mine")

    leave = [client.cache.subscribe(WIDGET, fail), client.cache.subscribe(WIDGET, lambda change: heard.set())]
    await client.create(WIDGET, widget("w"))
    await heard.wait()
    for unsubscribe in leave:
        unsubscribe()
    assert "a subscriber to widgets.example.com failed" in caplog.text


async def test_kinds_are_known(world: World) -> None:
    """The clients tell which kinds are served, custom ones too."""
    assert {ConfigMap, Pod, WIDGET} <= set(world.clients.kinds())
