"""Which of several classes is the default: the newest, and of those of one second the first by name."""

from collections.abc import Callable

from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, name_of
from minikube_py.registry.resource import Registry


def default_of(registry: Registry, kind: Kind, is_default: Callable[[Obj], bool]) -> Obj | None:
    """The default object of a kind of the cluster, shared and read-only, or None."""
    listed = (registry.decoded(entry) for entry in registry.list(kind, "").entries)
    found = sorted(filter(is_default, listed), key=name_of)
    return max(found, key=lambda one: one["metadata"].get("creationTimestamp") or "", default=None)
