"""StorageClass: a kind of storage that claims may ask for."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, text
from minikube_py.kinds.storage.parameters import validate_parameters, validate_provisioner
from minikube_py.kinds.strategy import if_absent
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import qualified_name
from minikube_py.meta.object_meta import unique
from minikube_py.meta.objects import Obj, annotations_of, dig, name_of
from minikube_py.meta.violations import duplicate, forbidden, immutable, invalid, not_supported, required

DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


_RECLAIM_POLICIES, _BINDING_MODES = ("Delete", "Retain"), ("Immediate", "WaitForFirstConsumer")


def is_default_class(storage_class: Obj) -> bool:
    """Whether claims that name no class get this one."""
    found = annotations_of(storage_class)
    return any(found.get(key) == "true" for key in DEFAULT_ANNOTATIONS)


def default(storage_class: Obj) -> None:
    if_absent(storage_class, "reclaimPolicy", "Delete")
    if_absent(storage_class, "volumeBindingMode", "Immediate")


def validate(storage_class: Obj, old: Obj | None) -> Iterable[Violation]:
    if old is not None:
        for field in ("parameters", "provisioner", "reclaimPolicy"):
            if (storage_class.get(field) or {}) != (old.get(field) or {}):
                yield forbidden(field, f"updates to {field} are forbidden.")
        yield from immutable(storage_class, old, "volumeBindingMode")
        return
    yield from validate_provisioner(storage_class.get("provisioner") or "", "provisioner")
    yield from validate_parameters(storage_class.get("parameters") or {}, "parameters")
    if storage_class["reclaimPolicy"] not in _RECLAIM_POLICIES:
        yield not_supported("reclaimPolicy", storage_class["reclaimPolicy"], _RECLAIM_POLICIES)
    if storage_class["volumeBindingMode"] not in _BINDING_MODES:
        yield not_supported("volumeBindingMode", storage_class["volumeBindingMode"], _BINDING_MODES)
    seen: list[Obj] = []
    for index, term in enumerate(storage_class.get("allowedTopologies") or ()):
        yield from _topology(term, seen, f"allowedTopologies[{index}].matchLabelExpressions")


def _topology(term: Obj, seen: list[Obj], path: str) -> Iterable[Violation]:
    values: Obj = {}
    for index, expression in enumerate(term.get("matchLabelExpressions") or ()):
        place, key, given = f"{path}[{index}]", expression.get("key") or "", expression.get("values") or []
        if not given:
            yield required(f"{place}.values")
        yield from unique(given, f"{place}.values")
        for reason in qualified_name(key):
            yield invalid(f"{place}.key", key, reason)
        if key in values:
            yield duplicate(f"{place}.key", key)
        values[key] = set(given)
    if values in seen:
        yield duplicate(path, "")
    seen.append(values)


def _name(storage_class: Obj, now: datetime) -> str:
    return name_of(storage_class) + (" (default)" if is_default_class(storage_class) else "")


def _expands(storage_class: Obj, now: datetime) -> bool:
    return bool(dig(storage_class, "allowVolumeExpansion", False))


StorageClass = Kind(
    "StorageClass",
    "storage.k8s.io/v1",
    "storageclasses",
    short_names=("sc",),
    namespaced=False,
    default=default,
    validate=validate,
    returns_deleted=True,
    columns=(
        Column("Name", _name, format="name", description="Name of the object"),
        Column("Provisioner", text("provisioner"), description="Who makes its volumes"),
        Column("ReclaimPolicy", text("reclaimPolicy", "Delete"), description="What follows a claim"),
        Column("VolumeBindingMode", text("volumeBindingMode", "Immediate"), description="When it is bound"),
        Column("AllowVolumeExpansion", _expands, description="Whether claims may grow"),
        AGE,
    ),
)
