"""Indexes: the keys of a resource's objects by the value of a label or of a field.

A list whose selector pins a value (`app=web`, `spec.nodeName=n1`) looks at the objects that have it, where it
would else look at every object of the resource. An index is made by the first such list of a resource that has
many objects, a step at a time, together with others that come meanwhile, and follows every change. Of each
resource the indexes asked for last are kept. Guarantees: a complete index names every object that has the value
now; whoever reads it still judges each object. Limits: it knows the present only, and no objects that lack the
label or field.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence

from minikube_py.meta.kind import Kind
from minikube_py.registry.entries import decoded
from minikube_py.registry.selection import Pin, field_value
from minikube_py.store.base import Entry, Event, Store

WORTH = 1000
"""Objects of a resource from which on an index is made; a value that fewer have is few enough."""
KEPT = 8
"""Indexes of one resource."""
AT_ONCE = 1000
"""Objects that an index meets without a pause: some milliseconds."""
SHARE = 4
"""A value that more than one object in so many has is not worth its index: looking at all is as fast."""


Making = Generator[None, None, Sequence[str] | None]
"""The steps in which indexes are made, and the keys that they then find."""


class Index:
    """The keys of one resource's objects by the value of what a pin looks at; complete once none is `unmet`."""

    def __init__(self, of: Pin, keys: list[str]) -> None:
        self._of = of
        self._keys: dict[str, dict[str, None]] = {}
        self.unmet = keys

    def under(self, value: str) -> dict[str, None]:
        """The keys of the objects that have the value."""
        return self._keys.get(value) or {}

    def meet(self, store: Store) -> None:
        """Note some of the objects that it has not met yet, as they are now."""
        some = self.unmet[-AT_ONCE:]
        del self.unmet[-AT_ONCE:]
        for key in some:
            if (entry := store.get(key)) is not None and (value := self._value(entry)):
                self._keys.setdefault(value, {})[key] = None

    def follow(self, event: Event) -> None:
        """Note a change."""
        before = None if event.previous is None else self._value(event.previous)
        after = None if event.deleted else self._value(event.entry)
        if before == after and not self.unmet:
            return
        if before and (keys := self._keys.get(before)):
            keys.pop(event.entry.key, None)
            if not keys:
                del self._keys[before]
        if after:
            self._keys.setdefault(after, {})[event.entry.key] = None

    def _value(self, entry: Entry) -> str:
        obj = decoded(entry)
        if self._of.label:
            return str((obj["metadata"].get("labels") or {}).get(self._of.path, ""))
        return field_value(obj, self._of.path)


class Indexes:
    """The indexes of every resource of a store; `close` them in the end."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[str, OrderedDict[Pin, Index]] = {}
        self._unsubscribe: dict[str, Callable[[], None]] = {}

    def close(self) -> None:
        """Follow the store no longer."""
        for unsubscribe in self._unsubscribe.values():
            unsubscribe()
        self._unsubscribe.clear()
        self._known.clear()

    def among(self, kind: Kind, pins: Sequence[Pin]) -> Making:
        """The keys, in order, of objects among which are all that have the values of `pins`; None where only a
        look at every object tells. Indexes that are missing are made, in steps."""
        count = _count(self.store, kind)
        if not pins or count < WORTH:
            return None
        least: dict[str, None] | None = None
        for pin in pins:
            if least is not None and len(least) < WORTH:
                break
            index = self._index(kind, pin)
            while index.unmet:  # every list that needs it makes a part of it: one that ends leaves it to others
                index.meet(self.store)
                yield
            found = index.under(pin.value)
            if self._knows(kind, index) and (least is None or len(found) < len(least)):
                least = found
        return None if least is None or len(least) * SHARE > count else sorted(least)

    def found(self, kind: Kind, prefix: str, pins: Sequence[Pin]) -> Sequence[Entry] | Making:
        """The entries under a prefix of `kind`, in order and as they are now, among which are all that have the
        values of `pins`; where that cannot be told at once, the steps that remain until it can."""
        making = self.among(kind, pins)
        try:
            next(making)
        except StopIteration as done:
            keys: Sequence[str] | None = done.value
            if keys is None:
                return self.store.list(prefix).entries
            under = (key for key in keys if key.startswith(prefix))
            return [entry for key in under if (entry := self.store.get(key)) is not None]
        return making

    def _index(self, kind: Kind, pin: Pin) -> Index:
        """The index that answers a pin. A new one follows changes at once: what it has not met is older."""
        prefix = kind.prefix()
        known = self._known.setdefault(prefix, OrderedDict())
        index = known.get(pin.of)
        if index is None:
            index = known[pin.of] = Index(pin.of, [entry.key for entry in self.store.list(prefix).entries])
            if len(known) > KEPT:
                known.popitem(last=False)
        known.move_to_end(pin.of)
        if prefix not in self._unsubscribe:
            self._unsubscribe[prefix] = self.store.subscribe(prefix, lambda event: self._follow(prefix, event))
        return index

    def _knows(self, kind: Kind, index: Index) -> bool:
        """Whether an index still follows the changes: others may have been asked for meanwhile."""
        return any(known is index for known in self._known[kind.prefix()].values())

    def _follow(self, prefix: str, event: Event) -> None:
        for index in self._known[prefix].values():
            index.follow(event)


def _count(store: Store, kind: Kind) -> int:
    page = store.list(kind.prefix(), limit=1)
    return len(page.entries) + page.remaining
