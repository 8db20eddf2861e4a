"""How many replicas the measured values ask for. Pure.

As the algorithm of the HorizontalPodAutoscaler documentation: the wanted number is the current one times
measured / target; pods that are not ready or not measured yet weigh against a change in either direction;
ratios within the tolerance of 1 change nothing. Values are in thousandths (milli units) of the quantity.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from minikube_py.controllers.pods import is_ready
from minikube_py.meta.objects import Obj, condition, dig, is_deleting, name_of, parse_time
from minikube_py.meta.quantity import milli_value

TOLERANCE = 0.1
CPU_INITIALIZATION = timedelta(minutes=5)
INITIAL_READINESS = timedelta(seconds=30)


RatioOf = Callable[[Mapping[str, int]], float]
"""Measured / target for values by pod name."""


class NotMeasured(Exception):
    """The number of replicas cannot be computed; the message says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured of one pod: the value, when, and over how many seconds."""

    value: int
    at: datetime | None = None
    window: float = 60.0


@dataclass(frozen=True, slots=True)
class Groups:
    """Pods by how they count: ready and measured, not ready yet, without a measurement, and not at all."""

    ready: Sequence[str]
    unready: Sequence[str]
    missing: Sequence[str]


@dataclass(frozen=True, slots=True)
class Proposal:
    """The replicas that one metric asks for, and what was measured: the average in thousandths, and in percent
    of the requests where that is the target."""

    replicas: int
    average: int
    utilization: int | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """The pods of the target, and how many replicas it has: by its spec, and by its status."""

    pods: Sequence[Obj]
    replicas: int
    observed: int
    now: datetime
    tolerances: tuple[float, float] = field(default=(TOLERANCE, TOLERANCE))
    """Of scaling down, and of scaling up."""

    def tolerates(self, ratio: float) -> bool:
        """Whether the ratio is too near to 1 for a change."""
        down, up = self.tolerances
        return 1.0 - down <= ratio <= 1.0 + up


def group(pods: Iterable[Obj], samples: Mapping[str, Sample], is_cpu: bool, now: datetime) -> Groups:
    """Sort the pods. A pod's CPU while it starts says nothing of its load: it counts as not ready."""
    ready, unready, missing = [], [], []
    for pod in pods:
        phase = dig(pod, "status.phase")
        if is_deleting(pod) or phase in ("Failed", "Succeeded"):
            continue
        name = name_of(pod)
        if phase == "Pending":
            unready.append(name)
        elif name not in samples:
            missing.append(name)
        elif is_cpu and _is_starting(pod, samples[name], now):
            unready.append(name)
        else:
            ready.append(name)
    return Groups(ready, unready, missing)


def _is_starting(pod: Obj, sample: Sample, now: datetime) -> bool:
    ready, started = condition(pod, "Ready"), dig(pod, "status.startTime")
    if ready is None or not started or not ready.get("lastTransitionTime"):
        return True
    changed, begun, is_false = parse_time(ready["lastTransitionTime"]), parse_time(started), not is_ready(pod)
    if begun + CPU_INITIALIZATION > now:
        early = sample.at is not None and sample.at < changed + timedelta(seconds=sample.window)
        return is_false or early
    return is_false and begun + INITIAL_READINESS > changed


def requests(pods: Iterable[Obj], resource: str, container: str = "") -> dict[str, int]:
    """What each pod requests of the resource, in all or in one container. Errors: NotMeasured."""
    found: dict[str, int] = {}
    for pod in pods:
        total = 0
        sidecars = [c for c in dig(pod, "spec.initContainers", []) if c.get("restartPolicy") == "Always"]
        chosen = [c for c in [*dig(pod, "spec.containers", []), *sidecars] if container in ("", c["name"])]
        for entry in chosen:
            asked = dig(entry, "resources.requests", {}).get(resource)
            if asked is None:
                where = f"container {entry['name']} of Pod {name_of(pod)}"
                raise NotMeasured(f"missing request for {resource} in {where}")
            total += milli_value(asked)
        if container and not chosen:
            raise NotMeasured(f"container {container} not found in Pod {name_of(pod)}")
        found[name_of(pod)] = total
    return found


def by_utilization(
    workload: Workload, samples: Mapping[str, Sample], target: int, resource: str, container: str = ""
) -> Proposal:
    """For a resource whose target is a share, in percent, of what the pods request. Errors: NotMeasured."""
    groups = _grouped(workload, samples, resource == "cpu")
    asked = requests(workload.pods, resource, container)
    measured = {name: samples[name].value for name in groups.ready}
    _, utilization = _utilization(measured, asked, target)
    average = sum(measured.values()) // len(measured)

    def ratio_of(values: Mapping[str, int]) -> float:
        return _utilization(values, asked, target)[0]

    fallback = {name: asked[name] * max(100, target) // 100 for name in groups.missing}
    replicas = _weighed(workload, groups, measured, fallback, ratio_of)
    return Proposal(replicas, average, utilization)


def _utilization(values: Mapping[str, int], asked: Mapping[str, int], target: int) -> tuple[float, int]:
    total = sum(asked[name] for name in values)
    if total == 0:
        raise NotMeasured("no metrics returned matched known pods")
    percent = sum(values.values()) * 100 // total
    return percent / target, percent


def by_average(workload: Workload, samples: Mapping[str, Sample], target: int, resource: str = "") -> Proposal:
    """For a metric whose target is an average per pod. Errors: NotMeasured."""
    groups = _grouped(workload, samples, resource == "cpu")
    measured = {name: samples[name].value for name in groups.ready}
    average = sum(measured.values()) // len(measured)

    def ratio_of(values: Mapping[str, int]) -> float:
        return sum(values.values()) // len(values) / target

    fallback = dict.fromkeys(groups.missing, target)
    return Proposal(_weighed(workload, groups, measured, fallback, ratio_of), average)


def _grouped(workload: Workload, samples: Mapping[str, Sample], is_cpu: bool) -> Groups:
    if not workload.pods:
        raise NotMeasured("no pods returned by selector while calculating replica count")
    groups = group(workload.pods, samples, is_cpu, workload.now)
    if not groups.ready:
        raise NotMeasured("did not receive metrics for targeted pods (pods might be unready)")
    return groups


def _weighed(
    workload: Workload,
    groups: Groups,
    measured: Mapping[str, int],
    fallback: Mapping[str, int],
    ratio_of: RatioOf,
) -> int:
    """The replicas by the ratio of the measured pods; where some are not ready or not measured, by that which
    they would make at worst, and never in the other direction."""
    ratio = ratio_of(measured)
    weigh_unready = bool(groups.unready) and ratio > 1.0
    if not weigh_unready and not groups.missing:
        return workload.replicas if workload.tolerates(ratio) else math.ceil(ratio * len(groups.ready))
    values = dict(measured)
    if ratio < 1.0:
        values |= fallback
    elif ratio > 1.0:
        values |= dict.fromkeys(groups.missing, 0)
    if weigh_unready:
        values |= dict.fromkeys(groups.unready, 0)
    weighed = ratio_of(values)
    if workload.tolerates(weighed) or (ratio < 1.0 < weighed) or (weighed < 1.0 < ratio):
        return workload.replicas
    wanted = math.ceil(weighed * len(values))
    against = wanted > workload.replicas if weighed < 1.0 else wanted < workload.replicas
    return workload.replicas if against else wanted


def by_total(workload: Workload, total: int, target: int) -> Proposal:
    """For one value of the whole workload, divided among its ready pods."""
    ratio = total / target
    if workload.replicas == 0:
        return Proposal(math.ceil(ratio), total)
    if workload.tolerates(ratio):
        return Proposal(workload.replicas, total)
    ready = sum(is_ready(pod) for pod in workload.pods if dig(pod, "status.phase") == "Running")
    return Proposal(math.ceil(ratio * ready), total)


def by_total_average(workload: Workload, total: int, target: int) -> Proposal:
    """For one value of the whole workload whose target is an average per replica."""
    replicas = workload.observed
    wanted = replicas
    if replicas == 0 or not workload.tolerates(total / (target * replicas)):
        wanted = math.ceil(total / target)
    return Proposal(wanted, math.ceil(total / replicas) if replicas else 0)
