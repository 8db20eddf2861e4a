"""Recent: the last changes of each resource, kept whatever their age.

The store forgets by age and size over all resources together; a client that saw nothing new of a quiet resource
for an hour can still go on from the last resourceVersion it has, since nothing of that resource was lost.
"""

from collections import deque

from minikube_py.store.base import Event, Store

KEPT = 100
"""Changes that are kept of each resource."""
_ROOT = len("/registry/")


class Recent:
    """Follows the store from now on; `close` it in the end."""

    def __init__(self, store: Store) -> None:
        self._begin = store.revision
        self._events: dict[str, deque[Event]] = {}
        self._unsubscribe = store.subscribe("", self._note)

    def _note(self, event: Event) -> None:
        key = event.entry.key
        resource = key[: key.find("/", _ROOT) + 1]
        kept = self._events.get(resource)
        if kept is None:
            kept = self._events[resource] = deque(maxlen=KEPT + 1)
        kept.append(event)

    def since(self, prefix: str, after: int) -> list[Event] | None:
        """The changes under `prefix` (of one resource) later than revision `after`, oldest first;
        None where some of them may be forgotten."""
        if after < self._begin:
            return None
        kept = self._events.get(prefix[: prefix.find("/", _ROOT) + 1])
        if kept is None:
            return []
        if len(kept) > KEPT and after < kept[0].revision:
            return None  # what came before the first one is forgotten
        return [event for event in kept if event.revision > after and event.entry.key.startswith(prefix)]

    def close(self) -> None:
        """Follow the store no longer."""
        self._unsubscribe()
