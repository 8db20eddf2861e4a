"""What a write costs in meta: decoding, managedFields, patches, each beside an orjson copy of the same Pod.

Run: python benchmarks/meta.py. Prints the best time of many runs and its ratio to the copy.
"""

import time
from collections.abc import Callable
from typing import Any

import orjson

from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, copy
from minikube_py.meta.patch.apply import Manager, apply, track
from minikube_py.meta.patch.json import apply_json_patch
from minikube_py.meta.patch.merge import apply_merge_patch
from minikube_py.meta.patch.strategic import apply_strategic_patch
from minikube_py.meta.schema import type_of
from minikube_py.meta.selectors import parse_labels
from minikube_py.meta.validation import decode, duplicate_fields

NOW = "2026-01-01T00:00:00Z"


def container(name: str) -> Obj:
    probe = {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1}
    return {
        "name": name,
        "image": "registry.example/web:1.2.3",
        "args": ["httpd", "-f"],
        "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}],
        "env": [{"name": f"VARIABLE_{number}", "value": "value"} for number in range(6)],
        "resources": {
            "limits": {"cpu": "500m", "memory": "128Mi"},
            "requests": {"cpu": "100m", "memory": "64Mi"},
        },
        "volumeMounts": [
            {"name": "page", "mountPath": "/www"},
            {"name": "token", "mountPath": "/var/run/secrets"},
        ],
        "livenessProbe": probe,
        "readinessProbe": probe,
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }


def pod() -> Obj:
    """A Pod of 4 KB, as it is while it runs."""
    conditions = [
        {"type": one, "status": "True", "lastTransitionTime": NOW}
        for one in ("Initialized", "Ready", "PodScheduled")
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-7d9f8b6c5d-abcde",
            "namespace": "default",
            "labels": {"app": "web", "pod-template-hash": "7d9f8b6c5d"},
            "annotations": {"example.com/note": "x" * 400},
        },
        "spec": {
            "containers": [container("web"), container("side")],
            "volumes": [{"name": "page", "configMap": {"name": "page"}}, {"name": "token", "emptyDir": {}}],
            "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]
            * 2,
            "nodeName": "minikube-py",
            "restartPolicy": "Always",
            "serviceAccountName": "default",
        },
        "status": {
            "phase": "Running",
            "podIP": "10.244.0.2",
            "podIPs": [{"ip": "10.244.0.2"}],
            "conditions": conditions,
            "containerStatuses": [
                {
                    "name": name,
                    "ready": True,
                    "restartCount": 0,
                    "image": "web",
                    "imageID": "sha256:" + "0" * 64,
                }
                for name in ("web", "side")
            ],
        },
    }


def best(work: Callable[[], Any], runs: int = 1000) -> float:
    """The shortest time of one run, in microseconds."""
    shortest = 1e9
    for _ in range(runs):
        start = time.perf_counter()
        work()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest * 1e6


def cases() -> dict[str, Callable[[], Any]]:
    """What is measured, by name."""
    obj, type = pod(), type_of(Pod)
    raw = orjson.dumps(obj)
    creator, kubelet = Manager("creator", "Update", "v1"), Manager("kubelet", "Update", "v1", "status")
    obj["metadata"]["managedFields"] = track(type, None, obj, creator, NOW, ("status",))
    ready = copy(obj)
    ready["metadata"]["managedFields"] = track(type, {**obj, "status": {}}, obj, kubelet, NOW, ("spec",))
    changed = copy(ready)
    changed["status"]["conditions"][1]["status"] = "False"
    config = {key: value for key, value in pod().items() if key != "status"}
    applied = apply(type, None, config, Manager("me", "Apply", "v1"), NOW)
    odd = copy(obj)
    odd["metadata"]["creationTimestamp"] = None
    selector, labels = parse_labels("app=web,tier in (a,b),!canary"), {"app": "web", "tier": "a"}
    image = {"spec": {"containers": [{"name": "web", "image": "x"}]}}
    operations = [{"op": "replace", "path": "/spec/containers/0/image", "value": "x"}] * 7
    return {
        "orjson copy": lambda: copy(obj),
        "decode, canonical": lambda: decode(Pod, obj),
        "decode, with a null": lambda: decode(Pod, odd),
        "duplicate keys": lambda: duplicate_fields(raw),
        "managedFields of a create": lambda: track(type, None, obj, creator, NOW, ("status",)),
        "managedFields of a status update": lambda: track(type, ready, changed, kubelet, NOW, ("spec",)),
        "managedFields without change": lambda: track(type, ready, ready, kubelet, NOW, ("spec",)),
        "server-side apply again": lambda: apply(type, applied, config, Manager("me", "Apply", "v1"), NOW),
        "strategic patch of an image": lambda: apply_strategic_patch(obj, image, type),
        "merge patch of a label": lambda: apply_merge_patch(obj, {"metadata": {"labels": {"a": "b"}}}),
        "JSON patch, 7 operations": lambda: apply_json_patch(obj, operations),
        "selector match": lambda: selector.matches(labels),
    }


def main() -> None:
    found = cases()
    limit = best(found["orjson copy"])
    print(f"Pod of {len(orjson.dumps(pod()))} bytes")
    for name, work in found.items():
        spent = best(work)
        print(f"{name:<36}{spent:>9.1f} µs{spent / limit:>8.1f} x copy")


if __name__ == "__main__":
    main()
