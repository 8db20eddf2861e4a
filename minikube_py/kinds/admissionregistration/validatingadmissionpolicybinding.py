"""ValidatingAdmissionPolicyBinding: where a ValidatingAdmissionPolicy is in force, and with what parameters."""

from datetime import datetime

from minikube_py.kinds.admissionregistration.policyvalidation import validate_binding
from minikube_py.kinds.admissionregistration.validatingadmissionpolicy import default_match
from minikube_py.kinds.columns import AGE, NAME, UNSET, selector_text
from minikube_py.kinds.strategy import count_generation, section
from minikube_py.meta.kind import Column, Kind
from minikube_py.meta.objects import Obj, dig


def default(binding: Obj) -> None:
    spec = section(binding, "spec")
    if spec.get("matchResources") is not None:
        default_match(spec["matchResources"])


def _params(binding: Obj, now: datetime) -> str:
    ref = dig(binding, "spec.paramRef")
    if not ref:
        return UNSET
    if ref.get("name"):
        return f"{ref.get('namespace') or '*'}/{ref['name']}"
    return selector_text(ref.get("selector")) if ref.get("selector") is not None else UNSET


ValidatingAdmissionPolicyBinding = Kind(
    "ValidatingAdmissionPolicyBinding",
    "admissionregistration.k8s.io/v1",
    "validatingadmissionpolicybindings",
    categories=("api-extensions",),
    namespaced=False,
    default=default,
    prepare=count_generation,
    validate=validate_binding,
    columns=(
        NAME,
        Column("PolicyName", "spec.policyName", description="The policy that it puts into force"),
        Column("ParamRef", _params, description="The policy's parameters"),
        AGE,
    ),
    unconditional_update=False,
)
