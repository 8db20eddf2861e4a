"""Builders of pods and nodes for scheduling tests: `pod("web", cpu="500m")`, `node("n1", labels={...})`."""

from typing import Any

from minikube_py.meta.objects import Obj
from minikube_py.scheduler.snapshot import NodeInfo, PodInfo


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
