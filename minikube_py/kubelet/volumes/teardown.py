"""Taking a pod's volumes down, by what lies on disk: nothing has to be remembered, so that a new kubelet also
cleans up after one that was killed.

Order: bound subPaths, then CSI volumes by their drivers (unpublished, and unstaged with their last pod), then
every mount that is left, then the files, which are never removed through a mount. What fails is tried again by
the caller; a driver that hangs holds up its own pods only.
"""

import logging
from pathlib import Path
from typing import Any

from minikube_py.kubelet.volumes import mounts
from minikube_py.kubelet.volumes.local import DEVICE_MOUNTS
from minikube_py.kubelet.volumes.storage import VOLUME_DATA, Driver, Storage, read_data, volume_data
from minikube_py.kubelet.volumes.trees import remove_tree
from minikube_py.runtime.csi import CsiFailed

log = logging.getLogger(__name__)


class TakeDownFailed(OSError):
    """A volume cannot be taken down yet; `volume` names it."""

    def __init__(self, volume: str, message: str) -> None:
        super().__init__(f'UnmountVolume.TearDown failed for volume "{volume}" : {message}')
        self.volume = volume


async def take_down(storage: Storage, uid: str) -> None:
    """Take down all volumes of a pod and remove its directory. Errors: OSError, also TakeDownFailed."""
    folder = storage.config.pod_dir(uid)
    attached = False
    for place, data in await storage.run(lambda: _prepare(folder)):
        await _release(storage, place, data)
        attached = attached or bool(data.get("attachmentID"))
    disks = await storage.run(lambda: _remove(folder))
    for name in disks:
        async with storage.lock(f"local/{name}"):
            await storage.run(lambda name=name: _release_disk(storage.config.root_dir, name))  # type: ignore[misc]
    if attached:
        await storage.tell_in_use()


def _prepare(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Unbind the subPaths of a pod; the folders of its CSI volumes with what is noted in them."""
    mounts.unmount_below(folder / "volume-subpaths")
    notes = folder.glob(f"volumes/kubernetes.io~csi/*/{VOLUME_DATA}")
    return [(file.parent, data) for file in notes if (data := read_data(file))]


def _remove(folder: Path) -> list[str]:
    """Unmount and remove what is left of a pod; the names of the local volumes that it had."""
    disks = [place.name for place in folder.glob("volumes/kubernetes.io~local-volume/*")]
    mounts.unmount_below(folder)
    remove_tree(folder)
    return disks


def _release_disk(root: Path, name: str) -> None:
    """Unmount the disk of a local volume that no pod has any more."""
    place = root / DEVICE_MOUNTS / name
    if place.exists() and not any((root / "pods").glob(f"*/volumes/kubernetes.io~local-volume/{name}")):
        mounts.unmount_below(place)
        place.rmdir()


async def _release(storage: Storage, folder: Path, data: dict[str, Any]) -> None:
    """Unpublish one CSI volume of a pod, and unstage it where no other pod has it."""
    name, handle = data.get("driverName", ""), data.get("volumeHandle", "")
    target, staging = data.get("target", ""), data.get("staging", "")
    async with storage.lock(f"{name}^{handle}"):
        if target:
            driver = _driver(storage, name, folder.name)
            try:
                await driver.node.unpublish(handle, driver.path(Path(target)))
                await storage.run(lambda: _clear(Path(target)))
                if staging and not await storage.run(lambda: _others(storage, folder, (name, handle))):
                    await _unstage(storage, driver, handle, Path(staging))
            except CsiFailed as failure:
                raise TakeDownFailed(folder.name, str(failure)) from failure
        await storage.run((folder / VOLUME_DATA).unlink)


def _driver(storage: Storage, name: str, volume: str) -> Driver:
    driver = storage.drivers.get(name)
    if driver is None:
        missing = f"driver name {name} not found in the list of registered CSI drivers"
        raise TakeDownFailed(
            volume, f"kubernetes.io/csi: Unmounter.TearDownAt failed to get CSI client: {missing}"
        )
    return driver


def _others(storage: Storage, folder: Path, device: tuple[str, str]) -> bool:
    """Whether a volume of another pod is of the same device."""
    return any(
        place != folder and (data.get("driverName"), data.get("volumeHandle")) == device
        for place, data in volume_data(storage.config)
    )


def _clear(place: Path) -> None:
    """Unmount and remove what a driver has left at a mount point."""
    mounts.unmount_below(place)
    if place.is_dir() and not place.is_symlink():
        place.rmdir()
    else:
        place.unlink(missing_ok=True)


async def _unstage(storage: Storage, driver: Driver, handle: str, staging: Path) -> None:
    await driver.node.unstage(handle, driver.path(staging))
    await storage.run(lambda: _clear_staging(staging))


def _clear_staging(staging: Path) -> None:
    _clear(staging)
    if staging.name == "globalmount":
        remove_tree(staging.parent)


async def sweep(storage: Storage, driver: Driver) -> None:
    """Unstage the volumes of a driver that has just registered which no pod of this node has: a kubelet was
    killed between taking down their last pod and telling the driver."""
    root = storage.config.root_dir / "plugins" / "kubernetes.io" / "csi" / driver.name
    for file in await storage.run(lambda: list(root.glob(f"*/{VOLUME_DATA}"))):
        handle = (await storage.run(lambda file=file: read_data(file))).get("volumeHandle", "")  # type: ignore[misc]
        async with storage.lock(f"{driver.name}^{handle}"):
            if not handle or await storage.run(lambda h=handle: _others(storage, root, (driver.name, h))):  # type: ignore[misc]
                continue
            try:
                await _unstage(storage, driver, handle, file.parent / "globalmount")
            except (CsiFailed, OSError) as failure:
                log.warning("cannot unstage volume %s of %s: %s", handle, driver.name, failure)
