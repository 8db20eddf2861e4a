"""What a container gets with its devices, as the runtime is to be told. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from minikube_py.kubelet.volumes.storage import on_host
from minikube_py.runtime.base import Device, Mount
from minikube_py.runtime.devices import Allocation


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a container's config has besides what its spec says; `cdi_devices` are for the runtime to look
    up."""

    envs: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    devices: Sequence[Device] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    cdi_devices: Sequence[str] = ()


NOTHING = RunOptions()


def merged(given: Iterable[Allocation], root: Path, cdi_devices: Sequence[str] = ()) -> RunOptions:
    """Everything that a container was given, of two that name the same thing the first. Paths below
    /var/lib/kubelet are those of the kubelet's folder `root`; `cdi_devices` come first."""
    envs: dict[str, str] = {}
    annotations: dict[str, str] = {}
    mounts: dict[str, Mount] = {}
    devices: dict[str, Device] = {}
    names = dict.fromkeys(cdi_devices)
    for one in given:
        envs = {**one.envs, **envs}
        annotations = {**one.annotations, **annotations}
        for mount in one.mounts:
            path = str(on_host(Path(mount.host_path), root))
            mounts.setdefault(mount.container_path, replace(mount, host_path=path))
        for device in one.devices:
            devices.setdefault(device.container_path, device)
        names |= dict.fromkeys(one.cdi_devices)
    return RunOptions(envs, tuple(mounts.values()), tuple(devices.values()), annotations, tuple(names))
