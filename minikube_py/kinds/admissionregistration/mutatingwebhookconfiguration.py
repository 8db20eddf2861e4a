"""MutatingWebhookConfiguration: webhooks that may change what is written."""

from minikube_py.kinds.admissionregistration.webhooks import COLUMNS, default_webhooks, prepare_webhooks
from minikube_py.kinds.admissionregistration.webhookvalidation import validate_webhooks
from minikube_py.kinds.strategy import if_absent
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj


def default(configuration: Obj) -> None:
    default_webhooks(configuration)
    for webhook in configuration.get("webhooks") or ():
        if_absent(webhook, "reinvocationPolicy", "Never")


MutatingWebhookConfiguration = Kind(
    "MutatingWebhookConfiguration",
    "admissionregistration.k8s.io/v1",
    "mutatingwebhookconfigurations",
    categories=("api-extensions",),
    namespaced=False,
    default=default,
    prepare=prepare_webhooks,
    validate=validate_webhooks,
    columns=COLUMNS,
    unconditional_update=False,
)
