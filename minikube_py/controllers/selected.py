"""Which pods a selector means, found by an index of their labels: a look at those that share one of the labels
it asks for, where it would else be one at every pod of the namespace."""

from collections.abc import Iterable, Sequence

from minikube_py.client.base import Cache, Index
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, labels_of, namespace_of
from minikube_py.meta.selectors import Selector

LABELS = "controllers/labels"


def _labels(obj: Obj) -> Iterable[str]:
    namespace = namespace_of(obj)
    return [_place(namespace, key, value) for key, value in labels_of(obj).items()]


def _place(namespace: str, key: str, value: str) -> str:
    return f"{namespace}/{key}={value}"


POD_LABELS: tuple[Kind, str, Index] = (Pod, LABELS, _labels)
"""The index, for a controller's `indexes`."""


def pods_near(cache: Cache, namespace: str, selector: Selector) -> Sequence[Obj]:
    """Pods of a namespace among which are all that `selector` matches. The cache must have the index
    POD_LABELS."""
    if selector.nothing:
        return ()
    found = [
        cache.indexed(Pod, LABELS, _place(namespace, key, value))
        for key, value in selector.equalities().items()
    ]
    return min(found, key=len) if found else cache.list(Pod, namespace)


def selected_pods(cache: Cache, namespace: str, selector: Selector) -> Sequence[Obj]:
    """The pods of a namespace that `selector` matches. The cache must have the index POD_LABELS."""
    return [pod for pod in pods_near(cache, namespace, selector) if selector.matches(labels_of(pod))]
