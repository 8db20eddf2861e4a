"""What is refused before it is stored: unknown fields, wrong types, bad metadata, and what the kind refuses."""

from collections.abc import Iterable

from minikube_py.errors import Cause
from minikube_py.meta.conforming import conforms_beside
from minikube_py.meta.kind import Kind
from minikube_py.meta.names import dns1123_subdomain
from minikube_py.meta.object_meta import validate_changed_meta, validate_meta_update, validate_object_meta
from minikube_py.meta.objects import Obj
from minikube_py.meta.schema import type_of
from minikube_py.meta.validation import decode
from minikube_py.meta.violations import invalid_error
from minikube_py.registry.base import Context
from minikube_py.registry.versions import converted


def structured(kind: Kind, obj: Obj, context: Context, known: Obj | None = None) -> Obj:
    """`obj` (or a new one) with known fields of the right types; the others are refused, pruned with a warning,
    or just pruned, as fieldValidation says. What `obj` shares with `known`, a stored object, is as it should
    be. Errors: BadRequest, Invalid."""
    twice = context.duplicates
    typed = kind.schema is None and not twice.texts
    if typed and known is not None and conforms_beside(type_of(kind))(obj, known):
        return obj
    return decode(kind, obj, context.field_validation or "Warn", context.warnings, twice)


def check(
    kind: Kind, obj: Obj, old: Obj | None, *, subresource: str = "", requested: Kind | None = None
) -> None:
    """Refuse an object with all its faults at once, also those that only the version `requested` knows.
    Errors: Invalid."""
    causes = tuple(dict.fromkeys(_causes(kind, obj, old, subresource)))
    if requested is not None and not subresource:
        before = None if old is None else converted(kind, requested, old)
        causes = (*requested.validate(converted(kind, requested, obj), before), *causes)
    if causes:
        raise invalid_error(kind, obj["metadata"].get("name") or "", causes)


def _causes(kind: Kind, obj: Obj, old: Obj | None, subresource: str) -> Iterable[Cause]:
    any_finalizer = kind.schema is not None or kind.group == "apiextensions.k8s.io"
    if old is None or _renamed(obj["metadata"], old["metadata"]):
        rule = kind.name_rule or dns1123_subdomain
        yield from validate_object_meta(
            obj, namespaced=kind.namespaced, name_rule=rule, any_finalizer=any_finalizer
        )
    else:
        yield from validate_changed_meta(obj, old, any_finalizer=any_finalizer)
    if old is not None:
        yield from validate_meta_update(obj, old)
    if subresource in ("", "scale"):
        yield from kind.validate(obj, old)
    elif subresource == "status":
        yield from kind.validate_status(obj, old)
    elif subresource in kind.parts:
        yield from kind.parts[subresource].validate(obj, old)


def _renamed(new: Obj, old: Obj) -> bool:
    """Whether a client has changed what an object is called."""
    return new.get("name") != old.get("name") or new.get("generateName") != old.get("generateName")
