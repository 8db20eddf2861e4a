"""The ClusterRole `system:controller:<name>` of each controller, bound to its ServiceAccount in kube-system.

Source: "Using RBAC Authorization", roles for built-in controllers, of the Kubernetes documentation (v1.34).
"""

from minikube_py.apiserver.bootstrap.rules import EVENTS, READ, cluster_role, rule
from minikube_py.meta.objects import Obj

_CSR = "certificates.k8s.io"
_ALL_BUT_BULK = "create delete get list patch update watch"


def controller_roles() -> list[Obj]:
    """The ClusterRoles of controllers."""
    found = {**_workloads(), **_services(), **_volumes(), **_nodes(), **_housekeeping(), **_security()}
    return [cluster_role(f"system:controller:{name}", *rules) for name, rules in sorted(found.items())]


def _workloads() -> dict[str, tuple[Obj, ...]]:
    pods = rule("create delete list patch watch", "pods")

    def scaled(resource: str, verbs: str, groups: str) -> tuple[Obj, ...]:
        return (
            rule(verbs, resource, groups),
            rule("update", f"{resource}/status {resource}/finalizers", groups),
        )

    revisions = rule(_ALL_BUT_BULK, "controllerrevisions", "apps")
    return {
        "cronjob-controller": (
            *scaled("cronjobs", "get list update watch", "batch"),
            rule(_ALL_BUT_BULK, "jobs", "batch"),
            rule("delete list watch", "pods"),
            EVENTS,
        ),
        "daemon-set-controller": (
            *scaled("daemonsets", READ, "apps"),
            rule("list watch", "nodes"),
            pods,
            rule("create", "pods/binding"),
            revisions,
            EVENTS,
        ),
        "deployment-controller": (
            *scaled("deployments", "get list update watch", "apps"),
            rule(_ALL_BUT_BULK, "replicasets", "apps"),
            rule("get list update watch", "pods"),
            EVENTS,
        ),
        "disruption-controller": (
            rule(READ, "deployments replicasets statefulsets", "apps"),
            rule(READ, "replicationcontrollers"),
            rule(READ, "poddisruptionbudgets", "policy"),
            rule("update", "poddisruptionbudgets/status", "policy"),
            rule("patch update", "pods/status"),
            rule("get", "*/scale", "*"),
            EVENTS,
        ),
        "horizontal-pod-autoscaler": (
            rule(READ, "horizontalpodautoscalers", "autoscaling"),
            rule("update", "horizontalpodautoscalers/status", "autoscaling"),
            rule("get update", "*/scale", "*"),
            rule("list watch", "pods"),
            rule("list watch", "pods", "metrics.k8s.io"),
            rule(READ, "*", "custom.metrics.k8s.io external.metrics.k8s.io"),
            EVENTS,
        ),
        "job-controller": (*scaled("jobs", "get list patch update watch", "batch"), pods, EVENTS),
        "replicaset-controller": (*scaled("replicasets", "get list update watch", "apps"), pods, EVENTS),
        "replication-controller": (
            *scaled("replicationcontrollers", "get list update watch", "core"),
            pods,
            EVENTS,
        ),
        "statefulset-controller": (
            *scaled("statefulsets", READ, "apps"),
            rule(_ALL_BUT_BULK, "pods"),
            revisions,
            rule("create delete get list update watch", "persistentvolumeclaims"),
            rule("update", "pods/finalizers"),
            EVENTS,
        ),
        "ttl-after-finished-controller": (rule("delete get list watch", "jobs", "batch"), EVENTS),
    }


def _services() -> dict[str, tuple[Obj, ...]]:
    slices = rule("create delete get list update watch", "endpointslices", "discovery.k8s.io")
    cidrs = "networking.k8s.io"
    return {
        "endpoint-controller": (
            rule(READ, "pods services"),
            rule("create delete get list update watch", "endpoints"),
            rule("create", "endpoints/restricted"),
            EVENTS,
        ),
        "endpointslice-controller": (
            rule(READ, "nodes pods services"),
            rule("update", "services/finalizers"),
            slices,
            EVENTS,
        ),
        "endpointslicemirroring-controller": (
            rule(READ, "endpoints services"),
            rule("update", "services/finalizers endpoints/finalizers"),
            slices,
            EVENTS,
        ),
        "service-controller": (
            rule(READ, "services"),
            rule("patch update", "services/status"),
            rule("list watch", "nodes"),
            EVENTS,
        ),
        "service-cidrs-controller": (
            rule("get list patch update watch", "servicecidrs", cidrs),
            rule("patch update", "servicecidrs/finalizers servicecidrs/status", cidrs),
            rule(READ, "ipaddresses", cidrs),
            EVENTS,
        ),
        "route-controller": (rule("list watch", "nodes"), rule("patch", "nodes/status"), EVENTS),
    }


def _volumes() -> dict[str, tuple[Obj, ...]]:
    storage = "storage.k8s.io"
    claims = "persistentvolumeclaims"
    return {
        "attachdetach-controller": (
            rule("list watch", f"{claims} persistentvolumes pods"),
            rule(READ, "nodes"),
            rule("patch update", "nodes/status"),
            rule("create delete get list watch", "volumeattachments", storage),
            rule(READ, "csidrivers csinodes", storage),
            EVENTS,
        ),
        "ephemeral-volume-controller": (
            rule(READ, "pods"),
            rule("update", "pods/finalizers"),
            rule("create get list watch", claims),
            EVENTS,
        ),
        "expand-controller": (
            rule("get list patch update watch", "persistentvolumes"),
            rule("patch update", f"{claims}/status"),
            rule(READ, claims),
            EVENTS,
        ),
        "persistent-volume-binder": (
            rule("create delete get list update watch", "persistentvolumes"),
            rule("update", f"persistentvolumes/status {claims}/status"),
            rule("get list update watch", claims),
            rule("create delete get list watch", "pods"),
            rule(READ, "storageclasses", storage),
            rule("list watch", "nodes"),
            EVENTS,
            rule("watch", "events"),
        ),
        "local-path-provisioner": (
            rule("create delete get list update watch", "persistentvolumes"),
            rule("get list update watch", claims),
            rule(READ, "storageclasses", storage),
            rule("list watch", "nodes"),
            EVENTS,
        ),
        "pv-protection-controller": (rule("get list update watch", "persistentvolumes"), EVENTS),
        "pvc-protection-controller": (rule("get list update watch", claims), rule(READ, "pods"), EVENTS),
        "volumeattributesclass-protection-controller": (
            rule("get list update watch", "volumeattributesclasses", storage),
            rule(READ, f"{claims} persistentvolumes"),
            EVENTS,
        ),
        "resource-claim-controller": (
            rule(READ, "pods"),
            rule("update", "pods/finalizers"),
            rule(READ, "resourceclaimtemplates", "resource.k8s.io"),
            rule("create delete get list patch update watch", "resourceclaims", "resource.k8s.io"),
            rule("patch update", "resourceclaims/status resourceclaims/binding", "resource.k8s.io"),
            rule("patch update", "pods/status"),
            EVENTS,
        ),
    }


def _nodes() -> dict[str, tuple[Obj, ...]]:
    return {
        "node-controller": (
            rule("delete get list patch update watch", "nodes"),
            rule("patch update", "nodes/status pods/status"),
            rule("delete get list watch", "pods"),
            EVENTS,
        ),
        "pod-garbage-collector": (
            rule("delete list watch", "pods"),
            rule(READ, "nodes"),
            rule("patch", "pods/status"),
        ),
        "ttl-controller": (rule("list patch update watch", "nodes"), EVENTS),
    }


def _housekeeping() -> dict[str, tuple[Obj, ...]]:
    return {
        "generic-garbage-collector": (rule("delete get list patch update watch", "*", "*"), EVENTS),
        "namespace-controller": (
            rule("delete get list watch", "namespaces"),
            rule("update", "namespaces/finalize namespaces/status"),
            rule("delete deletecollection get list watch", "*", "*"),
        ),
        "resourcequota-controller": (
            rule("list watch", "*", "*"),
            rule("update", "resourcequotas/status"),
            EVENTS,
        ),
        "validatingadmissionpolicy-status-controller": (
            rule(READ, "validatingadmissionpolicies", "admissionregistration.k8s.io"),
            rule("get patch update", "validatingadmissionpolicies/status", "admissionregistration.k8s.io"),
            EVENTS,
        ),
    }


def _security() -> dict[str, tuple[Obj, ...]]:
    signers = " ".join(
        f"kubernetes.io/{name}"
        for name in (
            "kube-apiserver-client",
            "kube-apiserver-client-kubelet",
            "kubelet-serving",
            "legacy-unknown",
        )
    )
    return {
        "certificate-controller": (
            rule("delete get list watch", "certificatesigningrequests", _CSR),
            rule("update", "certificatesigningrequests/approval certificatesigningrequests/status", _CSR),
            rule("approve", "signers", _CSR, "kubernetes.io/kube-apiserver-client-kubelet"),
            rule("sign", "signers", _CSR, signers),
            rule("create", "subjectaccessreviews", "authorization.k8s.io"),
            EVENTS,
        ),
        "clusterrole-aggregation-controller": (
            rule("escalate get list patch update watch", "clusterroles", "rbac.authorization.k8s.io"),
        ),
        "apiserver-lease-controller": (
            rule("create delete get list update watch", "leases", "coordination.k8s.io"),
            rule(READ, "namespaces"),
        ),
        "legacy-service-account-token-cleaner": (
            rule("get", "configmaps", "core", "kube-apiserver-legacy-service-account-token-tracking"),
            rule("delete patch", "secrets"),
        ),
        "root-ca-cert-publisher": (rule("create update", "configmaps"), EVENTS),
        "service-account-controller": (rule("create", "serviceaccounts"), EVENTS),
    }
