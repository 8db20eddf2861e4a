"""Builders of pods and nodes for scheduling tests: `pod("web", cpu="500m")`, `node("n1", labels={...})`."""

from collections.abc import Iterable, Sequence
from typing import Any

from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, key_of
from minikube_py.scheduler.podinfo import PodInfo, PodReader
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot


def pod(name: str, *, cpu: str = "", memory: str = "", port: int = 0, **spec: Any) -> Obj:
    requests = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v}
    container: Obj = {"name": "c", "image": "i", "resources": {"requests": requests}}
    if port:
        container["ports"] = [{"containerPort": port, "hostPort": port}]
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], **spec}}


def node(
    name: str, *, cpu: str = "2", memory: str = "4Gi", pods: int = 110, taints: Any = (), **rest: Any
) -> Obj:
    allocatable = {"cpu": cpu, "memory": memory, "pods": str(pods)}
    labels = {"kubernetes.io/hostname": name, **rest.pop("labels", {})}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": list(taints), **rest},
        "status": {"allocatable": allocatable},
    }


def pod_info(*args: Any, **kwargs: Any) -> PodInfo:
    return PodInfo.of(pod(*args, **kwargs))


def node_info(*args: Any, **kwargs: Any) -> NodeInfo:
    return NodeInfo(node(*args, **kwargs))


def labelled(name: str, labels: dict[str, str], *, namespace: str = "default", **rest: Any) -> Obj:
    """A pod with labels, in a namespace."""
    made = pod(name, **rest)
    made["metadata"].update(labels=labels, namespace=namespace)
    return made


def pod_term(key: str, *, term: Obj | None = None, **labels: str) -> Obj:
    """An affinity term about pods with these labels."""
    return {"topologyKey": key, "labelSelector": {"matchLabels": labels}, **(term or {})}


def affinity(kind: str, *terms: Obj) -> Obj:
    """spec.affinity with required terms; `kind` is podAffinity or podAntiAffinity."""
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


class KnownObjects:
    """Objects of a snapshot: those that it is made with."""

    def __init__(self, *objects: Obj) -> None:
        self._objects = {(o["kind"], key_of(o)): o for o in objects}

    def get(self, kind: Kind, key: Key) -> Obj | None:
        return self._objects.get((kind.kind, key))

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Obj]:
        found = ((k, key, o) for (k, key), o in self._objects.items())
        return [o for k, key, o in found if k == kind.kind and namespace in ("", key.namespace)]


def cluster(nodes: Iterable[Obj], placed: Iterable[tuple[Obj, str]] = (), *objects: Obj) -> Snapshot:
    """A snapshot of nodes with pods on them."""
    snapshot = Snapshot(KnownObjects(*objects))
    reader = PodReader()
    for one in nodes:
        snapshot.put_node(one)
    for made, name in placed:
        snapshot.put_pod(reader.read(made), name)
    return snapshot
