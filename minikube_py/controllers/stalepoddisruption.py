"""Stale pod disruption controller: takes a DisruptionTarget condition back where no disruption followed.

Who is about to end a pod says so in that condition first. Where the pod's deletion has not begun two minutes
later, the condition turns False. What the kubelet says is left alone: its ending of a pod may take long.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import ClassVar

from minikube_py.client.base import Change
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.controllers.pods import is_finished
from minikube_py.errors import NotFound
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, condition, is_deleting, key_of, parse_time, with_condition

TARGET = "DisruptionTarget"
STALE_AFTER = timedelta(minutes=2)


def seconds_until_stale(pod: Obj, now: datetime) -> float | None:
    """Seconds until the pod's DisruptionTarget is to be taken back, 0 for now; None: never."""
    target = condition(pod, TARGET) or {}
    since = target.get("lastTransitionTime")
    if target.get("status") != "True" or target.get("reason") == "TerminationByKubelet" or not since:
        return None
    if is_deleting(pod) or is_finished(pod):
        return None
    return max(0.0, (parse_time(since) + STALE_AFTER - now).total_seconds())


class StalePodDisruptionController(Controller):
    """Take back what a pod says of a disruption that did not come."""

    name: ClassVar[str] = "stale-pod-disruption-controller"
    account: ClassVar[str] = "disruption-controller"

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Pod: self._changed}

    def _changed(self, change: Change) -> Iterable[Key]:
        marked = change.type != "DELETED" and (condition(change.object, TARGET) or {}).get("status") == "True"
        return (key_of(change.object),) if marked and not is_deleting(change.object) else ()

    async def reconcile(self, key: Key) -> float | None:
        pod, now = self.cache.get(Pod, key), self.clock.now()
        left = seconds_until_stale(pod, now) if pod is not None else None
        if pod is None or left is None or left > 0:
            return left
        status = pod.get("status") or {}
        conditions = with_condition(status.get("conditions") or (), {"type": TARGET, "status": "False"}, now)
        try:
            await self.set_status(Pod, pod, {**status, "conditions": conditions})
        except NotFound:
            return None
        return None
