"""TTL controller: tells each kubelet by an annotation for how long it may keep Secrets and ConfigMaps: the
longer, the more nodes there are."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from minikube_py.client.base import Change
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.errors import NotFound
from minikube_py.kinds.core.node import Node
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, annotations_of, is_deleting, key_of

ANNOTATION = "node.alpha.kubernetes.io/ttl"
STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 2**31, 300))
"""Fewest nodes, most nodes, seconds: the ranges overlap, so that a node that comes and goes changes nothing."""


def step_for(nodes: int, step: int) -> int:
    """The index in STEPS for a number of nodes, coming from `step`."""
    while nodes > STEPS[step][1]:
        step += 1
    while nodes < STEPS[step][0]:
        step -= 1
    return step


class TtlController(Controller):
    """Keep the annotation of each Node."""

    name: ClassVar[str] = "ttl-controller"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._step = 0

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Node: self._changed}

    def _changed(self, change: Change) -> Iterable[Key]:
        """The node itself where its annotation is wrong; all nodes where their number makes a difference."""
        if change.type != "MODIFIED":
            step = step_for(len(self.cache.list(Node)), self._step)
            if step != self._step:
                self._step = step
                return [key_of(node) for node in self.cache.list(Node)]
        wrong = annotations_of(change.object).get(ANNOTATION) != str(STEPS[self._step][2])
        return (key_of(change.object),) if wrong and change.type != "DELETED" else ()

    async def reconcile(self, key: Key) -> float | None:
        node, seconds = self.cache.get(Node, key), str(STEPS[self._step][2])
        if node is None or is_deleting(node) or annotations_of(node).get(ANNOTATION) == seconds:
            return None
        try:
            await self.client.patch(Node, key, {"metadata": {"annotations": {ANNOTATION: seconds}}})
        except NotFound:
            return None
        return None
