"""What the registry takes and gives: users, request contexts, admission, options and results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.meta.validation import NO_DUPLICATES, Duplicates
from minikube_py.store.base import Entry


@dataclass(frozen=True, slots=True)
class User:
    """Who asks: an authenticated identity."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SYSTEM = User("system:apiserver", groups=("system:masters", "system:authenticated"))
"""The cluster itself, for what no client asked."""


def _nothing() -> None:
    return None


@dataclass(slots=True)
class Context:
    """One request's circumstances. `warnings` collects what clients are shown as Warning headers."""

    user: User = SYSTEM
    field_manager: str = ""
    user_agent: str = ""
    dry_run: bool = False
    field_validation: str = "Warn"  # Strict, Warn or Ignore
    given: Mapping[str, str] = field(default_factory=dict)
    """fieldManager and fieldValidation as the client said them, which webhooks and policies are shown."""
    warnings: list[str] = field(default_factory=list)
    duplicates: Duplicates = NO_DUPLICATES
    """What the request's body says twice, as `field_validation` tells of it."""
    audit: dict[str, str] = field(default_factory=dict)
    """What admission plugins note for the audit event's annotations, as `<plugin's domain>/<key>`."""
    size: int = 0
    """Bytes of the request's body, as far as they are known."""
    admitted: bool = False
    """Whether a deletion is part of one that has passed admission already, and is not judged again."""
    creating: Callable[[], None] = _nothing
    """Asked before an update or an apply creates its object. Errors: Forbidden."""


@dataclass(slots=True)
class Attributes:
    """What an admission plugin judges. `object` may be changed in place by `mutate`, never by `validate`."""

    operation: str  # CREATE, UPDATE, DELETE or CONNECT
    kind: Kind
    namespace: str
    name: str
    object: Obj | None
    old: Obj | None
    context: Context
    subresource: str = ""
    options: Obj = field(default_factory=dict)
    ended: list[Callable[[], None]] = field(default_factory=list)
    """What validating plugins want to be called once the write is stored or has failed."""
    requested: Kind | None = None
    """The version that the request is in, where it is judged in another one (`kind`)."""
    reinvocation: Any = None
    """Set by a mutating plugin whose change all of them must see once more; it finds its notes here then."""

    def end(self) -> None:
        """The write is over: tell who asked for it."""
        for call in self.ended:
            call()


class Admission(Protocol):
    """The ordered admission plugins, as the registry calls them. Refusals are raised as ApiErrors."""

    async def mutate(self, request: Attributes) -> None:
        """Change the object before it is validated."""

    async def validate(self, request: Attributes) -> None:
        """Refuse what may not be."""


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The query of a list. `resource_version` and `match` as the API documents them; selectors as text."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    match: str = ""  # resourceVersionMatch: Exact, NotOlderThan or empty
    send_initial_events: bool | None = None  # which no list may ask for


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The query of a watch."""

    labels: str = ""
    fields: str = ""
    resource_version: str = ""
    match: str = ""
    bookmarks: bool = False
    send_initial_events: bool | None = None
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """Entries of a list at one revision, in key order."""

    entries: Sequence[Entry]
    revision: int
    continue_token: str = ""
    remaining: int = 0


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """type is ADDED, MODIFIED, DELETED or BOOKMARK (whose entry has no key and only a revision).
    `entry` holds the object's bytes, shared by every watcher."""

    type: str
    entry: Entry
    initial_end: bool = False
    """On a BOOKMARK: it ends the initial events (annotation k8s.io/initial-events-end)."""


@dataclass(frozen=True, slots=True)
class Patch:
    """type is the media type: application/json-patch+json, merge-patch+json, strategic-merge-patch+json,
    apply-patch+yaml. `body` is the decoded patch."""

    type: str
    body: Any
    force: bool = False


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """grace_period None: the kind's default. propagation: Background, Foreground, Orphan or empty (default)."""

    grace_period: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    orphan_dependents: bool | None = None


@dataclass(frozen=True, slots=True)
class Deletion:
    """The object as a delete left it: `gone`, or waiting for its grace period or finalizers."""

    entry: Entry
    gone: bool


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What the registry must know of the cluster: the CA for root CA ConfigMaps, the ranges it allocates."""

    root_ca: str = ""  # PEM
    service_cidr: str = "10.96.0.0/12"
    node_port_range: tuple[int, int] = (30000, 32767)


class Converter(Protocol):
    """Converts objects of kinds with `remote_conversion` between their versions, as a webhook does it."""

    async def convert(self, kind: Kind, objects: Sequence[Obj], api_version: str) -> list[Obj]:
        """Copies of `objects`, all of `kind`'s resource, in `api_version`, in their order.
        Errors: InternalError where the webhook fails or answers wrongly."""


class TokenSigner(Protocol):
    """Signs bound ServiceAccount tokens (the TokenRequest subresource)."""

    issuer: str
    """Who signs: the audience of a token that names none."""

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWT of `claims`."""

    def issue(
        self,
        namespace: str,
        name: str,
        uid: str,
        *,
        audiences: Sequence[str],
        seconds: int,
        bound: Obj | None,
    ) -> tuple[str, datetime]:
        """A token for the ServiceAccount, bound to the object reference `bound`, and when it expires."""
