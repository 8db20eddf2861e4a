"""Unusual corners of scaling and disruption: metrics that fail, autoscalers and budgets in each other's way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from minikube_py.controllers.autoscaling.behavior import History, Moment, decide
from minikube_py.controllers.autoscaling.metrics import failure
from minikube_py.controllers.horizontalpodautoscaler import HorizontalPodAutoscalerController
from minikube_py.controllers.shown import shown_selector
from minikube_py.controllers.stalepoddisruption import seconds_until_stale
from minikube_py.errors import NotFound, TooManyRequests
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from minikube_py.kinds.autoscaling.legacymetrics import status_from_v2, status_to_v2
from minikube_py.kinds.batch.job import Job
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from minikube_py.meta.objects import Obj, condition, dig, timestamp
from minikube_py.registry.eviction import check

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CPU = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
RESOURCE = {"type": "Resource", "resource": CPU}
EXTERNAL = {
    "type": "External",
    "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "3"}},
}


def web(replicas: int, cpu: str = "1") -> Obj:
    labels = {"app": "web"}
    container = {"name": "main", "image": "ok:1", "resources": {"requests": {"cpu": cpu}} if cpu else {}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}


def scaler(name: str, *metrics: Obj) -> Obj:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": ref, "maxReplicas": 5, "metrics": list(metrics)}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def measure(world: Any, cpu: str) -> None:
    """Let every pod use so much CPU."""

    async def read(path: str) -> Obj:
        if "/metrics.k8s.io/" not in path:
            raise NotFound("the server could not find the requested resource")
        used = [{"name": "main", "usage": {"cpu": cpu}}]
        when = {"timestamp": timestamp(world.clock.now()), "window": "15s"}
        names = [pod["metadata"]["name"] for pod in world.pods()]
        return {"items": [{"metadata": {"name": name}, "containers": used, **when} for name in names]}

    controller = world.controller(HorizontalPodAutoscalerController)
    controller.config = replace(controller.config, read=read)


def active(world: Any, name: str) -> tuple[str, str, str]:
    found = condition(world.the(HorizontalPodAutoscaler, name), "ScalingActive") or {}
    return found["status"], found["reason"], found["message"]


async def test_a_metric_that_fails_keeps_its_place(world: Any) -> None:
    """One metric of two scales up; the other one is told of, and stays in its place of the status."""
    measure(world, "1600m")
    await world.add_node("n1")
    await world.create(Deployment, web(1))
    await world.pass_time(360)
    await world.create(HorizontalPodAutoscaler, scaler("web", EXTERNAL, RESOURCE))
    status = world.the(HorizontalPodAutoscaler, "web")["status"]
    assert dig(world.the(Deployment, "web"), "spec.replicas") == 2
    assert [metric["type"] for metric in status["currentMetrics"]] == ["", "Resource"]
    assert active(world, "web")[:2] == ("True", "ValidMetricFound")
    missing = "the server could not find the requested resource (get q.external.metrics.k8s.io)"
    why = f"unable to fetch metrics from external metrics API: {missing}"
    told = f"unable to get external metric default/q/nil: {why}"
    assert world.events("FailedGetExternalMetric") == [told]
    assert world.events("FailedComputeMetricsReplicas") == []


async def test_a_missing_request_is_told(world: Any) -> None:
    """Without a request there is no utilization; the words say of which container."""
    measure(world, "100m")
    await world.add_node("n1")
    await world.create(Deployment, web(1, cpu=""))
    await world.pass_time(360)
    await world.create(HorizontalPodAutoscaler, scaler("web", RESOURCE))
    [pod] = world.pods()
    where = f"container main of Pod {pod['metadata']['name']}"
    assert world.events("FailedGetResourceMetric") == [
        f"failed to get cpu utilization: missing request for cpu in {where}"
    ]
    told = "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: "
    assert world.events("FailedComputeMetricsReplicas") == [
        f"{told}failed to get cpu utilization: missing request for cpu in {where}"
    ]


async def test_two_autoscalers_of_the_same_pods(world: Any) -> None:
    """Where two autoscalers want the same pods neither scales; once one has gone, the other one does."""
    measure(world, "800m")
    await world.add_node("n1")
    await world.create(Deployment, web(2))
    await world.create(HorizontalPodAutoscaler, scaler("one", RESOURCE))
    await world.create(HorizontalPodAutoscaler, scaler("two", RESOURCE))
    told = "pods by selector app=web are controlled by multiple HPAs: [default/one default/two]"
    assert active(world, "two") == ("False", "AmbiguousSelector", told)
    assert world.events("AmbiguousSelector") == [told]
    await world.delete(HorizontalPodAutoscaler, "two")
    await world.pass_time(360)
    assert active(world, "one")[1] == "ValidMetricFound"


def test_without_a_behavior_the_highest_recommendation_counts() -> None:
    """Five minutes long the highest recommendation is followed, within the bounds, whatever runs now."""
    known = History([Moment(NOW - timedelta(seconds=100), 10)])
    plain: Obj = {"spec": {"minReplicas": 1, "maxReplicas": 5}}
    found = decide(plain, 5, 4, known, NOW)
    assert (found.replicas, found.able[1], found.limited[1]) == (5, "ScaleDownStabilized", "TooManyReplicas")
    window = {"scaleDown": {"stabilizationWindowSeconds": 300}}
    found = decide({"spec": {**plain["spec"], "behavior": window}}, 5, 4, known, NOW)
    assert (found.replicas, found.limited[1]) == (5, "DesiredWithinRange")


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (
            EXTERNAL,
            (
                "FailedGetExternalMetric",
                "failed to get q external metric value: failed to get q external metric: ",
            ),
        ),
        ({"type": "Pods", "pods": {}}, ("FailedGetPodsMetric", "failed to get pods metric value: ")),
        ({"type": "Object", "object": {}}, ("FailedGetObjectMetric", "failed to get object metric value: ")),
        (
            {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c"}},
            ("FailedGetContainerResourceMetric", "failed to get c container metric value: "),
        ),
    ],
)
def test_the_words_of_failures(metric: Obj, expected: tuple[str, str]) -> None:
    """Each type of metric has its reason, and its words in the event of the whole."""
    assert failure(metric) == expected


def test_an_empty_metric_has_an_old_form() -> None:
    """A metric that could not be read stays empty in autoscaling/v1, and on the way back."""
    assert status_from_v2({"type": ""}) == {"type": ""}
    assert status_to_v2({"type": ""}) == {"type": ""}


async def test_a_budget_of_pods_that_cannot_be_scaled(world: Any) -> None:
    """A share of a Job's pods cannot be worked out: nothing may be evicted, and why is told."""
    await world.add_node("n1")
    spec = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "ok:1"}]}
    template = {"metadata": {"labels": {"app": "job"}}, "spec": spec}
    await world.create(Job, {"metadata": {"name": "j", "namespace": "default"}, "spec": {"template": template}})
    bounds = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "job"}}}
    await world.create(PodDisruptionBudget, {"metadata": {"name": "b", "namespace": "default"}, "spec": bounds})
    why = "jobs.batch does not implement the scale subresource"
    allowed = condition(world.the(PodDisruptionBudget, "b"), "DisruptionAllowed") or {}
    assert (allowed["reason"], allowed["message"]) == ("SyncFailed", why)
    assert world.events("CalculateExpectedPodCountFailed") == [
        f"Failed to calculate the number of expected pods: {why}"
    ]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"currentHealthy": 2, "desiredHealthy": 2}, "needs 2 healthy pods and has 2 currently"),
        ({"currentHealthy": 3, "desiredHealthy": 2}, "does not allow evicting pods currently"),
        (
            {
                "conditions": [
                    {"type": "DisruptionAllowed", "status": "False", "reason": "Odd", "message": "why"}
                ]
            }
            | {"currentHealthy": 3, "desiredHealthy": 2},
            "does not allow evicting pods currently (Odd): why",
        ),
        (
            {
                "conditions": [
                    {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "w"}
                ]
            },
            "does not allow evicting pods currently because it failed sync: w",
        ),
    ],
)
def test_why_an_eviction_is_refused(status: Obj, expected: str) -> None:
    """The cause says what the budget lacks, or why nobody knows."""
    budget = {"metadata": {"name": "b"}, "status": {"disruptionsAllowed": 0, **status}}
    with pytest.raises(TooManyRequests) as caught:
        check(budget)
    assert caught.value.causes[0].message == f"The disruption budget b {expected}"


def test_a_selector_in_an_event() -> None:
    """Events write a selector as Kubernetes does."""
    term = {"key": "tier", "operator": "In", "values": ["a", "b"]}
    assert shown_selector({"matchLabels": {"app": "web"}, "matchExpressions": [term]}) == (
        "&LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{"
        "LabelSelectorRequirement{Key:tier,Operator:In,Values:[a b],},},}"
    )


@pytest.mark.parametrize(
    ("target", "phase", "expected"),
    [
        ({"status": "True"}, "Running", 90.0),
        ({"status": "False"}, "Running", None),
        ({"status": "True", "reason": "TerminationByKubelet"}, "Running", None),
        ({"status": "True"}, "Failed", None),
    ],
)
def test_when_a_disruption_is_stale(target: Obj, phase: str, expected: float | None) -> None:
    """After two minutes, unless the kubelet announced it or the pod has ended."""
    since = timestamp(NOW - timedelta(seconds=30))
    marked = {"type": "DisruptionTarget", "lastTransitionTime": since, **target}
    pod = {"metadata": {"name": "p"}, "status": {"phase": phase, "conditions": [marked]}}
    assert seconds_until_stale(pod, NOW) == expected


async def test_a_disruption_that_does_not_come(world: Any) -> None:
    """A pod that was to be evicted and was not says so no more after two minutes."""
    await world.add_node("n1")
    spec = {"containers": [{"name": "main", "image": "ok:1"}]}
    await world.create(Pod, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
    pod, now = world.the(Pod, "p"), timestamp(world.clock.now())
    target = {"type": "DisruptionTarget", "status": "True", "reason": "Why", "lastTransitionTime": now}
    status = {**pod["status"], "conditions": [*pod["status"]["conditions"], target]}
    await world.api.update(Pod, {**pod, "status": status}, subresource="status")
    await world.pass_time(119)
    assert (condition(world.the(Pod, "p"), "DisruptionTarget") or {})["status"] == "True"
    await world.pass_time(2)
    marked = condition(world.the(Pod, "p"), "DisruptionTarget") or {}
    assert (marked["status"], marked.get("reason")) == ("False", None)
