"""The authorizer that expressions may ask: who the request's user is, and what they may do.

Who decides is given as a function of what is asked (a mapping with `verb` and `path`, or `verb`, `group`,
`resource`, `subresource`, `namespace`, `name`, `fieldSelector`, `labelSelector`; missing ones are empty) and of
the user (None for the request's own, else the namespace and name of a ServiceAccount).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from minikube_py.meta.cel import types

Account = tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and why."""

    allowed: bool
    reason: str = ""
    error: str = ""

    TYPE: ClassVar[str] = types.DECISION.name


Decide = Callable[[Mapping[str, str], Account], Decision]


class Authorizer:
    """Asks `decide` for the request's user, or for a ServiceAccount."""

    TYPE = types.AUTHORIZER.name
    __slots__ = ("account", "decide")

    def __init__(self, decide: Decide, account: Account = None) -> None:
        self.decide = decide
        self.account = account

    def acting_as(self, namespace: str, name: str) -> "Authorizer":
        """The authorizer of a ServiceAccount."""
        return Authorizer(self.decide, (namespace, name))


class Check:
    """A question that lacks its verb."""

    __slots__ = ("TYPE", "asked", "authorizer")

    def __init__(
        self, authorizer: Authorizer, asked: Mapping[str, str], *, is_path: bool = False, is_group: bool = False
    ) -> None:
        self.authorizer = authorizer
        self.asked = asked
        kind = types.PATH_CHECK if is_path else types.GROUP_CHECK if is_group else types.RESOURCE_CHECK
        self.TYPE = kind.name

    def decide(self, verb: str) -> Decision:
        """The decision on the question with its verb."""
        return self.authorizer.decide({**self.asked, "verb": verb}, self.authorizer.account)


def request_resource(authorizer: Authorizer, request: Mapping[str, Any]) -> Check:
    """`authorizer.requestResource`: the check of what a request (of an AdmissionReview) is about."""
    resource = request.get("requestResource") or request.get("resource") or {}
    asked = {
        "group": resource.get("group", ""),
        "resource": resource.get("resource", ""),
        "subresource": request.get("requestSubResource") or request.get("subResource") or "",
        "namespace": request.get("namespace", ""),
        "name": request.get("name", ""),
    }
    return Check(authorizer, asked)
