"""Which Services are due where a pod has changed: at once, or later where they have many pods.

Shared by the EndpointSlice and the Endpoints controller.
"""

from collections.abc import Callable, Iterator

from minikube_py.client.base import Change
from minikube_py.controllers import endpointports as points
from minikube_py.controllers.base import Controller
from minikube_py.kinds.core.service import Service
from minikube_py.meta.objects import Key, dig, key_of, namespace_of


def due_services(controller: Controller, change: Change, size_of: Callable[[Key], int]) -> Iterator[Key]:
    """The Services whose endpoints a pod's change may change; those with many pods, as `size_of` tells, are
    added to the controller's queue for later instead."""
    services = controller.cache.list(Service, namespace_of(change.object))
    if not any(dig(service, "spec.selector") for service in services) or change.keeps(points.matters):
        return
    for service in points.services_of(services, change.object, change.old):
        key = key_of(service)
        if wait := points.pause(size_of(key)):
            controller.queue.add_after(key, wait)
        else:
            yield key
