"""Namespace: a scope for names, and what dies with it."""

from collections.abc import Iterable

from minikube_py.kinds.columns import AGE, NAME, text
from minikube_py.kinds.strategy import section
from minikube_py.meta.kind import ALL_VERBS, Column, Kind, Part, Violation
from minikube_py.meta.names import dns1123_label, qualified_name
from minikube_py.meta.object_meta import STANDARD_FINALIZERS
from minikube_py.meta.objects import Obj, dig, is_deleting, name_of
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
    if old is None:
        for finalizer in namespace["spec"].get("finalizers") or ():
            yield from _finalizer(finalizer, "spec.finalizers")


def _finalizer(name: str, path: str) -> Iterable[Violation]:
    for reason in qualified_name(name):
        yield invalid(path, name, reason)
    if "/" not in name and name not in STANDARD_FINALIZERS:
        yield invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified")


def validate_finalized(namespace: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a write to the finalize subresource."""
    for index, finalizer in enumerate(namespace["spec"].get("finalizers") or ()):
        yield from _finalizer(finalizer, f"spec.finalizers[{index}]")


def validate_status(namespace: Obj, old: Obj | None) -> Iterable[Violation]:
    """The phase tells whether the namespace is being deleted, and nothing else."""
    phase, deleting = dig(namespace, "status.phase", ""), is_deleting(namespace)
    if phase != ("Terminating" if deleting else "Active"):
        word, told = ("Terminating", "is not empty") if deleting else ("Active", "is empty")
        yield invalid("status.Phase", phase, f"may only be '{word}' if `deletionTimestamp` {told}")


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
    parts={"finalize": Part(finalized, validate_finalized)},
    name_rule=dns1123_label,
    default=default,
    default_of_whole=True,
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    fields={"status.phase": "status.phase"},
    columns=(
        NAME,
        Column("Status", text("status.phase"), description="The status of the namespace"),
        AGE,
    ),
)
