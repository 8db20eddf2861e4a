"""Validation of a pod's status: what a kubelet may not tell."""

from collections.abc import Iterable

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_subdomain, ip_address, qualified_name
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import forbidden, invalid

_SYSTEM = ("PodScheduled", "Ready", "Initialized")
_NOT_NEGATIVE = "must be a non-negative integer"


def validate_pod_status(pod: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a pod's new status: what ended for good stays ended, addresses are addresses."""
    status, before = pod.get("status") or {}, (old or {}).get("status") or {}
    for index, condition in enumerate(status.get("conditions") or ()):
        path, type = f"status.conditions[{index}]", condition.get("type") or ""
        if (condition.get("observedGeneration") or 0) < 0:
            yield invalid(f"{path}.observedGeneration", condition["observedGeneration"], _NOT_NEGATIVE)
        for reason in qualified_name(type) if type not in _SYSTEM else ():
            yield invalid(f"{path}.Type", type, reason)
    nominated = status.get("nominatedNodeName") or ""
    if nominated and nominated != before.get("nominatedNodeName"):
        for reason in dns1123_subdomain(nominated):
            yield invalid("status.nominatedNodeName", nominated, reason)
    if (status.get("observedGeneration") or 0) < 0:
        yield invalid("status.observedGeneration", status["observedGeneration"], _NOT_NEGATIVE)
    if before.get("qosClass") and status.get("qosClass") != before["qosClass"]:
        yield invalid("status.qosClass", status.get("qosClass"), "field is immutable")
    yield from _transitions(status, before, pod["spec"])
    yield from _addresses(status)


def _transitions(status: Obj, old: Obj, spec: Obj) -> Iterable[Violation]:
    policy = spec.get("restartPolicy")
    sidecars = {c.get("name") for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        if policy == "Always" and field != "ephemeralContainerStatuses":
            continue
        now = {one.get("name"): one.get("state") or {} for one in status.get(field) or ()}
        for index, before in enumerate(old.get(field) or ()):
            name, ended = before.get("name"), (before.get("state") or {}).get("terminated")
            if ended is None or name not in now or now[name].get("terminated") is not None:
                continue
            again = field != "ephemeralContainerStatuses" and (
                (policy == "OnFailure" and ended.get("exitCode")) or name in sidecars
            )
            if not again:
                yield forbidden(
                    f"status.{field}[{index}].state", "may not be transitioned to non-terminated state"
                )


def _addresses(status: Obj) -> Iterable[Violation]:
    for field, single in (("podIPs", "podIP"), ("hostIPs", "hostIP")):
        listed = [one.get("ip") or "" for one in status.get(field) or ()]
        if field == "hostIPs" and listed and listed[0] != (status.get(single) or ""):
            yield invalid(f"status.{field}[0].ip", listed[0], f"must be equal to `{single}`")
        for index, address in enumerate(listed):
            for reason in ip_address(address):
                yield invalid(f"status.{field}[{index}]", address, reason)
        if len(listed) > 1 and (len(listed) > 2 or len({":" in address for address in listed}) < 2):
            told = "may specify no more than one IP for each IP family"
            yield invalid(f"status.{field}", status[field], told)
