"""Default ClusterRoles of the cluster's own processes: nodes, proxies, scheduler, controller manager, DNS.

Source: "Using RBAC Authorization", core component roles, of the Kubernetes documentation (v1.34).
"""

from minikube_py.apiserver.bootstrap.rules import (
    CLUSTER_INFO_READER,
    EVENTS,
    READ,
    cluster_role,
    role,
    rule,
)
from minikube_py.meta.objects import Obj

_REVIEWS = (
    rule("create", "tokenreviews", "authentication.k8s.io"),
    rule("create", "subjectaccessreviews", "authorization.k8s.io"),
)
_CERTIFICATES = "certificates.k8s.io"


def component_roles() -> list[Obj]:
    """The ClusterRoles of components."""
    return [
        _controller_manager(),
        _scheduler(),
        _node(),
        # What a node removes when a local-path volume is deleted, it must see, and say that it is done.
        cluster_role("system:node-local-path", rule("get list patch watch", "persistentvolumes")),
        cluster_role("system:kube-dns", rule("list watch", "endpoints services")),
        cluster_role("system:kube-aggregator", rule(READ, "endpoints services")),
        cluster_role(
            "system:heapster",
            rule(READ, "events namespaces nodes pods"),
            rule(READ, "deployments", "extensions"),
        ),
        cluster_role(
            "system:node-proxier",
            rule("list watch", "endpoints services"),
            rule(READ, "nodes"),
            EVENTS,
            rule("list watch", "endpointslices", "discovery.k8s.io"),
            rule("list watch", "servicecidrs", "networking.k8s.io"),
        ),
        cluster_role(
            "system:node-bootstrapper",
            rule("create get list watch", "certificatesigningrequests", _CERTIFICATES),
        ),
        cluster_role(
            "system:node-problem-detector", rule("get", "nodes"), rule("patch", "nodes/status"), EVENTS
        ),
        cluster_role(
            "system:kubelet-api-admin",
            rule(READ, "nodes"),
            rule("proxy", "nodes"),
            rule("*", "nodes/log nodes/metrics nodes/proxy nodes/stats nodes/healthz nodes/pods nodes/configz"),
        ),
        cluster_role(
            "system:persistent-volume-provisioner",
            rule("create delete get list watch", "persistentvolumes"),
            rule("get list update watch", "persistentvolumeclaims"),
            rule(READ, "storageclasses", "storage.k8s.io"),
            rule("watch", "events"),
            EVENTS,
        ),
        cluster_role(
            "system:volume-scheduler",
            rule("get list patch update watch", "persistentvolumes persistentvolumeclaims"),
            rule(READ, "storageclasses", "storage.k8s.io"),
        ),
        *_certificate_roles(),
    ]


def _certificate_roles() -> list[Obj]:
    prefix = "system:certificates.k8s.io"
    requests = f"{prefix}:certificatesigningrequests"
    approvers = {
        "kube-apiserver-client-approver": "kubernetes.io/kube-apiserver-client",
        "kube-apiserver-client-kubelet-approver": "kubernetes.io/kube-apiserver-client-kubelet",
        "kubelet-serving-approver": "kubernetes.io/kubelet-serving",
        "legacy-unknown-approver": "kubernetes.io/legacy-unknown",
    }
    return [
        *(
            cluster_role(
                f"{requests}:{kind}", rule("create", f"certificatesigningrequests/{kind}", _CERTIFICATES)
            )
            for kind in ("nodeclient", "selfnodeclient")
        ),
        *(
            cluster_role(f"{prefix}:{name}", rule("approve", "signers", _CERTIFICATES, signer))
            for name, signer in approvers.items()
        ),
    ]


def _controller_manager() -> Obj:
    return cluster_role(
        "system:kube-controller-manager",
        EVENTS,
        rule("create", "leases", "coordination.k8s.io"),
        rule("get update", "leases", "coordination.k8s.io", "kube-controller-manager"),
        rule("create update", "secrets serviceaccounts"),
        rule("delete", "secrets"),
        rule("get", "configmaps namespaces secrets serviceaccounts"),
        *_REVIEWS,
        rule("list watch", "*", "*"),
        rule("create", "serviceaccounts/token"),
    )


def _scheduler() -> Obj:
    return cluster_role(
        "system:kube-scheduler",
        EVENTS,
        rule("create", "leases", "coordination.k8s.io"),
        rule("get list update watch", "leases", "coordination.k8s.io", "kube-scheduler"),
        rule(READ, "nodes namespaces"),
        rule("delete get list watch", "pods"),
        rule("create", "bindings pods/binding"),
        rule("patch update", "pods/status"),
        rule(READ, "replicationcontrollers services persistentvolumeclaims persistentvolumes"),
        rule(READ, "replicasets statefulsets", "apps"),
        rule(READ, "poddisruptionbudgets", "policy"),
        *_REVIEWS,
        rule(READ, "csinodes csidrivers csistoragecapacities volumeattachments", "storage.k8s.io"),
        rule(READ, "deviceclasses resourceclaims resourceslices", "resource.k8s.io"),
        rule("patch update", "resourceclaims resourceclaims/status", "resource.k8s.io"),
    )


def node_rules() -> list[Obj]:
    """The rules of system:node, which the Node authorizer goes by too."""
    rules: list[Obj] = _node()["rules"]
    return rules


def _node() -> Obj:
    return cluster_role(
        "system:node",
        rule("create", "tokenreviews", "authentication.k8s.io"),
        rule("create", "localsubjectaccessreviews subjectaccessreviews", "authorization.k8s.io"),
        rule(READ, "services"),
        rule("create get list patch update watch", "nodes"),
        rule("patch update", "nodes/status"),
        EVENTS,
        rule("create delete get list watch", "pods"),
        rule("patch update", "pods/status"),
        rule("create", "pods/eviction"),
        rule(READ, "configmaps secrets"),
        rule("get", "persistentvolumeclaims persistentvolumes endpoints"),
        rule("create get list watch", "certificatesigningrequests", _CERTIFICATES),
        rule("create delete get patch update", "leases", "coordination.k8s.io"),
        rule("get", "volumeattachments", "storage.k8s.io"),
        rule("create", "serviceaccounts/token"),
        rule("get patch update", "persistentvolumeclaims/status"),
        rule(READ, "csidrivers", "storage.k8s.io"),
        rule("create delete get patch update", "csinodes", "storage.k8s.io"),
        rule(READ, "runtimeclasses", "node.k8s.io"),
        rule("get", "resourceclaims", "resource.k8s.io"),
        rule("create delete deletecollection get list patch update watch", "resourceslices", "resource.k8s.io"),
    )


def component_namespace_roles() -> list[Obj]:
    """The Roles of components in kube-system and kube-public."""
    elected = {"kube-controller-manager": "system::leader-locking-kube-controller-manager"}
    elected["kube-scheduler"] = "system::leader-locking-kube-scheduler"
    return [
        role(
            "kube-system",
            "extension-apiserver-authentication-reader",
            rule(READ, "configmaps", "core", "extension-apiserver-authentication"),
        ),
        *(
            role(
                "kube-system",
                name,
                rule("watch", "configmaps"),
                rule("get update", "configmaps", "core", component),
            )
            for component, name in elected.items()
        ),
        role("kube-system", "system:controller:bootstrap-signer", rule(READ, "secrets")),
        role("kube-system", "system:controller:cloud-provider", rule("create get list watch", "configmaps")),
        role(
            "kube-system", "system:controller:token-cleaner", rule("delete get list watch", "secrets"), EVENTS
        ),
        role(
            "kube-public",
            "system:controller:bootstrap-signer",
            rule(READ, "configmaps"),
            rule("update", "configmaps", "core", "cluster-info"),
            EVENTS,
        ),
        role("kube-public", CLUSTER_INFO_READER, rule("get", "configmaps", "core", "cluster-info")),
    ]
