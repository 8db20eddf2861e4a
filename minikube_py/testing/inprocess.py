"""A cluster's state in process, for tests of what works against the API: store, registry, local clients.

There is no server, no kubelet and no controller: only what a test starts itself. Admission passes everything.
"""

from collections.abc import Iterable

from minikube_py.aio.clock import Clock, SystemClock
from minikube_py.client.local import LocalClients
from minikube_py.collect import values
from minikube_py.meta.kind import Kind
from minikube_py.registry.base import ClusterFacts, Context
from minikube_py.registry.catalogue import Catalogue
from minikube_py.registry.resource import Registry
from minikube_py.store.memory import MemoryStore

NAMESPACES = ("default", "kube-system")


async def local_cluster(
    kinds: Iterable[Kind] | None = None,
    *,
    clock: Clock | None = None,
    facts: ClusterFacts | None = None,
    namespaces: Iterable[str] = NAMESPACES,
) -> LocalClients:
    """Clients of a new, empty cluster that has `namespaces` (where Namespace is among its `kinds`; default: all
    built-in ones). Its registry is `.registry`, the store `.registry.store`."""
    clock = clock or SystemClock()
    catalogue = Catalogue(values("minikube_py.kinds", Kind) if kinds is None else kinds)
    registry = Registry(MemoryStore(clock), catalogue, facts or ClusterFacts(), clock)
    if namespace := catalogue.by_kind("v1", "Namespace"):
        for name in namespaces:
            await registry.create(namespace, "", {"metadata": {"name": name}}, Context())
    return LocalClients(registry)
