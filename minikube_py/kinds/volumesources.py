"""Defaults and validation of the sources of storage that pods' volumes and PersistentVolumes have in common."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minikube_py.kinds.paths import validate_descending_path, validate_no_backsteps
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import forbidden, invalid, not_supported, required, too_long

Rule = Callable[[Obj, str], Iterable[Violation]]
"""The refusals of one source at a path."""

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_INITIATORS = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([a-zA-Z0-9.-]+)(:[^,;*&$|\s]+)$"),
    "eui": re.compile(r"^eui.[a-zA-Z0-9]{16}$"),
    "naa": re.compile(r"^naa.[a-zA-Z0-9]{32}$"),
}
_RESERVED = (".kubernetes.io", ".k8s.io")
_MAX_DRIVER = 63
_REFERENCES = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
)
_BYTE = range(256)
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "kind": "Shared", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def default_source(holder: Obj) -> None:
    """Fill in what the source of a volume leaves out, in place."""
    for name, fields in _DEFAULTS.items():
        if (source := holder.get(name)) is None:
            continue
        for field, value in fields.items():
            if source.get(field) in (None, ""):
                source[field] = value


def choose_source(
    holder: Obj, rules: Mapping[str, Rule], path: str, why: str = "must specify a volume type"
) -> Iterable[Violation]:
    """The refusals of the one source that `holder` must have, of those that `rules` knows, in their order."""
    chosen = [name for name in rules if holder.get(name) is not None]
    for name in chosen[1:]:
        yield forbidden(f"{path}.{name}", "may not specify more than 1 volume type")
    if not chosen:
        yield required(path, why)
        return
    yield from rules[chosen[0]](holder[chosen[0]], f"{path}.{chosen[0]}")


def needed(*fields: str) -> Rule:
    """A rule: each of the fields (dotted below it) must be there."""

    def rule(source: Obj, path: str) -> Iterable[Violation]:
        for field in fields:
            if not dig(source, field):
                yield required(f"{path}.{field}")

    return rule


def host_path(source: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a hostPath."""
    if not source.get("path"):
        yield required(f"{path}.path")
        return
    yield from validate_no_backsteps(source["path"], f"{path}.path")
    if source.get("type") not in (None, *_HOST_PATH_TYPES):
        yield not_supported(f"{path}.type", source["type"], _HOST_PATH_TYPES)


def local(source: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a local volume."""
    yield from needed("path")(source, path)
    yield from validate_no_backsteps(source.get("path") or "", f"{path}.path")


def nfs(source: Obj, path: str) -> Iterable[Violation]:
    """The refusals of an NFS share."""
    yield from needed("server", "path")(source, path)
    if not (source.get("path") or "").startswith("/"):
        yield invalid(f"{path}.path", source.get("path") or "", "must be an absolute path")


def validate_driver_name(name: str, path: str) -> Iterable[Violation]:
    """The refusals of the name of a CSI driver."""
    if not name:
        yield required(path)
        return
    if len(name) > _MAX_DRIVER:
        yield too_long(path, _MAX_DRIVER)
    for reason in dns1123_subdomain(name.lower()):
        yield invalid(path, name, reason)


def csi(source: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a CSI volume within a pod."""
    yield from validate_driver_name(source.get("driver") or "", f"{path}.driver")
    reference = source.get("nodePublishSecretRef")
    if reference is not None and not reference.get("name"):
        yield required(f"{path}.nodePublishSecretRef.name")


def csi_persistent(source: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a CSI volume of a PersistentVolume."""
    yield from validate_driver_name(source.get("driver") or "", f"{path}.driver")
    yield from needed("volumeHandle")(source, path)
    for field in _REFERENCES:
        if (reference := source.get(field)) is None:
            continue
        for name, rule in (("name", dns1123_subdomain), ("namespace", dns1123_label)):
            if not reference.get(name):
                yield required(f"{path}.{field}.{name}")
            for reason in rule(reference[name]) if reference.get(name) else ():
                yield invalid(f"{path}.{field}.{name}", reference[name], reason)


def disk(name: str) -> Rule:
    """A rule: a disk of a cloud, named by the field `name`, with a partition."""

    def rule(source: Obj, path: str) -> Iterable[Violation]:
        yield from needed(name)(source, path)
        if (source.get("partition") or 0) not in _BYTE:
            yield invalid(f"{path}.partition", source["partition"], "must be between 1 and 255, inclusive")

    return rule


def iscsi(source: Obj, path: str) -> Iterable[Violation]:
    """The refusals of an iSCSI disk."""
    yield from needed("targetPortal", "iqn")(source, path)
    for field, shown in (("iqn", "iqn"), ("initiatorName", "initiatorname")):
        if value := source.get(field):
            rule = _INITIATORS.get(value[:3])
            if rule is None:
                told = "must be valid format starting with iqn, eui, or naa"
                yield invalid(f"{path}.{shown}", value, told)
            elif not rule.search(value):
                yield invalid(f"{path}.{shown}", value, "must be valid format")
    if (source.get("lun") or 0) not in _BYTE:
        yield invalid(f"{path}.lun", source["lun"], "must be between 0 and 255, inclusive")
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        yield required(f"{path}.secretRef")


def fibre_channel(source: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a Fibre Channel disk."""
    names, ids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    if not names and not ids:
        yield required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if names and ids:
        told = "targetWWNs and wwids can not be specified simultaneously"
        yield invalid(f"{path}.targetWWNs", names, told)
    if names and lun is None:
        yield required(f"{path}.lun", "lun is required if targetWWNs is specified")
    elif names and lun not in _BYTE:
        yield invalid(f"{path}.lun", lun, "must be between 0 and 255, inclusive")


def flex(source: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a FlexVolume."""
    yield from needed("driver")(source, path)
    for key in source.get("options") or ():
        if f".{key.partition('/')[0].lower()}".endswith(_RESERVED):
            told = "kubernetes.io and k8s.io namespaces are reserved"
            yield invalid(f"{path}.options[{key}]", key, told)


def flocker(source: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a Flocker volume."""
    name, uid = source.get("datasetName") or "", source.get("datasetUUID")
    if not name and not uid:
        yield required(path, "one of datasetName and datasetUUID is required")
    if name and uid:
        yield invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        yield invalid(f"{path}.datasetName", name, "must not contain '/'")


def git(source: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a gitRepo volume."""
    yield from needed("repository")(source, path)
    yield from validate_descending_path(source.get("directory") or "", f"{path}.directory")


def azure_disk(source: Obj, path: str) -> Iterable[Violation]:
    """The refusals of an Azure disk."""
    yield from needed("diskName", "diskURI")(source, path)
    for field, supported in (
        ("cachingMode", ("None", "ReadOnly", "ReadWrite")),
        ("kind", ("Dedicated", "Managed", "Shared")),
    ):
        if source.get(field) is not None and source[field] not in supported:
            yield not_supported(f"{path}.{field}", source[field], supported)


def quobyte(source: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a Quobyte volume."""
    told = "must be a host:port pair or multiple pairs separated by commas"
    registry = source.get("registry") or ""
    if not registry:
        yield required(f"{path}.registry", told)
    elif any(not pair.rpartition(":")[1] for pair in registry.split(",")):
        yield invalid(f"{path}.registry", registry, told)
    yield from needed("volume")(source, path)


COMMON: dict[str, Any] = {
    "hostPath": host_path,
    "gcePersistentDisk": disk("pdName"),
    "awsElasticBlockStore": disk("volumeID"),
    "glusterfs": needed("endpoints", "path"),
    "flocker": flocker,
    "nfs": nfs,
    "rbd": needed("monitors", "image"),
    "quobyte": quobyte,
    "cephfs": needed("monitors"),
    "iscsi": iscsi,
    "cinder": needed("volumeID"),
    "fc": fibre_channel,
    "flexVolume": flex,
    "azureFile": needed("secretName", "shareName"),
    "vsphereVolume": needed("volumePath"),
    "photonPersistentDisk": needed("pdID"),
    "portworxVolume": needed("volumeID"),
    "azureDisk": azure_disk,
    "scaleIO": needed("gateway", "system", "volumeName"),
    "storageos": needed("volumeName"),
}
"""The rules of the sources that pods and PersistentVolumes share, by field, in the order in which they are
judged."""
