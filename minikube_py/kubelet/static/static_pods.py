"""StaticPods: runs the pods of the files in a folder, and shows each by a mirror pod in the API.

The folder is watched, and looked at every 20 s besides. A changed file is a new pod, which starts when nothing
of the old one is left. A mirror that is deleted or altered is made again; deleting it stops nothing. Files
whose names begin with a dot are left alone; one that makes no pod is logged, and its earlier pod ends.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minikube_py.aio.inotify import FolderWatch
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Change
from minikube_py.errors import AlreadyExists, ApiError, Conflict, NotFound
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.static.manifests import (
    ManifestRefused,
    as_run,
    full_name,
    is_mirror,
    mirror_of,
    read_manifest,
    shows,
)
from minikube_py.meta.objects import Key, Obj, dig, is_deleting, key_of, timestamp, uid_of

log = logging.getLogger(__name__)

LOOK = 20.0  # seconds
RETRY = 2.0  # seconds after the API has refused
GAP = 1.0  # seconds from a mirror's end to the next: `kubectl delete` gets, then lists, and must miss it in one


@dataclass(frozen=True, slots=True)
class Workers:
    """What the kubelet does with static pods: `begin` a pod, `end` one by its uid, `retell` a pod's status."""

    begin: Callable[[Obj, Callable[[], Obj | None]], None]
    end: Callable[[str], None]
    retell: Callable[[str], None]


class StaticPods:
    """The static pods of one node; `ended` and `mirror_changed` come from the kubelet."""

    def __init__(self, shared: Shared, folder: Path, workers: Workers) -> None:
        self._shared, self._folder, self._workers = shared, folder, workers
        self._wanted: dict[tuple[str, str], Obj] = {}
        self._running: dict[tuple[str, str], str] = {}  # full name > uid, until nothing of it is left
        self._refused: dict[str, str] = {}
        self._gone: dict[tuple[str, str], float] = {}  # full name > when its mirror went, by the clock
        self._mirrors = asyncio.Event()

    async def run(self) -> None:
        """Follow the folder until cancelled."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        async with FolderWatch() as watch, Tasks("kubelet/static-pods") as tasks:
            watch.add(self._folder)
            tasks.spawn(self._keep_mirrors(), "mirrors")
            while True:
                await self._look()
                change = tasks.spawn(watch.change(), "change")
                pause = tasks.spawn(self._shared.clock.sleep(LOOK), "pause")
                await asyncio.wait((change, pause), return_when=asyncio.FIRST_COMPLETED)
                for task in (change, pause):
                    task.cancel()

    async def _look(self) -> None:
        """Compare the folder with what is wanted."""
        found: dict[tuple[str, str], Obj] = {}
        for file, text in await asyncio.to_thread(_files, self._folder):
            if (pod := self._read(file, text)) is not None:
                found.setdefault(full_name(pod), pod)
        for name, pod in self._wanted.items():
            if name not in found or uid_of(found[name]) != uid_of(pod):
                self._workers.end(uid_of(pod))
        kept = {name: pod for name, pod in self._wanted.items() if name in found}
        self._wanted = {
            name: kept[name] if name in kept and uid_of(kept[name]) == uid_of(pod) else pod
            for name, pod in found.items()
        }
        for name in self._wanted:
            self._begin(name)
        self._mirrors.set()

    def _read(self, file: str, text: bytes) -> Obj | None:
        now = timestamp(self._shared.clock.now())
        try:
            pod = read_manifest(file, text, self._shared.config.node_name, now)
        except ManifestRefused as refusal:
            if self._refused.get(file) != str(refusal):
                log.error("cannot run the static pod of %s", refusal)
            self._refused[file] = str(refusal)
            return None
        self._refused.pop(file, None)
        return pod

    def _begin(self, name: tuple[str, str]) -> None:
        """Run the pod that is wanted under `name`, unless something of that name still runs."""
        pod = self._wanted.get(name)
        if pod is None or name in self._running:
            return
        self._running[name] = uid_of(pod)
        mirror = self._mirror(name)
        if mirror is not None and shows(mirror, pod) and mirror.get("status"):
            pod = {**pod, "status": mirror["status"]}
        self._workers.begin(pod, lambda: self._shown(name, pod))

    def _shown(self, name: tuple[str, str], pod: Obj) -> Obj | None:
        """The mirror of exactly this pod, where there is one."""
        mirror = self._mirror(name)
        return mirror if mirror is not None and shows(mirror, pod) and not is_deleting(mirror) else None

    def _mirror(self, name: tuple[str, str]) -> Obj | None:
        return self._shared.client.cache.get(Pod, Key(*name))

    def ended(self, uid: str) -> None:
        """Nothing of a pod is left on the node."""
        for name, running in list(self._running.items()):
            if running == uid:
                del self._running[name]
                self._begin(name)
                self._mirrors.set()

    def mirror_changed(self, change: Change) -> None:
        """A mirror pod has come, changed or gone."""
        self._mirrors.set()
        if change.type == "DELETED":
            wanted = self._wanted.get(full_name(change.object))
            if wanted is not None and shows(change.object, wanted):
                self._gone[full_name(change.object)] = self._shared.clock.monotonic()
        else:
            self._workers.retell(uid_of(as_run(change.object)))

    async def _keep_mirrors(self) -> None:
        """Make the mirrors that are missing, delete those that show nothing."""
        while True:
            await self._mirrors.wait()
            self._mirrors.clear()
            try:
                await self._put_right()
            except ApiError as error:
                log.warning("cannot bring the mirrors of static pods up to date: %s", error)
                await self._shared.clock.sleep(RETRY)
                self._mirrors.set()

    async def _put_right(self) -> None:
        """One look at all mirrors. Errors: ApiError."""
        shared = self._shared
        node = shared.client.cache.get(Node, Key("", shared.config.node_name))
        for mirror in [p for p in shared.client.cache.list(Pod) if is_mirror(p)]:
            here = dig(mirror, "spec.nodeName") == shared.config.node_name
            wanted = self._wanted.get(full_name(mirror))
            over = wanted is None and full_name(mirror) not in self._running
            altered = wanted is not None and not shows(mirror, wanted)
            if here and (over or altered or is_deleting(mirror)):
                await self._delete(mirror)
        for name in self._wanted:
            if node is not None and self._mirror(name) is None:
                await self._create(name, node)

    async def _create(self, name: tuple[str, str], node: Obj) -> None:
        """Make the mirror of the pod wanted under `name`, if it still is after the gap. Errors: ApiError."""
        clock = self._shared.clock
        if (gone := self._gone.pop(name, None)) is not None:
            await clock.sleep(gone + GAP - clock.monotonic())
        if (pod := self._wanted.get(name)) is None:
            return
        try:
            await self._shared.client.create(Pod, mirror_of(pod, node))
        except AlreadyExists:
            self._mirrors.set()  # the cache has not seen the old one go, or another pod has the name
            await clock.sleep(RETRY)

    async def _delete(self, mirror: Obj) -> None:
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid_of(mirror)}}
        try:
            await self._shared.client.delete(Pod, key_of(mirror), options)
        except (NotFound, Conflict):
            return


def _files(folder: Path) -> list[tuple[str, bytes]]:
    """The paths and contents of the files that may be manifests, by name."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            found.append((str(path), path.read_bytes()))
        except OSError as error:
            log.warning("cannot read %s: %s", path, error)
    return found
