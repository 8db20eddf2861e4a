"""ControllerRevision: an immutable snapshot of a workload's state, for history and rollback."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME, NONE, integer
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, controller_of
from minikube_py.meta.violations import immutable, non_negative, required


def validate(revision: Obj, old: Obj | None) -> Iterable[Violation]:
    yield from non_negative(revision, "revision")
    if old is None and revision.get("data") is None:
        yield required("data", "data is mandatory")
    if old is not None:
        yield from immutable(revision, old, "data")


def _controller(revision: Obj, now: datetime) -> str:
    owner = controller_of(revision)
    if owner is None:
        return NONE
    group = owner["apiVersion"].rpartition("/")[0]
    kind = f"{owner['kind']}.{group}" if group else owner["kind"]
    return f"{kind.lower()}/{owner['name']}"


ControllerRevision = Kind(
    "ControllerRevision",
    "apps/v1",
    "controllerrevisions",
    validate=validate,
    columns=(
        NAME,
        Column("Controller", _controller, description="Controller of the object"),
        Column("Revision", integer("revision"), description="Which state of its controller this is"),
        AGE,
    ),
)
