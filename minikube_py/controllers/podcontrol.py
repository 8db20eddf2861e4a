"""Creates and deletes the pods of an owner, and records on the owner how that went."""

from collections.abc import Sequence

from minikube_py.client.base import Client
from minikube_py.client.events import EventRecorder
from minikube_py.controllers.batches import BURST, slow_start
from minikube_py.errors import ApiError, Conflict, NotFound
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, key_of, name_of, uid_of


def namespace_terminating(error: Exception | None) -> bool:
    """Whether a create was refused because the namespace is being deleted: no cause for alarm."""
    return isinstance(error, ApiError) and any(c.reason == "NamespaceTerminating" for c in error.causes)


class PodControl:
    """Acts for one controller."""

    def __init__(self, client: Client, events: EventRecorder) -> None:
        self._client, self._events = client, events

    async def create(self, owner: Obj, pods: Sequence[Obj]) -> Exception | None:
        """Create `pods` (at most 500 of them), slowly at first; the first error."""

        async def create(number: int) -> None:
            await self.create_one(owner, pods[number])

        _, error = await slow_start(min(len(pods), BURST), create)
        return error

    async def create_one(self, owner: Obj, pod: Obj) -> Obj:
        """Create one pod. Errors: those of the API, recorded as FailedCreate."""
        try:
            created = await self._client.create(Pod, pod)
        except ApiError as error:
            if not namespace_terminating(error):
                self._events.record(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._events.record(owner, "Normal", "SuccessfulCreate", f"Created pod: {name_of(created)}")
        return created

    async def delete(self, owner: Obj, pods: Sequence[Obj]) -> Exception | None:
        """Delete `pods`, slowly at first; the first error. Pods that are gone count as deleted."""

        async def delete(number: int) -> None:
            await self.delete_one(owner, pods[number])

        _, error = await slow_start(min(len(pods), BURST), delete)
        return error

    async def delete_one(self, owner: Obj, pod: Obj) -> None:
        """Delete one pod. Errors: those of the API, recorded as FailedDelete."""
        try:
            await self._client.delete(Pod, key_of(pod), {"preconditions": {"uid": uid_of(pod)}})
        except (NotFound, Conflict):  # gone, or another pod has that name
            return
        except ApiError as error:
            self._events.record(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        self._events.record(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
