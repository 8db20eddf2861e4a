"""Local APIServices: every group version that this server serves itself is registered, following the catalogue.

Those of built-in groups are labelled `onstart` (an administrator may point them elsewhere), those of custom
resources `true`: they come and go with their definitions. The group apiregistration.k8s.io has none.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import Any, NamedTuple

from minikube_py.apiserver.aggregation.priorities import FIRST, is_built_in, priority_of
from minikube_py.apiserver.aggregation.services import AGGREGATOR, APIServices, GroupVersion
from minikube_py.errors import AlreadyExists, ApiError, NotFound
from minikube_py.kinds.apiregistration.apiservice import APIService
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, copy, labels_of, name_of
from minikube_py.registry.base import Context, DeleteOptions
from minikube_py.registry.resource import Registry

log = logging.getLogger(__name__)

AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"


class Changes(NamedTuple):
    """What the registry lacks: objects to create, and to correct; names to delete."""

    create: list[Obj]
    update: list[Obj]
    delete: list[str]


def wanted(kinds: Iterable[Kind]) -> dict[str, Obj]:
    """The local APIServices of the group versions of `kinds`, by name."""
    versions = dict.fromkeys((kind.group, kind.version) for kind in kinds)
    return {f"{version}.{group}": _local((group, version)) for group, version in versions if group != FIRST}


def _local(of: GroupVersion) -> Obj:
    group, version = of
    priority = priority_of(group, version)
    managed = "onstart" if is_built_in(group) else "true"
    spec: Obj = {
        "version": version,
        "groupPriorityMinimum": priority.group,
        "versionPriority": priority.version,
    }
    if group:
        spec["group"] = group
    return {
        "kind": APIService.kind,
        "apiVersion": APIService.api_version,
        "metadata": {"name": f"{version}.{group}", "labels": {AUTOMANAGED: managed}},
        "spec": spec,
    }


def plan(services: dict[str, Obj], desired: dict[str, Obj]) -> Changes:
    """What must change for `desired` to be registered among `services`."""
    changes = Changes([], [], [])
    for name, obj in desired.items():
        known = services.get(name)
        if known is None:
            changes.create.append(obj)
        elif labels_of(known).get(AUTOMANAGED) == "true" and known.get("spec") != obj["spec"]:
            changes.update.append({**copy(known), "spec": obj["spec"]})
    for name, known in services.items():
        if name not in desired and labels_of(known).get(AUTOMANAGED) in ("true", "onstart"):
            changes.delete.append(name)
    return changes


async def register(registry: Registry, services: APIServices, virtual: Iterable[Kind]) -> None:
    """Bring the local APIServices about. A change that fails is logged."""
    changes = plan(services.objects, wanted((*registry.catalogue.all(), *virtual)))
    context = Context(AGGREGATOR, field_manager="kube-apiserver")
    writes: list[Awaitable[Any]] = [
        registry.create(APIService, "", copy(obj), context) for obj in changes.create
    ]
    writes += [registry.update(APIService, "", name_of(obj), obj, context) for obj in changes.update]
    writes += [registry.delete(APIService, "", name, DeleteOptions(), context) for name in changes.delete]
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, ApiError) and not isinstance(outcome, AlreadyExists | NotFound):
            log.warning("a local APIService is not registered: %s", outcome)
        elif isinstance(outcome, BaseException) and not isinstance(outcome, ApiError):
            raise outcome
