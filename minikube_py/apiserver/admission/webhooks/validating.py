"""ValidatingAdmissionWebhook: webhooks that may refuse what is written, all asked at once."""

import asyncio

from minikube_py.apiserver.admission import matching
from minikube_py.apiserver.admission.base import ALL_OPERATIONS, Plugin, Surroundings
from minikube_py.apiserver.admission.webhooks.caller import Caller, Invocation
from minikube_py.apiserver.admission.webhooks.hooks import Hooks
from minikube_py.kinds.admissionregistration.validatingwebhookconfiguration import (
    ValidatingWebhookConfiguration,
)
from minikube_py.registry.base import Attributes


class ValidatingAdmissionWebhook(Plugin):
    """Lets webhooks refuse what is written."""

    name = "ValidatingAdmissionWebhook"
    operations = ALL_OPERATIONS

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.hooks = Hooks(surroundings.registry, ValidatingWebhookConfiguration)
        self._caller = Caller(surroundings, "validating")

    async def validate(self, request: Attributes) -> None:
        hooks = self.hooks.all
        if not hooks or matching.is_exempt(request):
            return
        invocations: list[Invocation] = []
        for place, hook in enumerate(hooks):
            invocation = await self._caller.chosen(hook, place, request)
            if invocation is not None:
                invocations.append(invocation)
        asked = (self._caller.ask(invocation, request) for invocation in invocations)
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
