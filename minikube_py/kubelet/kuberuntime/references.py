"""The ConfigMaps and Secrets that the containers of a pod take their environment from. Pure."""

from collections.abc import Iterator

from minikube_py.kubelet.volumes.base import ObjectRef
from minikube_py.meta.objects import Obj, containers_of, namespace_of


def environment_needs(pod: Obj) -> Iterator[ObjectRef]:
    """Every object that an env or envFrom of the pod names, some maybe twice."""
    for container in containers_of(pod["spec"]):
        sources = [entry["valueFrom"] for entry in container.get("env") or () if entry.get("valueFrom")]
        for source in [*(container.get("envFrom") or ()), *sources]:
            for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
                ref = source.get(f"{field}Ref") or source.get(f"{field}KeyRef")
                if ref:
                    yield ObjectRef(kind, namespace_of(pod), ref.get("name", ""))
