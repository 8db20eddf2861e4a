"""Namespace controller: empties namespaces that are being deleted, then lets them go.

Pods go first, everything else once no pod is left (KEP-5080), so that what pods rely on outlives them.
Event driven: the end of each object in such a namespace is what moves it on.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from minikube_py.client.base import Change
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.errors import ApiError, NotFound
from minikube_py.kinds.apiregistration.apiservice import APIService
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    condition_is,
    dig,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
    with_condition,
)

FINALIZER = "kubernetes"
AT_ONCE = 64
SAME = {"events.events.k8s.io": Event}
"""Resources whose objects are those of another kind: hearing of that one is enough, and costs half."""
Content = Sequence[tuple[Kind, Obj]]


def phase(content: Content) -> Content:
    """What of the content is to be deleted now: the pods, or else all."""
    return [item for item in content if item[0] == Pod] or content


def undiscovered(services: Iterable[Obj]) -> str:
    """Why it is not known what else there may be in a namespace: the API groups whose servers do not answer.
    Empty where all do."""
    lost = sorted(
        f"{dig(service, 'spec.group')}/{dig(service, 'spec.version')}"
        for service in services
        if dig(service, "spec.service") is not None and not condition_is(service, "Available")
    )
    if not lost:
        return ""
    why = ", ".join(f"{name}: stale GroupVersion discovery: {name}" for name in lost)
    return (
        f"Discovery failed for some groups, {len(lost)} failing: "
        f"unable to retrieve the complete list of server APIs: {why}"
    )


@dataclass(frozen=True, slots=True)
class Failures:
    """What keeps a namespace: messages of refused deletions, and why its content is not fully known."""

    deletions: Sequence[str] = ()
    discovery: str = ""


def conditions(old: Sequence[Obj], content: Content, failed: Failures, now: datetime) -> list[Obj]:
    """The conditions of a namespace whose `content` remains."""
    failures = failed.deletions
    kinds = Counter(kind.resource for kind, _ in content)
    finalizers = Counter(f for _, obj in content for f in dig(obj, "metadata.finalizers", []))
    remaining = ", ".join(f"{name}. has {n} resource instances" for name, n in sorted(kinds.items()))
    held = ", ".join(f"{name} in {n} resource instances" for name, n in sorted(finalizers.items()))
    table = (
        (
            "DiscoveryFailure",
            "DiscoveryFailed",
            failed.discovery,
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "GroupVersionParsingFailure",
            "",
            "",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "ContentFailure",
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {len(failures)} remaining: {'; '.join(failures)}"
            if failures
            else "",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "ContentRemaining",
            "SomeResourcesRemain",
            f"Some resources are remaining: {remaining}" if remaining else "",
            "ContentRemoved",
            "All content successfully removed",
        ),
        (
            "FinalizersRemaining",
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {held}" if held else "",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    )
    result = list(old)
    for name, bad_reason, bad, good_reason, good in table:
        type = f"Namespace{name}" if name.endswith("Remaining") else f"NamespaceDeletion{name}"
        new = {
            "type": type,
            "status": "True" if bad else "False",
            "reason": bad_reason if bad else good_reason,
            "message": bad or good,
        }
        result = with_condition(result, new, now)
    return result


class NamespaceController(Controller):
    """Empty each terminating Namespace, then take its finalizer."""

    name: ClassVar[str] = "namespace-controller"
    reconciles = Namespace

    def watches(self) -> Mapping[Kind, KeysOf]:
        self.follow_every_kind(self._emptied, SAME)
        return {APIService: self._discovered}

    def _discovered(self, change: Change) -> Iterable[Key]:
        """Every namespace being deleted may wait for an API to be served again, or not at all."""
        return [key_of(found) for found in self.cache.list(Namespace) if is_deleting(found)]

    def _emptied(self, change: Change) -> Iterable[Key]:
        """The namespace being deleted in which an object has gone, or come in spite of it."""
        if change.type == "MODIFIED" or not change.kind.namespaced:
            return ()
        key = Key("", namespace_of(change.object))
        namespace = self.cache.get(Namespace, key)
        return (key,) if namespace is not None and is_deleting(namespace) else ()

    async def reconcile(self, key: Key) -> float | None:
        namespace = self.cache.get(Namespace, key)
        if namespace is None or not is_deleting(namespace):
            return None
        if FINALIZER not in (dig(namespace, "spec.finalizers") or ()):
            return None
        failures: list[str] = []
        for _ in range(2):  # the pods, then the rest if they are gone at once
            failures = failures or await self._delete_all(phase(self._content(key.name)))
        content, unknown = self._content(key.name), undiscovered(self.cache.list(APIService))
        if content or unknown:
            await self._tell(namespace, phase(content), Failures(failures, unknown))
            return 5.0 if failures else None
        await self._finalize(namespace)
        return None

    def _content(self, namespace: str) -> Content:
        kinds = self.follow_every_kind(self._emptied, SAME)
        return [
            (kind, obj)
            for kind in kinds
            if kind.namespaced
            for obj in self.cache.list(SAME.get(kind.resource, kind), namespace)
        ]

    async def _delete_all(self, content: Content) -> list[str]:
        """Delete what is not being deleted yet; the messages of those that failed."""
        failures: list[str] = []
        todo = [(kind, obj) for kind, obj in content if not is_deleting(obj)]
        for start in range(0, len(todo), AT_ONCE):
            results = await asyncio.gather(
                *(self._delete(kind, obj) for kind, obj in todo[start : start + AT_ONCE])
            )
            failures += filter(None, results)
        return failures

    async def _delete(self, kind: Kind, obj: Obj) -> str:
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid_of(obj)}}
        try:
            await self.client.delete(kind, key_of(obj), options)
        except NotFound:
            return ""
        except ApiError as error:
            return f"{kind.resource} {name_of(obj)}: {error}"
        return ""

    async def _tell(self, namespace: Obj, content: Content, failures: Failures) -> Obj:
        status = namespace.get("status") or {}
        known = status.get("conditions") or ()
        told = conditions(known, content, failures, self.clock.now())
        told_now = {**status, "phase": "Terminating", "conditions": told}
        return await self.set_status(Namespace, namespace, told_now)

    async def _finalize(self, namespace: Obj) -> None:
        left = [name for name in dig(namespace, "spec.finalizers", []) if name != FINALIZER]
        if left:  # it stays, with what its conditions say
            namespace = await self._tell(namespace, (), Failures())
        body = {**namespace, "spec": {**namespace["spec"], "finalizers": left}}
        try:
            await self.client.update(Namespace, body, subresource="finalize")
        except NotFound:
            return
