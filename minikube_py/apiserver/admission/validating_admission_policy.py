"""ValidatingAdmissionPolicy: expressions that may refuse what is written, put into force by bindings.

Policies and bindings are current with the registry: a change counts from the next write on. Never evaluated for
the configuration of admission itself. Source: "Validating Admission Policy".
"""

from typing import TYPE_CHECKING, Any, Final

import orjson

from minikube_py.apiserver.admission import matching
from minikube_py.apiserver.admission.base import ALL_OPERATIONS, Plugin, Surroundings, forbid
from minikube_py.apiserver.admission.webhooks.versions import shown
from minikube_py.errors import ApiError, Cause
from minikube_py.kinds.admissionregistration.validatingadmissionpolicy import (
    ValidatingAdmissionPolicy as PolicyKind,
)
from minikube_py.kinds.admissionregistration.validatingadmissionpolicybinding import (
    ValidatingAdmissionPolicyBinding as BindingKind,
)
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, name_of
from minikube_py.registry.base import Attributes

if TYPE_CHECKING:
    from minikube_py.apiserver.admission.policies.compiled import Binding, Policy
    from minikube_py.apiserver.admission.policies.evaluation import Denial, Verdict

_CODES: Final = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}
_FAILURES: Final = "validation.policy.admission.k8s.io/validation_failure"


class Judgement:
    """What is known of one request: the first denial, failures for the audit event, annotations by key."""

    def __init__(self, request: Attributes) -> None:
        self._request = request
        self._denied: tuple[str, str] | None = None
        self._failures: list[Obj] = []
        self._notes: dict[str, list[str]] = {}

    def refuse(self, policy: "Policy", binding: "Binding | None", message: str, reason: str = "") -> None:
        """Refuse the request, unless it is refused already."""
        by = f" with binding '{binding.name}'" if binding is not None else ""
        text = f"ValidatingAdmissionPolicy '{policy.name}'{by} denied request: {message}"
        self._denied = self._denied or (text, reason or "Invalid")

    def take(self, policy: "Policy", binding: "Binding", verdict: "Verdict") -> None:
        """Do with a verdict what the binding says."""
        for denial in verdict.denials:
            for action in binding.actions:
                self._act(action, policy, binding, denial)
        for error in verdict.errors:
            self.refuse(policy, binding, error.message)
        for key, value in verdict.notes:
            known = self._notes.setdefault(f"{policy.name}/{key}", [])
            if value not in known:
                known.append(value)

    def _act(self, action: str, policy: "Policy", binding: "Binding", denial: "Denial") -> None:
        if action == "Deny":
            self.refuse(policy, binding, denial.message, denial.reason)
        elif action == "Warn":
            told = f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding "
            self._request.context.warnings.append(f"{told}'{binding.name}': {denial.message}")
        elif action == "Audit":
            self._failures.append(
                {
                    "message": denial.message,
                    "policy": policy.name,
                    "binding": binding.name,
                    "expressionIndex": denial.index,
                    "validationActions": list(binding.actions),
                }
            )

    def end(self) -> None:
        """Write the annotations. Errors: the refusal, with the code of its reason."""
        audit = self._request.context.audit
        if self._failures:
            audit.setdefault(_FAILURES, orjson.dumps(self._failures[:1]).decode())
        for key, values in self._notes.items():
            audit[key] = ", ".join(values)
        if self._denied is not None:
            raise self._refusal(*self._denied)

    def _refusal(self, text: str, reason: str) -> ApiError:
        error = forbid(self._request, text)
        error.code, error.reason = _CODES.get(reason, 422), reason
        error.causes = (Cause("", text, ""),)
        return error


class ValidatingAdmissionPolicy(Plugin):
    """Evaluates the policies that bindings put into force."""

    name = "ValidatingAdmissionPolicy"
    operations = ALL_OPERATIONS

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._matcher = matching.Matcher(surroundings.registry)
        self._policies: dict[str, Obj] = {}
        self._bindings: dict[str, Obj] = {}
        self._ready: tuple[tuple[Policy, tuple[Binding, ...]], ...] | None = ()
        self._made: dict[str, tuple[Obj, Policy]] = {}
        for kind, known in ((PolicyKind, self._policies), (BindingKind, self._bindings)):
            self._follow(kind, known)

    def _follow(self, kind: Kind, known: dict[str, Obj]) -> None:
        def put(obj: Obj) -> None:
            known[name_of(obj)] = obj
            self._ready = None

        def remove(obj: Obj) -> None:
            known.pop(name_of(obj), None)
            self._ready = None

        self.registry.follow(kind, put, remove)

    async def validate(self, request: Attributes) -> None:
        ready = self._in_force() if self._ready is None else self._ready
        if not ready or matching.is_exempt(request):
            return
        judgement = Judgement(request)
        for policy, bindings in ready:
            await self._judge(policy, bindings, request, judgement)
        judgement.end()

    def _in_force(self) -> "tuple[tuple[Policy, tuple[Binding, ...]], ...]":
        """The policies that have bindings, by name, with these; made again when any of them has changed."""
        from minikube_py.apiserver.admission.policies.compiled import Binding, Policy

        bound: dict[str, list[Binding]] = {}
        for name in sorted(self._bindings):
            binding = Binding(self._bindings[name])
            if binding.policy in self._policies:
                bound.setdefault(binding.policy, []).append(binding)
        made: dict[str, tuple[Obj, Policy]] = {}
        for name in sorted(bound):
            obj, known = self._policies[name], self._made.get(name)
            made[name] = known if known is not None and known[0] is obj else (obj, Policy(obj))
        self._made = made
        self._ready = tuple((policy, tuple(bound[name])) for name, (_, policy) in made.items())
        return self._ready

    async def _judge(
        self, policy: "Policy", bindings: "tuple[Binding, ...]", request: Attributes, judgement: Judgement
    ) -> None:
        try:
            chosen = self._matcher.match(policy.criteria, request)
        except ApiError as error:
            if not policy.ignores_failure:
                judgement.refuse(policy, None, f"failed to configure policy: {error.message}")
            return
        if chosen is None:
            return
        values: Obj | None = None
        for binding in bindings:
            try:
                if binding.criteria is not None and self._matcher.match(binding.criteria, request) is None:
                    continue
                values = values or await self._values(chosen.kind, request)
                await self._evaluate(policy, binding, values, judgement, request)
            except ApiError as error:
                if not policy.ignores_failure:
                    judgement.refuse(policy, binding, f"failed to configure binding: {error.message}")

    async def _values(self, kind: Kind, request: Attributes) -> Obj:
        from minikube_py.apiserver.admission.expressions import variables

        seen = await shown(self.registry, request, kind)
        made = variables(request, seen, self.authorizer)
        return {**made, "namespaceObject": self._matcher.namespace_of(request)}

    async def _evaluate(
        self, policy: "Policy", binding: "Binding", values: Obj, judgement: Judgement, request: Attributes
    ) -> None:
        from minikube_py.apiserver.admission.policies.evaluation import Evaluation
        from minikube_py.apiserver.admission.policies.params import Misconfigured, params_of

        try:
            found: list[Any] = await params_of(self.registry, policy, binding, request)
        except Misconfigured as error:
            if not policy.ignores_failure:
                judgement.refuse(policy, binding, f"failed to configure binding: {error}")
            return
        for params in found:
            verdict = await Evaluation(policy, {**values, "params": params}).verdict()
            judgement.take(policy, binding, verdict)
