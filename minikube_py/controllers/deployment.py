"""Deployment controller: rolls a Deployment's template out through ReplicaSets, one step per run.

Each step's effect on the ReplicaSets enqueues the Deployment again, until nothing is left to do. The
decisions are in `deployments/`; here are their effects.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.controllers.deployments import revisions, rolling, status
from minikube_py.controllers.deployments.rolling import Scale, replicas_of
from minikube_py.controllers.ownership import ORPHANS, adopters, claim, orphan_index
from minikube_py.controllers.podcontrol import namespace_terminating
from minikube_py.controllers.pods import is_finished
from minikube_py.errors import AlreadyExists, ApiError, Conflict, NotFound
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    annotations_of,
    controller_of,
    dig,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)


@dataclass(slots=True)
class Rollout:
    """A Deployment, its ReplicaSets, and the conditions as they change during a run."""

    deployment: Obj
    new: Obj | None
    old: list[Obj]
    conditions: list[Obj]

    @property
    def sets(self) -> list[Obj]:
        """The new set, if there is one, and the old ones."""
        return [*([self.new] if self.new is not None else []), *self.old]

    def replace(self, rs: Obj) -> None:
        """Put the stored state of `rs` in its place."""
        if self.new is not None and uid_of(self.new) == uid_of(rs):
            self.new = rs
        self.old = [rs if uid_of(known) == uid_of(rs) else known for known in self.old]


class DeploymentController(Controller):
    """Drive each Deployment's ReplicaSets towards its template and size."""

    name: ClassVar[str] = "deployment-controller"
    reconciles, owns = Deployment, (ReplicaSet,)

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((ReplicaSet, ORPHANS, orphan_index),)

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {ReplicaSet: adopters(self.cache, Deployment), Pod: self._recreated_by}

    def _recreated_by(self, change: Change) -> Iterable[Key]:
        """A pod's end may be what a Recreate waits for."""
        pod = change.object
        if change.type != "DELETED" and not is_finished(pod):
            return
        ref = controller_of(pod)
        if ref is None or ref.get("kind") != "ReplicaSet":
            return
        rs = self.cache.get(ReplicaSet, Key(namespace_of(pod), ref["name"]))
        owner = controller_of(rs) if rs is not None else None
        if owner is not None and self.is_owner(owner):
            key = Key(namespace_of(pod), owner["name"])
            deployment = self.cache.get(Deployment, key)
            if deployment is not None and not rolling.is_rolling(deployment):
                yield key

    async def reconcile(self, key: Key) -> float | None:
        deployment = self.cache.get(Deployment, key)
        if deployment is None:
            return None
        sets = await claim(self.client, Deployment, deployment, ReplicaSet)
        new = revisions.find_new(deployment, sets)
        old = [rs for rs in sets if rs is not new]
        conditions = status.paused_conditions(deployment, self.clock.now())
        rollout = Rollout(deployment, new, old, list(conditions))
        if is_deleting(deployment):
            return await self._set_status(rollout)
        if dig(deployment, "spec.paused") or rolling.is_scaling(deployment, sets):
            await self._keep_new(rollout, create=False)
            await self._scale(rollout, rolling.plan_scaling(deployment, rollout.new, rollout.old))
        elif rolling.is_rolling(deployment):
            await self._roll(rollout)
        else:
            await self._recreate(rollout)
        await self._expire(rollout)
        return await self._set_status(rollout)

    async def _roll(self, rollout: Rollout) -> None:
        await self._keep_new(rollout, create=True)
        if rollout.new is not None:
            steps = rolling.plan_rolling(rollout.deployment, rollout.new, rollout.old)
            await self._scale(rollout, steps)

    async def _recreate(self, rollout: Rollout) -> None:
        await self._keep_new(rollout, create=False)
        old_pods = [pod for rs in rollout.old for pod in self.cache.owned(Pod, uid_of(rs))]
        old_run = any(not is_finished(pod) for pod in old_pods)
        steps = rolling.plan_recreate(rollout.deployment, rollout.new, rollout.old, old_run)
        if not steps and not old_run and rollout.new is None:
            await self._keep_new(rollout, create=True)
            steps = rolling.plan_recreate(rollout.deployment, rollout.new, rollout.old, old_run)
        await self._scale(rollout, steps)

    async def _keep_new(self, rollout: Rollout, *, create: bool) -> None:
        """The ReplicaSet of the current template: made if it is missing, its annotations and the Deployment's
        revision kept right."""
        deployment, now = rollout.deployment, self.clock.now()
        if rollout.new is None and not create:
            return
        if rollout.new is None:
            rollout.new = await self._create_new(rollout)
            reason, message = "NewReplicaSetCreated", f'Created new replica set "{name_of(rollout.new)}"'
            made = status.progressing("True", reason, message)
            if status.deadline(deployment) is not None:
                rollout.conditions = status.set_condition(rollout.conditions, made, now)
        else:
            await self._annotate_new(rollout, rollout.new)
            known = any(c["type"] == "Progressing" for c in rollout.conditions)
            if not known and status.deadline(deployment) is not None:
                message = f'Found new replica set "{name_of(rollout.new)}"'
                found = status.progressing("True", "FoundNewReplicaSet", message)
                rollout.conditions = status.set_condition(rollout.conditions, found, now)
        revision = annotations_of(rollout.new).get(revisions.REVISION, "")
        if revision and annotations_of(deployment).get(revisions.REVISION) != revision:
            body = {"metadata": {"annotations": {revisions.REVISION: revision}}}
            rollout.deployment = await self.client.patch(Deployment, key_of(deployment), body)

    async def _create_new(self, rollout: Rollout) -> Obj:
        deployment = rollout.deployment
        size = rolling.new_size(deployment, None, rollout.old)
        wanted = revisions.new_replicaset(deployment, rollout.old, size)
        try:
            created = await self.client.create(ReplicaSet, wanted)
        except AlreadyExists:
            return await self._take_existing(deployment, wanted)
        except ApiError as error:
            if not namespace_terminating(error):
                await self._note_failed_create(rollout, wanted, error)
            raise
        if size:
            self._record_scaled(deployment, name_of(created), 0, size)
        return created

    async def _take_existing(self, deployment: Obj, wanted: Obj) -> Obj:
        """The ReplicaSet of the wanted name, if it is ours by owner and template; else the hash collided, and
        the next run takes another one."""
        existing = await self.client.get(ReplicaSet, name_of(wanted), namespace_of(wanted))
        ours = (controller_of(existing) or {}).get("uid") == uid_of(deployment)
        if ours and revisions.same_template(existing["spec"]["template"], deployment["spec"]["template"]):
            return existing
        counted = {**(deployment.get("status") or {})}
        counted["collisionCount"] = counted.get("collisionCount", 0) + 1
        await self.set_status(Deployment, deployment, counted)
        raise Conflict(f"ReplicaSet {name_of(wanted)} exists already with another template")

    async def _note_failed_create(self, rollout: Rollout, wanted: Obj, error: ApiError) -> None:
        message = f'Failed to create new replica set "{name_of(wanted)}": {error}'
        self.events.record(rollout.deployment, "Warning", "ReplicaSetCreateError", message)
        if status.deadline(rollout.deployment) is not None:
            failed = status.progressing("False", "ReplicaSetCreateError", message)
            rollout.conditions = status.set_condition(rollout.conditions, failed, self.clock.now())
            await self._set_status(rollout)

    async def _annotate_new(self, rollout: Rollout, new: Obj) -> None:
        deployment = rollout.deployment
        wanted = revisions.wanted_annotations(deployment, new, rollout.old)
        min_ready = dig(deployment, "spec.minReadySeconds", 0)
        has = annotations_of(new)
        if wanted.items() <= has.items() and dig(new, "spec.minReadySeconds", 0) == min_ready:
            return
        body = {"metadata": {"annotations": wanted}, "spec": {"minReadySeconds": min_ready}}
        rollout.replace(await self.client.patch(ReplicaSet, key_of(new), body))

    async def _scale(self, rollout: Rollout, steps: Sequence[Scale]) -> None:
        sizes = revisions.size_annotations(rollout.deployment)
        for step in steps:
            before, meta = replicas_of(step.rs), step.rs["metadata"]
            if before == step.replicas and sizes.items() <= annotations_of(step.rs).items():
                continue
            precondition = {"resourceVersion": meta["resourceVersion"], "annotations": sizes}
            body = {"metadata": precondition, "spec": {"replicas": step.replicas}}
            rollout.replace(await self.client.patch(ReplicaSet, key_of(step.rs), body))
            if before != step.replicas:
                self._record_scaled(rollout.deployment, meta["name"], before, step.replicas)
        await self._annotate_sizes(rollout, sizes)

    async def _annotate_sizes(self, rollout: Rollout, sizes: Mapping[str, str]) -> None:
        """Tell every active set of the size that it is a share of, so that it is not scaled again."""
        for rs in rolling.active(rollout.sets):
            if not sizes.items() <= annotations_of(rs).items():
                body = {"metadata": {"annotations": dict(sizes)}}
                rollout.replace(await self.client.patch(ReplicaSet, key_of(rs), body))

    def _record_scaled(self, deployment: Obj, name: str, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        message = f"Scaled {direction} replica set {name} from {before} to {after}"
        self.events.record(deployment, "Normal", "ScalingReplicaSet", message)

    async def _expire(self, rollout: Rollout) -> None:
        """Delete old ReplicaSets beyond the history limit, once the rollout is complete or paused."""
        counted = status.counts(rollout.deployment, rollout.new, rollout.sets)
        if not status.is_complete(rollout.deployment, counted) and not dig(rollout.deployment, "spec.paused"):
            return
        for rs in revisions.expired(rollout.deployment, rollout.old):
            try:
                await self.client.delete(ReplicaSet, key_of(rs), {"preconditions": {"uid": uid_of(rs)}})
            except NotFound:
                continue

    async def _set_status(self, rollout: Rollout) -> float | None:
        """Store the status; the seconds until the progress deadline."""
        deployment, now = rollout.deployment, self.clock.now()
        wanted = status.observed(deployment, rollout.new, rollout.sets, rollout.conditions, now)
        await self.set_status(Deployment, deployment, wanted)
        known = next((c for c in wanted["conditions"] if c["type"] == "Progressing"), None)
        left = status.seconds_left(deployment, known, now)
        return None if left is None else max(0.0, left) + 1.0
