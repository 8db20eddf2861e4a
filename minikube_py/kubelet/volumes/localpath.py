"""Local-path volumes on their node: folders below one root, made before the first mount, writable by every
user, and removed once their PersistentVolume is deleted.

Only a folder that lies directly in the root and has its volume's name is ever made or removed, and nothing is
removed through a symlink or a mount. A volume's finalizer goes after its folder, so a kubelet that was killed
meanwhile begins anew. A volume that is not to be deleted with its claim keeps its folder.
"""

import asyncio
import contextlib
import errno
import logging
import os
import tempfile
from pathlib import Path

from minikube_py.aio.workqueue import WorkQueue
from minikube_py.client.base import Change
from minikube_py.errors import ApiError, NotFound
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.protection import VOLUME_PROTECTION, unprotected
from minikube_py.kinds.core.volumematching import reachable_from
from minikube_py.kinds.storage.localpath import FINALIZER, is_local_path
from minikube_py.kubelet.volumes.base import VolumeFailed
from minikube_py.kubelet.volumes.storage import Storage
from minikube_py.kubelet.volumes.trees import remove_tree
from minikube_py.meta.objects import Key, Obj, dig, is_deleting, key_of, name_of

log = logging.getLogger(__name__)


def folder_of(volume: Obj, root: Path | None) -> Path | None:
    """The folder of a local-path volume of this node; None where it is none, or lies elsewhere."""
    path = Path(dig(volume, "spec.hostPath.path", ""))
    if root is None or not is_local_path(volume) or path != root / name_of(volume) or path.parent != root:
        return None
    return path


def make(volume: Obj, root: Path | None) -> None:
    """Make the folder of a local-path volume unless it is there. Blocking. Errors: VolumeFailed, OSError."""
    folder = folder_of(volume, root)
    if folder is None:
        raise VolumeFailed("no matching NodeSelectorTerms", step="MountVolume.NodeAffinity check")
    if folder.exists():
        return
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = tempfile.mkdtemp(prefix=".new-", dir=folder.parent)
    os.chmod(fresh, 0o777)
    try:
        os.rename(fresh, folder)  # so that it is never seen with another mode
    except OSError as error:
        with contextlib.suppress(OSError):
            os.rmdir(fresh)
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def is_over(volume: Obj, node: Obj | None) -> bool:
    """Whether a volume of this node waits for its folder to be removed."""
    known = volume["metadata"].get("finalizers") or ()
    waits = is_deleting(volume) and FINALIZER in known and VOLUME_PROTECTION not in known
    return waits and node is not None and reachable_from(volume, node)


class LocalPaths:
    """Removes the folders of this node's deleted volumes."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._client, self._config = storage.client, storage.config

    async def run(self) -> None:
        """Follow PersistentVolumes until cancelled."""
        async with WorkQueue[Key](self._storage.clock, name="local-paths", base=1.0, limit=300.0) as queue:

            def changed(change: Change) -> None:
                if self._is_over(change.object) and change.type != "DELETED":
                    queue.add(key_of(change.object))

            stop = self._client.cache.subscribe(PersistentVolume, changed)
            try:
                while True:
                    key = await queue.get()
                    if await self._end(key):
                        queue.forget(key)
                    else:
                        queue.retry(key)
                    queue.done(key)
            finally:
                stop()

    def _is_over(self, volume: Obj) -> bool:
        return is_over(volume, self._client.cache.get(Node, Key("", self._config.node_name)))

    async def _end(self, key: Key) -> bool:
        """Remove the folder and say so; whether that is done."""
        volume = self._client.cache.get(PersistentVolume, key)
        if volume is None or not self._is_over(volume):
            return True
        folder = folder_of(volume, self._config.local_path_root)
        try:
            if folder is not None and dig(volume, "spec.persistentVolumeReclaimPolicy") == "Delete":
                await self._storage.run(lambda: remove_tree(folder))
            wanted = unprotected(volume, FINALIZER)
            if wanted is not None:
                body = {"metadata": {"finalizers": wanted["metadata"]["finalizers"]}}
                body["metadata"]["resourceVersion"] = volume["metadata"]["resourceVersion"]
                await self._client.patch(PersistentVolume, key, body)
        except asyncio.CancelledError:
            raise
        except NotFound:
            return True
        except OSError as error:
            self._storage.tell(volume, "Warning", "VolumeFailedDelete", f"cannot remove {folder}: {error}")
            return False
        except ApiError as error:
            log.info("the volume %s is not released yet: %s", key.name, error)
            return False
        return True
