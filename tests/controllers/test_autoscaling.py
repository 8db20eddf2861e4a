"""HorizontalPodAutoscalers: replicas and rates as tables, and their stories in virtual time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from minikube_py.controllers.autoscaling.behavior import History, Moment, decide
from minikube_py.controllers.autoscaling.replicas import (
    NotMeasured,
    Sample,
    Workload,
    by_average,
    by_total,
    by_total_average,
    by_utilization,
)
from minikube_py.controllers.horizontalpodautoscaler import HorizontalPodAutoscalerController
from minikube_py.errors import NotFound
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from minikube_py.meta.kind import Kind, ScalePaths
from minikube_py.meta.objects import Key, Obj, condition, dig, timestamp

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_pod(name: str, state: str = "ready", age: int = 3600) -> Obj:
    """A pod that asks for 1 CPU: ready, unready, pending or failed."""
    begun = timestamp(NOW - timedelta(seconds=age))
    phase = {"pending": "Pending", "failed": "Failed"}.get(state, "Running")
    ready = {"type": "Ready", "status": str(state == "ready"), "lastTransitionTime": begun}
    containers = [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]
    status = {"phase": phase, "startTime": begun, "conditions": [ready]}
    return {"metadata": {"name": name}, "spec": {"containers": containers}, "status": status}


def a_workload(*states: str) -> Workload:
    pods = [a_pod(f"p{number}", state) for number, state in enumerate(states)]
    return Workload(pods, len(pods), len(pods), NOW)


def measured(*values: int | None) -> dict[str, Sample]:
    found = {f"p{number}": value for number, value in enumerate(values)}
    return {name: Sample(value, NOW) for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("states", "values", "expected"),
    [
        (("ready", "ready"), (800, 800), 4),
        (("ready", "ready"), (430, 430), 2),
        (("ready", "ready", "ready", "ready"), (100, 100, 100, 100), 1),
        (("ready", "pending"), (800, None), 2),
        (("ready", "ready"), (800, None), 2),
        (("ready", "ready"), (1600, None), 4),
        (("ready", "ready"), (100, None), 2),
        (("ready", "failed"), (800, None), 2),
        (("ready", "unready"), (800, 800), 2),
    ],
)
def test_replicas_by_utilization(
    states: tuple[str, ...], values: tuple[int | None, ...], expected: int
) -> None:
    """At a target of 40%: in proportion, tolerant of 10%, careful with pods not ready or not measured."""
    assert by_utilization(a_workload(*states), measured(*values), 40, "cpu").replicas == expected


@pytest.mark.parametrize(
    ("pods", "samples", "expected"),
    [
        ([], {}, "no pods returned by selector while calculating replica count"),
        ([a_pod("p0")], {}, "did not receive metrics for targeted pods (pods might be unready)"),
        (
            [{**a_pod("p0"), "spec": {"containers": [{"name": "main"}]}}],
            measured(500),
            "missing request for cpu in container main of Pod p0",
        ),
    ],
)
def test_what_cannot_be_computed(pods: list[Obj], samples: dict[str, Sample], expected: str) -> None:
    """Without pods, measurements or requests there is no utilization."""
    with pytest.raises(NotMeasured) as caught:
        by_utilization(Workload(pods, 1, 1, NOW), samples, 50, "cpu")
    assert str(caught.value) == expected


def test_replicas_by_values() -> None:
    """Averages per pod, one value for all, and one value divided among the replicas."""
    pods = a_workload("ready", "ready")
    assert by_average(pods, measured(30_000, 10_000), 10_000).replicas == 4
    assert by_total(pods, 90_000, 30_000).replicas == 6
    assert by_total(pods, 31_000, 30_000).replicas == 2
    assert by_total_average(pods, 90_000, 10_000).replicas == 9
    assert by_total(Workload([], 0, 0, NOW), 90_000, 30_000).replicas == 3


def an_autoscaler(least: int = 1, most: int = 10, **behavior: Any) -> Obj:
    spec: Obj = {"minReplicas": least, "maxReplicas": most}
    return {"spec": spec | ({"behavior": behavior} if behavior else {})}


def ago(seconds: int, replicas: int) -> Moment:
    return Moment(NOW - timedelta(seconds=seconds), replicas)


ONE_A_MINUTE = {
    "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    "stabilizationWindowSeconds": 0,
}
HALF = {"policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}], "stabilizationWindowSeconds": 0}


@pytest.mark.parametrize(
    ("autoscaler", "current", "wanted", "history", "expected", "limited"),
    [
        (an_autoscaler(), 2, 3, History(), 3, "DesiredWithinRange"),
        (an_autoscaler(), 1, 9, History(), 4, "ScaleUpLimit"),
        (an_autoscaler(), 6, 99, History(), 10, "TooManyReplicas"),
        (an_autoscaler(least=2), 5, 1, History(), 2, "TooFewReplicas"),
        (an_autoscaler(), 5, 1, History([ago(200, 4)]), 4, "DesiredWithinRange"),
        (an_autoscaler(), 5, 1, History([ago(400, 4)]), 1, "DesiredWithinRange"),
        (an_autoscaler(scaleUp=ONE_A_MINUTE), 5, 9, History(), 6, "ScaleUpLimit"),
        (an_autoscaler(scaleUp=ONE_A_MINUTE), 6, 9, History(ups=[ago(30, 1)]), 6, "ScaleUpLimit"),
        (an_autoscaler(scaleUp=ONE_A_MINUTE), 6, 9, History(ups=[ago(90, 1)]), 7, "ScaleUpLimit"),
        (an_autoscaler(scaleUp={"selectPolicy": "Disabled"}), 5, 9, History(), 5, "ScaleUpLimit"),
        (an_autoscaler(scaleDown=HALF), 8, 1, History(), 4, "ScaleDownLimit"),
        (an_autoscaler(scaleDown={"selectPolicy": "Disabled"}), 8, 1, History(), 8, "ScaleDownLimit"),
        (an_autoscaler(scaleUp={"stabilizationWindowSeconds": 60}), 3, 9, History([ago(30, 4)]), 4, None),
    ],
)
def test_how_fast_it_may_go(
    autoscaler: Obj, current: int, wanted: int, history: History, expected: int, limited: str | None
) -> None:
    """Limits, rates of the policies and stabilization windows hold back what the metrics want."""
    if "scaleUp" in autoscaler["spec"].get("behavior", {}) and limited is None:
        autoscaler["spec"]["behavior"]["scaleUp"].setdefault(
            "policies", [{"type": "Percent", "value": 100, "periodSeconds": 15}]
        )
    decision = decide(autoscaler, current, wanted, history, NOW)
    assert decision.replicas == expected
    assert limited is None or decision.limited[1] == limited


class Meter:
    """A metrics API: every pod named in `pods` uses `cpu`."""

    def __init__(self, world: Any) -> None:
        self.world, self.cpu = world, "0"

    async def read(self, path: str) -> Obj:
        if "/metrics.k8s.io/" not in path:
            raise NotFound("the server could not find the requested resource")
        used = [{"name": "main", "usage": {"cpu": self.cpu}}]
        when = {"timestamp": timestamp(self.world.clock.now()), "window": "15s"}
        names = [pod["metadata"]["name"] for pod in self.world.pods()]
        return {"items": [{"metadata": {"name": name}, "containers": used, **when} for name in names]}


def web(replicas: int) -> Obj:
    labels = {"app": "web"}
    container = {"name": "main", "image": "ok:1", "resources": {"requests": {"cpu": "1"}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}


def scaler(**spec: Any) -> Obj:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    meta = {"name": "web", "namespace": "default"}
    return {"metadata": meta, "spec": {"scaleTargetRef": ref, "maxReplicas": 5, **spec}}


async def test_load_comes_and_goes(world: Any) -> None:
    """Replicas follow the load up at once, and down after five quiet minutes; each step is an event."""
    meter = Meter(world)
    controller = world.controller(HorizontalPodAutoscalerController)
    controller.config = replace(controller.config, read=meter.read)
    await world.add_node("n1")
    await world.create(Deployment, web(1))
    await world.pass_time(360)
    meter.cpu = "1600m"
    target = {"type": "Utilization", "averageUtilization": 80}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    await world.create(HorizontalPodAutoscaler, scaler(metrics=[metric]))
    assert dig(world.the(Deployment, "web"), "spec.replicas") == 2
    reason = "cpu resource utilization (percentage of request) above target"
    assert world.events("SuccessfulRescale") == [f"New size: 2; reason: {reason}"]
    meter.cpu = "200m"
    await world.pass_time(60)
    assert dig(world.the(Deployment, "web"), "spec.replicas") == 2
    stabilized = condition(world.the(HorizontalPodAutoscaler, "web"), "AbleToScale")
    assert stabilized is not None
    assert stabilized["reason"] == "ScaleDownStabilized"
    await world.pass_time(300)
    assert dig(world.the(Deployment, "web"), "spec.replicas") == 1
    assert world.events("SuccessfulRescale")[-1] == "New size: 1; reason: All metrics below target"
    current = world.the(HorizontalPodAutoscaler, "web")["status"]["currentMetrics"]
    assert current[0]["resource"]["current"] == {"averageUtilization": 20, "averageValue": "200m"}


async def test_without_metrics_nothing_changes(world: Any) -> None:
    """Where a metric cannot be read the replicas stay, and the condition says why; bounds hold all the same."""
    meter = Meter(world)
    controller = world.controller(HorizontalPodAutoscalerController)
    controller.config = replace(controller.config, read=meter.read)
    await world.create(Deployment, web(2))
    value = {"type": "Value", "value": "3"}
    metric = {"type": "External", "external": {"metric": {"name": "queue"}, "target": value}}
    await world.create(HorizontalPodAutoscaler, scaler(metrics=[metric]))
    active = condition(world.the(HorizontalPodAutoscaler, "web"), "ScalingActive")
    assert active is not None
    assert (active["status"], active["reason"]) == ("False", "FailedGetExternalMetric")
    assert dig(world.the(Deployment, "web"), "spec.replicas") == 2
    await world.patch(Deployment, "web", {"spec": {"replicas": 9}})
    await world.pass_time(16)
    assert dig(world.the(Deployment, "web"), "spec.replicas") == 5
    await world.patch(HorizontalPodAutoscaler, "web", {"spec": {"scaleTargetRef": {"name": "none"}}})
    able = condition(world.the(HorizontalPodAutoscaler, "web"), "AbleToScale")
    assert able is not None
    assert able["reason"] == "FailedGetScale"


async def test_a_huge_selector_is_followed(world: Any) -> None:
    """Where the target's selector is very long, its pods are found all the same, and nothing is blocked."""
    scale = ScalePaths(selector="status.selector")
    schema: Obj = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    farm = Kind("Farm", "example.com/v1", "farms", subresources=("status", "scale"), scale=scale, schema=schema)
    world.clients.registry.catalogue.add(farm)
    meter = Meter(world)
    meter.cpu = "1600m"
    controller = world.controller(HorizontalPodAutoscalerController)
    controller.config = replace(controller.config, read=meter.read)
    await world.add_node("n1")
    await world.create(Deployment, web(2))
    await world.pass_time(360)
    named = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": 2}}
    await world.create(farm, named)
    chosen = ",".join([*(f"other-{number}" for number in range(20_000)), "web"])
    told = {"status": {"replicas": 2, "selector": f"app in ({chosen})"}}
    await world.api.patch(farm, Key("default", "web"), told, subresource="status")
    target = {"type": "Utilization", "averageUtilization": 80}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    ref = {"apiVersion": "example.com/v1", "kind": "Farm", "name": "web"}
    await world.create(HorizontalPodAutoscaler, scaler(metrics=[metric], scaleTargetRef=ref))
    assert dig(world.the(farm, "web"), "spec.replicas") == 4
