"""What only the local client promises: reads after writes, shared objects, users."""

import pytest

from minikube_py.client.local import LocalCache, user_of
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.meta.objects import Key, Obj
from minikube_py.registry.base import Attributes, User
from minikube_py.testing.inprocess import local_cluster

BODY: Obj = {"metadata": {"name": "one", "namespace": "default"}, "data": {"a": "1"}}


async def test_cache_has_seen_a_write_when_it_returns() -> None:
    """The cache shows the registry's own object by the time that the write returns."""
    clients = await local_cluster()
    client = clients.named("tester")
    assert client.cache.get(ConfigMap, Key("default", "one")) is None
    made = await client.create(ConfigMap, BODY)
    cached = client.cache.get(ConfigMap, Key("default", "one"))
    assert cached == made
    assert cached is clients.registry.decoded(clients.registry.get(ConfigMap, "default", "one"))
    assert client.cache.revision == int(made["metadata"]["resourceVersion"])


async def test_clients_share_one_cache() -> None:
    """Every component's client has the same cache."""
    clients = await local_cluster()
    assert clients.named("a").cache is clients.named("b").cache is clients.cache


@pytest.mark.parametrize(
    ("component", "name"),
    [
        ("kube-scheduler", "system:kube-scheduler"),
        ("replicaset-controller", "system:serviceaccount:kube-system:replicaset-controller"),
    ],
)
def test_users_of_components(component: str, name: str) -> None:
    """A controller is its ServiceAccount; another component a system user."""
    assert user_of(component).name == name


async def test_admission_sees_the_user() -> None:
    """The user is the component's own unless another is given."""
    clients = await local_cluster()
    seen: list[tuple[str, str]] = []

    class Note:
        """An admission that notes who writes."""

        async def mutate(self, request: Attributes) -> None:
            seen.append((request.context.user.name, request.context.field_manager))

        async def validate(self, request: Attributes) -> None:
            return None

    clients.registry.admission = Note()
    await clients.named("kube-scheduler").create(ConfigMap, BODY)
    await clients.named("kubelet", User("system:node:n1")).delete(ConfigMap, Key("default", "one"))
    assert seen == [("system:kube-scheduler", "kube-scheduler"), ("system:node:n1", "kubelet")]


async def test_closed_cache_follows_no_longer() -> None:
    """A cache that was closed lets go of the store."""
    clients = await local_cluster()
    cache = LocalCache(clients.registry)
    heard: list[str] = []
    cache.subscribe(ConfigMap, lambda change: heard.append(change.type))
    heard.clear()
    cache.close()
    await clients.named("tester").create(ConfigMap, BODY)
    assert heard == []
