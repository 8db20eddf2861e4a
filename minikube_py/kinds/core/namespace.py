"""Namespace: a scope for names, and what dies with it."""

from collections.abc import Iterable

from minikube_py.kinds.columns import AGE, NAME, text
from minikube_py.kinds.strategy import section
from minikube_py.meta.kind import ALL_VERBS, Column, Kind, Part, Violation
from minikube_py.meta.names import dns1123_label, qualified_name
from minikube_py.meta.objects import Obj, name_of
from minikube_py.meta.violations import invalid

NAME_LABEL = "kubernetes.io/metadata.name"


def default(namespace: Obj) -> None:
    if name := name_of(namespace):
        section(section(namespace, "metadata"), "labels")[NAME_LABEL] = name


def prepare(namespace: Obj, old: Obj | None) -> None:
    """The finalizer is ours alone to set and to take; it changes only through the finalize subresource."""
    default(namespace)  # a generated name is known only now
    spec = section(namespace, "spec")
    if old is None:
        namespace["status"] = {"phase": "Active"}
        finalizers = spec.get("finalizers") or []
        spec["finalizers"] = finalizers if "kubernetes" in finalizers else [*finalizers, "kubernetes"]
    else:
        spec["finalizers"] = list((old.get("spec") or {}).get("finalizers") or [])


def validate(namespace: Obj, old: Obj | None) -> Iterable[Violation]:
    for finalizer in namespace["spec"].get("finalizers") or ():
        for reason in qualified_name(finalizer):
            yield invalid("spec.finalizers", finalizer, reason)


def finalized(sent: Obj, namespace: Obj) -> Obj:
    """The finalize subresource: the finalizers of the spec."""
    namespace["spec"] = sent.get("spec") or {}
    return namespace


Namespace = Kind(
    "Namespace",
    "v1",
    "namespaces",
    short_names=("ns",),
    namespaced=False,
    verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
    subresources=("status", "finalize"),
    parts={"finalize": Part(finalized)},
    name_rule=dns1123_label,
    default=default,
    prepare=prepare,
    validate=validate,
    fields={"status.phase": "status.phase"},
    columns=(
        NAME,
        Column("Status", text("status.phase"), description="The status of the namespace"),
        AGE,
    ),
)
