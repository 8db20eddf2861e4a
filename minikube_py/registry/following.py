"""Following: the objects of one kind for one reader, first those that are there, then each change.

Guarantees: the reader hears of each object and change in order, and of a change before the write that made it
returns. What is there is met a few at a time, as the reader asks: what changes before it is met is told as it
then is, what goes before is never told. Nothing is missed between.
"""

from collections.abc import Callable

from minikube_py.aio.turns import Unmet
from minikube_py.meta.objects import Obj
from minikube_py.store.base import Entry, Event, Store

Take = Callable[[Obj], None]


class Following:
    """Hands each object under `prefix`, as `shown` makes it of its entry, to `put`, and each last state to
    `remove`; `close` ends it."""

    def __init__(
        self, store: Store, prefix: str, shown: Callable[[Entry], Obj], takes: tuple[Take, Take]
    ) -> None:
        self._store, self._shown = store, shown
        self._put, self._remove = takes
        self._unmet = Unmet({entry.key: entry for entry in store.list(prefix).entries})
        self.close: Callable[[], None] = store.subscribe(prefix, self._take)

    def meet(self) -> bool:
        """Hand over a few of the objects that were there at the beginning; whether others are left."""
        for _, entry in self._unmet.some():
            self._put(self._shown(entry))
        return bool(self._unmet.left)

    def _take(self, event: Event) -> None:
        unmet = bool(self._unmet.left) and self._unmet.took(event.entry.key)
        if not event.deleted:
            self._put(self._shown(event.entry))
        elif not unmet:
            self._remove(self._shown(event.entry))
