"""One metric of a HorizontalPodAutoscaler: what it proposes, and how its status tells of it."""

from collections.abc import Callable
from dataclasses import dataclass

from minikube_py.controllers.autoscaling import measurements
from minikube_py.controllers.autoscaling.measurements import Read
from minikube_py.controllers.autoscaling.replicas import (
    NotMeasured,
    Proposal,
    Workload,
    by_average,
    by_total,
    by_total_average,
    by_utilization,
)
from minikube_py.controllers.shown import shown_selector
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.quantity import milli_quantity, milli_value


@dataclass(frozen=True, slots=True)
class Judged:
    """A metric's proposal, its name as events tell it, and its entry of status.currentMetrics."""

    proposal: Proposal
    name: str
    status: Obj


@dataclass(frozen=True, slots=True)
class Target:
    """What a metric is read for: the namespace, the pods' selector as text, the workload; `resource_of` names
    the resource of an apiVersion and a kind (`ingresses.networking.k8s.io`)."""

    namespace: str
    selector: str
    workload: Workload
    resource_of: Callable[[Obj], str]


FAILURES = {
    "Resource": "FailedGetResourceMetric",
    "ContainerResource": "FailedGetContainerResourceMetric",
    "Pods": "FailedGetPodsMetric",
    "Object": "FailedGetObjectMetric",
    "External": "FailedGetExternalMetric",
}
"""The reason of the condition and event, by the metric's type."""


def failure(metric: Obj) -> tuple[str, str]:
    """The reason of the condition and event where the metric cannot be read, and in what words the failure of
    the whole tells of it."""
    type = metric["type"]
    source = metric.get(type[:1].lower() + type[1:]) or {}
    words = {
        "Resource": f"failed to get {source.get('name')} resource metric value: ",
        "ContainerResource": f"failed to get {source.get('container')} container metric value: ",
        "Pods": "failed to get pods metric value: ",
        "Object": "failed to get object metric value: ",
        "External": "failed to get {0} external metric value: failed to get {0} external metric: ",
    }
    name = dig(source, "metric.name", "")
    return FAILURES.get(type, "InvalidMetricSourceType"), words.get(type, "").replace("{0}", name)


async def judge(read: Read, metric: Obj, target: Target) -> Judged:
    """What one entry of spec.metrics proposes. Errors: NotMeasured."""
    type = metric["type"]
    if type in ("Resource", "ContainerResource"):
        return await _resource(read, metric, target)
    if type == "Pods":
        return await _pods(read, metric["pods"], target)
    if type == "Object":
        return await _object(read, metric["object"], target)
    if type == "External":
        return await _external(read, metric["external"], target)
    raise NotMeasured(f'unknown metric source type "{type}"')


async def _resource(read: Read, metric: Obj, target: Target) -> Judged:
    field = "resource" if metric["type"] == "Resource" else "containerResource"
    source = metric[field]
    name, container, goal = source["name"], source.get("container", ""), source["target"]
    kind = "utilization" if goal.get("averageUtilization") is not None else "usage"
    try:
        try:
            samples = await measurements.of_resource(read, target.namespace, target.selector, name, container)
        except NotMeasured as error:
            raise NotMeasured(f"unable to get metrics for resource {name}: {error}") from error
        if kind == "utilization":
            aim = int(goal["averageUtilization"])
            proposal = by_utilization(target.workload, samples, aim, name, container)
        else:
            proposal = by_average(target.workload, samples, milli_value(goal["averageValue"]), name)
    except NotMeasured as error:
        raise NotMeasured(f"failed to get {name} {kind}: {error}") from error
    current: Obj = {"averageValue": milli_quantity(proposal.average)}
    if proposal.utilization is not None:
        current["averageUtilization"] = proposal.utilization
    entry = {"name": name, "current": current} | ({"container": container} if container else {})
    title = f"{name} container resource" if container else f"{name} resource"
    title += " utilization (percentage of request)" if kind == "utilization" else ""
    return Judged(proposal, title, {"type": metric["type"], field: entry})


async def _pods(read: Read, source: Obj, target: Target) -> Judged:
    metric, aim = source["metric"], milli_value(source["target"]["averageValue"])
    try:
        samples = await measurements.of_pods(read, target.namespace, target.selector, metric)
    except NotMeasured as error:
        raise NotMeasured(f"unable to get metric {metric['name']}: {error}") from error
    proposal = by_average(target.workload, samples, aim)
    status = {"metric": metric, "current": {"averageValue": milli_quantity(proposal.average)}}
    return Judged(proposal, f"pods metric {metric['name']}", {"type": "Pods", "pods": status})


async def _object(read: Read, source: Obj, target: Target) -> Judged:
    metric, described = source["metric"], source["describedObject"]
    try:
        resource = target.resource_of(described)
        total = await measurements.of_object(read, target.namespace, resource, described["name"], metric)
    except NotMeasured as error:
        where = f"{described['kind']} on {target.namespace} {described['name']}"
        raise NotMeasured(f"unable to get metric {metric['name']}: {where}/{error}") from error
    proposal, current = _of_total(target, total, source["target"])
    status = {"metric": metric, "describedObject": described, "current": current}
    return Judged(
        proposal, f"{described['kind']} metric {metric['name']}", {"type": "Object", "object": status}
    )


async def _external(read: Read, source: Obj, target: Target) -> Judged:
    metric = source["metric"]
    selector = shown_selector(metric["selector"]) if metric.get("selector") else "nil"
    try:
        total = await measurements.of_external(read, target.namespace, metric)
    except NotMeasured as error:
        where = f"{target.namespace}/{metric['name']}/{selector}"
        raise NotMeasured(f"unable to get external metric {where}: {error}") from error
    proposal, current = _of_total(target, total, source["target"])
    status = {"metric": metric, "current": current}
    name = f"external metric {metric['name']}({selector})"
    return Judged(proposal, name, {"type": "External", "external": status})


def _of_total(target: Target, total: int, goal: Obj) -> tuple[Proposal, Obj]:
    """The proposal of one value of the whole workload, and the entry `current`."""
    if goal.get("averageValue") is not None:
        proposal = by_total_average(target.workload, total, milli_value(goal["averageValue"]))
        return proposal, {"averageValue": milli_quantity(proposal.average)}
    proposal = by_total(target.workload, total, milli_value(goal["value"]))
    return proposal, {"value": milli_quantity(proposal.average)}
