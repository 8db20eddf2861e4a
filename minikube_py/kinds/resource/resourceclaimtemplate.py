"""ResourceClaimTemplate: what claims are made from, one for each pod that names the template."""

from collections.abc import Iterable

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.kinds.resource import claimspec
from minikube_py.kinds.strategy import section
from minikube_py.meta.kind import Kind, Violation
from minikube_py.meta.object_meta import validate_annotations, validate_labels
from minikube_py.meta.objects import Obj, annotations_of, labels_of
from minikube_py.meta.violations import IMMUTABLE, invalid


def default(template: Obj) -> None:
    claimspec.default(section(section(template, "spec"), "spec"))


def prepare(template: Obj, old: Obj | None) -> None:
    claimspec.prepare(section(section(template, "spec"), "spec"))


def validate(template: Obj, old: Obj | None) -> Iterable[Violation]:
    spec = template.get("spec") or {}
    if old is not None:
        if spec != (old.get("spec") or {}):
            yield invalid("spec", spec, IMMUTABLE)
        return
    yield from validate_labels(labels_of(spec), "spec.metadata.labels")
    yield from validate_annotations(annotations_of(spec), "spec.metadata.annotations")
    yield from claimspec.validate(spec.get("spec") or {}, "spec.spec")


ResourceClaimTemplate = Kind(
    "ResourceClaimTemplate",
    "resource.k8s.io/v1",
    "resourceclaimtemplates",
    default=default,
    prepare=prepare,
    validate=validate,
    returns_deleted=True,
    columns=(NAME, AGE),
)
