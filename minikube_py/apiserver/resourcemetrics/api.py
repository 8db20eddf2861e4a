"""ResourceMetrics: answers reads of NodeMetrics and PodMetrics, in the shapes and words of metrics-server.

A pod is told of once each of its running containers has been measured; one that has not is left out of lists
and is not found by name.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from aiohttp import web

from minikube_py.apiserver import query
from minikube_py.apiserver.call import Call
from minikube_py.apiserver.handlers import Resources, not_allowed, not_served
from minikube_py.apiserver.request import Query, RequestInfo
from minikube_py.apiserver.resourcemetrics.kinds import API_VERSION, GROUP, NODE_METRICS, POD_METRICS, VERSION
from minikube_py.apiserver.resourcemetrics.sampler import Sampler
from minikube_py.apiserver.resourcemetrics.samples import NODE, Pair, Usage, go_seconds
from minikube_py.errors import NotFound
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, dig, labels_of, name_of, namespace_of, timestamp
from minikube_py.meta.quantity import BINARY, format_quantity
from minikube_py.registry.base import Listing, ListOptions
from minikube_py.registry.entries import imagined
from minikube_py.registry.resource import Registry

Pairs = Mapping[str, Pair]


def is_ours(info: RequestInfo) -> bool:
    """Whether a request is for metrics.k8s.io/v1beta1."""
    return (info.group, info.version) == (GROUP, VERSION)


class ResourceMetrics:
    """Serves the two kinds. The sampler is not asked before somebody asks here."""

    def __init__(self, registry: Registry, resources: Resources, sampler: Sampler) -> None:
        self._registry, self._resources, self._sampler = registry, resources, sampler

    async def answer(self, call: Call) -> web.StreamResponse:
        """The response to a get or list. Errors: NotFound, MethodNotAllowed, BadRequest."""
        info = call.info
        kind = _kind(info)
        found = await self.objects(info, call.query)
        entries = [imagined(kind.storage_key(namespace_of(o), name_of(o)), o) for o in found]
        if info.verb == "get":
            return self._resources.show(call, kind, entries[0])
        return await self._resources.show_all(call, kind, Listing(entries, 0))

    async def document(self, info: RequestInfo, asked: Query) -> Obj:
        """What a get or list finds, as one object. Errors: as `answer`."""
        kind = _kind(info)
        found = await self.objects(info, asked)
        if info.verb == "get":
            return found[0]
        return {"kind": kind.list_kind, "apiVersion": API_VERSION, "metadata": {}, "items": found}

    async def objects(self, info: RequestInfo, asked: Query) -> list[Obj]:
        """The object of a get, or all that a list selects. Errors: NotFound, BadRequest."""
        kind, given = _kind(info), query.list_options(asked)
        stored = Node if kind is NODE_METRICS else Pod
        if info.verb == "get":
            known = [self._registry.get(stored, info.namespace, info.name)]
        else:
            selected = ListOptions(labels=given.labels, fields=given.fields)
            known = list(self._registry.list(stored, info.namespace, selected).entries)
        pairs = await self._sampler.current()
        make = node_metrics if kind is NODE_METRICS else pod_metrics
        objects = [self._registry.decoded(entry) for entry in known]
        if any(make(obj, pairs) is None and _is_measurable(obj) for obj in objects):
            pairs = await self._sampler.refreshed()
        found = [made for obj in objects if (made := make(obj, pairs)) is not None]
        if info.verb == "get" and not found:
            place = f"{info.namespace}/{info.name}" if info.namespace else info.name
            singular = kind.singular
            details = {"name": place, "group": GROUP, "kind": singular}
            raise NotFound(f'{singular}.{GROUP} "{place}" not found', details=details)
        return found


def _kind(info: RequestInfo) -> Kind:
    kind = {"nodes": NODE_METRICS, "pods": POD_METRICS}.get(info.resource)
    if kind is None or info.subresource or (info.namespace and not kind.namespaced):
        raise not_served()
    if info.verb not in kind.verbs or (kind.namespaced and info.name and not info.namespace):
        raise not_allowed()
    return kind


def node_metrics(node: Obj, pairs: Pairs) -> Obj | None:
    """The NodeMetrics of a node; None where nothing is known of it."""
    pair = pairs.get(name_of(node))
    used = pair.of(NODE) if pair is not None else None
    if used is None:
        return None
    return {**_head(NODE_METRICS, node, used), "usage": _amounts(used)}


def pod_metrics(pod: Obj, pairs: Pairs) -> Obj | None:
    """The PodMetrics of a pod; None where not all of its running containers are known."""
    pair = pairs.get(dig(pod, "spec.nodeName") or "")
    if pair is None or dig(pod, "status.phase") != "Running":
        return None
    found = {name: pair.of((namespace_of(pod), name_of(pod), name)) for name in _running(pod)}
    known = {name: used for name, used in found.items() if used is not None}
    if not known or len(known) != len(found):
        return None
    earliest = min(known.values(), key=lambda used: used.at)
    containers = [{"name": name, "usage": _amounts(used)} for name, used in known.items()]
    return {**_head(POD_METRICS, pod, earliest), "containers": containers}


def _is_measurable(obj: Obj) -> bool:
    """Whether a node, or what runs in a pod, can be measured."""
    return dig(obj, "status.phase") in (None, "Running")


def _running(pod: Obj) -> Iterator[str]:
    for field in ("containerStatuses", "initContainerStatuses"):
        for entry in dig(pod, f"status.{field}", []):
            if "running" in entry.get("state", {}):
                yield entry["name"]


def _head(kind: Kind, of: Obj, used: Usage) -> Obj:
    at = timestamp(datetime.fromtimestamp(used.at, UTC))
    metadata: Obj = {"name": name_of(of), "creationTimestamp": at}
    if kind.namespaced:
        metadata["namespace"] = namespace_of(of)
    if labels := labels_of(of):
        metadata |= {"labels": labels}
    head = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    return {**head, "timestamp": at, "window": go_seconds(used.window)}


def _amounts(used: Usage) -> dict[str, str]:
    return {"cpu": f"{used.cpu}n" if used.cpu else "0", "memory": format_quantity(used.memory, BINARY)}
