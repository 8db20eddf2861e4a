"""ReplicaSet: keeps a number of interchangeable pods alive."""

from collections.abc import Iterable

from minikube_py.kinds.columns import AGE, CONTAINERS, IMAGES, NAME, REPLICAS, SELECTOR
from minikube_py.kinds.podspec.defaults import default_template
from minikube_py.kinds.podspec.validation import validate_lasting_template
from minikube_py.kinds.podspec.warnings import template_warnings
from minikube_py.kinds.replicastatus import validate_replica_status
from minikube_py.kinds.selectors import validate_own_selector
from minikube_py.kinds.strategy import count_generation, if_absent
from minikube_py.meta.kind import Kind, Violation
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import immutable, non_negative


def default(replica_set: Obj) -> None:
    default_template(replica_set)
    if_absent(replica_set["spec"], "replicas", 1)


def prepare(replica_set: Obj, old: Obj | None) -> None:
    if old is None:
        replica_set["status"] = {"replicas": 0}
    count_generation(replica_set, old)


def validate(replica_set: Obj, old: Obj | None) -> Iterable[Violation]:
    if old is not None and replica_set["spec"] == old["spec"]:
        return
    yield from validate_own_selector(replica_set["spec"], "ReplicaSet")
    yield from validate_lasting_template(replica_set["spec"], "ReplicaSet")
    for field in ("replicas", "minReadySeconds"):
        yield from non_negative(replica_set, f"spec.{field}")
    if old is not None:
        yield from immutable(replica_set, old, "spec.selector")


ReplicaSet = Kind(
    "ReplicaSet",
    "apps/v1",
    "replicasets",
    short_names=("rs",),
    categories=("all",),
    subresources=("status", "scale"),
    default=default,
    prepare=prepare,
    validate=validate,
    warn=template_warnings(names_pods=True),
    validate_status=validate_replica_status,
    fields={"status.replicas": "status.replicas"},
    columns=(
        NAME,
        *REPLICAS,
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
)
