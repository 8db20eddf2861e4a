"""A pod's status, computed from its spec, its containers and the status that the API holds: pure.

Conditions keep their transition times; conditions of others (readiness gates) are kept. What
the runtime has forgotten is carried over from the old status, so nothing that was told is ever lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from minikube_py.kubelet.cm.qos import qos_class
from minikube_py.kubelet.container_status import Known, container_statuses, end_lost, limit_messages
from minikube_py.kubelet.plan import is_sidecar
from minikube_py.meta.objects import Obj, dig, timestamp, with_condition

OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
RESIZE = ("PodResizePending", "PodResizeInProgress")
FINAL = ("Succeeded", "Failed")
OTHERS = ("resourceClaimStatuses", "extendedResourceClaimStatus")
"""What others own in a pod's status."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the status is made of, besides the pod. Times are UTC."""

    now: datetime
    containers: Mapping[str, Sequence[Known]] = field(default_factory=dict)
    """Container name > its runs, newest first."""
    waiting: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Container name > why it is not running: reason and message."""
    sandbox_ready: bool = False
    ips: Sequence[str] = ()
    host_ip: str = ""
    terminal: bool = False
    """No container of this pod will run again."""
    reason: str = ""
    message: str = ""
    """Why the kubelet ended the pod, such as DeadlineExceeded."""
    disrupted: bool = False
    """Whether it did so because the node ran short, through no fault of the pod's."""
    resize: Sequence[Obj] = ()
    """The conditions that tell of a resize under way; none where there is none."""
    allocated: Mapping[str, Obj] = field(default_factory=dict)
    """Container name > the resources it was allocated, where they can be resized."""
    recursive: bool = False
    """Whether mounts can be read-only with all that is mounted below them."""
    acknowledged: datetime | None = None
    """When the kubelet has first seen the pod; None: now."""


def pod_status(pod: Obj, facts: Facts) -> Obj:
    """The whole new status of `pod`; equal to the old one where nothing has changed."""
    old = pod.get("status") or {}
    spec = pod["spec"]
    status = dict(old)
    status["containerStatuses"] = container_statuses(pod, spec["containers"], "containerStatuses", facts)
    status["containerStatuses"].sort(key=lambda entry: entry["name"])
    if inits := spec.get("initContainers"):
        status["initContainerStatuses"] = container_statuses(pod, inits, "initContainerStatuses", facts)
    if debuggers := spec.get("ephemeralContainers"):
        name = "ephemeralContainerStatuses"
        status[name] = container_statuses(pod, debuggers, name, facts)
        status[name].sort(key=lambda entry: entry["name"])
    if facts.terminal:
        end_lost(status)
    limit_messages(status)
    status["phase"] = phase(spec, status, facts, old.get("phase", ""))
    if facts.reason and status["phase"] == "Failed":
        status["reason"], status["message"] = facts.reason, facts.message
    status.setdefault("startTime", timestamp(facts.acknowledged or facts.now))
    _addresses(spec, status, facts)
    if generation := dig(pod, "metadata.generation"):
        status["observedGeneration"] = generation
    status["conditions"] = _conditions(pod, status, facts)
    return status


def _addresses(spec: Obj, status: Obj, facts: Facts) -> None:
    if facts.host_ip:
        status["hostIP"] = facts.host_ip
        status["hostIPs"] = [{"ip": facts.host_ip}]
    ips = [facts.host_ip] if spec.get("hostNetwork") and facts.sandbox_ready else list(facts.ips)
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]


def phase(spec: Obj, status: Obj, facts: Facts, old: str) -> str:
    """The pod's phase by the states of its containers. It becomes final only once nothing of the pod runs any
    more (`facts.terminal`), and then stays."""
    if old in FINAL:
        return old
    states = [_tally(entry) for entry in status["containerStatuses"]]
    if facts.terminal:
        succeeded = not facts.reason and all(state == "succeeded" for state in states)
        return "Succeeded" if succeeded else "Failed"
    specs = {c["name"]: c for c in spec.get("initContainers") or ()}
    pending = False
    for entry in status.get("initContainerStatuses") or ():
        if is_sidecar(specs[entry["name"]]):
            pending = pending or not entry.get("started")
            continue
        ended = entry["state"].get("terminated") or {}
        pending = pending or not ended or bool(ended["exitCode"])
    if "waiting" in states or (pending and not any(state != "waiting" for state in states)):
        return "Pending"
    return "Running"


def tells_running(status: Obj) -> bool:
    """Whether a status still tells of a running container: its phase may be final by another's word."""
    return any("running" in entry["state"] for entry in status.get("containerStatuses") or ())


def _tally(entry: Obj) -> str:
    state = entry["state"]
    if "running" in state:
        return "running"
    ended = state.get("terminated") or (entry.get("lastState") or {}).get("terminated")
    if not ended:
        return "waiting"
    return "succeeded" if ended["exitCode"] == 0 else "failed"


def _conditions(pod: Obj, status: Obj, facts: Facts) -> list[Obj]:
    spec = pod["spec"]
    over = set(RESIZE) - {entry["type"] for entry in facts.resize}
    conditions = [c for c in dig(pod, "status.conditions", []) if c["type"] not in over]
    for new in (
        _flag("PodReadyToStartContainers", facts.sandbox_ready),
        _initialized(spec, status),
        _ready(spec, status, conditions),
        _containers_ready(spec, status),
        _flag("PodScheduled", True),
    ):
        if generation := status.get("observedGeneration"):
            new["observedGeneration"] = generation
        conditions = with_condition(conditions, new, facts.now)
    for entry in facts.resize:
        conditions = with_condition(conditions, entry, facts.now)
    if facts.disrupted:
        target = _flag("DisruptionTarget", True, "TerminationByKubelet", facts.message)
        if generation := status.get("observedGeneration"):
            target["observedGeneration"] = generation
        conditions = with_condition(conditions, target, facts.now)
    order = {kind: place for place, kind in enumerate(OURS)}
    return sorted(conditions, key=lambda entry: order.get(entry["type"], len(order)))


def _flag(kind: str, value: bool, reason: str = "", message: str = "") -> Obj:
    entry = {"type": kind, "status": "True" if value else "False"}
    return entry | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def _initialized(spec: Obj, status: Obj) -> Obj:
    if status["phase"] == "Succeeded":
        return _flag("Initialized", True, "PodCompleted")
    sidecars = {c["name"] for c in spec.get("initContainers") or () if is_sidecar(c)}
    incomplete = [
        entry["name"]
        for entry in status.get("initContainerStatuses") or ()
        if not (entry.get("started") if entry["name"] in sidecars else entry["ready"])
    ]
    begun = any("waiting" not in e["state"] or e.get("lastState") for e in status["containerStatuses"])
    if incomplete and not begun:
        text = f"containers with incomplete status: [{' '.join(incomplete)}]"
        return _flag("Initialized", False, "ContainersNotInitialized", text)
    return _flag("Initialized", True)


def _containers_ready(spec: Obj, status: Obj) -> Obj:
    if status["phase"] == "Succeeded":
        return _flag("ContainersReady", False, "PodCompleted")
    if status["phase"] == "Failed":
        return _flag("ContainersReady", False, "PodFailed")
    entries = [*(status.get("initContainerStatuses") or ()), *status["containerStatuses"]]
    ready = {entry["name"] for entry in entries if entry["ready"]}
    counted = [*(c for c in spec.get("initContainers") or () if is_sidecar(c)), *spec["containers"]]
    if unready := [c["name"] for c in counted if c["name"] not in ready]:
        text = f"containers with unready status: [{' '.join(unready)}]"
        return _flag("ContainersReady", False, "ContainersNotReady", text)
    return _flag("ContainersReady", True)


def _ready(spec: Obj, status: Obj, conditions: Sequence[Obj]) -> Obj:
    containers = _containers_ready(spec, status)
    if containers["status"] == "False":
        return {**containers, "type": "Ready"}
    known = {entry["type"]: entry["status"] for entry in conditions}
    missing = []
    for gate in spec.get("readinessGates") or ():
        kind = gate["conditionType"]
        if kind not in known:
            missing.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif known[kind] != "True":
            missing.append(f'the status of pod readiness gate "{kind}" is not "True", but {known[kind]}')
    if missing:
        return _flag("Ready", False, "ReadinessGatesNotReady", ", ".join(missing))
    return _flag("Ready", True)


def rejected_status(pod: Obj, reason: str, message: str, now: datetime) -> Obj:
    """The status of a pod that is refused: Failed, and nothing of containers; of what was told before, what
    others own. As the kubelet's status manager merges it, PodScheduled goes too."""
    before = pod.get("status") or {}
    status = {name: before[name] for name in OTHERS if name in before}
    if "conditions" in before:
        status["conditions"] = [one for one in before["conditions"] if one["type"] not in OURS]
    status |= {
        "startTime": before.get("startTime") or timestamp(now),
        "phase": "Failed",
        "qosClass": qos_class(pod),
        "reason": reason,
        "message": f"Pod was rejected: {message}",
    }
    if generation := dig(pod, "metadata.generation"):
        status["observedGeneration"] = generation
    return status


def status_patch(old: Obj, new: Obj) -> Obj:
    """The strategic merge patch that turns one status into the other; empty where they are equal."""
    patch: Obj = {}
    for name in new.keys() | old.keys():
        if new.get(name) == old.get(name):
            continue
        if name == "conditions":
            known = {entry["type"]: entry for entry in old.get(name) or ()}
            changed = [entry for entry in new[name] if entry != known.get(entry["type"])]
            patch[name] = [dict.fromkeys(known.get(entry["type"], ())) | entry for entry in changed]
            gone = known.keys() - {entry["type"] for entry in new[name]}
            patch[name] += [{"type": kind, "$patch": "delete"} for kind in sorted(gone)]
        elif name in ("podIPs", "hostIPs") and name in new:
            patch[name] = [*new[name], {"$patch": "replace"}] if old.get(name) else new[name]
        else:
            patch[name] = new.get(name)
    return patch
