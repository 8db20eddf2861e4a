"""Claims: the ResourceClaims of this node's pods, prepared by their drivers before a pod starts.

A claim is prepared once, before its first pod's sandbox, and unprepared once nothing of its last pod runs any
more. A checkpoint keeps which pods have which claims, and what their drivers gave. Source: KEP-4381.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence, Set
from pathlib import Path
from weakref import WeakValueDictionary

from minikube_py.aio.clock import Clock
from minikube_py.client.base import Client
from minikube_py.errors import ApiError
from minikube_py.kinds.resource.podclaims import claims_of
from minikube_py.kinds.resource.resourceclaim import ResourceClaim
from minikube_py.kubelet.devicemanager import checkpoint
from minikube_py.kubelet.devicemanager.claiminfo import (
    ClaimInfo,
    ClaimsUnprepared,
    cdi_devices,
    claim_names,
    requests,
    usable,
)
from minikube_py.kubelet.devicemanager.draplugins import DraPlugins
from minikube_py.meta.objects import Key, Obj, namespace_of, uid_of
from minikube_py.runtime.devices import ClaimRef, DraPlugin
from minikube_py.runtime.plugins import PluginFailed

log = logging.getLogger(__name__)

CHECKPOINT = "dra_manager_state"
RECONCILE = 60.0
"""Seconds between looks at claims whose pods have gone without unpreparing them."""


class Claims:
    """One kubelet's. `root` is its folder."""

    def __init__(self, client: Client, clock: Clock, root: Path, drivers: DraPlugins) -> None:
        self._client, self._clock, self._drivers = client, clock, drivers
        self._file = root / CHECKPOINT
        self._known: dict[Key, ClaimInfo] = {}
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._writing = asyncio.Lock()
        self.active: Callable[[], Set[str]] | None = None
        """The uids of the pods that have not ended; None while not all are known."""

    async def open(self) -> None:
        """Read which pods have which claims."""
        await asyncio.to_thread(self._read)

    def _read(self) -> None:
        if not self._file.exists():
            return
        try:
            found = checkpoint.read_claims(self._file.read_bytes())
        except checkpoint.Corrupt as error:
            log.warning("%s is not read, claims of pods are not known: %s", self._file, error)
            return
        self._known = {Key(info.ref.namespace, info.ref.name): info for info in found}

    async def _save(self) -> None:
        async with self._writing:
            text = checkpoint.claims_text(list(self._known.values()))
            try:
                await asyncio.to_thread(checkpoint.write, self._file, text)
            except OSError as error:
                raise ClaimsUnprepared(f"checkpoint ResourceClaim state: {error}") from error

    @contextlib.asynccontextmanager
    async def _locked(self, keys: Iterable[Key]) -> AsyncIterator[None]:
        """Nobody else prepares or unprepares these claims meanwhile."""
        async with contextlib.AsyncExitStack() as stack:
            for key in sorted(set(keys)):
                await stack.enter_async_context(self._locks.setdefault(key, asyncio.Lock()))
            yield

    async def prepare(self, pod: Obj) -> None:
        """Have the pod's claims prepared. Errors: ClaimsUnprepared."""
        try:
            names = claim_names(pod)
            async with self._locked(Key(namespace_of(pod), name) for name in names):
                await self._prepare(pod)
        except ClaimsUnprepared as error:
            raise ClaimsUnprepared(f"prepare dynamic resources: {error}") from error

    async def _prepare(self, pod: Obj) -> None:
        found = [await self._usable(pod, one.claim, one.made) for one in claims_of(pod) if one.claim]
        if not found:
            return
        plugins = {driver: self._drivers.get(driver) for info in found for driver in info.drivers}
        due: list[ClaimInfo] = []
        for info in found:
            key = Key(info.ref.namespace, info.ref.name)
            kept = self._known.setdefault(key, info)
            if kept.ref.uid != info.ref.uid:
                told = f"old ResourceClaim with same name {info.ref.name} and different UID {kept.ref.uid}"
                raise ClaimsUnprepared(f"{told} still exists (previous pod force-deleted?!)")
            kept.pods.add(uid_of(pod))
            if not kept.prepared and kept not in due:
                due.append(kept)
        await self._save()
        for driver, plugin in plugins.items():
            await self._ask(plugin, [info for info in due if driver in info.drivers])
        for info in due:
            info.prepared = True
        if due:
            await self._save()

    async def _usable(self, pod: Obj, name: str, made: bool) -> ClaimInfo:
        try:
            claim = await self._client.get(ResourceClaim, name, namespace_of(pod))
        except ApiError as error:
            raise ClaimsUnprepared(f"fetch ResourceClaim {name}: {error}") from error
        return usable(pod, claim, made=made)

    async def _ask(self, plugin: DraPlugin, due: Sequence[ClaimInfo]) -> None:
        """Have one driver prepare its part of claims."""
        if not due:
            return
        try:
            answers = await plugin.prepare([info.ref for info in due])
        except PluginFailed as error:
            raise ClaimsUnprepared(f"NodePrepareResources: {error}") from error
        errors = {uid: error for uid, (error, _) in answers.items()}
        _answered("NodePrepareResources", [info.ref for info in due], errors)
        for info in due:
            info.drivers[plugin.driver] = list(answers[info.ref.uid][1])

    def cdi_devices(self, pod: Obj, container: Obj) -> list[str]:
        """The CDI devices of the claims that a container uses. Errors: ClaimsUnprepared."""
        found: list[str] = []
        for name, request in requests(pod, container):
            info = self._known.get(Key(namespace_of(pod), name))
            if info is None:
                told = f"unable to get claim info for ResourceClaim {name} in namespace {namespace_of(pod)}"
                raise ClaimsUnprepared(f"internal error: {told}")
            found += cdi_devices(info, request)
        return found

    def of_pod(self, uid: str) -> list[ClaimInfo]:
        """The claims that a pod has."""
        return [info for info in self._known.values() if uid in info.pods]

    async def unprepare(self, uid: str) -> None:
        """Nothing of the pod runs any more: have the claims unprepared that no other pod has.
        Errors: ClaimsUnprepared."""
        if not (found := self.of_pod(uid)):
            return
        keys = [Key(info.ref.namespace, info.ref.name) for info in found]
        async with self._locked(keys):
            last = []
            for info in found:
                if info.pods == {uid}:
                    last.append(info)
                else:
                    info.pods.discard(uid)
            for driver in dict.fromkeys(driver for info in last for driver in info.drivers):
                await self._undo(
                    self._drivers.get(driver), [info.ref for info in last if driver in info.drivers]
                )
            for info in last:
                key = Key(info.ref.namespace, info.ref.name)
                self._known.pop(key, None)
            await self._save()

    async def _undo(self, plugin: DraPlugin, refs: Sequence[ClaimRef]) -> None:
        try:
            errors = await plugin.unprepare(refs)
        except PluginFailed as error:
            raise ClaimsUnprepared(f"NodeUnprepareResources: {error}") from error
        _answered("NodeUnprepareResources", refs, errors)

    async def run(self) -> None:
        """Unprepare, until cancelled, what pods have left that are known no more."""
        while True:
            await self._clock.sleep(RECONCILE)
            if self.active is None:
                continue
            users = {uid for info in self._known.values() for uid in info.pods}
            for uid in sorted(users - self.active()):
                try:
                    await self.unprepare(uid)
                except ClaimsUnprepared as error:
                    log.info("cannot unprepare the claims of pod %s yet: %s", uid, error)


def _answered(method: str, refs: Sequence[ClaimRef], errors: dict[str, str]) -> None:
    """That a driver has done all it was asked to. Errors: ClaimsUnprepared."""
    names = {ref.uid: ref.name for ref in refs}
    for uid, error in errors.items():
        if uid not in names:
            raise ClaimsUnprepared(f"{method} returned result for unknown claim UID {uid}")
        if error:
            raise ClaimsUnprepared(f"{method} failed for ResourceClaim {names[uid]}: {error}")
    if skipped := len(names) - len(errors):
        raise ClaimsUnprepared(f"{method} skipped {skipped} ResourceClaims")
