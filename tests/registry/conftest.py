"""A registry over the memory store, in virtual time, and objects to put into it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from registry_objects import CONTEXT, WIDGET, Create

from minikube_py.aio.clock import VirtualClock
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, copy
from minikube_py.registry.resource import Registry
from minikube_py.testing.inprocess import local_cluster


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def registry(clock: VirtualClock) -> AsyncIterator[Registry]:
    """A registry with the namespaces default and kube-system; nothing it stored may have been changed since."""
    clients = await local_cluster(clock=clock)
    registry = clients.registry
    registry.catalogue.add(WIDGET)
    stored: dict[tuple[str, int], tuple[Any, Obj]] = {}

    def note(event: Any) -> None:
        entry = event.entry
        stored[(entry.key, entry.revision)] = (registry.decoded(entry), copy(registry.decoded(entry)))

    unsubscribe = registry.store.subscribe("/registry/", note)
    yield registry
    unsubscribe()
    assert [key for key, (now, then) in stored.items() if now != then] == []


@pytest.fixture
def create(registry: Registry) -> Create:
    """Store an object: its kind, its name and the rest of it; the decoded result."""

    async def make(kind: Kind, name: str, rest: Obj | None = None, **meta: Any) -> Obj:
        namespace = meta.pop("namespace", "default") if kind.namespaced else ""
        body = {**copy(rest or {}), "metadata": {"name": name, **meta}}
        return registry.decoded(await registry.create(kind, namespace, body, CONTEXT))

    return make


@pytest.fixture
async def config_map(create: Create) -> Obj:
    """The ConfigMap default/one with data a=1, as the caller's own copy."""
    made: Obj = copy(await create(ConfigMap, "one", {"data": {"a": "1"}}))
    return made
