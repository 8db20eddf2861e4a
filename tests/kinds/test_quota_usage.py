"""What objects use of quotas, and what quotas are about."""

from datetime import UTC, datetime
from typing import Any

import pytest

from minikube_py.kinds.quota.bounds import bounds_of, measure
from minikube_py.kinds.quota.evaluators import evaluator_of
from minikube_py.kinds.quota.names import measured_by
from minikube_py.meta.amounts import above, largest, minus, plus, same, shown
from minikube_py.meta.objects import Obj

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def container(name: str = "c", **resources: Any) -> Obj:
    return {"name": name, "resources": resources}


def pod(*containers: Obj, status: Obj | None = None, metadata: Obj | None = None, **spec: Any) -> Obj:
    return {
        "metadata": metadata or {},
        "spec": {"containers": list(containers), **spec},
        "status": status or {},
    }


SMALL = container(requests={"cpu": "100m", "memory": "1Gi"}, limits={"cpu": "200m"})


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("pods", "pods"),
        ("count/pods", "pods"),
        ("cpu", "pods"),
        ("limits.memory", "pods"),
        ("requests.ephemeral-storage", "pods"),
        ("hugepages-2Mi", "pods"),
        ("requests.hugepages-2Mi", "pods"),
        ("requests.example.com/gpu", "pods"),
        ("example.com/gpu", ""),
        ("requests.storage", "persistentvolumeclaims"),
        ("gold.storageclass.storage.k8s.io/requests.storage", "persistentvolumeclaims"),
        ("gold.storageclass.storage.k8s.io/persistentvolumeclaims", "persistentvolumeclaims"),
        ("services.nodeports", "services"),
        ("secrets", "secrets"),
        ("count/deployments.apps", "deployments.apps"),
        ("nonsense", ""),
    ],
)
def test_what_a_name_measures(name: str, resource: str) -> None:
    """Each quota name measures the objects of one resource."""
    assert measured_by(name) == resource


@pytest.mark.parametrize(
    ("resource", "obj", "expected"),
    [
        (
            "pods",
            pod(SMALL, SMALL, overhead={"cpu": "1", "memory": "1Mi"}),
            "count/pods=1,cpu=1200m,limits.cpu=1400m,memory=2049Mi,pods=1,requests.cpu=1200m,"
            "requests.memory=2049Mi",
        ),
        (
            "pods",
            pod(
                SMALL,
                initContainers=[
                    container("side", requests={"cpu": "1"}) | {"restartPolicy": "Always"},
                    container("big", requests={"cpu": "3", "memory": "1Mi"}),
                ],
            ),
            "count/pods=1,cpu=4,limits.cpu=200m,memory=1Gi,pods=1,requests.cpu=4,requests.memory=1Gi",
        ),
        (
            "pods",
            pod(container(requests={"example.com/gpu": "2", "hugepages-2Mi": "4Mi", "ephemeral-storage": "1"})),
            "count/pods=1,ephemeral-storage=1,hugepages-2Mi=4Mi,pods=1,requests.ephemeral-storage=1,"
            "requests.example.com/gpu=2,requests.hugepages-2Mi=4Mi",
        ),
        ("pods", pod(SMALL, status={"phase": "Failed"}), "count/pods=1"),
        (
            "pods",
            pod(metadata={"deletionTimestamp": "2025-12-31T23:59:00Z", "deletionGracePeriodSeconds": 30}),
            "count/pods=1",
        ),
        (
            "pods",
            pod(metadata={"deletionTimestamp": "2025-12-31T23:59:50Z", "deletionGracePeriodSeconds": 30}),
            "count/pods=1,pods=1",
        ),
        (
            "services",
            {"spec": {"type": "NodePort", "ports": [{}, {}]}},
            "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2",
        ),
        (
            "services",
            {
                "spec": {
                    "type": "LoadBalancer",
                    "allocateLoadBalancerNodePorts": False,
                    "ports": [{"nodePort": 30000}, {}],
                }
            },
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1",
        ),
        (
            "persistentvolumeclaims",
            {
                "spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}},
                "status": {"allocatedResources": {"storage": "2Gi"}},
            },
            "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,"
            "gold.storageclass.storage.k8s.io/requests.storage=2Gi,persistentvolumeclaims=1,requests.storage=2Gi",
        ),
        (
            "persistentvolumeclaims",
            {"spec": {"resources": {"requests": {"storage": "1500m"}}}},
            "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=2",
        ),
        ("secrets", {}, "count/secrets=1,secrets=1"),
        ("deployments.apps", {}, "count/deployments.apps=1"),
    ],
)
def test_usage(resource: str, obj: Obj, expected: str) -> None:
    """What one object uses."""
    assert shown(evaluator_of(resource).usage(obj, NOW)) == expected


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["pods", "limits.cpu"], ""),
        (
            ["limits.memory", "requests.cpu", "requests.memory"],
            "must specify limits.memory for: a,b,i; requests.cpu for: b,i; requests.memory for: b,i",
        ),
        (["requests.ephemeral-storage"], ""),
    ],
)
def test_demands(names: list[str], found: str) -> None:
    """A quota of CPU or memory makes each container say how much."""
    limited = {"limits": {"cpu": "1"}}
    judged = pod(
        container("a", requests={"cpu": "1", "memory": "1"}, **limited),
        container("b", **limited),
        initContainers=[container("i", **limited)],
    )
    assert evaluator_of("pods").demands(names, judged) == found


CROSS: Obj = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["x"]}]}}
OWN: Obj = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {}}]}}


@pytest.mark.parametrize(
    ("scope", "spec", "expected"),
    [
        ({"scopeName": "Terminating"}, {"activeDeadlineSeconds": 0}, True),
        ({"scopeName": "Terminating"}, {}, False),
        ({"scopeName": "NotTerminating"}, {}, True),
        ({"scopeName": "BestEffort"}, {}, True),
        ({"scopeName": "NotBestEffort"}, {}, False),
        ({"scopeName": "PriorityClass", "operator": "Exists"}, {"priorityClassName": "a"}, True),
        ({"scopeName": "PriorityClass", "operator": "Exists"}, {}, False),
        ({"scopeName": "PriorityClass", "operator": "DoesNotExist"}, {}, True),
        ({"scopeName": "PriorityClass", "operator": "In", "values": ["a"]}, {"priorityClassName": "a"}, True),
        ({"scopeName": "PriorityClass", "operator": "In", "values": ["a"]}, {}, False),
        ({"scopeName": "PriorityClass", "operator": "NotIn", "values": ["a"]}, {}, True),
        (
            {"scopeName": "PriorityClass", "operator": "NotIn", "values": ["a"]},
            {"priorityClassName": "a"},
            False,
        ),
        ({"scopeName": "CrossNamespacePodAffinity"}, {"affinity": CROSS}, True),
        ({"scopeName": "CrossNamespacePodAffinity"}, {"affinity": OWN}, False),
        ({"scopeName": "VolumeAttributesClass", "operator": "Exists"}, {}, False),
    ],
)
def test_scopes_of_pods(scope: Obj, spec: Obj, expected: bool) -> None:
    """Which pods are in a scope."""
    assert evaluator_of("pods").in_scope(scope, pod(container(), **spec)) is expected


@pytest.mark.parametrize(
    ("scope", "claim", "expected"),
    [
        ({"operator": "Exists"}, {"spec": {"volumeAttributesClassName": "a"}}, True),
        ({"operator": "Exists"}, {}, False),
        ({"operator": "In", "values": ["b"]}, {"status": {"currentVolumeAttributesClassName": "b"}}, True),
        (
            {"operator": "In", "values": ["b"]},
            {"status": {"modifyVolumeStatus": {"targetVolumeAttributesClassName": "c"}}},
            False,
        ),
    ],
)
def test_scopes_of_claims(scope: Obj, claim: Obj, expected: bool) -> None:
    """A claim is in the scope of each attributes class that it has or is to have."""
    judged = evaluator_of("persistentvolumeclaims").in_scope(
        {"scopeName": "VolumeAttributesClass", **scope}, claim
    )
    assert judged is expected


def test_measure() -> None:
    """The objects of a scope are added up; what is not used is zero, what is not counted left out."""
    hard = {"pods": "5", "requests.memory": "9Gi", "services": "1", "count/things.example.com": "1"}
    quota = {"metadata": {"name": "q"}, "spec": {"hard": hard, "scopes": ["NotBestEffort"]}}
    pods = [pod(SMALL), pod(SMALL), pod(container())]
    used = measure(bounds_of(quota), {"pods": pods, "services": [{"spec": {}}]}, NOW)
    assert used == {"pods": "2", "requests.memory": "2Gi", "services": "0"}


def test_amounts() -> None:
    """Sums, differences and comparisons keep the format and are exact."""
    assert plus({"a": "1500m", "b": "1Gi"}, {"a": "0.5", "c": 3}) == {"a": "2", "b": "1Gi", "c": "3"}
    assert minus({"a": "2", "b": "1"}, {"a": "500m", "b": "3"}) == {"a": "1500m", "b": "0"}
    assert largest({"a": "1"}, {"a": "900m", "b": "1"}) == {"a": "1", "b": "1"}
    assert above({"a": "2", "b": "1", "c": "9"}, {"a": "1", "b": "1"}) == ["a"]
    assert (same({"a": "1000m"}, {"a": "1"}), same({"a": "1"}, {})) == (True, False)
