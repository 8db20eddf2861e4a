"""Kind: all that the API server, the registry and the CLI must know of one resource kind, as a value.

Routes, discovery, storage prefix, RBAC names, tables and validation derive from it. A built-in kind is a
module-level value in `kinds/`; a custom resource builds the same value at run time.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from minikube_py.errors import Cause
from minikube_py.meta.objects import Obj, dig

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

USER_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
"""The metadata fields that are users' to set, once an object has its name."""

Cell = str | Callable[[Obj, datetime], Any]
"""A dotted path into the object, or a function of the object and the time now."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the server-side Table. priority 0 is shown always, above it with `-o wide`."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def value(self, obj: Obj, now: datetime) -> Any:
        """The cell of `obj`; None where it is missing."""
        return dig(obj, self.cell) if isinstance(self.cell, str) else self.cell(obj, now)


Violation = Cause
"""One refused field: reason (FieldValueRequired, FieldValueInvalid, ...), message and field path."""


def _nothing(obj: Obj) -> None:
    return None


def _no_violations(obj: Obj, old: Obj | None) -> Iterable[Violation]:
    return ()


def _no_warnings(obj: Obj, old: Obj | None) -> Iterable[str]:
    return ()


def _as_it_is(obj: Obj) -> Obj:
    return obj


@dataclass(frozen=True, slots=True)
class Part:
    """A subresource that is a part of its object, read by GET and written by PUT and PATCH of the whole object
    (`finalize`, `ephemeralcontainers`, `resize`, `approval`, ...)."""

    merge: Callable[[Obj, Obj], Obj]
    """What a write means: of the object sent, and of a copy of the stored one, which may be changed."""
    validate: Callable[[Obj, Obj | None], Iterable[Violation]] = _no_violations
    """The refusals of a write to this part, in the place of the kind's own."""


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the Scale subresource reads and writes: dotted paths into the object, without a leading dot."""

    spec: str = "spec.replicas"
    status: str = "status.replicas"
    selector: str = ""
    """The path of the selector as text; empty: `spec.selector` where it is a label selector."""


@dataclass(frozen=True)
class Kind:
    """A resource kind. The hooks are pure: they see JSON objects, never the store or a clock."""

    kind: str
    api_version: str
    plural: str
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    fields: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Selectable fields besides metadata.name and metadata.namespace: selector name > path in the object, or
    several, of which the first with a value counts."""
    default: Callable[[Obj], None] = _nothing
    """Fills in defaults, in place, on an object owned by the request."""
    default_of_whole: bool = False
    """Whether `default` looks at metadata or status too, or fills them in: a write of the metadata alone then
    needs it, where that of another kind has all its defaults already."""
    prepare: Callable[[Obj, Obj | None], None] = lambda obj, old: None
    """The strategy: clears or carries over (from `old` on update) what a client may not set, in place. On an
    update the two may share what lies deeper than the fields of a part (`spec.<field>`): such a field is
    replaced, never changed in place."""
    validate: Callable[[Obj, Obj | None], Iterable[Violation]] = _no_violations
    """The refusals of an object after defaulting; with `old`, also forbidden changes."""
    warn: Callable[[Obj, Obj | None], Iterable[str]] = _no_warnings
    """What a client is warned of that stores the object."""
    schema: Mapping[str, Any] | None = None
    """The OpenAPI v3 schema of a custom resource; None: the built-in facts for group, version and kind."""
    create_on_update: bool = False
    """Whether a PUT of an object that does not exist creates it."""
    unconditional_update: bool = True
    """Whether a PUT may leave out the resourceVersion, and so overwrite what it has not seen."""
    parts: Mapping[str, Part] = field(default_factory=dict)
    """The subresources that are parts of the object, besides status, by name."""
    validate_status: Callable[[Obj, Obj | None], Iterable[Violation]] = _no_violations
    """The refusals of a write to the status subresource."""
    status_keeps: tuple[str, ...] = ()
    """The metadata fields that a write to the status does not change, whatever it says."""
    scale: ScalePaths = ScalePaths()
    name_rule: Callable[[str], list[str]] | None = None
    """What a name must be: the faults of a name; None: a DNS subdomain, as of most kinds."""
    returns_deleted: bool = False
    """Whether a deletion that is done at once is answered with the object, not with a Status."""
    storage: "Kind | None" = None
    """The kind in whose form the objects of this version are stored; None: its own. Both are one resource:
    they share keys, and the stored form's strategy and validation judge writes through either."""
    to_storage: Callable[[Obj], Obj] = _as_it_is
    """An object of this version in its stored form, but for apiVersion and kind; a new object or the same one,
    changed. Pure."""
    from_storage: Callable[[Obj], Obj] = _as_it_is
    """The way back."""
    remote_conversion: bool = False
    """Whether objects are converted by the registry's `converter` (a webhook) instead."""
    deprecation: str = ""
    """What a client that uses the kind is warned of."""
    orphans: bool = False
    """Whether a deletion that names no propagation leaves the dependents."""
    listed_as: str = ""
    """The kind of a list of objects; empty: the kind's name with `List` behind it."""
    terminating: bool = False
    """Whether the kind is on its way out: no objects are created any more."""

    @cached_property
    def group(self) -> str:
        """The API group, empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @cached_property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    @cached_property
    def resource(self) -> str:
        """`deployments.apps`, or `pods` in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_kind(self) -> str:
        return self.listed_as or f"{self.kind}List"

    @property
    def singular_name(self) -> str:
        return self.singular or self.kind.lower()

    @property
    def has_defaults(self) -> bool:
        return self.default is not _nothing

    @property
    def shares_parts(self) -> bool:
        """Whether an update may share what lies deep in its parts with the stored object: no hook changes it,
        since its defaults are filled in already."""
        return self.schema is None and not self.default_of_whole

    @cached_property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @property
    def stored(self) -> "Kind":
        """The kind in whose form objects are stored."""
        return self.storage or self

    def prefix(self, namespace: str = "") -> str:
        """The storage prefix of all objects, or of those in `namespace`."""
        resource = self.stored.resource
        return f"/registry/{resource}/{namespace}/" if namespace else f"/registry/{resource}/"

    def storage_key(self, namespace: str, name: str) -> str:
        """The storage key of one object."""
        return f"{self.prefix(namespace if self.namespaced else '')}{name}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, of one object, or of its subresource."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        parts = [part for part in (name, subresource) if part]
        return "/".join([f"{root}{scope}/{self.plural}", *parts])

    def __hash__(self) -> int:
        return hash((self.api_version, self.kind))
