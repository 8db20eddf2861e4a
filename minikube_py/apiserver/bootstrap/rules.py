"""Short notation for the default roles: words in strings instead of nested lists."""

from collections.abc import Sequence

from minikube_py.meta.objects import Obj

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
FULL = "create delete deletecollection get list patch update watch"
RBAC = "rbac.authorization.k8s.io/v1"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
CLUSTER_INFO_READER = "kubeadm:bootstrap-signer-clusterinfo"
AGGREGATE_TO = "rbac.authorization.k8s.io/aggregate-to-"


def rule(verbs: str, resources: str, groups: str = "core", names: str = "") -> Obj:
    """A rule; each argument is a list of words, the group `core` being the empty one."""
    made: Obj = {
        "verbs": verbs.split(),
        "apiGroups": ["" if group == "core" else group for group in groups.split()],
        "resources": resources.split(),
    }
    return made | {"resourceNames": names.split()} if names else made


def urls(verbs: str, paths: str) -> Obj:
    """A rule on paths that are no resources."""
    return {"verbs": verbs.split(), "nonResourceURLs": paths.split()}


EVENTS = rule("create patch update", "events", "core events.k8s.io")


def cluster_role(name: str, *rules: Obj, aggregate_to: str = "", aggregates: str = "") -> Obj:
    """A default ClusterRole. `aggregate_to` names the role it adds its rules to; `aggregates` makes it gather
    the rules of roles so marked."""
    labels = dict(LABELS)
    if aggregate_to:
        labels[f"{AGGREGATE_TO}{aggregate_to}"] = "true"
    role: Obj = {
        "apiVersion": RBAC,
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels, "annotations": {AUTOUPDATE: "true"}},
        "rules": list(rules),
    }
    if aggregates:
        chosen = {"matchLabels": {f"{AGGREGATE_TO}{aggregates}": "true"}}
        role["aggregationRule"] = {"clusterRoleSelectors": [chosen]}
    return role


def role(namespace: str, name: str, *rules: Obj) -> Obj:
    """A default Role."""
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": dict(LABELS),
        "annotations": {AUTOUPDATE: "true"},
    }
    return {"apiVersion": RBAC, "kind": "Role", "metadata": metadata, "rules": list(rules)}


def user(name: str) -> Obj:
    return {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}


def group(name: str) -> Obj:
    return {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": name}


def account(namespace: str, name: str) -> Obj:
    return {"kind": "ServiceAccount", "namespace": namespace, "name": name}


def binding(
    name: str, role: str, subjects: Sequence[Obj], *, namespace: str = "", kind: str = "ClusterRole"
) -> Obj:
    """A default ClusterRoleBinding, or with a namespace a RoleBinding."""
    metadata: Obj = {"name": name, "labels": dict(LABELS), "annotations": {AUTOUPDATE: "true"}}
    if namespace:
        metadata["namespace"] = namespace
    return {
        "apiVersion": RBAC,
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": list(subjects),
    }
