"""Default ClusterRoles for people and programs: cluster-admin, admin, edit, view and the discovery roles.

Source: "Using RBAC Authorization", default roles, of the Kubernetes documentation (v1.34).
"""

from minikube_py.apiserver.bootstrap.rules import FULL, READ, WRITE, cluster_role, rule, urls
from minikube_py.meta.objects import Obj

_HEALTH = "/healthz /livez /readyz /version /version/"


def user_roles() -> list[Obj]:
    """The ClusterRoles of users."""
    return [
        cluster_role("cluster-admin", rule("*", "*", "*"), urls("*", "*")),
        cluster_role("admin", aggregates="admin"),
        cluster_role("edit", aggregates="edit", aggregate_to="admin"),
        cluster_role("view", aggregates="view", aggregate_to="edit"),
        _to_admin(),
        _to_edit(),
        _to_view(),
        cluster_role(  # as metrics-server brings it with the API that is served here in its place
            "system:aggregated-metrics-reader",
            rule("get list watch", "pods nodes", "metrics.k8s.io"),
            aggregate_to="view",
        ),
        cluster_role(
            "system:auth-delegator",
            rule("create", "tokenreviews", "authentication.k8s.io"),
            rule("create", "subjectaccessreviews", "authorization.k8s.io"),
        ),
        cluster_role(
            "system:basic-user",
            rule("create", "selfsubjectaccessreviews selfsubjectrulesreviews", "authorization.k8s.io"),
            rule("create", "selfsubjectreviews", "authentication.k8s.io"),
        ),
        cluster_role(
            "system:discovery",
            urls("get", f"/api /api/* /apis /apis/* /openapi /openapi/* {_HEALTH}"),
        ),
        cluster_role("system:public-info-viewer", urls("get", _HEALTH)),
        cluster_role(
            "system:monitoring",
            urls("get", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
        ),
        cluster_role(
            "system:service-account-issuer-discovery",
            urls("get", "/.well-known/openid-configuration /openid/v1/jwks"),
        ),
    ]


def _to_admin() -> Obj:
    return cluster_role(
        "system:aggregate-to-admin",
        rule("create", "localsubjectaccessreviews", "authorization.k8s.io"),
        rule(FULL, "rolebindings roles", "rbac.authorization.k8s.io"),
        aggregate_to="admin",
    )


def _to_edit() -> Obj:
    streams = "pods/attach pods/exec pods/portforward pods/proxy"
    return cluster_role(
        "system:aggregate-to-edit",
        rule(READ, f"{streams} secrets services/proxy"),
        rule("impersonate", "serviceaccounts"),
        rule(WRITE, f"pods {streams}"),
        rule("create", "pods/eviction"),
        rule(
            WRITE,
            "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale "
            "secrets serviceaccounts services services/proxy",
        ),
        rule("create", "serviceaccounts/token"),
        rule(WRITE, "events", "events.k8s.io"),
        rule(
            WRITE,
            "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale "
            "statefulsets statefulsets/scale",
            "apps",
        ),
        rule(WRITE, "horizontalpodautoscalers", "autoscaling"),
        rule(WRITE, "cronjobs jobs", "batch"),
        rule(
            WRITE,
            "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies "
            "replicasets replicasets/scale replicationcontrollers/scale",
            "extensions",
        ),
        rule(WRITE, "poddisruptionbudgets", "policy"),
        rule(WRITE, "ingresses networkpolicies", "networking.k8s.io"),
        rule(FULL, "leases", "coordination.k8s.io"),
        rule(WRITE, "resourceclaims resourceclaimtemplates", "resource.k8s.io"),
        aggregate_to="edit",
    )


def _to_view() -> Obj:
    return cluster_role(
        "system:aggregate-to-view",
        rule(
            READ,
            "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods "
            "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
        ),
        rule(
            READ,
            "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
            "resourcequotas resourcequotas/status",
        ),
        rule(READ, "namespaces"),
        rule(READ, "endpointslices", "discovery.k8s.io"),
        rule(
            READ,
            "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status "
            "replicasets replicasets/scale replicasets/status "
            "statefulsets statefulsets/scale statefulsets/status",
            "apps",
        ),
        rule(READ, "horizontalpodautoscalers horizontalpodautoscalers/status", "autoscaling"),
        rule(READ, "cronjobs cronjobs/status jobs jobs/status", "batch"),
        rule(
            READ,
            "daemonsets daemonsets/status deployments deployments/scale deployments/status "
            "ingresses ingresses/status networkpolicies replicasets replicasets/scale replicasets/status "
            "replicationcontrollers/scale",
            "extensions",
        ),
        rule(READ, "poddisruptionbudgets poddisruptionbudgets/status", "policy"),
        rule(READ, "ingresses ingresses/status networkpolicies", "networking.k8s.io"),
        rule(READ, "resourceclaims resourceclaims/status resourceclaimtemplates", "resource.k8s.io"),
        aggregate_to="view",
    )
