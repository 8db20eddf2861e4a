"""The node's part of a CSI volume's growth: its file system follows its PersistentVolume, then its claim says
so."""

from pathlib import Path

from minikube_py.errors import ApiError
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kubelet.volumes import csispec
from minikube_py.kubelet.volumes.base import VolumeContext
from minikube_py.kubelet.volumes.csispec import CsiVolumeSpec
from minikube_py.kubelet.volumes.persistent import Claimed
from minikube_py.meta.objects import Obj, dig, key_of
from minikube_py.meta.quantity import int_value
from minikube_py.runtime.csi import EXPAND, STAGE, CsiFailed, VolumeCall

RESIZE_CONDITIONS = ("FileSystemResizePending", "Resizing")


def grown(claimed: Claimed) -> int:
    """The bytes that the claim's file system is to grow to; 0 where it need not."""
    has = dig(claimed.claim, "status.capacity.storage")
    wants = dig(claimed.volume, "spec.capacity.storage")
    if not has or not wants or int_value(wants) <= int_value(has):
        return 0
    return int_value(wants)


def grown_status(claimed: Claimed) -> Obj:
    """The claim's status once it has grown."""
    conditions = dig(claimed.claim, "status.conditions") or []
    left = [entry for entry in conditions if entry.get("type") not in RESIZE_CONDITIONS]
    return {"capacity": {"storage": claimed.volume["spec"]["capacity"]["storage"]}, "conditions": left or None}


async def expand(context: VolumeContext, claimed: Claimed, spec: CsiVolumeSpec, target: Path) -> None:
    """Let the driver expand the published volume where it has grown, and tell how that went; a failure is tried
    again when the claim or the pod changes."""
    size = grown(claimed)
    driver = context.storage.drivers.get(spec.driver)
    if not size or spec.read_only or driver is None:
        return
    name = spec.spec_name
    try:
        capabilities = await driver.node.capabilities()
        if EXPAND not in capabilities:
            return
        staged = STAGE in capabilities
        call = VolumeCall(
            volume=spec.handle,
            staging=driver.path(csispec.staging_folder(context.config.root_dir, spec)) if staged else "",
            target=driver.path(target),
            capability=csispec.capability(spec, capabilities, None),
            secrets=csispec.secret_values(context.lookup("Secret", *spec.expand_secret)),
        )
        await driver.node.expand(call, size)
        await context.client.patch(
            PersistentVolumeClaim,
            key_of(claimed.claim),
            {"status": grown_status(claimed)},
            subresource="status",
        )
    except (CsiFailed, ApiError) as failure:
        told = f'NodeExpandVolume.NodeExpandVolume failed for volume "{name}" : {failure}'
        context.tell("Warning", "VolumeResizeFailed", told)
        return
    told = f'MountVolume.NodeExpandVolume succeeded for volume "{name}" {context.config.node_name}'
    context.tell("Normal", "FileSystemResizeSuccessful", told)
