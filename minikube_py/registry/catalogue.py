"""The catalogue: every kind that is served now, built-in and custom, found by resource or by kind.

Kinds may come and go while the cluster runs (custom resources); `generation` rises with each change, so that
what is derived from the catalogue (discovery, OpenAPI) knows when to be made again.
"""

from collections.abc import Iterable

from minikube_py.meta.kind import Kind


class Catalogue:
    """The kinds by group, version and plural, and by apiVersion and kind."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self._by_resource: dict[tuple[str, str, str], Kind] = {}
        self._by_kind: dict[tuple[str, str], Kind] = {}
        self.generation = 0
        for kind in kinds:
            self.add(kind)

    def all(self) -> tuple[Kind, ...]:
        """Every kind, in the order in which they were added."""
        return tuple(self._by_kind.values())

    def by_resource(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind served at a URL's group (empty: core), version and plural, or None."""
        return self._by_resource.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Kind | None:
        """The kind that an object's apiVersion and kind name, or None."""
        return self._by_kind.get((api_version, kind))

    def find(self, group: str, plural: str) -> Kind | None:
        """The kind of a group's resource in whichever version is served first, or None."""
        return next((k for k in self._by_kind.values() if k.group == group and k.plural == plural), None)

    def add(self, kind: Kind) -> None:
        """Serve `kind` from now on, in place of the one of the same apiVersion and kind."""
        self.remove(kind)
        self._by_resource[(kind.group, kind.version, kind.plural)] = kind
        self._by_kind[(kind.api_version, kind.kind)] = kind
        self.generation += 1

    def remove(self, kind: Kind) -> None:
        """Serve `kind` no longer."""
        known = self._by_kind.pop((kind.api_version, kind.kind), None)
        if known is not None:
            self._by_resource.pop((known.group, known.version, known.plural), None)
            self.generation += 1
