"""What is refused before it is stored: unknown fields, wrong types, bad metadata, and what the kind refuses."""

from collections.abc import Iterable
from types import MappingProxyType

from minikube_py.errors import Cause
from minikube_py.meta.kind import Kind
from minikube_py.meta.names import (
    NameRule,
    dns1035_label,
    dns1123_label,
    dns1123_subdomain,
    path_segment_name,
)
from minikube_py.meta.object_meta import validate_meta_update, validate_object_meta
from minikube_py.meta.objects import Obj
from minikube_py.meta.validation import decode
from minikube_py.meta.violations import forbidden, invalid_error
from minikube_py.registry.base import Context

RBAC = "rbac.authorization.k8s.io"
NAME_RULES = MappingProxyType(
    {
        "namespaces": dns1123_label,
        "services": dns1035_label,
        f"roles.{RBAC}": path_segment_name,
        f"rolebindings.{RBAC}": path_segment_name,
        f"clusterroles.{RBAC}": path_segment_name,
        f"clusterrolebindings.{RBAC}": path_segment_name,
    }
)
"""The rule for names where it is not the DNS subdomain of most kinds."""


CLIENTS_METADATA = ("name", "generateName", "labels", "annotations", "finalizers", "ownerReferences")


def name_rule(kind: Kind) -> NameRule:
    """What a name of this kind must be."""
    return NAME_RULES.get(kind.resource, dns1123_subdomain)


def structured(kind: Kind, obj: Obj, context: Context) -> Obj:
    """`obj` (or a new one) with known fields of the right types; the others are refused, pruned with a warning,
    or just pruned, as fieldValidation says. Errors: BadRequest, Invalid."""
    return decode(kind, obj, context.field_validation or "Warn", context.warnings)


def check(kind: Kind, obj: Obj, old: Obj | None, *, subresource: str = "") -> None:
    """Refuse an object with all its faults at once. Errors: Invalid."""
    causes = tuple(dict.fromkeys(_causes(kind, obj, old, subresource)))
    if causes:
        raise invalid_error(kind, obj["metadata"].get("name") or "", causes)


def _causes(kind: Kind, obj: Obj, old: Obj | None, subresource: str) -> Iterable[Cause]:
    if old is None or _metadata_changed(obj["metadata"], old["metadata"]):
        yield from validate_object_meta(obj, namespaced=kind.namespaced, name_rule=name_rule(kind))
    if old is not None:
        yield from validate_meta_update(obj, old)
    if subresource == "ephemeralcontainers" and old is not None:
        yield from _ephemeral_containers(obj, old)
    if subresource in ("", "scale", "ephemeralcontainers"):
        yield from kind.validate(obj, old)


def _metadata_changed(new: Obj, old: Obj) -> bool:
    """Whether a client has changed what it may change."""
    return any(new.get(key) != old.get(key) for key in CLIENTS_METADATA)


def _ephemeral_containers(pod: Obj, old: Obj) -> Iterable[Cause]:
    """Ephemeral containers are only ever added."""
    path = "spec.ephemeralContainers"
    new = {one.get("name"): one for one in pod["spec"].get("ephemeralContainers") or ()}
    for known in old["spec"].get("ephemeralContainers") or ():
        name = known.get("name")
        if name not in new:
            yield forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n')
        elif new[name] != known:
            yield forbidden(path, f'existing ephemeral containers "{name}" may not be changed\n')
