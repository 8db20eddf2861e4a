"""Authorization checks: Kubernetes' `authz` library, over the values of `authorizers`."""

from typing import Any, Final

from minikube_py.meta import names
from minikube_py.meta.cel import costs
from minikube_py.meta.cel.authorizers import Authorizer, Check, Decision
from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import Overload, overload


def _path(authorizer: Authorizer, path: str) -> Check:
    if not path.strip():
        raise EvaluationError("path must not be empty")
    return Check(authorizer, {"path": path}, is_path=True)


def _group(authorizer: Authorizer, group: str) -> Check:
    return Check(authorizer, {"group": group}, is_group=True)


def _service_account(authorizer: Authorizer, namespace: str, name: str) -> Authorizer:
    faults = names.dns1123_subdomain(name)
    if faults:
        raise EvaluationError(f"invalid service account name: {faults}")
    faults = names.dns1123_label(namespace)
    if faults:
        raise EvaluationError(f"invalid service account namespace: {faults}")
    return authorizer.acting_as(namespace, name)


def _resource(group: Check, resource: str) -> Check:
    if not resource.strip():
        raise EvaluationError("resource must not be empty")
    return Check(group.authorizer, {**group.asked, "resource": resource})


def _with(field: str) -> Any:
    return lambda check, value: Check(check.authorizer, {**check.asked, field: value})


def _check(check: Check, verb: str) -> Decision:
    return check.decide(verb)


def _setter(name: str) -> Overload:
    return overload(f"resourceCheck.{name}(string): resourceCheck", _with(name))


OVERLOADS: Final = (
    overload("authorizer.path(string): pathCheck", _path),
    overload("authorizer.group(string): groupCheck", _group),
    overload("authorizer.serviceAccount(string, string): authorizer", _service_account),
    overload("groupCheck.resource(string): resourceCheck", _resource),
    *(_setter(name) for name in ("subresource", "namespace", "name", "fieldSelector", "labelSelector")),
    overload("pathCheck.check(string): decision", _check, costs.check),
    overload("resourceCheck.check(string): decision", _check, costs.check),
    overload("decision.allowed(): bool", lambda decision: decision.allowed),
    overload("decision.reason(): string", lambda decision: decision.reason),
    overload("decision.errored(): bool", lambda decision: bool(decision.error)),
    overload("decision.error(): string", lambda decision: decision.error),
)
