"""What the node can give back without ending a pod: dead containers, and images that nothing uses."""

import asyncio
from collections.abc import Callable, Iterable

from minikube_py.kubelet.eviction.thresholds import NODEFS, NODEFS_INODES
from minikube_py.kubelet.images.image_gc import ImageGc
from minikube_py.kubelet.kuberuntime.stop import Stopper
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.status import FINAL
from minikube_py.meta.objects import Obj, dig, uid_of


async def remove_dead(shared: Shared, pods: Iterable[Obj]) -> None:
    """Remove all that the runtime holds of pods that have ended for good, and of the others their dead
    containers but the newest two of each name. Errors: RuntimeFailed, TimeoutError."""
    stopper = Stopper(shared)
    for pod in pods:
        uid = uid_of(pod)
        containers = shared.view.of(uid).containers.values()
        if dig(pod, "status.phase") not in FINAL:
            await stopper.prune(uid)
        elif all(container.state != "running" for container in containers):
            await stopper.remove_all(uid)


class Reclaim:
    """Frees disk; `pods` gives this node's pods."""

    def __init__(self, shared: Shared, images: ImageGc, pods: Callable[[], Iterable[Obj]]) -> None:
        self._shared, self._images, self._pods = shared, images, pods

    async def __call__(self, signal: str) -> None:
        """Remove dead containers, then unused images, where that frees the disk of `signal`: images on a disk
        of their own take none of the node's. Errors: RuntimeFailed, TimeoutError, OSError."""
        if signal in (NODEFS, NODEFS_INODES) and await asyncio.to_thread(self._images_apart):
            return
        await remove_dead(self._shared, list(self._pods()))
        await self._images.remove_unused()

    def _images_apart(self) -> bool:
        config = self._shared.config
        return config.root_dir.stat().st_dev != config.image_disk.stat().st_dev
