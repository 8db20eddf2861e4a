"""Validation of how a container sees the pod's volumes: mounted, or as devices."""

from collections.abc import Iterable, Mapping

from minikube_py.kinds.paths import validate_descending_path
from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import forbidden, invalid, not_found, not_supported, required

_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def validate_mounts(container: Obj, volumes: Mapping[str, Obj], path: str) -> Iterable[Violation]:
    """The refusals of `volumeMounts` and `volumeDevices` of a container; `volumes` are the pod's, by name."""
    devices = container.get("volumeDevices") or ()
    seen: set[str] = set()
    device_names, device_paths = {d.get("name") for d in devices}, {d.get("devicePath") for d in devices}
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        place = f"{path}.volumeMounts[{index}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield required(f"{place}.name")
        if name not in volumes:
            yield not_found(f"{place}.name", name)
        if not target:
            yield required(f"{place}.mountPath")
        if target in seen:
            yield invalid(f"{place}.mountPath", target, "must be unique")
        seen.add(target)
        if name in device_names:
            yield invalid(f"{place}.name", name, "must not already exist in volumeDevices")
        if target in device_paths:
            yield invalid(f"{place}.mountPath", target, "must not already exist as a path in volumeDevices")
        if len(mount) > 2:
            yield from _manner(mount, container, place)
    yield from _devices(container, volumes, f"{path}.volumeDevices")


def _manner(mount: Obj, container: Obj, path: str) -> Iterable[Violation]:
    """How the volume is mounted. Paths are told without the mount's index, as the API always has."""
    base = path.rpartition("[")[0]
    part, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    yield from validate_descending_path(part, f"{base}.subPath")
    if expression and part:
        yield invalid(f"{path}.subPathExpr", expression, "subPathExpr and subPath are mutually exclusive")
    yield from validate_descending_path(expression, f"{base}.subPathExpr")
    propagation = mount.get("mountPropagation")
    if propagation is not None and propagation not in _PROPAGATIONS:
        yield not_supported(f"{base}.mountPropagation", propagation, _PROPAGATIONS)
    if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        told = "Bidirectional mount propagation is available only to privileged containers"
        yield forbidden(f"{base}.mountPropagation", told)
    recursive, place = mount.get("recursiveReadOnly"), f"{base}.recursiveReadOnly"
    if recursive in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            yield forbidden(place, "may only be specified when readOnly is true")
        if propagation not in (None, "None"):
            yield forbidden(place, "may only be specified when mountPropagation is None or not specified")
    elif recursive is not None and recursive not in _RECURSIVE:
        yield not_supported(place, recursive, _RECURSIVE)


def _devices(container: Obj, volumes: Mapping[str, Obj], path: str) -> Iterable[Violation]:
    mounts = container.get("volumeMounts") or ()
    mounted, targets = {m.get("name") for m in mounts}, {m.get("mountPath") for m in mounts}
    names: set[str] = set()
    seen: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        place, name, target = f"{path}[{index}]", device.get("name") or "", device.get("devicePath") or ""
        if not name:
            yield required(f"{place}.name")
        if name in names:
            yield invalid(f"{place}.name", name, "must be unique")
        volume = volumes.get(name)
        if volume is None:
            yield not_found(f"{place}.name", name)
        elif not {"persistentVolumeClaim", "ephemeral"} & volume.keys():
            told = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield invalid(f"{place}.name", name, told)
        if not target:
            yield required(f"{place}.devicePath")
        if target in seen:
            yield invalid(f"{place}.devicePath", target, "must be unique")
        if ".." in target.split("/"):
            yield invalid(f"{place}.devicePath", target, "can not contain backsteps ('..')")
        if name in mounted:
            yield invalid(f"{place}.name", name, "must not already exist in volumeMounts")
        if target in targets:
            yield invalid(f"{place}.devicePath", target, "must not already exist as a path in volumeMounts")
        names.add(name)
        seen.add(target)
