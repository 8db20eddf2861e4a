"""Whatever is written, a watch with any selector, from any revision, leads from its list to the present one."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from registry_objects import CONTEXT, WIDGET

from minikube_py.errors import AlreadyExists, NotFound
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import DeleteOptions, ListOptions, WatchOptions
from minikube_py.registry.resource import Registry
from minikube_py.testing.inprocess import local_cluster

SELECTORS = (
    {},
    {"labels": "app=a"},
    {"labels": "app in (a,b),tier!=x"},
    {"labels": "!app"},
    {"fields": "metadata.name=w1"},
    {"fields": "metadata.namespace=default", "labels": "tier"},
)
NAMESPACES = ("default", "kube-system")

labels = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["a", "b", "x"]))
change = st.tuples(
    st.sampled_from(["create", "update", "delete"]),
    st.sampled_from(NAMESPACES),
    st.sampled_from(["w1", "w2", "w11"]),
    labels,
)


async def perform(registry: Registry, verb: str, namespace: str, name: str, labelled: dict[str, str]) -> None:
    body: Obj = {"metadata": {"name": name, "labels": dict(labelled)}}
    try:
        if verb == "create":
            await registry.create(WIDGET, namespace, body, CONTEXT)
        elif verb == "update":
            current = registry.decoded(registry.get(WIDGET, namespace, name))
            body["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
            await registry.update(WIDGET, namespace, name, body, CONTEXT)
        else:
            await registry.delete(WIDGET, namespace, name, DeleteOptions(), CONTEXT)
    except (AlreadyExists, NotFound):
        pass  # the model does not care which changes apply


def listed(registry: Registry, revision: int, selector: dict[str, str]) -> dict[str, Any]:
    options = ListOptions(resource_version=str(revision), match="Exact", **selector)
    return {entry.key: registry.decoded(entry) for entry in registry.list(WIDGET, "", options).entries}


async def replayed(registry: Registry, since: int, selector: dict[str, str]) -> dict[str, Any]:
    """The list at `since`, with all that a watch from there tells."""
    state = listed(registry, since, selector)
    watch = registry.watch(WIDGET, "", WatchOptions(resource_version=str(since), **selector))
    asyncio.get_running_loop().call_soon(watch.close)
    async for batch in watch:
        for event in batch:
            if event.type == "DELETED":
                assert state.pop(event.entry.key, None) is not None
            else:
                assert (event.entry.key in state) is (event.type == "MODIFIED")
                state[event.entry.key] = registry.decoded(event.entry)
    return state


@settings(max_examples=60, deadline=None)
@given(st.lists(change, max_size=25), st.data())
def test_watch_leads_from_list_to_list(changes: list[Any], data: st.DataObject) -> None:
    """The events after a revision turn the list of then into the list of now, for every selector."""

    async def check() -> None:
        registry = (await local_cluster([WIDGET])).registry
        for each in changes:
            await perform(registry, *each)
        if not registry.revision:
            return
        since = data.draw(st.integers(1, registry.revision))
        for selector in SELECTORS:
            expected = listed(registry, registry.revision, selector)
            assert await replayed(registry, since, selector) == expected

    asyncio.run(check())
