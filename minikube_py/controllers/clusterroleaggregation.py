"""ClusterRole aggregation controller: a role with an aggregationRule has the rules of those it selects."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from minikube_py.client.base import Change
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.kinds.rbac.clusterrole import ClusterRole
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, dig, is_deleting, key_of, labels_of, name_of
from minikube_py.meta.selectors import from_label_selector


def rules(role: Obj, others: Sequence[Obj]) -> list[Obj]:
    """The rules of all roles that `role` selects, by their names, each rule once."""
    selectors = [from_label_selector(s) for s in dig(role, "aggregationRule.clusterRoleSelectors", [])]
    found: list[Obj] = []
    for other in sorted(others, key=name_of):
        if name_of(other) == name_of(role) or not any(s.matches(labels_of(other)) for s in selectors):
            continue
        found += [rule for rule in other.get("rules") or () if rule not in found]
    return found


class ClusterRoleAggregationController(Controller):
    """Keep the rules of each aggregating ClusterRole."""

    name: ClassVar[str] = "clusterrole-aggregation-controller"

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {ClusterRole: self._changed}

    def _changed(self, change: Change) -> Iterable[Key]:
        """Every aggregating role may select the one that changed."""
        return [key_of(role) for role in self.cache.list(ClusterRole) if role.get("aggregationRule")]

    async def reconcile(self, key: Key) -> float | None:
        role = self.cache.get(ClusterRole, key)
        if role is None or is_deleting(role) or not role.get("aggregationRule"):
            return None
        wanted = rules(role, self.cache.list(ClusterRole))
        if wanted != (role.get("rules") or []):
            await self.client.update(ClusterRole, {**role, "rules": wanted})
        return None
