"""ContainerStatus entries: what the API tells of each container of a pod. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from minikube_py.kubelet.cm.resize import read_back
from minikube_py.kubelet.kuberuntime.security import is_recursive
from minikube_py.kubelet.plan import is_sidecar
from minikube_py.meta.objects import Obj, dig, timestamp
from minikube_py.runtime.base import Container, User

if TYPE_CHECKING:
    from minikube_py.kubelet.status import Facts

MESSAGES = 12 * 1024  # bytes of termination messages in one pod's status, shared evenly by its containers
UNKNOWN, LOST = "ContainerStatusUnknown", "The container could not be located when the pod was terminated"
VANISHED = "The container could not be located when the pod was deleted.  The container used to be Running"


@dataclass(frozen=True, slots=True)
class Known:
    """A container of the runtime, with what only the kubelet knows of it."""

    container: Container
    ready: bool = False
    started: bool = False
    termination_message: str = ""
    resources: Obj | None = None
    """What the runtime was told of its resources; None: what it was allocated."""


def container_statuses(pod: Obj, specs: Sequence[Obj], name: str, facts: Facts) -> list[Obj]:
    """One entry per container of `specs`; `name` is the field of the status that holds them."""
    old = {entry["name"]: entry for entry in dig(pod, f"status.{name}", [])}
    init = name == "initContainerStatuses"
    entries = [_entry(pod, spec, old.get(spec["name"], {}), facts, init) for spec in specs]
    return entries if name != "ephemeralContainerStatuses" else [_bystander(entry) for entry in entries]


def _bystander(entry: Obj) -> Obj:
    """An ephemeral container's entry: it has no part in the pod's readiness, and never runs again."""
    del entry["started"]
    last = entry["lastState"].get("terminated") or {}
    if "waiting" in entry["state"] and last.get("message") == VANISHED:
        entry |= {"state": entry["lastState"], "lastState": {}}
    return entry | {"ready": False}


def _entry(pod: Obj, spec: Obj, old: Obj, facts: Facts, init: bool) -> Obj:
    runs = [run for run in facts.containers.get(spec["name"], ()) if run.container.state != "created"]
    entry: Obj = {
        "name": spec["name"],
        "image": spec.get("image", ""),
        "imageID": "",
        "state": {},
        "lastState": {},
        "ready": False,
        "restartCount": old.get("restartCount", 0),
        "started": False,
    }
    waiting = facts.waiting.get(spec["name"])
    if runs:
        _from_runs(entry, runs, old, facts)
    elif old:
        _from_memory(entry, old, facts)
    if not entry["state"] or (waiting and "running" not in entry["state"]):
        _wait(entry, waiting or _default_wait(pod, init), facts)
    newest = runs[0] if runs else None
    running = newest is not None and newest.container.state == "running"
    if newest is not None and running:
        once = init and not is_sidecar(spec)
        entry["started"] = once or newest.started
        entry["ready"] = newest.ready and newest.started and not once
    if init and not is_sidecar(spec):
        entry["ready"] = (entry["state"].get("terminated") or {}).get("exitCode") == 0
    now, last = (entry[field].get("terminated") or {} for field in ("state", "lastState"))
    if now and now.get("containerID") == last.get("containerID"):  # told as past while another start was due
        entry["lastState"] = {}
    if newest is not None:
        _resources(entry, facts.allocated.get(spec["name"]) or spec.get("resources") or {}, newest)
    elif "terminated" in entry["state"]:
        entry |= {field: old[field] for field in ("allocatedResources", "resources", "user") if field in old}
    if mounts := spec.get("volumeMounts"):
        entry["volumeMounts"] = old.get("volumeMounts") or [_mount(one, facts.recursive) for one in mounts]
    return entry


def end_lost(status: Obj) -> None:
    """In the status of a pod that has ended, containers without an end are lost: the ordinary ones if the pod
    came past its init containers, and of those all up to the last that was ever begun (at least the first)."""
    inits, ordinary = status.get("initContainerStatuses") or [], status["containerStatuses"]
    begun = [number for number, entry in enumerate(inits, 1) if _was_begun(entry)]
    lost = inits[: begun[-1] if begun else 1]
    if not inits or any(map(_was_begun, ordinary)) or _succeeded(inits[-1]):
        lost = [*lost, *ordinary]
    for entry in lost:
        if "terminated" not in entry["state"]:
            entry["state"] = {"terminated": {"exitCode": 137, "reason": UNKNOWN, "message": LOST}}


def _was_begun(entry: Obj) -> bool:
    return "waiting" not in entry["state"] or "terminated" in entry["lastState"]


def _succeeded(entry: Obj) -> bool:
    ends = (entry[field].get("terminated") or {} for field in ("state", "lastState"))
    return any(end.get("exitCode") == 0 for end in ends)


def limit_messages(status: Obj) -> None:
    """Cut the termination messages of a status so that all together are no longer than MESSAGES."""
    entries = [
        entry
        for field in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        for entry in status.get(field) or ()
    ]
    most = MESSAGES // max(1, len(entries))
    for entry in entries:
        for field in ("state", "lastState"):
            ended = entry[field].get("terminated") or {}
            said = ended.get("message", "").encode()
            if len(said) > most:
                cut = ended | {"message": said[:most].decode(errors="ignore")}
                entry[field] = {"terminated": cut}


def _from_runs(entry: Obj, runs: Sequence[Known], old: Obj, facts: Facts) -> None:
    newest = runs[0].container
    entry["state"] = _state(runs[0])
    if old.get("containerID", "").endswith(newest.id) and newest.state == "running":
        was = (old.get("state") or {}).get("running")  # told once, by whichever clock, it stays
        entry["state"] = {"running": was} if was else entry["state"]
    entry["restartCount"] = newest.attempt
    entry["image"] = newest.image or entry["image"]
    entry["imageID"] = newest.image_id
    entry["containerID"] = f"containerd://{newest.id}"
    previous = next((run for run in runs[1:] if run.container.state == "exited"), None)
    if previous is not None:
        entry["lastState"] = _state(previous)
    elif old.get("containerID") == entry["containerID"]:
        entry["lastState"] = old.get("lastState") or {}
    elif "terminated" in (old.get("state") or {}):
        entry["lastState"] = old["state"]
    elif "running" in (old.get("state") or {}):
        entry["lastState"] = {"terminated": _lost(old, VANISHED, facts)}
    else:
        entry["lastState"] = old.get("lastState") or {}


def _from_memory(entry: Obj, old: Obj, facts: Facts) -> None:
    """The runtime has nothing of this container: what the API was told last counts."""
    state = old.get("state") or {}
    for field in ("imageID", "image", "containerID"):
        if old.get(field):
            entry[field] = old[field]
    entry["lastState"] = old.get("lastState") or {}
    if "terminated" in state:
        entry["state"] = state
    elif "running" in state:
        if facts.terminal:
            entry["state"] = {"terminated": _lost(old, LOST, facts)}
        else:
            entry["lastState"] = {"terminated": _lost(old, VANISHED, facts)}


def _lost(old: Obj, why: str, facts: Facts) -> Obj:
    """The end of a container that was told as running and is not to be found any more."""
    return {
        "exitCode": 137,
        "reason": UNKNOWN,
        "message": why,
        "startedAt": old["state"]["running"].get("startedAt"),
        "finishedAt": timestamp(facts.now),
        "containerID": old.get("containerID", ""),
    }


def _state(run: Known) -> Obj:
    container = run.container
    if container.state == "running":
        return {"running": {"startedAt": _moment(container.started_at or container.created_at)}}
    if container.state != "exited":
        return {}
    ended: Obj = {
        "exitCode": container.exit_code,
        "reason": container.reason or ("Error" if container.exit_code else "Completed"),
        "startedAt": _moment(container.started_at),  # one that never started: 1970, as upstream
        "finishedAt": _moment(container.finished_at),
        "containerID": f"containerd://{container.id}",
    }
    if message := run.termination_message or container.message:
        ended["message"] = message
    return {"terminated": ended}


def _wait(entry: Obj, why: tuple[str, str], facts: Facts) -> None:
    if facts.terminal and "terminated" in entry["state"]:
        return
    if "terminated" in entry["state"]:
        entry["lastState"] = entry["state"]
    reason, message = why
    entry["state"] = {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def _default_wait(pod: Obj, init: bool) -> tuple[str, str]:
    waits_for_init = bool(pod["spec"].get("initContainers"))
    return ("PodInitializing" if waits_for_init else "ContainerCreating", "")


def _resources(entry: Obj, allocated: Obj, run: Known) -> None:
    """What the container was allocated, what is applied to it while it runs, and whom it runs as."""
    if requests := allocated.get("requests"):
        entry["allocatedResources"] = requests
    applied = allocated
    if run.container.state == "running":
        applied = allocated if run.resources is None else run.resources
        applied = read_back(applied, run.container.applied)
    if user := run.container.user:
        entry["user"] = {"linux": _user(user)}
    entry["resources"] = {side: applied[side] for side in ("limits", "requests") if applied.get(side)}


def _user(user: User) -> Obj:
    ids: Obj = {"uid": user.uid, "gid": user.gid}
    return ids | ({"supplementalGroups": list(user.groups)} if user.groups else {})


def _mount(mount: Obj, able: bool) -> Obj:
    seen: Obj = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        state = "Enabled" if able and is_recursive(mount) else "Disabled"
        seen |= {"readOnly": True, "recursiveReadOnly": state}
    return seen


def _moment(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
