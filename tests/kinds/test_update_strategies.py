"""How a PUT of each kind goes: what it creates, and where it must name the version that it replaces."""

from minikube_py import collect
from minikube_py.meta.kind import Kind

KINDS = list(collect.values("minikube_py.kinds", Kind))


def test_kinds_that_a_put_creates() -> None:
    """These alone come into being by an update."""
    assert {kind.resource for kind in KINDS if kind.create_on_update} == {
        "clusterrolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "endpoints",
        "events",
        "events.events.k8s.io",
        "leases.coordination.k8s.io",
        "limitranges",
        "podtemplates",
        "rolebindings.rbac.authorization.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "runtimeclasses.node.k8s.io",
        "services",
    }


def test_kinds_whose_updates_name_a_version() -> None:
    """These are not replaced by who does not say what."""
    assert {kind.resource for kind in KINDS if not kind.unconditional_update} == {
        "apiservices.apiregistration.k8s.io",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "csistoragecapacities.storage.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
        "leases.coordination.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "poddisruptionbudgets.policy",
        "runtimeclasses.node.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "volumeattachments.storage.k8s.io",
    }
