"""PodTemplate: a template of pods that stands alone."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import NAME, format_labels
from minikube_py.kinds.podspec.defaults import default_pod_spec
from minikube_py.kinds.podspec.validation import validate_template
from minikube_py.kinds.strategy import section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, dig


def default(template: Obj) -> None:
    inner = section(template, "template")
    section(inner, "metadata")
    default_pod_spec(section(inner, "spec"))


def prepare(template: Obj, old: Obj | None) -> None:
    """The generation counts changes of the template."""
    metadata = section(template, "metadata")
    if old is None:
        metadata["generation"] = 1
        return
    changed = template.get("template") != old.get("template")
    metadata["generation"] = (old["metadata"].get("generation") or 0) + changed


def validate(template: Obj, old: Obj | None) -> Iterable[Violation]:
    if old is None or template["template"] != old.get("template"):
        yield from validate_template(template["template"], "template")


def _containers(field: str) -> Column:
    def cell(template: Obj, now: datetime) -> str:
        containers = dig(template, "template.spec.containers", ())
        return ",".join(container.get(field, "") for container in containers)

    title = {"name": "Containers", "image": "Images"}[field]
    return Column(title, cell, description=f"The {field} of each container in the template.")


def _labels(template: Obj, now: datetime) -> str:
    return format_labels(dig(template, "template.metadata.labels"))


PodTemplate = Kind(
    "PodTemplate",
    "v1",
    "podtemplates",
    default=default,
    prepare=prepare,
    validate=validate,
    create_on_update=True,
    returns_deleted=True,
    columns=(
        NAME,
        _containers("name"),
        _containers("image"),
        Column("Pod Labels", _labels, description="The labels for the pod template."),
    ),
)
