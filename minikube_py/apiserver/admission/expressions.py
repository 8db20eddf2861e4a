"""The values of the variables that admission's expressions see, but for a policy's own."""

from collections.abc import Mapping

from minikube_py.apiserver.admission.webhooks.review import Shown, request_of
from minikube_py.apiserver.authz import Authorizer, field_requirements
from minikube_py.apiserver.rbac import Attributes as Asked
from minikube_py.meta import cel
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import Attributes, User


def variables(request: Attributes, seen: Shown, authorizer: Authorizer) -> Obj:
    """`object`, `oldObject`, `request`, `authorizer` and `authorizer.requestResource`."""
    asked = request_of(request, seen, "")
    for hidden in ("object", "oldObject"):
        asked.pop(hidden)
    checks = cel.Authorizer(_decider(request.context.user, authorizer))
    return {
        "object": seen.object,
        "oldObject": seen.old,
        "request": asked,
        "authorizer": checks,
        "authorizer.requestResource": cel.request_resource(checks, asked),
    }


def _decider(user: User, authorizer: Authorizer) -> "cel.Decide":
    def decide(asked: Mapping[str, str], account: "cel.Account") -> "cel.Decision":
        who = user if account is None else _account(*account)
        path = asked.get("path", "")
        if path:
            question = Asked(asked["verb"], path=path)
        else:
            question = Asked(
                asked["verb"],
                asked.get("group", ""),
                asked.get("resource", ""),
                asked.get("subresource", ""),
                asked.get("namespace", ""),
                asked.get("name", ""),
                "",
                "*",
                field_requirements(asked.get("fieldSelector", "")),
            )
        decided = authorizer.decide(who, question)
        return cel.Decision(decided.allowed, decided.reason)

    return decide


def _account(namespace: str, name: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups=groups)
