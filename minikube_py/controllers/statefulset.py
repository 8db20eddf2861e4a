"""StatefulSet controller: pods with a lasting name, number and storage each."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers import history
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.controllers.batches import slow_start
from minikube_py.controllers.ownership import ORPHANS, adopters, claim, orphan_index
from minikube_py.controllers.pods import seconds_until_available
from minikube_py.controllers.statefulsets import identity, rollout
from minikube_py.errors import AlreadyExists, ApiError, Conflict, NotFound
from minikube_py.kinds.apps.controllerrevision import ControllerRevision
from minikube_py.kinds.apps.statefulset import StatefulSet
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    controller_of,
    dig,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)


class StatefulSetController(Controller):
    """Drive each StatefulSet's pods and claims towards its spec."""

    name: ClassVar[str] = "statefulset-controller"
    reconciles, owns = StatefulSet, (Pod, ControllerRevision)

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Pod, ORPHANS, orphan_index), (ControllerRevision, ORPHANS, orphan_index))

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Pod: adopters(self.cache, StatefulSet), PersistentVolumeClaim: self._claim_changed}

    def _claim_changed(self, change: Change) -> Iterable[Key]:
        """The set that a claim which has gone was made for: its pod may wait for another one."""
        if change.type != "DELETED":
            return ()
        sets = self.cache.list(StatefulSet, namespace_of(change.object))
        return [key_of(one) for one in sets if identity.is_claim_of(one, name_of(change.object))]

    async def reconcile(self, key: Key) -> float | None:
        stateful_set = self.cache.get(StatefulSet, key)
        if stateful_set is None:
            return None
        pods = await claim(
            self.client, StatefulSet, stateful_set, Pod, lambda pod: identity.is_member(stateful_set, pod)
        )
        if is_deleting(stateful_set):
            return None  # a revision made now would hold up the deletion
        update = await history.current_revision(self.client, StatefulSet, stateful_set)
        current = self._current_revision(stateful_set, update)
        revisions = rollout.Revisions(name_of(current), name_of(update))
        await self._retain(stateful_set, pods)
        steps = rollout.plan(stateful_set, pods, revisions, self.clock.now())
        error = await self._act(stateful_set, steps, {name_of(rev): rev for rev in (current, update)})
        if steps.moves:
            pods = self._pods(stateful_set)
        now = self.clock.now()
        await self.set_status(StatefulSet, stateful_set, rollout.observed(stateful_set, pods, revisions, now))
        if error is not None:
            raise error
        live = {name_of(current), name_of(update), *map(rollout.revision_of_pod, pods)}
        await history.truncate(self.client, stateful_set, live)
        return self._until_available(stateful_set, pods, now)

    def _current_revision(self, stateful_set: Obj, update: Obj) -> Obj:
        """The revision that status.currentRevision names; the newest where that is gone or not set yet."""
        named = dig(stateful_set, "status.currentRevision")
        known = history.owned_revisions(self.client, stateful_set)
        return next((revision for revision in known if name_of(revision) == named), update)

    def _pods(self, stateful_set: Obj) -> list[Obj]:
        """The pods that the cache shows by now."""
        owned = self.cache.owned(Pod, uid_of(stateful_set))
        return [pod for pod in owned if (controller_of(pod) or {}).get("uid") == uid_of(stateful_set)]

    async def _act(
        self, stateful_set: Obj, steps: rollout.Steps, revisions: Mapping[str, Obj]
    ) -> Exception | None:
        """Do the steps; the first error. Creations begin slowly, so that a common fault costs few tries."""
        for pod in steps.label:
            labels = {"labels": dict(identity.missing_labels(stateful_set, pod))}
            await self.client.patch(Pod, key_of(pod), {"metadata": labels})
            self._tell(stateful_set, "update", f"Pod {name_of(pod)}")
        for pod in steps.claims:
            await self._make_claims(stateful_set, name_of(pod))
        for pod in steps.failed:
            self._tell_recreated(stateful_set, pod)
        wanted = list(steps.create.items())

        async def create(index: int) -> None:
            ordinal, revision = wanted[index]
            await self._create(stateful_set, identity.new_pod(stateful_set, ordinal, revisions[revision]))

        async def delete(index: int) -> None:
            await self._delete(stateful_set, steps.delete[index])

        _, create_error = await slow_start(len(wanted), create)
        _, delete_error = await slow_start(len(steps.delete), delete)
        return create_error or delete_error

    async def _create(self, stateful_set: Obj, pod: Obj) -> None:
        try:
            await self._make_claims(stateful_set, name_of(pod))
            await self.client.create(Pod, pod)
        except ApiError as error:
            if isinstance(error, AlreadyExists) and not self._is_taken(stateful_set, pod):
                raise Conflict(str(error)) from error  # the cache will show our own pod
            self._tell(stateful_set, "create", f"Pod {name_of(pod)}", error)
            raise
        self._tell(stateful_set, "create", f"Pod {name_of(pod)}")

    def _is_taken(self, stateful_set: Obj, pod: Obj) -> bool:
        """Whether another's pod has the name."""
        known = self.cache.get(Pod, key_of(pod))
        return known is not None and (controller_of(known) or {}).get("uid") != uid_of(stateful_set)

    async def _delete(self, stateful_set: Obj, pod: Obj) -> None:
        try:
            await self.client.delete(Pod, key_of(pod), {"preconditions": {"uid": uid_of(pod)}})
        except (NotFound, Conflict):  # gone, or another pod has that name
            return
        except ApiError as error:
            self._tell(stateful_set, "delete", f"Pod {name_of(pod)}", error)
            raise
        self._tell(stateful_set, "delete", f"Pod {name_of(pod)}")

    async def _make_claims(self, stateful_set: Obj, pod_name: str) -> None:
        """Create the pod's claims that are missing. Errors: Conflict where one is just being deleted."""
        for wanted in identity.claims_of(stateful_set, pod_name):
            known = self.cache.get(PersistentVolumeClaim, key_of(wanted))
            if known is not None:
                if is_deleting(known):
                    raise ApiError(f"pvc {name_of(wanted)} is being deleted")
                continue
            what = f"Claim {name_of(wanted)} Pod {pod_name}"
            owners = identity.claim_owners(stateful_set, None, wanted, owner_reference(stateful_set))
            if owners:
                wanted["metadata"]["ownerReferences"] = owners
            try:
                await self.client.create(PersistentVolumeClaim, wanted)
            except AlreadyExists:
                continue
            except ApiError as error:
                self._tell(stateful_set, "create", what, error)
                raise
            self._tell(stateful_set, "create", what)

    async def _retain(self, stateful_set: Obj, pods: Sequence[Obj]) -> None:
        """Give the claims of `pods` the owners that the retention policy says."""
        going = {uid_of(pod) for pod in rollout.condemned(stateful_set, pods)}
        for pod in pods:
            for wanted in identity.claims_of(stateful_set, name_of(pod)):
                found = self.cache.get(PersistentVolumeClaim, key_of(wanted))
                if found is not None:
                    await self._set_owners(stateful_set, pod if uid_of(pod) in going else None, found)

    async def _set_owners(self, stateful_set: Obj, leaving: Obj | None, found: Obj) -> None:
        if identity.foreign_controller(stateful_set, found):
            if identity.has_retention(stateful_set):
                message = (
                    f"PersistentVolumeClaim {key_of(found)} has a conflicting OwnerReference that acts as a "
                    "managing controller, the retention policy is ignored for this claim"
                )
                self.events.record(stateful_set, "Warning", "ConflictingController", message)
            return
        owners = identity.claim_owners(stateful_set, leaving, found, owner_reference(stateful_set))
        meta = found["metadata"]
        if owners != (meta.get("ownerReferences") or []):
            changed = {**found, "metadata": {**meta, "ownerReferences": owners}}
            await self.client.update(PersistentVolumeClaim, changed)

    def _tell(self, stateful_set: Obj, verb: str, what: str, error: ApiError | None = None) -> None:
        """An event of what was done to a pod or claim, or of why it was not."""
        reason = f"{'Successful' if error is None else 'Failed'}{verb.capitalize()}"
        done = "success" if what.startswith("Claim") else "successful"
        outcome = done if error is None else f"failed error: {error}"
        type = "Normal" if error is None else "Warning"
        self.events.record(
            stateful_set, type, reason, f"{verb} {what} in StatefulSet {name_of(stateful_set)} {outcome}"
        )

    def _tell_recreated(self, stateful_set: Obj, pod: Obj) -> None:
        failed = dig(pod, "status.phase") == "Failed"
        type, ended = ("Warning", "failed") if failed else ("Normal", "terminated")
        message = f"StatefulSet {key_of(stateful_set)} is recreating {ended} Pod {name_of(pod)}"
        self.events.record(stateful_set, type, f"Recreating{ended.capitalize()}Pod", message)

    def _until_available(self, stateful_set: Obj, pods: Sequence[Obj], now: datetime) -> float | None:
        min_ready = dig(stateful_set, "spec.minReadySeconds", 0)
        waits = [seconds_until_available(pod, min_ready, now) for pod in pods] if min_ready else []
        return min((seconds for seconds in waits if seconds), default=None)
