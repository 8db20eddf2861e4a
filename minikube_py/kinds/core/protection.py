"""The finalizers that keep claims, volumes, the classes of their attributes and devices while they are used."""

from minikube_py.meta.objects import Obj, copy

CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"
ATTRIBUTES_PROTECTION = "kubernetes.io/vac-protection"
DEVICES_PROTECTION = "resource.kubernetes.io/delete-protection"


def protected(obj: Obj, finalizer: str) -> Obj | None:
    """A copy of `obj` with the finalizer; None where it has it."""
    known = obj["metadata"].get("finalizers") or []
    return None if finalizer in known else _with(obj, [*known, finalizer])


def unprotected(obj: Obj, finalizer: str) -> Obj | None:
    """A copy of `obj` without the finalizer; None where it does not have it."""
    known = obj["metadata"].get("finalizers") or []
    return _with(obj, [one for one in known if one != finalizer]) if finalizer in known else None


def _with(obj: Obj, finalizers: list[str]) -> Obj:
    changed: Obj = copy(obj)
    changed["metadata"]["finalizers"] = finalizers
    return changed
