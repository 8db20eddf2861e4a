"""ValidatingAdmissionPolicy: expressions (CEL) that refuse what is written; bindings put them into force."""

from datetime import datetime

from minikube_py.kinds.admissionregistration.policyvalidation import validate_policy
from minikube_py.kinds.admissionregistration.webhooks import default_rules
from minikube_py.kinds.columns import AGE, NAME, UNSET
from minikube_py.kinds.strategy import fresh_status, if_absent, section
from minikube_py.meta.kind import USER_METADATA, Column, Kind
from minikube_py.meta.objects import Obj, dig


def default(policy: Obj) -> None:
    spec = section(policy, "spec")
    if_absent(spec, "failurePolicy", "Fail")
    if spec.get("matchConstraints") is not None:
        default_match(spec["matchConstraints"])


def default_match(match: Obj) -> None:
    """Fill in the defaults of a MatchResources."""
    if_absent(match, "matchPolicy", "Equivalent")
    if_absent(match, "namespaceSelector", {})
    if_absent(match, "objectSelector", {})
    for field in ("resourceRules", "excludeResourceRules"):
        default_rules(match.get(field) or ())


def _validations(policy: Obj, now: datetime) -> int:
    return len(dig(policy, "spec.validations", ()))


def _param_kind(policy: Obj, now: datetime) -> str:
    kind = dig(policy, "spec.paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


ValidatingAdmissionPolicy = Kind(
    "ValidatingAdmissionPolicy",
    "admissionregistration.k8s.io/v1",
    "validatingadmissionpolicies",
    categories=("api-extensions",),
    namespaced=False,
    subresources=("status",),
    status_keeps=USER_METADATA,
    default=default,
    prepare=fresh_status,
    validate=validate_policy,
    columns=(
        NAME,
        Column("Validations", _validations, "integer", description="How many expressions must hold"),
        Column("ParamKind", _param_kind, description="The kind of its parameters"),
        AGE,
    ),
    unconditional_update=False,
)
