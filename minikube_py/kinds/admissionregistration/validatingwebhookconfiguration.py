"""ValidatingWebhookConfiguration: webhooks that may refuse what is written."""

from minikube_py.kinds.admissionregistration.webhooks import COLUMNS, default_webhooks, prepare_webhooks
from minikube_py.kinds.admissionregistration.webhookvalidation import validate_webhooks
from minikube_py.meta.kind import Kind

ValidatingWebhookConfiguration = Kind(
    "ValidatingWebhookConfiguration",
    "admissionregistration.k8s.io/v1",
    "validatingwebhookconfigurations",
    categories=("api-extensions",),
    namespaced=False,
    default=default_webhooks,
    prepare=prepare_webhooks,
    validate=validate_webhooks,
    columns=COLUMNS,
    unconditional_update=False,
)
