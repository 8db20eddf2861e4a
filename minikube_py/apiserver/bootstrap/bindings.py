"""Default bindings: which users, groups and ServiceAccounts have the default roles."""

from minikube_py.apiserver.bootstrap.rules import CLUSTER_INFO_READER, account, binding, group, user
from minikube_py.meta.objects import Obj

_EVERYONE = (group("system:authenticated"), group("system:unauthenticated"))


def cluster_role_bindings(controllers: list[Obj]) -> list[Obj]:
    """The ClusterRoleBindings; `controllers` are the controllers' roles, each bound to its own account."""
    return [
        binding("cluster-admin", "cluster-admin", [group("system:masters")]),
        binding("system:monitoring", "system:monitoring", [group("system:monitoring")]),
        binding("system:discovery", "system:discovery", [group("system:authenticated")]),
        binding("system:basic-user", "system:basic-user", [group("system:authenticated")]),
        binding("system:public-info-viewer", "system:public-info-viewer", _EVERYONE),
        # Nodes have their rights from the Node authorizer, which looks at what their pods need.
        binding("system:node", "system:node", []),
        binding("system:node-local-path", "system:node-local-path", [group("system:nodes")]),
        binding("system:node-proxier", "system:node-proxier", [user("system:kube-proxy")]),
        binding(
            "system:kube-controller-manager",
            "system:kube-controller-manager",
            [user("system:kube-controller-manager")],
        ),
        binding("system:kube-dns", "system:kube-dns", [account("kube-system", "kube-dns")]),
        binding("system:kube-scheduler", "system:kube-scheduler", [user("system:kube-scheduler")]),
        binding("system:volume-scheduler", "system:volume-scheduler", [user("system:kube-scheduler")]),
        binding(
            "system:service-account-issuer-discovery",
            "system:service-account-issuer-discovery",
            [group("system:serviceaccounts")],
        ),
        binding(
            "system:kubelet-api-admin", "system:kubelet-api-admin", [user("kube-apiserver-kubelet-client")]
        ),
        *(_to_account(role["metadata"]["name"]) for role in controllers),
    ]


def _to_account(role: str) -> Obj:
    return binding(role, role, [account("kube-system", role.removeprefix("system:controller:"))])


def role_bindings() -> list[Obj]:
    """The RoleBindings."""
    system = "kube-system"
    manager, scheduler = user("system:kube-controller-manager"), user("system:kube-scheduler")
    return [
        _local(
            system,
            "system::extension-apiserver-authentication-reader",
            "extension-apiserver-authentication-reader",
            [manager, scheduler],
        ),
        _local(
            system,
            "system::leader-locking-kube-controller-manager",
            "system::leader-locking-kube-controller-manager",
            [manager, account(system, "kube-controller-manager")],
        ),
        _local(
            system,
            "system::leader-locking-kube-scheduler",
            "system::leader-locking-kube-scheduler",
            [scheduler, account(system, "kube-scheduler")],
        ),
        _local("kube-public", CLUSTER_INFO_READER, CLUSTER_INFO_READER, [user("system:anonymous")]),
        *(
            _local(namespace, f"system:controller:{name}", f"system:controller:{name}", [account(system, name)])
            for namespace, name in (
                (system, "bootstrap-signer"),
                (system, "cloud-provider"),
                (system, "token-cleaner"),
                ("kube-public", "bootstrap-signer"),
            )
        ),
    ]


def _local(namespace: str, name: str, role: str, subjects: list[Obj]) -> Obj:
    return binding(name, role, subjects, namespace=namespace, kind="Role")
