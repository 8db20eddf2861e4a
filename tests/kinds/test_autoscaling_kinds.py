"""HorizontalPodAutoscaler in both versions: defaults, refusals, conversions, columns."""

import json
from typing import Any

import pytest
from kind_objects import created, meta, refusals, row

from minikube_py.kinds.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from minikube_py.kinds.autoscaling.horizontalpodautoscalerv1 import PREFIX, from_v2, to_v2
from minikube_py.meta.objects import Obj, copy

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}


def autoscaler(**spec: Any) -> Obj:
    return {"metadata": meta(), "spec": {"scaleTargetRef": TARGET, "maxReplicas": 3, **spec}}


def metric(type: str, **source: Any) -> Obj:
    return {"type": type, f"{type[0].lower()}{type[1:]}": source}


def target(**value: Any) -> Obj:
    return {"type": "AverageValue", **value}


def test_defaults() -> None:
    """One replica at least, and 80% of the CPU requests; behavior is filled in once there is one."""
    assert created(HorizontalPodAutoscaler, autoscaler())["spec"] == {
        "scaleTargetRef": TARGET,
        "maxReplicas": 3,
        "minReplicas": 1,
        "metrics": [CPU],
    }
    seen = autoscaler() | {"status": {}}
    HorizontalPodAutoscaler.default(seen)
    assert seen["status"] == {"desiredReplicas": 0, "currentMetrics": None}
    slow = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
    assert created(HorizontalPodAutoscaler, autoscaler(behavior=slow))["spec"]["behavior"] == {
        "scaleDown": {"stabilizationWindowSeconds": 60, "policies": [percent], "selectPolicy": "Max"},
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, percent],
            "selectPolicy": "Max",
        },
    }


PATH = "spec.metrics[0]"
SOURCES = 'supported values: "ContainerResource", "External", "Object", "Pods", "Resource"'


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"minReplicas": 0}, ["spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"]),
        (
            {"maxReplicas": 1, "minReplicas": 2},
            ["spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`"],
        ),
        (
            {"scaleTargetRef": {"apiVersion": "v1", "kind": "Pod", "name": "a/b"}},
            [
                "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'",
                'spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group',
            ],
        ),
        ({"scaleTargetRef": {"apiVersion": "v1", "kind": "ReplicationController", "name": "a"}}, []),
        (
            {"metrics": [{"type": "Nothing"}]},
            [
                f'{PATH}.type: Unsupported value: "Nothing": {SOURCES}',
                f"{PATH}.nothing: Required value: must populate information for the given metric source",
            ],
        ),
        (
            {"metrics": [metric("Resource", name="cpu", target={"type": "Utilization"})]},
            [
                f"{PATH}.resource.target.averageUtilization: Required value: "
                "must set either a target raw value or a target utilization"
            ],
        ),
        (
            {"metrics": [metric("Pods", metric={"name": "hits"}, target=target(averageValue="0"))]},
            [
                f'{PATH}.pods.target.averageValue: Invalid value: "0": must be positive',
                f"{PATH}.pods.target.averageValue: Required value: must specify a positive target averageValue",
            ],
        ),
        (
            {"metrics": [CPU | metric("External", metric={"name": "q"}, target=target(value="1"))]},
            [f"{PATH}.resource: Forbidden: must populate the given metric source only"],
        ),
        (
            {
                "behavior": {
                    "scaleUp": {"stabilizationWindowSeconds": 3601, "selectPolicy": "Any", "policies": []}
                }
            },
            [
                "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: "
                "must be less than or equal to 3600",
                'spec.behavior.scaleUp.selectPolicy: Unsupported value: "Any": '
                'supported values: "Disabled", "Max", "Min"',
                "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy",
            ],
        ),
        (
            {"behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1801}]}}},
            [
                "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
                "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801: "
                "must be less than or equal to 1800",
            ],
        ),
    ],
)
def test_refusals(spec: Obj, expected: list[str]) -> None:
    """Bounds, target, metrics and behavior are judged with upstream's words."""
    assert refusals(HorizontalPodAutoscaler, autoscaler(**spec)) == expected


SELECTOR = {"matchLabels": {"a": "b"}}
METRICS = [
    CPU,
    metric("Resource", name="memory", target=target(averageValue="1Gi")),
    metric(
        "ContainerResource",
        name="cpu",
        container="main",
        target={"type": "Utilization", "averageUtilization": 60},
    ),
    metric("Pods", metric={"name": "hits", "selector": SELECTOR}, target=target(averageValue="10")),
    metric("Object", describedObject=TARGET, metric={"name": "rps"}, target={"type": "Value", "value": "2k"}),
    metric("External", metric={"name": "queue", "selector": SELECTOR}, target={"type": "Value", "value": "30"}),
]
CURRENT = [
    metric("Resource", name="cpu", current={"averageUtilization": 40, "averageValue": "100m"}),
    metric("Pods", metric={"name": "hits"}, current={"averageValue": "7"}),
    metric("Object", describedObject=TARGET, metric={"name": "rps"}, current={"value": "1k"}),
    metric("External", metric={"name": "queue"}, current={"value": "3"}),
]


def test_v1_keeps_everything() -> None:
    """What v1 cannot say comes back unharmed: metrics, behavior, what was measured, conditions."""
    status = {"currentMetrics": CURRENT, "conditions": [{"type": "AbleToScale", "status": "True"}]}
    status |= {"currentReplicas": 2, "desiredReplicas": 3}
    new = autoscaler(metrics=METRICS, behavior={"scaleUp": {"selectPolicy": "Max"}}) | {"status": status}
    before = copy(new)
    old = from_v2(new)
    assert new == before
    assert to_v2(old) == new
    assert old["spec"] == {"scaleTargetRef": TARGET, "maxReplicas": 3, "targetCPUUtilizationPercentage": 80}
    assert old["status"] == {"currentCPUUtilizationPercentage": 40, "currentReplicas": 2, "desiredReplicas": 3}
    notes = {
        name.removeprefix(PREFIX): json.loads(text) for name, text in old["metadata"]["annotations"].items()
    }
    assert sorted(notes) == ["behavior", "conditions", "current-metrics", "metrics"]
    assert notes["metrics"][-1] == {
        "type": "External",
        "external": {"metricName": "queue", "metricSelector": SELECTOR, "targetValue": "30"},
    }


@pytest.mark.parametrize("text", ["", "{", "null", '"x"', "[1]"])
def test_unreadable_annotations_are_dropped(text: str) -> None:
    """An annotation that is no list of metrics says nothing; the CPU default takes its place."""
    old = autoscaler()
    old["metadata"]["annotations"] = {f"{PREFIX}metrics": text, "mine": "kept"}
    new = to_v2(old)
    assert new["spec"]["metrics"] == [CPU]
    assert new["metadata"]["annotations"] == {"mine": "kept"}


@pytest.mark.parametrize(
    ("metrics", "current", "expected"),
    [
        ([CPU], [], "cpu: <unknown>/80%"),
        ([CPU], CURRENT[:1], "cpu: 40%/80%"),
        (METRICS[3:4], CURRENT[1:2], "7/10"),
        (METRICS[4:5], CURRENT[2:3], "1k/2k"),
        (METRICS[5:6], CURRENT[3:4], "3/30"),
        (METRICS, [], "cpu: <unknown>/80%, memory: <unknown>/1Gi + 4 more..."),
        ([], [], "<none>"),
    ],
)
def test_targets(metrics: list[Obj], current: list[Obj], expected: str) -> None:
    """TARGETS shows what is measured of what is aimed at."""
    shown = row(HorizontalPodAutoscaler, autoscaler(metrics=metrics) | {"status": {"currentMetrics": current}})
    assert shown["Targets"] == expected
    assert (shown["Reference"], shown["MinPods"], shown["MaxPods"], shown["Replicas"]) == (
        "Deployment/web",
        "<unset>",
        3,
        0,
    )
