"""Writes of the metadata alone: the rest is shared with the stored object, and needs no defaults again."""

from dataclasses import replace
from typing import Any

import pytest
from registry_objects import CONTEXT, Create

from minikube_py import collect
from minikube_py.kinds.apps.daemonset import DaemonSet
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.apps.statefulset import StatefulSet
from minikube_py.kinds.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from minikube_py.kinds.batch.cronjob import CronJob
from minikube_py.kinds.batch.job import Job
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.replicationcontroller import ReplicationController
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import EndpointSlice
from minikube_py.kinds.networking.ingress import Ingress
from minikube_py.kinds.networking.networkpolicy import NetworkPolicy
from minikube_py.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, copy
from minikube_py.registry.base import Attributes, Patch
from minikube_py.registry.patching import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from minikube_py.registry.pipeline import AdmitAll, same_parts
from minikube_py.registry.resource import Registry

CONTAINERS = {"containers": [{"name": "main", "image": "app:1", "ports": [{"containerPort": 80}]}]}
LABELS = {"app": "web"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": CONTAINERS}
WORKLOAD = {"spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}}
ONCE = {"metadata": {"labels": LABELS}, "spec": {**CONTAINERS, "restartPolicy": "Never"}}
BODIES: dict[Kind, Obj] = {
    Pod: {"spec": {**CONTAINERS, "volumes": [{"name": "v", "configMap": {"name": "c"}}], "hostNetwork": True}},
    Deployment: WORKLOAD,
    ReplicaSet: WORKLOAD,
    DaemonSet: WORKLOAD,
    StatefulSet: {"spec": {**WORKLOAD["spec"], "serviceName": "web"}},
    ReplicationController: {"spec": {"selector": LABELS, "template": TEMPLATE}},
    Job: {"spec": {"template": ONCE}},
    CronJob: {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": ONCE}}}},
    Service: {"spec": {"type": "NodePort", "selector": LABELS, "ports": [{"port": 80}]}},
    ConfigMap: {"data": {"a": "1"}, "binaryData": {"b": "AA=="}},
    Secret: {"data": {"a": "AA=="}},
    Node: {"spec": {"podCIDR": "10.244.0.0/24"}},
    Namespace: {},
    PersistentVolume: {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/d"}}
    },
    PersistentVolumeClaim: {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    HorizontalPodAutoscaler: {
        "spec": {
            "maxReplicas": 2,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        }
    },
    EndpointSlice: {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]},
    Ingress: {"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}},
    NetworkPolicy: {"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}},
    PodDisruptionBudget: {"spec": {"minAvailable": 1, "selector": {"matchLabels": LABELS}}},
}
PATCHES = {
    MERGE_PATCH: {"metadata": {"labels": {"new": "1"}}},
    STRATEGIC_PATCH: {"metadata": {"labels": {"new": "1"}}},
    JSON_PATCH: [{"op": "add", "path": "/metadata/labels", "value": {"new": "1", **LABELS}}],
}


def bare(obj: Obj) -> Obj:
    """An object without what each write sets anew."""
    return {**obj, "metadata": {**obj["metadata"], "managedFields": None, "resourceVersion": None}}


@pytest.mark.parametrize("type", PATCHES)
@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.kind)
async def test_a_patch_of_labels_is_an_update_with_labels(
    registry: Registry, create: Create, kind: Kind, type: str
) -> None:
    """A patch of the metadata stores what a whole update with the same labels stores; what was stored before
    stays as it was (the fixture looks)."""
    stored = await create(kind, "one", BODIES[kind], labels=dict(LABELS))
    namespace = "default" if kind.namespaced else ""
    entry, _ = await registry.patch(kind, namespace, "one", Patch(type, PATCHES[type]), CONTEXT)
    updated = copy(stored)
    updated["metadata"]["labels"]["new"] = "1"
    updated["metadata"]["resourceVersion"] = str(entry.revision)
    context = replace(CONTEXT, dry_run=True)
    by_update, _ = await registry.update(kind, namespace, "one", updated, context)
    assert bare(registry.decoded(entry)) == bare(registry.decoded(by_update))
    assert same_parts(registry.decoded(entry), stored)


async def test_what_a_patch_leaves_is_kept_once(registry: Registry, create: Create) -> None:
    """The parts that a patch leaves are the stored ones in memory too."""
    stored = await create(Pod, "one", BODIES[Pod])
    entry, _ = await registry.patch(Pod, "default", "one", Patch(MERGE_PATCH, PATCHES[MERGE_PATCH]), CONTEXT)
    patched = registry.decoded(entry)
    assert patched["spec"] is stored["spec"]
    assert patched["metadata"]["labels"] == {"new": "1"}


class Sidecar(AdmitAll):
    """Admission that adds a container, or a label alone."""

    def __init__(self, part: str) -> None:
        self.part = part

    async def mutate(self, request: Attributes) -> None:
        if request.object is not None and self.part == "spec":
            spec = request.object["spec"]
            inner = spec["template"]["spec"]
            containers = [*inner["containers"], {"name": "side", "image": "side:1"}]
            spec["template"] = {**spec["template"], "spec": {**inner, "containers": containers}}
        elif request.object is not None:
            request.object["metadata"].setdefault("labels", {})["by"] = "admission"


@pytest.mark.parametrize(("part", "expected"), [("spec", ["main", "side"]), ("labels", ["main"])])
async def test_what_admission_adds_gets_defaults(
    registry: Registry, create: Create, part: str, expected: list[str]
) -> None:
    """Defaults are filled in where admission changes the spec of a write that left it alone, in a copy."""
    before = await create(Deployment, "one", WORKLOAD)
    registry.admission = Sidecar(part)
    patch = Patch(MERGE_PATCH, {"metadata": {"annotations": {"a": "1"}}})
    entry, _ = await registry.patch(Deployment, "default", "one", patch, CONTEXT)
    after = registry.decoded(entry)
    containers = after["spec"]["template"]["spec"]["containers"]
    assert expected == [container["name"] for container in containers]
    assert {"IfNotPresent"} == {container["imagePullPolicy"] for container in containers}
    assert (part == "spec") == (after["metadata"]["generation"] > before["metadata"]["generation"])


class Watched(dict[str, Any]):
    """An object that notes which of its parts are looked at."""

    def __init__(self, obj: Obj) -> None:
        super().__init__(obj)
        self.seen: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.seen.add(key)
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.seen.add(key)
        super().__setitem__(key, value)

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add(key)
        return super().get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        self.seen.add(key)
        return super().setdefault(key, default)


KINDS = [kind for kind in collect.values("minikube_py.kinds", Kind) if kind.has_defaults]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.resource}-{kind.version}")
def test_defaults_of_parts_need_no_metadata(kind: Kind) -> None:
    """A kind tells it where its defaults look at the metadata or the status."""
    watched = Watched(copy({"metadata": {"name": "one"}, "spec": {}, "status": {}, **BODIES.get(kind, {})}))
    kind.default(watched)
    assert kind.default_of_whole == bool(watched.seen & {"metadata", "status"})
