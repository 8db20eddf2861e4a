"""The columns of `kubectl get pods`: how a pod's state is told in one word."""

from datetime import datetime
from typing import NamedTuple

from minikube_py.kinds.columns import AGE, NAME, NONE, since
from minikube_py.meta.kind import Column
from minikube_py.meta.objects import Obj, condition_is, dig, is_deleting


class Summary(NamedTuple):
    """What the Ready, Status and Restarts columns say. `last_restart` is a timestamp, or empty."""

    ready: int
    total: int
    reason: str
    restarts: int
    last_restart: str


def summarize(pod: Obj) -> Summary:
    """The pod's state from its spec and status."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    reason = status.get("reason") or status.get("phase") or ""
    if any(c.get("reason") == "SchedulingGated" for c in status.get("conditions") or ()):
        reason = "SchedulingGated"
    sidecars = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    start = _start(status, sidecars, len(spec.get("initContainers") or ()))
    ready, counted, reason = start.ready, start.reached, start.reason or reason
    if not start.reason or condition_is(pod, "Initialized"):
        containers = status.get("containerStatuses") or []
        counted = [s for s in counted if s.get("name") in sidecars] + containers
        running = sum(1 for s in containers if s.get("ready") and "running" in _state(s))
        ready += running
        reason = next((r for r in map(_container_reason, containers) if r), reason)
        if reason == "Completed" and running:
            reason = "Running" if condition_is(pod, "Ready") else "NotReady"
    return Summary(
        ready,
        total=len(spec.get("containers") or ()) + len(sidecars),
        reason=_final(pod, reason),
        restarts=sum(s.get("restartCount") or 0 for s in counted),
        last_restart=max((dig(s, "lastState.terminated.finishedAt", "") for s in counted), default=""),
    )


def _final(pod: Obj, reason: str) -> str:
    if not is_deleting(pod):
        return reason
    if dig(pod, "status.reason") == "NodeLost":
        return "Unknown"
    return reason if dig(pod, "status.phase") in ("Succeeded", "Failed") else "Terminating"


def _state(container: Obj) -> Obj:
    return container.get("state") or {}


class _Start(NamedTuple):
    """How far initialization is: why it goes on (empty once over), ready sidecars, containers reached."""

    reason: str
    ready: int
    reached: list[Obj]


def _start(status: Obj, sidecars: set[str], total: int) -> _Start:
    ready, containers = 0, status.get("initContainerStatuses") or []
    for index, container in enumerate(containers):
        state = _state(container)
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and not ended.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        reason = f"{index}/{total}"
        if ended is not None:
            reason = _ended_reason(ended)
        elif waiting.get("reason") not in (None, "", "PodInitializing"):
            reason = waiting["reason"]
        return _Start(f"Init:{reason}", ready, containers[: index + 1])
    return _Start("", ready, containers)


def _ended_reason(ended: Obj) -> str:
    if reason := ended.get("reason"):
        return str(reason)
    if signal := ended.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{ended.get('exitCode', 0)}"


def _container_reason(container: Obj) -> str:
    state = _state(container)
    if reason := (state.get("waiting") or {}).get("reason"):
        return str(reason)
    return "" if state.get("terminated") is None else _ended_reason(state["terminated"])


def _ready(pod: Obj, now: datetime) -> str:
    summary = summarize(pod)
    return f"{summary.ready}/{summary.total}"


def _status(pod: Obj, now: datetime) -> str:
    return summarize(pod).reason


def _restart_text(pod: Obj, now: datetime) -> str:
    summary = summarize(pod)
    if not summary.restarts or not summary.last_restart:
        return str(summary.restarts)
    return f"{summary.restarts} ({since(summary.last_restart, now)} ago)"


def _ip(pod: Obj, now: datetime) -> str:
    addresses = dig(pod, "status.podIPs", ())
    return (addresses[0].get("ip") if addresses else dig(pod, "status.podIP")) or NONE


def _node(pod: Obj, now: datetime) -> str:
    return dig(pod, "spec.nodeName") or NONE


def _nominated(pod: Obj, now: datetime) -> str:
    return dig(pod, "status.nominatedNodeName") or NONE


def _gates(pod: Obj, now: datetime) -> str:
    gates = dig(pod, "spec.readinessGates", ())
    passed = sum(condition_is(pod, gate.get("conditionType", "")) for gate in gates)
    return f"{passed}/{len(gates)}" if gates else NONE


COLUMNS = (
    NAME,
    Column("Ready", _ready, description="The number of ready containers and of all containers."),
    Column("Status", _status, description="The aggregate state of the containers in this pod."),
    Column("Restarts", _restart_text, description="How often containers restarted, and when last."),
    AGE,
    Column("IP", _ip, priority=1, description="The pod's address."),
    Column("Node", _node, priority=1, description="The node that the pod is bound to."),
    Column("Nominated Node", _nominated, priority=1, description="The node that preemption makes room on."),
    Column("Readiness Gates", _gates, priority=1, description="Readiness gates passed, and all of them."),
)
