"""The refusals of the registry in Kubernetes' own words; clients (kubectl, controllers) match on these texts.

Each function builds the exception; the caller raises it.
"""

from typing import Any

from minikube_py.errors import (
    AlreadyExists,
    Cause,
    Conflict,
    Expired,
    Invalid,
    MethodNotAllowed,
    NotFound,
    Timeout,
)
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key

VERSION = "metadata.resourceVersion"
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
EXPIRED_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter, or use the continue token in this response "
    "to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent "
    "list - objects that were created, modified, or deleted between the time the first chunk was returned "
    "and now may show up in the list."
)


def details(kind: Kind, name: str) -> dict[str, Any]:
    """`Status.details` of a fault of one object; its kind is the resource's plural."""
    found = {"name": name, "kind": kind.plural}
    return found | {"group": kind.group} if kind.group else found


def not_found(kind: Kind, name: str) -> NotFound:
    """There is no object of that name."""
    return NotFound(f'{kind.resource} "{name}" not found', details=details(kind, name))


def already_exists(kind: Kind, name: str) -> AlreadyExists:
    """The name is taken."""
    return AlreadyExists(f'{kind.resource} "{name}" already exists', details=details(kind, name))


def no_unique_name(kind: Kind, name: str) -> AlreadyExists:
    """Every generated name was taken."""
    return AlreadyExists(
        f'{kind.resource} "{name}" already exists, '
        "the server was not able to generate a unique name for the object",
        details=details(kind, name),
        retry_after=1,
    )


def conflict(kind: Kind, name: str, why: str = MODIFIED, *, subresource: str = "") -> Conflict:
    """A write that another one, or a precondition, forbids."""
    resource = kind.resource if not subresource else f"{kind.plural}/{subresource}"
    return Conflict(f'Operation cannot be fulfilled on {resource} "{name}": {why}', details=details(kind, name))


def other_uid(kind: Kind, key: Key, asked: str, actual: str) -> Conflict:
    """An update of an object of another uid (`actual` is empty where there is none)."""
    return conflict(
        kind,
        key.name,
        f"StorageError: invalid object, Code: 4, Key: {kind.storage_key(*key)}, ResourceVersion: 0, "
        f"AdditionalErrorMsg: Precondition failed: UID in precondition: {asked}, UID in object meta: {actual}",
    )


def undeletable(kind: Kind, name: str, why: str) -> Conflict:
    """A deletion whose preconditions do not hold; it names the kind where others name the resource."""
    named = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    text = f'Operation cannot be fulfilled on {named} "{name}": {why}'
    return Conflict(text, details={**details(kind, name), "kind": kind.kind})


def unversioned(kind: Kind, name: str) -> Invalid:
    """An update that must name the resourceVersion."""
    cause = Cause("FieldValueInvalid", "Invalid value: 0x0: must be specified for an update", VERSION)
    text = f'{kind.resource} "{name}" is invalid: {cause.field}: {cause.message}'
    return Invalid(text, details=details(kind, name), causes=(cause,))


def unsupported(kind: Kind, verb: str, subresource: str = "") -> MethodNotAllowed:
    """The kind, or its subresource, does not know the verb."""
    return MethodNotAllowed("the server does not allow this method on the requested resource")


def no_subresource(kind: Kind) -> NotFound:
    """The kind has no such subresource."""
    return NotFound("the server could not find the requested resource")


def too_large(asked: int, current: int) -> Timeout:
    """A resourceVersion that the cluster has not reached."""
    return Timeout(
        f"Timeout: Too large resource version: {asked}, current: {current}",
        causes=(Cause("ResourceVersionTooLarge", "Too large resource version"),),
        retry_after=1,
    )


def too_old(asked: int, oldest: int) -> Expired:
    """A watch from a revision that is compacted."""
    return Expired(f"too old resource version: {asked} ({oldest})")


class ContinueExpired(Expired):
    """A continue token whose snapshot is gone; the Status carries a token for the inconsistent rest."""

    def __init__(self, token: str) -> None:
        super().__init__(EXPIRED_CONTINUE)
        self.token = token

    def status(self) -> dict[str, Any]:
        return super().status() | {"metadata": {"continue": self.token}}
