"""Gate: admits the pods of this node one after another, and keeps what the admitted ones take.

A pod counts from its admission until nothing of it runs any more. Pods that an earlier kubelet has admitted are
never judged again; they count before any new one is looked at.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Protocol

from minikube_py.client.base import Cache
from minikube_py.kinds.core.node import Node
from minikube_py.kubelet.admission import preemption
from minikube_py.kubelet.admission.admission import (
    Load,
    Rejection,
    Surroundings,
    judge,
    was_admitted,
    without_devices,
)
from minikube_py.kubelet.cm import resize
from minikube_py.kubelet.cm.qos import is_critical, qos_class
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.eviction.ranking import refusal
from minikube_py.kubelet.status import FINAL
from minikube_py.meta.objects import Key, Obj, dig, is_deleting, uid_of
from minikube_py.runtime.base import RuntimeInfo


class DeviceGate(Protocol):
    """Who gives pods devices."""

    def governed(self) -> Set[str]:
        """The resources that it gives."""

    def lacking(self, pod: Obj) -> str:
        """Why a pod cannot get its devices; '' where it can."""

    def lost(self, pod: Obj) -> str:
        """As `lacking`, for a pod of an earlier kubelet of which nothing runs any more."""

    def hold(self, pod: Obj) -> None:
        """Keep devices for a pod that is admitted."""


class Gate:
    """One kubelet's admission. `node` is the Node to judge by while the cache has none, `info` the runtime as
    it is now."""

    def __init__(
        self, config: KubeletConfig, cache: Cache, node: Obj, info: Callable[[], RuntimeInfo | None]
    ) -> None:
        self._config, self._cache, self._node, self._info = config, cache, node, info
        self.load = Load()
        self.apparmor = False
        self.pressures: frozenset[str] = frozenset()
        """The node's pressure conditions that hold now."""
        self.others: Callable[[], Sequence[Obj]] = tuple
        """The pods of this node."""
        self.victims: list[str] = []
        """The pods (by uid) that are to end for the critical one that was admitted last."""
        self.devices: DeviceGate | None = None
        """Who gives pods devices; None: nobody does."""
        self._present: set[str] = set()

    def remember(self, pods: Iterable[Obj], in_runtime: Iterable[str]) -> None:
        """Count the pods among `pods` that were admitted before, or have something in the runtime."""
        self._present = set(in_runtime)
        for pod in pods:
            if _counts(pod) and self._known(pod):
                self.load.put(_allocated(pod))

    def _known(self, pod: Obj) -> bool:
        return was_admitted(pod) or uid_of(pod) in self._present

    def admit(self, pod: Obj) -> list[Rejection]:
        """Why the pod may not run; where it may (an empty list), it counts from now on. For a critical pod room
        is to be made by its `victims`."""
        self.victims = []
        uid = uid_of(pod)
        if is_deleting(pod) or not _counts(pod):
            return []
        if uid in self.load.claims:
            why = self.devices.lost(pod) if self.devices and uid not in self._present else ""
            return [without_devices(why)] if why else []
        found = [] if self._known(pod) else self.refusals(pod)
        if found and is_critical(pod):
            found = self._make_room(pod, found)
        if not found:
            self.load.put(pod)
            if self.devices is not None:
                self.devices.hold(pod)
        return found

    def _make_room(self, pod: Obj, found: list[Rejection]) -> list[Rejection]:
        """Choose what a critical pod may end; why it may not run all the same."""
        if unhelped := [rejection for rejection in found if not rejection.resource]:
            return unhelped
        lacking = {rejection.resource: rejection.lacking for rejection in found}
        counted = [other for other in self.others() if uid_of(other) in self.load.claims]
        chosen = preemption.victims(pod, lacking, counted)
        if chosen is None:
            return [Rejection("UnexpectedAdmissionError", preemption.told(lacking))]
        self.victims = [uid_of(victim) for victim in chosen]
        for uid in self.victims:
            self.load.remove(uid)
        return []

    def refusals(self, pod: Obj) -> list[Rejection]:
        """Why the pod could not run beside all others that count."""
        if why := refusal(pod, sorted(self.pressures), qos_class(pod)):
            return [Rejection("Evicted", why)]
        info = self._info()
        around = Surroundings(
            self._cache.get(Node, Key("", self._config.node_name)) or self._node,
            self.apparmor,
            bool(info and info.strict_groups),
            self._config.allowed_unsafe_sysctls,
            *((self.devices.lacking(pod), self.devices.governed()) if self.devices else ()),
        )
        return judge(pod, around, self.load.without(uid_of(pod)))

    def update(self, pod: Obj) -> None:
        """A pod has changed: one that has ended counts no more, one that was resized as it is allocated now."""
        uid = uid_of(pod)
        if not _counts(pod):
            self.load.remove(uid)
        elif uid in self.load.claims and dig(pod, "metadata.generation", 1) > 1:
            self.load.put(_allocated(pod))

    def release(self, uid: str) -> None:
        """Nothing of the pod is left on this node."""
        self.load.remove(uid)


def _allocated(pod: Obj) -> Obj:
    """The pod with the resources that its status tells: a resize counts once it was agreed to."""
    return resize.with_resources(pod, resize.told(pod))


def _counts(pod: Obj) -> bool:
    return dig(pod, "status.phase") not in FINAL


def node_with(node: Obj, allocatable: Mapping[str, str]) -> Obj:
    """A Node as it is registered, with what is allocatable."""
    return {**node, "status": {"allocatable": dict(allocatable)}}
