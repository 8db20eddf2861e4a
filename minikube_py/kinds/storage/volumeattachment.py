"""VolumeAttachment: the wish that a volume be attached to a node."""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME, text
from minikube_py.kinds.volumesources import validate_driver_name
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import dns1123_subdomain
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import forbidden, immutable, invalid, required, too_long

_ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
_MAX_METADATA, _MAX_MESSAGE = 256 * 1024, 1024
_CSI_NAME = re.compile("csi-[0-9a-f]{64}")


def attachment_name(driver: str, handle: str, node: str) -> str:
    """The name of the attachment of a CSI volume to a node: its attacher, the node and the attach/detach
    controller agree on it."""
    return "csi-" + hashlib.sha256(f"{handle}{driver}{node}".encode()).hexdigest()


def is_attachment_name(name: str) -> bool:
    """Whether `name` is one that `attachment_name` makes, and not an attachment of somebody else's."""
    return _CSI_NAME.fullmatch(name) is not None


def prepare(attachment: Obj, old: Obj | None) -> None:
    if old is None:
        attachment["status"] = {"attached": False}


def validate(attachment: Obj, old: Obj | None) -> Iterable[Violation]:
    spec = attachment.get("spec") or {}
    if old is not None:
        yield from immutable(attachment, old, "spec")
        return
    yield from validate_driver_name(spec.get("attacher") or "", "spec.attacher")
    source = spec.get("source") or {}
    volume, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if volume is None and inline is None:
        yield required("spec.source", _ONE_SOURCE)
    elif volume is not None and inline is not None:
        yield forbidden("spec.source", _ONE_SOURCE)
    elif volume == "":
        told = "must specify non empty persistentVolumeName"
        yield required("spec.source.persistentVolumeName", told)
    elif inline is not None and inline.get("csi") is None:
        told = "has to be specified in the context of inline volumes"
        yield required("spec.source.inlineVolumeSpec.csi", told)
    for path, name in (
        ("spec.source.persistentVolumeName", volume or ""),
        ("spec.nodeName", spec.get("nodeName") or ""),
    ):
        for reason in dns1123_subdomain(name) if name or path == "spec.nodeName" else ():
            yield invalid(path, name, reason)


def validate_status(attachment: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of an attachment's new status: what drivers tell is short."""
    status = attachment.get("status") or {}
    metadata = status.get("attachmentMetadata") or {}
    if sum(len(key) + len(value) for key, value in metadata.items()) > _MAX_METADATA:
        yield too_long("status.attachmentMetadata", _MAX_METADATA)
    for field in ("attachError", "detachError"):
        if len((status.get(field) or {}).get("message") or "") > _MAX_MESSAGE:
            yield too_long(f"status.{field}.message", _MAX_METADATA)


def _attached(attachment: Obj, now: datetime) -> bool:
    return bool(dig(attachment, "status.attached", False))


VolumeAttachment = Kind(
    "VolumeAttachment",
    "storage.k8s.io/v1",
    "volumeattachments",
    namespaced=False,
    subresources=("status",),
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    returns_deleted=True,
    columns=(
        NAME,
        Column("Attacher", text("spec.attacher"), format="name", description="Who attaches it"),
        Column("PV", text("spec.source.persistentVolumeName"), description="The volume"),
        Column("Node", text("spec.nodeName"), description="The node"),
        Column("Attached", _attached, "boolean", description="Whether it is attached"),
        AGE,
    ),
    unconditional_update=False,
)
