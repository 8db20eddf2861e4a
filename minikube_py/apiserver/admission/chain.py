"""The admission chain: the plugins in the order in which they run; all change before any refuses."""

from collections.abc import Sequence

from minikube_py.apiserver.admission.base import Plugin, Surroundings
from minikube_py.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from minikube_py.apiserver.admission.default_ingress_class import DefaultIngressClass
from minikube_py.apiserver.admission.default_storage_class import DefaultStorageClass
from minikube_py.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from minikube_py.apiserver.admission.deny_service_external_ips import DenyServiceExternalIPs
from minikube_py.apiserver.admission.event_rate_limit import EventRateLimit
from minikube_py.apiserver.admission.extended_resource_toleration import ExtendedResourceToleration
from minikube_py.apiserver.admission.limit_ranger import LimitRanger
from minikube_py.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from minikube_py.apiserver.admission.node_restriction import NodeRestriction
from minikube_py.apiserver.admission.persistent_volume_claim_resize import PersistentVolumeClaimResize
from minikube_py.apiserver.admission.pod_security import PodSecurity
from minikube_py.apiserver.admission.priority import Priority
from minikube_py.apiserver.admission.rbac_escalation import RbacEscalation
from minikube_py.apiserver.admission.resource_quota import ResourceQuotaAdmission
from minikube_py.apiserver.admission.runtime_class import RuntimeClassAdmission
from minikube_py.apiserver.admission.service_account import ServiceAccountAdmission
from minikube_py.apiserver.admission.storage_object_in_use_protection import StorageObjectInUseProtection
from minikube_py.apiserver.admission.taint_nodes_by_condition import TaintNodesByCondition
from minikube_py.apiserver.admission.validating_admission_policy import ValidatingAdmissionPolicy
from minikube_py.apiserver.admission.webhooks.mutating import MutatingAdmissionWebhook
from minikube_py.apiserver.admission.webhooks.validating import ValidatingAdmissionWebhook
from minikube_py.registry.base import Attributes

PLUGINS: tuple[type[Plugin], ...] = (
    NamespaceLifecycle,
    LimitRanger,
    ServiceAccountAdmission,
    NodeRestriction,
    TaintNodesByCondition,
    PodSecurity,
    Priority,
    DefaultTolerationSeconds,
    ExtendedResourceToleration,
    DefaultStorageClass,
    StorageObjectInUseProtection,
    PersistentVolumeClaimResize,
    RuntimeClassAdmission,
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    DefaultIngressClass,
    DenyServiceExternalIPs,
    EventRateLimit,
    RbacEscalation,
    MutatingAdmissionWebhook,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionWebhook,
    ResourceQuotaAdmission,
)


class AdmissionChain:
    """Runs the plugins; which of them see a request is worked out once for each operation and resource."""

    def __init__(self, surroundings: Surroundings, plugins: Sequence[type[Plugin]] = PLUGINS) -> None:
        self.plugins = tuple(plugin(surroundings) for plugin in plugins if plugin.enabled(surroundings))
        self._mutating: dict[tuple[str, str], tuple[Plugin, ...]] = {}
        self._validating: dict[tuple[str, str], tuple[Plugin, ...]] = {}

    async def mutate(self, request: Attributes) -> None:
        """Change the object before it is validated."""
        key = _key(request)
        chosen = self._mutating.get(key)
        if chosen is None:
            mutating = (p for p in self.plugins if type(p).mutate is not Plugin.mutate)
            chosen = self._mutating[key] = tuple(p for p in mutating if p.mutates(*key))
        for plugin in chosen:
            await plugin.mutate(request)
        if request.reinvocation is not None:  # a webhook's change: what it added is completed like the rest
            for plugin in chosen:
                await plugin.mutate(request)

    async def validate(self, request: Attributes) -> None:
        """Refuse what may not be."""
        key = _key(request)
        chosen = self._validating.get(key)
        if chosen is None:
            validating = (p for p in self.plugins if type(p).validate is not Plugin.validate)
            chosen = self._validating[key] = tuple(p for p in validating if p.validates(*key))
        for plugin in chosen:
            await plugin.validate(request)


def _key(request: Attributes) -> tuple[str, str]:
    resource = request.kind.resource
    return request.operation, f"{resource}/{request.subresource}" if request.subresource else resource
