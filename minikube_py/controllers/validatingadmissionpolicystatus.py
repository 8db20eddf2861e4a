"""ValidatingAdmissionPolicy status controller: tells what the type check of a policy's expressions found."""

from typing import ClassVar

from minikube_py.controllers.base import Controller
from minikube_py.controllers.policies.typechecking import resolver, warnings
from minikube_py.kinds.admissionregistration.validatingadmissionpolicy import ValidatingAdmissionPolicy
from minikube_py.kinds.apiextensions.customresourcedefinition import CustomResourceDefinition
from minikube_py.meta.objects import Key, Obj, dig, is_deleting


def status(policy: Obj, definitions: list[Obj]) -> Obj:
    """The status of a policy whose type check is done."""
    found = warnings(policy, resolver(definitions))
    checked = {"expressionWarnings": found} if found else {}
    generation = (policy.get("metadata") or {}).get("generation") or 0
    return {**(policy.get("status") or {}), "observedGeneration": generation, "typeChecking": checked}


class ValidatingAdmissionPolicyStatusController(Controller):
    """Keep status.typeChecking of each policy, once per generation."""

    name: ClassVar[str] = "validatingadmissionpolicy-status-controller"
    reconciles = ValidatingAdmissionPolicy

    async def reconcile(self, key: Key) -> float | None:
        policy = self.cache.get(ValidatingAdmissionPolicy, key)
        if policy is None or is_deleting(policy):
            return None
        if dig(policy, "status.observedGeneration") != dig(policy, "metadata.generation"):
            definitions = list(self.cache.list(CustomResourceDefinition))
            await self.set_status(ValidatingAdmissionPolicy, policy, status(policy, definitions))
        return None
