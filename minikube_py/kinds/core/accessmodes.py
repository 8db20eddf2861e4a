"""Access modes and capacities of volumes and claims, as tables show them."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import UNSET
from minikube_py.meta.objects import Obj, annotations_of, dig, is_deleting

SHORT = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def access_modes(modes: Iterable[str] | None) -> str:
    """`RWO,ROX`: the short names, in the order of Kubernetes."""
    given = set(modes or ())
    return ",".join(short for mode, short in SHORT.items() if mode in given)


def storage_class_of(obj: Obj) -> str:
    """The class that a volume or claim names: by the old annotation, or in its spec."""
    old = annotations_of(obj).get(CLASS_ANNOTATION)
    return old if old is not None else dig(obj, "spec.storageClassName", "")


def storage_class(obj: Obj, now: datetime) -> str:
    """The cell of the storage class."""
    return storage_class_of(obj)


def attributes_class(obj: Obj, now: datetime) -> str:
    """The cell of the VolumeAttributesClass."""
    found = dig(obj, "spec.volumeAttributesClassName")
    return UNSET if found is None else found


def volume_mode(obj: Obj, now: datetime) -> str:
    """The cell of the volume mode."""
    return dig(obj, "spec.volumeMode") or UNSET


def phase(obj: Obj, now: datetime) -> str:
    """The cell of the phase; `Terminating` once deletion has begun."""
    return "Terminating" if is_deleting(obj) else dig(obj, "status.phase", "")
