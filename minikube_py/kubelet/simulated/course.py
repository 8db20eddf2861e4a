"""The course of a simulated pod: from stage to stage by its rules, told in a kubelet's words. Pure.

Pending > starting (its containers run, it is not ready) > running > ended, or back to running where its
restart policy says so; and deleting, from every stage. Readiness gates and the pod's generation are followed.
Limits: containers of a pod end together; probes, images, volumes and resizes are always fine.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from minikube_py.kubelet.container_status import Known
from minikube_py.kubelet.plan import is_sidecar
from minikube_py.kubelet.simulated.rules import Rules, run_of
from minikube_py.kubelet.status import FINAL, Facts, pod_status
from minikube_py.meta.objects import Obj, dig, is_deleting, parse_time, uid_of
from minikube_py.runtime.base import Container

PENDING, STARTING, RUNNING, ENDED, DELETING = "pending", "starting", "running", "ended", "deleting"
TERMINATED = 143
"""The exit code of containers that are ended by a deletion: 128 + SIGTERM."""
RESTART_PAUSE = 10.0
"""Seconds that a container which was started again runs at least."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pod is: its own address (empty: none is free) and its node's."""

    ip: str
    host_ip: str


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done now: a status to write (None: none), whether the pod goes for good, and after how many
    seconds to look again (None: only when it changes)."""

    status: Obj | None = None
    gone: bool = False
    again: float | None = None


def stage_of(pod: Obj) -> str:
    """The stage that a pod's status tells."""
    if is_deleting(pod):
        return DELETING
    if dig(pod, "status.phase") in FINAL:
        return ENDED
    states = dig(pod, "status.containerStatuses") or ()
    if not any("running" in entry["state"] for entry in states):
        return PENDING
    return RUNNING if all(entry["ready"] for entry in states) else STARTING


def restarts_of(pod: Obj) -> int:
    """How often the containers were started again."""
    states: Sequence[Obj] = dig(pod, "status.containerStatuses") or ()
    return int(states[0].get("restartCount", 0)) if states else 0


def stay(pod: Obj, stage: str, rules: Rules) -> float | None:
    """Seconds that the pod stays in its stage; None: until somebody else changes that."""
    run = run_of(pod, restarts_of(pod))
    if stage == PENDING:
        return rules.jittered(rules.delay, f"{run}/delay")
    if stage == STARTING:
        return rules.jittered(rules.ready, f"{run}/ready")
    if stage == DELETING:
        grace = dig(pod, "metadata.deletionGracePeriodSeconds", 30)
        return min(float(grace), rules.jittered(rules.stop, f"{run}/stop"))
    if stage == ENDED:
        return None
    after = rules.ends_after(run)
    return max(after, RESTART_PAUSE) if after is not None and restarts_of(pod) else after


def step(pod: Obj, rules: Rules, elapsed: float, place: Place, now: datetime) -> Step:
    """What becomes of a pod that has been in its stage for `elapsed` seconds."""
    stage = stage_of(pod)
    wait = stay(pod, stage, rules)
    if wait is None or elapsed < wait:
        left = None if wait is None else wait - elapsed
        return Step(_changed(pod, _steady(pod, stage, place, now)), again=left)
    if stage == DELETING:
        waited_for = dig(pod, "metadata.finalizers") and dig(pod, "status.phase") not in FINAL
        status = _changed(pod, _ended(pod, TERMINATED, place, now)) if waited_for else None
        return Step(status, gone=True)
    if stage == PENDING:
        at_once = rules.ready == 0 and rules.jitter == 0
        return Step(_changed(pod, _begun(pod, at_once, place, now)))
    if stage == STARTING:
        return Step(_changed(pod, _running(pod, True, place, now)))
    failed = rules.fails(run_of(pod, restarts_of(pod)))
    policy = dig(pod, "spec.restartPolicy", "Always")
    if policy == "Always" or (policy == "OnFailure" and failed):
        return Step(_changed(pod, _restarted(pod, int(failed), place, now)))
    return Step(_changed(pod, _ended(pod, int(failed), place, now)))


def _changed(pod: Obj, status: Obj | None) -> Obj | None:
    return None if status == pod.get("status") else status


def _steady(pod: Obj, stage: str, place: Place, now: datetime) -> Obj | None:
    """The status of a pod whose stage goes on: gates may have opened."""
    if stage in (STARTING, RUNNING):
        return _running(pod, stage == RUNNING, place, now)
    return None


def _container(
    pod: Obj, spec: Obj, attempt: int, state: str, times: tuple[float, float], code: int = 0
) -> Known:
    identity = hashlib.sha256(f"{uid_of(pod)}/{spec['name']}/{attempt}".encode()).hexdigest()
    image = spec.get("image", "")
    container = Container(
        identity,
        "",
        spec["name"],
        attempt,
        state,
        image,
        f"{image}@sha256:{hashlib.sha256(image.encode()).hexdigest()}" if image else "",
        times[0],
        started_at=times[0],
        finished_at=times[1],
        exit_code=code,
    )
    return Known(container, started=True)


def _facts(place: Place, now: datetime, runs: dict[str, Sequence[Known]], terminal: bool = False) -> Facts:
    ips = (place.ip,) if place.ip else ()
    return Facts(now, runs, sandbox_ready=not terminal, ips=ips, host_ip=place.host_ip, terminal=terminal)


def _begun(pod: Obj, ready: bool, place: Place, now: datetime) -> Obj:
    """Every init container has ended, and the others run."""
    moment = now.timestamp()
    runs: dict[str, Sequence[Known]] = {
        spec["name"]: (_container(pod, spec, 0, "exited", (moment, moment)),)
        for spec in pod["spec"].get("initContainers") or ()
        if not is_sidecar(spec)
    }
    return pod_status(pod, _facts(place, now, runs | _alive(pod, 0, ready, moment)))


def _alive(pod: Obj, attempt: int, ready: bool, moment: float) -> dict[str, Sequence[Known]]:
    """The containers that run, sidecars among them."""
    sidecars = [spec for spec in pod["spec"].get("initContainers") or () if is_sidecar(spec)]
    found: dict[str, Sequence[Known]] = {}
    for spec in sidecars:
        known = _container(pod, spec, 0, "running", (moment, 0.0))
        found[spec["name"]] = (Known(known.container, ready=True, started=True),)
    for spec in pod["spec"]["containers"]:
        known = _container(pod, spec, attempt, "running", (moment, 0.0))
        found[spec["name"]] = (Known(known.container, ready=ready, started=True),)
    return found


def _running(pod: Obj, ready: bool, place: Place, now: datetime) -> Obj:
    runs = _alive(pod, restarts_of(pod), ready, now.timestamp())
    return pod_status(pod, _facts(place, now, runs))


def _since(pod: Obj, name: str, now: datetime) -> float:
    for field in ("containerStatuses", "initContainerStatuses"):
        for entry in dig(pod, f"status.{field}") or ():
            if entry["name"] == name and "running" in entry["state"]:
                return parse_time(entry["state"]["running"]["startedAt"]).timestamp()
    return now.timestamp()


def _past(pod: Obj, spec: Obj, attempt: int, code: int, now: datetime) -> Known:
    times = (_since(pod, spec["name"], now), now.timestamp())
    return _container(pod, spec, attempt, "exited", times, code)


def _restarted(pod: Obj, code: int, place: Place, now: datetime) -> Obj:
    """The containers have ended with `code` and run again."""
    attempt = restarts_of(pod)
    runs = _alive(pod, attempt + 1, True, now.timestamp())
    for spec in pod["spec"]["containers"]:
        runs[spec["name"]] = (*runs[spec["name"]], _past(pod, spec, attempt, code, now))
    return pod_status(pod, _facts(place, now, runs))


def _ended(pod: Obj, code: int, place: Place, now: datetime) -> Obj:
    """The containers have ended with `code`, and then the sidecars."""
    runs: dict[str, Sequence[Known]] = {}
    for spec in pod["spec"].get("initContainers") or ():
        if is_sidecar(spec):
            runs[spec["name"]] = (_past(pod, spec, 0, 0, now),)
    for spec in pod["spec"]["containers"]:
        runs[spec["name"]] = (_past(pod, spec, restarts_of(pod), code, now),)
    return pod_status(pod, _facts(place, now, runs, terminal=True))
