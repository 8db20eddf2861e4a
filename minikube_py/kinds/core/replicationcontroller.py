"""ReplicationController: keeps a number of interchangeable pods alive, in its first form."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, CONTAINERS, IMAGES, NAME, REPLICAS, format_labels
from minikube_py.kinds.podspec.defaults import default_template
from minikube_py.kinds.podspec.validation import validate_lasting, validate_template
from minikube_py.kinds.podspec.warnings import template_warnings
from minikube_py.kinds.replicastatus import validate_replica_status
from minikube_py.kinds.selectors import MISMATCH
from minikube_py.kinds.strategy import count_generation, if_absent, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import invalid, non_negative, required


def default(controller: Obj) -> None:
    spec = section(controller, "spec")
    if spec.get("template") is not None:
        default_template(controller)
        if labels := (spec["template"].get("metadata") or {}).get("labels"):
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            if not dig(controller, "metadata.labels"):
                section(controller, "metadata")["labels"] = dict(labels)
    if_absent(spec, "replicas", 1)


def prepare(controller: Obj, old: Obj | None) -> None:
    if old is None:
        controller["status"] = {"replicas": 0}
    count_generation(controller, old)


def validate(controller: Obj, old: Obj | None) -> Iterable[Violation]:
    spec = controller["spec"]
    if old is not None and spec == old["spec"]:
        return
    selector, template = spec.get("selector") or {}, spec.get("template")
    yield from non_negative(controller, "spec.minReadySeconds")
    if not selector:
        yield required("spec.selector")
    yield from non_negative(controller, "spec.replicas")
    if template is None:
        yield required("spec.template")
        return
    labels = (template.get("metadata") or {}).get("labels") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        yield invalid("spec.template.metadata.labels", labels, MISMATCH)
    yield from validate_template(template, "spec.template")
    yield from validate_lasting(spec, "ReplicationController")


def _selector(controller: Obj, now: datetime) -> str:
    return format_labels(dig(controller, "spec.selector"))


ReplicationController = Kind(
    "ReplicationController",
    "v1",
    "replicationcontrollers",
    short_names=("rc",),
    categories=("all",),
    subresources=("status", "scale"),
    default=default,
    default_of_whole=True,
    prepare=prepare,
    validate=validate,
    warn=template_warnings(names_pods=True),
    validate_status=validate_replica_status,
    fields={"status.replicas": "status.replicas"},
    orphans=True,
    columns=(
        NAME,
        *REPLICAS,
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", _selector, priority=1, description="Labels of the pods"),
    ),
)
