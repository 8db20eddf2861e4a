"""How much a CSI volume holds, as its driver says (NodeGetVolumeStats)."""

import logging
from pathlib import Path

from minikube_py.kubelet.volumes.storage import VOLUME_DATA, Storage, read_data
from minikube_py.kubelet.volumes.usage import VolumeUsage
from minikube_py.runtime.csi import STATS, CsiFailed, Usage

FOLDER = "kubernetes.io~csi"
NOTHING = Usage("", 0, 0, 0)

log = logging.getLogger(__name__)


async def driver_usage(storage: Storage, path: Path) -> VolumeUsage | None:
    """The usage of the volume that is mounted at `path`; None where it is no CSI volume, or its driver does not
    say."""
    if path.parent.parent.name != FOLDER:
        return None
    data = await storage.run(lambda: read_data(path.parent / VOLUME_DATA))
    driver = storage.drivers.get(data.get("driverName", ""))
    if driver is None:
        return None
    try:
        if STATS not in await driver.node.capabilities():
            return None
        told = await driver.node.usage(data["volumeHandle"], driver.path(path))
    except CsiFailed as failure:
        log.warning("the driver %s does not tell of a volume: %s", driver.name, failure)
        return None
    by_unit = {one.unit: one for one in told}
    size, inodes = by_unit.get("BYTES", NOTHING), by_unit.get("INODES", NOTHING)
    return VolumeUsage(size.used, inodes.used, size.total, size.available, inodes.total, inodes.available)
