"""Admission plugins, through the API as users meet them."""

from typing import Any

import pytest
from api_cluster import Client, Cluster

from minikube_py.kinds.core.namespace import Namespace
from minikube_py.meta.objects import copy
from minikube_py.registry.base import Context

PODS = "/api/v1/namespaces/default/pods"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


async def test_pod_gets_token_tolerations_and_priority(admin: Client) -> None:
    """A plain pod gets its account, token volume, tolerations and priority."""
    spec = (await admin.post(PODS, pod()))["spec"]
    (volume,) = spec["volumes"]
    sources = [next(iter(source)) for source in volume["projected"]["sources"]]
    assert spec["serviceAccountName"] == "default"
    assert (volume["name"][:16], sources) == (
        "kube-api-access-",
        ["serviceAccountToken", "configMap", "downwardAPI"],
    )
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": volume["name"], "readOnly": True, "mountPath": MOUNT}
    ]
    assert [(t["key"].partition("/")[2], t["tolerationSeconds"]) for t in spec["tolerations"]] == [
        ("not-ready", 300),
        ("unreachable", 300),
    ]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")


@pytest.mark.parametrize("where", ["pod", "account", "mounted"])
async def test_token_is_left_out(admin: Client, where: str) -> None:
    """No token is mounted where pod or account say so, or where something is mounted already."""
    body = pod(automountServiceAccountToken=False) if where == "pod" else pod()
    if where == "account":
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        patch = {"automountServiceAccountToken": False, "imagePullSecrets": [{"name": "s"}]}
        await admin.call("PATCH", account, patch, type="application/merge-patch+json")
    if where == "mounted":
        body["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
        body["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": MOUNT}]
    spec = (await admin.post(PODS, body))["spec"]
    assert [v["name"] for v in spec.get("volumes", [])] == (["v"] if where == "mounted" else [])
    assert spec.get("imagePullSecrets") == ([{"name": "s"}] if where == "account" else None)


async def test_priority_class(admin: Client) -> None:
    """A pod takes its class's value; a second default class and another value are refused."""
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await admin.post(classes, {"metadata": {"name": "high"}, "value": 7, "globalDefault": True})
    second = await admin.post(classes, {"metadata": {"name": "other"}, "value": 8, "globalDefault": True})
    default = await admin.post(PODS, pod())
    system = await admin.post(PODS, pod("q", priorityClassName="system-node-critical"))
    wrong = await admin.post(PODS, pod("r", priorityClassName="high", priority=1))
    assert (default["spec"]["priority"], default["spec"]["priorityClassName"]) == (7, "high")
    assert system["spec"]["priority"] == 2_000_001_000
    assert (second.code, wrong.code) == (403, 403)
    assert second["message"].endswith(
        "PriorityClass high is already marked as default. Only one default can exist"
    )


async def test_runtime_class(admin: Client) -> None:
    """A pod takes over its runtime class's overhead, node selector and tolerations."""
    path = "/apis/node.k8s.io/v1/runtimeclasses"
    made = {
        "metadata": {"name": "vm"},
        "handler": "vm",
        "overhead": {"podFixed": {"cpu": "100m"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
    }
    assert (await admin.post(path, made)).code == 201
    spec = (await admin.post(PODS, pod(runtimeClassName="vm")))["spec"]
    clash = await admin.post(PODS, pod("q", runtimeClassName="vm", nodeSelector={"vm": "no"}))
    missing = await admin.post(PODS, pod("r", runtimeClassName="x"))
    assert (spec["overhead"], spec["nodeSelector"], spec["tolerations"][-1]["key"]) == (
        {"cpu": "100m"},
        {"vm": "yes"},
        "vm",
    )
    assert (clash.code, missing.code) == (403, 403)
    assert missing["message"] == 'pods "r" is forbidden: pod rejected: RuntimeClass "x" not found'


async def test_terminating_namespace_takes_nothing_new(cluster: Cluster, admin: Client) -> None:
    """Creating in a namespace that ends is refused with its cause."""
    await admin.post("/api/v1/namespaces", {"metadata": {"name": "ending"}})
    await admin.call("DELETE", "/api/v1/namespaces/ending")
    answer = await admin.post("/api/v1/namespaces/ending/configmaps", {"metadata": {"name": "x"}})
    assert (answer.code, answer["details"]["causes"]) == (
        403,
        [
            {
                "reason": "NamespaceTerminating",
                "message": "namespace ending is being terminated",
                "field": "metadata.namespace",
            }
        ],
    )
    stored = copy(cluster.registry.decoded(cluster.registry.get(Namespace, "", "ending")))
    stored["spec"] = {"finalizers": []}
    done = await cluster.registry.update(Namespace, "", "ending", stored, Context(), "finalize")
    assert done[1] is False


async def test_node_writes_only_what_is_its_own(cluster: Cluster, admin: Client) -> None:
    """A node may write itself, its pods' status and its lease, and nothing of another node."""
    node = cluster.client("system:node:n1", "system:nodes")
    codes = {
        "own": (await node.post("/api/v1/nodes", {"metadata": {"name": "n1"}})).code,
        "other": (await node.post("/api/v1/nodes", {"metadata": {"name": "n2"}})).code,
        "label": (
            await node.call(
                "PATCH",
                "/api/v1/nodes/n1",
                {"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}},
                type="application/merge-patch+json",
            )
        ).code,
        "pod": (await node.post(PODS, pod())).code,
        "secrets": (await node.call("DELETE", "/api/v1/namespaces/default/secrets/x")).code,
    }
    for name, target in (("mine", "n1"), ("theirs", "n2")):
        await admin.post(PODS, pod(name, nodeName=target))
        patch = {"status": {"message": "m"}}
        answer = await node.call("PATCH", f"{PODS}/{name}/status", patch, type="application/merge-patch+json")
        codes[name] = answer.code
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    for name in ("n1", "n2"):
        codes[f"lease {name}"] = (await node.post(leases, {"metadata": {"name": name}})).code
    assert codes == {
        "own": 201,
        "other": 403,
        "label": 403,
        "pod": 403,
        "secrets": 403,
        "mine": 200,
        "theirs": 403,
        "lease n1": 201,
        "lease n2": 403,
    }
    tainted = await admin.get("/api/v1/nodes/n1")
    assert tainted["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_nobody_grants_what_he_has_not(cluster: Cluster, admin: Client) -> None:
    """An admin of a namespace may grant its rights there, and no others."""
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}
    bindings = f"{RBAC}/namespaces/default/rolebindings"
    await admin.post(bindings, {"metadata": {"name": "jane"}, "roleRef": reference, "subjects": [subject]})
    jane = cluster.client("jane")

    async def role(name: str, **rule: list[str]) -> Any:
        return await jane.post(
            f"{RBAC}/namespaces/default/roles", {"metadata": {"name": name}, "rules": [rule]}
        )

    good = await role("good", verbs=["get"], apiGroups=[""], resources=["pods"])
    bad = await role("bad", verbs=["get"], apiGroups=[""], resources=["nodes"])
    to_edit = {"metadata": {"name": "b"}, "roleRef": {**reference, "name": "edit"}, "subjects": [subject]}
    to_all = {
        "metadata": {"name": "c"},
        "roleRef": {**reference, "name": "cluster-admin"},
        "subjects": [subject],
    }
    codes = [(await jane.post(bindings, body)).code for body in (to_edit, to_all)]
    assert (good.code, bad.code, codes) == (201, 403, [201, 403])
    assert bad["message"] == (
        'roles.rbac.authorization.k8s.io "bad" is forbidden: user "jane" (groups=["system:authenticated"]) '
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}'
    )
