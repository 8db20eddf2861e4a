"""CSIDriver: what the cluster must know of a CSI volume driver."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from minikube_py.kinds.columns import AGE, NAME, UNSET
from minikube_py.kinds.strategy import count_generation, if_absent, if_empty, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import IMMUTABLE, duplicate, immutable, invalid, not_supported

_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_MODES = ("Persistent", "Ephemeral")
_MIN_TOKEN, _MAX_TOKEN, _MIN_PERIOD = 600, 1 << 32, 10


def default(driver: Obj) -> None:
    spec = section(driver, "spec")
    for field, value in (
        ("attachRequired", True),
        ("podInfoOnMount", False),
        ("storageCapacity", False),
        ("fsGroupPolicy", "ReadWriteOnceWithFSType"),
        ("requiresRepublish", False),
        ("seLinuxMount", False),
    ):
        if_absent(spec, field, value)
    if_empty(spec, "volumeLifecycleModes", ["Persistent"])


def validate(driver: Obj, old: Obj | None) -> Iterable[Violation]:
    spec = driver["spec"]
    if spec["fsGroupPolicy"] not in _GROUP_POLICIES:
        yield not_supported("spec.fsGroupPolicy", spec["fsGroupPolicy"], _GROUP_POLICIES)
    yield from _check_tokens(spec.get("tokenRequests") or ())
    for mode in spec["volumeLifecycleModes"]:
        if mode not in _MODES:
            yield not_supported("spec.volumeLifecycleModes", mode, _MODES)
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < _MIN_PERIOD:
        told = f"must be greater than or equal to {_MIN_PERIOD} seconds"
        yield invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, told)
    if old is None:
        return
    if spec["attachRequired"] != dig(old, "spec.attachRequired"):
        yield invalid("spec.attachedRequired", spec["attachRequired"], IMMUTABLE)
    yield from immutable(driver, old, "spec.volumeLifecycleModes")


def _check_tokens(requests: Iterable[Obj]) -> Iterable[Violation]:
    audiences: set[str] = set()
    for index, request in enumerate(requests):
        path, audience = f"spec.tokenRequests[{index}]", request.get("audience") or ""
        if audience in audiences:
            yield duplicate(f"{path}.audience", audience)
            continue
        audiences.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is not None and seconds < _MIN_TOKEN:
            told = "may not specify a duration less than 10 minutes"
            yield invalid(f"{path}.expirationSeconds", seconds, told)
        elif seconds is not None and seconds > _MAX_TOKEN:
            told = "may not specify a duration larger than 2^32 seconds"
            yield invalid(f"{path}.expirationSeconds", seconds, told)


def _flag(field: str, otherwise: bool) -> Any:
    return lambda driver, now: dig(driver, f"spec.{field}", otherwise)


def _tokens(driver: Obj, now: datetime) -> str:
    requests = dig(driver, "spec.tokenRequests")
    return UNSET if requests is None else ",".join(one.get("audience", "") for one in requests)


def _lifecycles(driver: Obj, now: datetime) -> str:
    return ",".join(dig(driver, "spec.volumeLifecycleModes", ())) or "<none>"


CSIDriver = Kind(
    "CSIDriver",
    "storage.k8s.io/v1",
    "csidrivers",
    namespaced=False,
    default=default,
    prepare=count_generation,
    validate=validate,
    returns_deleted=True,
    columns=(
        NAME,
        Column("AttachRequired", _flag("attachRequired", True), "boolean", description="Volumes are attached"),
        Column("PodInfoOnMount", _flag("podInfoOnMount", False), "boolean", description="Mounts tell the pod"),
        Column("StorageCapacity", _flag("storageCapacity", False), "boolean", description="Capacity is known"),
        Column("TokenRequests", _tokens, description="Audiences of the tokens that mounts carry"),
        Column("RequiresRepublish", _flag("requiresRepublish", False), "boolean", description="Mounts repeat"),
        Column("Modes", _lifecycles, description="Lifecycle modes of its volumes"),
        AGE,
    ),
    unconditional_update=False,
)
