"""Pods with claims: where they may go, in upstream's words, by tables."""

from typing import Any

import pytest
from builders import cluster, node, pod

from minikube_py.meta.objects import Key, Obj
from minikube_py.scheduler.configuration import Profile, plugins_of
from minikube_py.scheduler.cycle import Cycle, Unschedulable
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.volumes import PodClaims, VolumePlan, plan_volumes, read_claims

ZONE = "topology.kubernetes.io/zone"


def using(*claims: str, name: str = "p") -> Obj:
    """A pod with claims."""
    volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
    return pod(name, volumes=volumes)


def claim(name: str, volume: str = "", cls: str = "now", modes: Any = ("ReadWriteOnce",), **meta: Any) -> Obj:
    annotations = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    annotations |= meta.pop("annotations", {})
    spec: Obj = {"accessModes": list(modes), "storageClassName": cls}
    spec["resources"] = {"requests": {"storage": "1Gi"}}
    metadata = {"name": name, "namespace": "default", "uid": f"c-{name}", "annotations": annotations, **meta}
    bound = {"volumeName": volume} if volume else {}
    return {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec | bound}


def volume(name: str, cls: str = "later", on: str = "", size: str = "1Gi", **rest: Any) -> Obj:
    spec: Obj = {"accessModes": ["ReadWriteOnce"], "storageClassName": cls, "capacity": {"storage": size}}
    if on:
        term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [on]}]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    metadata = {"name": name, "uid": f"v-{name}", "labels": rest.pop("labels", {})}
    return {
        "kind": "PersistentVolume",
        "metadata": metadata,
        "spec": spec | rest,
        "status": {"phase": "Available"},
    }


def storage_class(
    name: str, provisioner: str = "kubernetes.io/no-provisioner", mode: str = "", **rest: Any
) -> Obj:
    binding = mode or ("WaitForFirstConsumer" if name != "now" else "Immediate")
    return {
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": binding,
        **rest,
    }


NOW, LATER = storage_class("now"), storage_class("later")
MADE = storage_class("made", "example.com/disk")
TRACKED = {
    "kind": "CSIDriver",
    "metadata": {"name": "example.com/disk"},
    "spec": {"storageCapacity": True},
}


def capacity(size: str) -> Obj:
    topology = {"matchLabels": {"kubernetes.io/hostname": "n1"}}
    meta = {"name": "c", "namespace": "default"}
    base = {"kind": "CSIStorageCapacity", "metadata": meta, "storageClassName": "made"}
    return {**base, "capacity": size, "nodeTopology": topology}


def limit(name: str) -> Obj:
    drivers = [{"name": "d", "allocatable": {"count": 1}}]
    return {"kind": "CSINode", "metadata": {"name": name}, "spec": {"drivers": drivers}}


CSI: Any = {"csi": {"driver": "d", "volumeHandle": "h1"}}
OTHER_CSI: Any = {"csi": {"driver": "d", "volumeHandle": "h2"}}
BIND, UNBOUND = "node(s) didn't find available persistent volumes to bind", "pod has unbound immediate"


@pytest.mark.parametrize(
    ("incoming", "placed", "objects", "expected"),
    [
        (using("x"), [], [], 'persistentvolumeclaim "x" not found'),
        (using("x"), [], [claim("x"), NOW], f"{UNBOUND} PersistentVolumeClaims"),
        (
            using("x"),
            [],
            [claim("x", deletionTimestamp="2026-01-01T00:00:00Z"), NOW],
            'persistentvolumeclaim "x" is being deleted',
        ),
        (
            pod("p", volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}]),
            [],
            [],
            'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-v"',
        ),
        (
            using("x"),
            [],
            [claim("x", "gone")],
            "2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
        ),
        (using("x"), [], [claim("x", "v"), volume("v", on="n2")], ""),
        (
            using("x"),
            [],
            [claim("x", "v"), volume("v", on="n9")],
            "2 node(s) didn't match PersistentVolume's node affinity",
        ),
        (using("x"), [], [claim("x", cls="later"), LATER], f"2 {BIND}"),
        (using("x"), [], [claim("x", cls="later"), LATER, volume("v", on="n2")], ""),
        (using("x", "y"), [], [*(claim(n, cls="later") for n in "xy"), LATER, volume("v")], f"2 {BIND}"),
        (using("x"), [], [claim("x", cls="made"), MADE], ""),
        (
            using("x"),
            [],
            [
                claim("x", cls="made"),
                {
                    **MADE,
                    "allowedTopologies": [{"matchLabelExpressions": [{"key": ZONE, "values": ["z"]}]}],
                },
            ],
            f"2 {BIND}",
        ),
        (
            using("x"),
            [],
            [claim("x", cls="made"), MADE, TRACKED, capacity("1Mi")],
            "2 node(s) did not have enough free storage",
        ),
        (using("x"), [], [claim("x", cls="made"), MADE, TRACKED, capacity("5Gi")], ""),
        (
            using("x"),
            [(using("x", name="o"), "n1")],
            [claim("x", "v", modes=["ReadWriteOncePod"]), volume("v")],
            "2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
        ),
        (
            using("x"),
            [(using("y", name="o"), "n1"), (using("y", name="q"), "n2")],
            [
                claim("x", "v"),
                claim("y", "w"),
                volume("v", **CSI),
                volume("w", **OTHER_CSI),
                limit("n1"),
                limit("n2"),
            ],
            "2 node(s) exceed max volume count",
        ),
        (
            using("x"),
            [(using("y", name="o"), "n1"), (using("y", name="q"), "n2")],
            [
                claim("x", "v"),
                claim("y", "w"),
                volume("v", **CSI),
                volume("w", **CSI),
                limit("n1"),
                limit("n2"),
            ],
            "",
        ),
        (
            using("x"),
            [],
            [claim("x", "v"), volume("v", labels={ZONE: "elsewhere__there"})],
            "2 node(s) had no available volume zone",
        ),
        (using("x"), [], [claim("x", "v"), volume("v", labels={ZONE: "elsewhere__here"})], ""),
    ],
)
def test_pods_with_claims(incoming: Obj, placed: Any, objects: list[Obj], expected: str) -> None:
    """Two nodes say why they do not take the pod; an empty reason: one does."""
    nodes = [node(name, labels={ZONE: "here"}) for name in ("n1", "n2")]
    decision = Cycle(plugins_of(Profile())).decide(PodInfo.of(incoming), cluster(nodes, placed, *objects))
    told = f"0/2 nodes are available: {expected}." if expected else ""
    assert told == (decision.message if isinstance(decision, Unschedulable) else "")


def test_smallest_claims_choose_first_and_reserved_volumes_stay() -> None:
    """Each claim gets the least volume that holds it, but none that is being bound for another."""
    small, large = claim("s", cls="later"), claim("l", cls="later")
    large["spec"]["resources"]["requests"]["storage"] = "5Gi"
    snapshot = cluster(
        [node("n1")], [], small, large, LATER, volume("v1", size="2Gi"), volume("v5", size="5Gi")
    )
    info = PodInfo.of(using("l", "s"))
    claims = read_claims(info, snapshot.objects)
    assert isinstance(claims, PodClaims)
    plan = plan_volumes(claims, snapshot.nodes[0], snapshot.objects, {})
    assert isinstance(plan, VolumePlan)
    assert [(v["metadata"]["name"], c["metadata"]["name"]) for v, c in plan.matched] == [
        ("v1", "s"),
        ("v5", "l"),
    ]
    taken = {"v1": Key("default", "other")}
    refused = plan_volumes(claims, snapshot.nodes[0], snapshot.objects, taken)
    assert not isinstance(refused, VolumePlan)
    assert refused.reasons == (BIND,)
