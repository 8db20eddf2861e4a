"""MutatingAdmissionWebhook: webhooks change objects one after the other, by JSON patches.

Each patched object is decoded and given its defaults again before the next webhook sees it. After a change all
mutating plugins see the object once more; of the webhooks only those whose reinvocationPolicy is IfNeeded, and
only where what they made was changed after them.
"""

import orjson

from minikube_py.apiserver.admission import matching
from minikube_py.apiserver.admission.base import ALL_OPERATIONS, Plugin, Surroundings
from minikube_py.apiserver.admission.webhooks.caller import Caller, Invocation, internal
from minikube_py.apiserver.admission.webhooks.hooks import Hooks
from minikube_py.apiserver.admission.webhooks.review import Verdict
from minikube_py.apiserver.admission.webhooks.versions import SCALE, taken_over
from minikube_py.errors import ApiError
from minikube_py.kinds.admissionregistration.mutatingwebhookconfiguration import MutatingWebhookConfiguration
from minikube_py.meta.objects import Obj, copy
from minikube_py.meta.patch.json import apply_json_patch
from minikube_py.meta.validation import decode
from minikube_py.registry.base import Attributes


class Reinvocation:
    """What is known of the first round in the second."""

    def __init__(self) -> None:
        self.second = False
        self.output: Obj | None = None
        """The object as the webhooks left it."""
        self._invoked: set[str] = set()
        self._due: set[str] = set()

    def changed(self) -> None:
        """The object has changed: those that were asked before are due again."""
        self._due |= self._invoked
        self._invoked.clear()

    def invoked(self, uid: str) -> None:
        """A webhook that may be asked again was asked."""
        self._invoked.add(uid)

    def skips(self, uid: str) -> bool:
        """Whether a webhook is not asked in this round."""
        return self.second and uid not in self._due


class MutatingAdmissionWebhook(Plugin):
    """Lets webhooks change what is written."""

    name = "MutatingAdmissionWebhook"
    operations = ALL_OPERATIONS

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.hooks = Hooks(surroundings.registry, MutatingWebhookConfiguration)
        self._caller = Caller(surroundings, "admit")

    async def mutate(self, request: Attributes) -> None:
        hooks = self.hooks.all
        if not hooks or matching.is_exempt(request):
            return
        state = self._state(request)
        changed = False
        for place, hook in enumerate(hooks):
            if state.skips(hook.uid):
                continue
            invocation = await self._caller.chosen(hook, place, request)
            if invocation is None:
                continue
            if await self._invoke(invocation, request, state):
                changed = True
                state.changed()
            if hook.reinvoked:
                state.invoked(hook.uid)
        if changed and not state.second:
            state.output = copy(request.object)
            request.reinvocation = state

    def _state(self, request: Attributes) -> Reinvocation:
        """The notes of the first round, or new ones."""
        noted = request.reinvocation
        if not isinstance(noted, Reinvocation):
            return Reinvocation()
        noted.second = True
        if noted.output != request.object:
            noted.changed()
        return noted

    async def _invoke(self, invocation: Invocation, request: Attributes, state: Reinvocation) -> bool:
        """Ask a webhook; whether it changed the object."""
        changed = False
        try:
            verdict = await self._caller.ask(invocation, request)
            if verdict is not None and verdict.patch:
                changed = await self._apply(invocation, request, verdict)
        finally:
            _note(invocation, request, state, changed=changed)
        return changed

    async def _apply(self, invocation: Invocation, request: Attributes, verdict: Verdict) -> bool:
        hook, shown = invocation.hook, invocation.shown
        if shown.object is None:
            raise internal(
                f'admission webhook "{hook.name}" attempted to modify the object, which is not supported for '
                "this operation"
            )
        try:
            patched = apply_json_patch(copy(shown.object), list(verdict.patch))
            if not isinstance(patched, dict):
                raise internal("the patched object is no object")
            if not request.subresource:
                patched = decode(shown.kind, patched)
                shown.kind.default(patched)
        except ApiError as error:
            raise internal(str(error.__cause__ or error.message)) from error
        if patched == shown.object:
            return False
        await taken_over(self.registry, request, shown.kind, patched)
        if request.subresource not in ("", SCALE) and request.object is not None:
            request.kind.default(request.object)
        return True


def _note(invocation: Invocation, request: Attributes, state: Reinvocation, *, changed: bool) -> None:
    """Note in the audit event whether a webhook changed the object."""
    hook, round = invocation.hook, int(state.second)
    key = f"mutation.webhook.admission.k8s.io/round_{round}_index_{invocation.place}"
    noted = {"configuration": hook.configuration, "webhook": hook.name, "mutated": changed}
    request.context.audit[key] = orjson.dumps(noted).decode()
