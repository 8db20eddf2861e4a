"""Default FlowSchemas and PriorityLevelConfigurations: how requests share the API server.

Source: "API Priority and Fairness", defaults, of the Kubernetes documentation (v1.34).
"""

from collections.abc import Sequence
from typing import NamedTuple

from minikube_py.kinds.flowcontrol import mandatory
from minikube_py.meta.objects import Obj

VERSION = "flowcontrol.apiserver.k8s.io/v1"
AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
_HEALTH = ["/healthz", "/readyz", "/livez"]
_ELECTION_VERBS = ["get", "create", "update"]


def priority_levels() -> list[Obj]:
    """The PriorityLevelConfigurations."""
    return [
        *(_level(name, spec) for name, spec in mandatory.LEVELS.items()),
        _level("system", _limited(30, 33, 64)),
        _level("node-high", _limited(40, 25, 64)),
        _level("leader-election", _limited(10, 0, 16, hand=4)),
        _level("workload-high", _limited(40, 50, 128)),
        _level("workload-low", _limited(100, 90, 128)),
        _level("global-default", _limited(20, 50, 128)),
    ]


def _level(name: str, spec: Obj) -> Obj:
    metadata = {"name": name, "annotations": {AUTOUPDATE: "true"}}
    return {"apiVersion": VERSION, "kind": "PriorityLevelConfiguration", "metadata": metadata, "spec": spec}


def _limited(shares: int, lendable: int, queues: int, *, hand: int = 6) -> Obj:
    queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
    response = {"type": "Queue", "queuing": queuing}
    limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}
    return {"type": "Limited", "limited": limited}


def flow_schemas() -> list[Obj]:
    """The FlowSchemas."""
    manager, scheduler = _user("system:kube-controller-manager"), _user("system:kube-scheduler")
    accounts, nodes = _account("*"), mandatory.group("system:nodes")
    leases = _rule(_ELECTION_VERBS, "coordination.k8s.io", "leases", ["*"])
    node_leases = _rule(["*"], "coordination.k8s.io", "leases", ["*"])
    node_objects = _rule(["*"], "", "nodes nodes/status", ["*"], cluster=True)
    probes = {"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": _HEALTH}]}
    endpoints = [
        _rule(_ELECTION_VERBS, "", "endpoints", ["*"]),
        _rule(_ELECTION_VERBS, "discovery.k8s.io", "endpointslices", ["*"]),
    ]
    endpoint_accounts = (_account("endpoint-controller"), _account("endpointslice-controller"))
    by_user, by_namespace = "ByUser", "ByNamespace"
    return [
        *(_flow_schema(name, spec) for name, spec in mandatory.SCHEMAS.items()),
        _schema("probes", _Place("exempt", 2), mandatory.EVERYBODY, probes),
        _schema(
            "system-leader-election",
            _Place("leader-election", 100, by_user),
            (manager, scheduler, accounts),
            {"resourceRules": [leases]},
        ),
        _schema(
            "endpoint-controller",
            _Place("workload-high", 150, by_user),
            (manager, *endpoint_accounts),
            {"resourceRules": endpoints},
        ),
        _schema(
            "workload-leader-election",
            _Place("leader-election", 200, by_user),
            [accounts],
            {"resourceRules": [leases]},
        ),
        _schema(
            "system-node-high",
            _Place("node-high", 400, by_user),
            [nodes],
            {"resourceRules": [node_objects, node_leases]},
        ),
        _schema("system-nodes", _Place("system", 500, by_user), [nodes]),
        _schema("kube-controller-manager", _Place("workload-high", 800, by_namespace), [manager]),
        _schema("kube-scheduler", _Place("workload-high", 800, by_namespace), [scheduler]),
        _schema("kube-system-service-accounts", _Place("workload-high", 900, by_namespace), [accounts]),
        _schema(
            "service-accounts",
            _Place("workload-low", 9000, by_user),
            [mandatory.group("system:serviceaccounts")],
        ),
        _schema("global-default", _Place("global-default", 9900, by_user), mandatory.EVERYBODY),
    ]


class _Place(NamedTuple):
    """The level that a schema leads to, its precedence, and what parts its flows."""

    level: str
    precedence: int
    by: str = ""


def _schema(name: str, place: _Place, subjects: Sequence[Obj], rules: Obj = mandatory.EVERYTHING) -> Obj:
    spec: Obj = {
        "priorityLevelConfiguration": {"name": place.level},
        "matchingPrecedence": place.precedence,
        "rules": [{"subjects": list(subjects), **rules}],
    }
    if place.by:
        spec["distinguisherMethod"] = {"type": place.by}
    return _flow_schema(name, spec)


def _flow_schema(name: str, spec: Obj) -> Obj:
    metadata = {"name": name, "annotations": {AUTOUPDATE: "true"}}
    return {"apiVersion": VERSION, "kind": "FlowSchema", "metadata": metadata, "spec": spec}


def _rule(verbs: list[str], group: str, resources: str, namespaces: list[str], *, cluster: bool = False) -> Obj:
    rule: Obj = {"verbs": verbs, "apiGroups": [group], "resources": resources.split(), "namespaces": namespaces}
    return rule | {"clusterScope": True} if cluster else rule


def _user(name: str) -> Obj:
    return {"kind": "User", "user": {"name": name}}


def _account(name: str) -> Obj:
    return {"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "kube-system"}}


def dangling(level: str, *, missing: bool) -> Obj:
    """The condition that tells whether a FlowSchema's priority level is missing."""
    names = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    return {
        "type": "Dangling",
        "status": "True" if missing else "False",
        "reason": "NotFound" if missing else "Found",
        "message": f"{names} but there is no such object" if missing else f"{names} and it exists",
    }
