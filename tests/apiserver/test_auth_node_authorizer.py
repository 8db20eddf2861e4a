"""The Node authorizer: what a node may see is what its pods need, told in Kubernetes' words."""

from typing import Any

import pytest
from api_cluster import Cluster

from minikube_py.apiserver.node_authorizer import NodeAuthorizer, Opinion, references, volume_secrets
from minikube_py.apiserver.rbac import Attributes
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.meta.kind import Kind
from minikube_py.registry.base import Context, DeleteOptions, User

N1 = User("system:node:n1", groups=("system:nodes", "system:authenticated"))
LEASE = "coordination.k8s.io"
NOTHING = "no relationship found between node 'n1' and this object"


def asked(verb: str, resource: str, name: str = "", namespace: str = "default", **more: Any) -> Attributes:
    resource, _, subresource = resource.partition("/")
    return Attributes(verb, resource=resource, subresource=subresource, namespace=namespace, name=name, **more)


def pod_on(node: str, **spec: Any) -> dict[str, Any]:
    containers = [
        {
            "name": "c",
            "image": "i",
            "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "k"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "env-config", "key": "k"}}},
            ],
            "envFrom": [{"secretRef": {"name": "from-secret"}}, {"configMapRef": {"name": "from-config"}}],
        }
    ]
    volumes = [
        {"name": "a", "secret": {"secretName": "volume-secret"}},
        {"name": "b", "configMap": {"name": "volume-config"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "d", "projected": {"sources": [{"secret": {"name": "projected-secret"}}]}},
        {"name": "e", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi-secret"}}},
    ]
    made = {"nodeName": node, "containers": containers, "volumes": volumes, "serviceAccountName": "robot"}
    return {"metadata": {"name": "p", "namespace": "default"}, "spec": {**made, **spec}}


def test_references_of_a_pod() -> None:
    """Everything that a pod's spec names in its namespace is found."""
    pod = pod_on("n1", imagePullSecrets=[{"name": "pull"}], resourceClaims=[{"resourceClaimName": "gpu"}])
    pod["spec"]["volumes"].append({"name": "scratch", "ephemeral": {}})
    assert sorted(references(pod)) == [
        ("configmaps", "env-config"),
        ("configmaps", "from-config"),
        ("configmaps", "volume-config"),
        ("persistentvolumeclaims", "claim"),
        ("persistentvolumeclaims", "p-scratch"),
        ("resourceclaims", "gpu"),
        ("secrets", "csi-secret"),
        ("secrets", "env-secret"),
        ("secrets", "from-secret"),
        ("secrets", "projected-secret"),
        ("secrets", "pull"),
        ("secrets", "volume-secret"),
        ("serviceaccounts", "robot"),
    ]


def test_secrets_of_a_volume() -> None:
    """The Secrets of a volume are found with their namespaces."""
    csi = {"nodeStageSecretRef": {"name": "stage", "namespace": "storage"}}
    volume = {"spec": {"csi": csi, "azureFile": {"secretName": "azure"}, "claimRef": {"namespace": "team"}}}
    assert sorted(volume_secrets(volume)) == [("storage", "stage"), ("team", "azure")]


@pytest.fixture
async def nodes(cluster: Cluster) -> NodeAuthorizer:
    """An authorizer over a pod on n1 with a bound claim, a mirror pod on n1, and a pod on n2."""

    async def create(kind: Kind, namespace: str, obj: dict[str, Any]) -> None:
        await cluster.registry.create(kind, namespace, obj, Context())

    for name in ("robot", "other"):
        await create(ServiceAccount, "default", {"metadata": {"name": name}})
    volume = {
        "metadata": {"name": "volume"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "claimRef": {"namespace": "default", "name": "claim"},
            "csi": {
                "driver": "d",
                "volumeHandle": "h",
                "nodeStageSecretRef": {"name": "stage", "namespace": "storage"},
            },
        },
    }
    claim = {
        "metadata": {"name": "claim"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeName": "volume",
        },
    }
    await create(PersistentVolume, "", volume)
    await create(PersistentVolumeClaim, "default", claim)
    await create(Pod, "default", pod_on("n1"))
    plain = [{"name": "c", "image": "i"}]
    secret = [{"name": "v", "secret": {"secretName": "other-secret"}}]
    spec = {"nodeName": "n2", "containers": plain, "volumes": secret, "serviceAccountName": "other"}
    await create(Pod, "default", {"metadata": {"name": "elsewhere"}, "spec": spec})
    return cluster.server.guards.nodes


SINGLE = [
    (asked("get", "secrets", "env-secret"), ""),
    (asked("watch", "secrets", "volume-secret"), ""),
    (asked("list", "configmaps", "from-config"), ""),
    (asked("get", "secrets", "other-secret"), NOTHING),
    (asked("get", "secrets", "env-secret", "elsewhere"), NOTHING),
    (asked("get", "secrets", "stage", "storage"), ""),
    (asked("list", "secrets"), "No Object name found"),
    (asked("list", "secrets", namespace=""), "can only read namespaced object of this type"),
    (asked("update", "secrets", "env-secret"), "can only read resources of this type"),
    (asked("get", "persistentvolumeclaims", "claim"), ""),
    (asked("list", "persistentvolumeclaims"), "can only get individual resources of this type"),
    (asked("patch", "persistentvolumeclaims/status", "claim"), ""),
    (asked("get", "persistentvolumes", "volume", ""), ""),
    (asked("get", "persistentvolumes", "x", ""), NOTHING),
    (asked("create", "serviceaccounts/token", "robot"), ""),
    (asked("create", "serviceaccounts/token", "other"), NOTHING),
    (asked("get", "serviceaccounts", "robot"), ""),
    (asked("get", "nodes", "n1", ""), ""),
    (asked("get", "nodes", "n2", ""), "node 'n1' cannot read 'n2', only its own Node object"),
    (asked("list", "nodes", "", ""), "node 'n1' cannot read all nodes, only its own Node object"),
    (asked("update", "nodes/status", "n1", ""), ""),
    (asked("get", "pods", "p"), ""),
    (asked("get", "pods", "elsewhere"), NOTHING),
    (asked("list", "pods", "", ""), "can only list/watch pods with spec.nodeName field selector"),
    (asked("list", "pods", "", "", fields=(("spec.nodeName", "=", "n1"),)), ""),
    (
        asked("list", "pods", "", "", fields=(("spec.nodeName", "!=", "n1"),)),
        "can only list/watch pods with spec.nodeName field selector",
    ),
    (asked("create", "pods/eviction", "p"), ""),
    (asked("update", "leases", "n1", "kube-node-lease", group=LEASE), ""),
    (
        asked("update", "leases", "n2", "kube-node-lease", group=LEASE),
        "can only access node lease with the same name as the requesting node",
    ),
    (
        asked("get", "leases", "n1", "default", group=LEASE),
        'can only access leases in the "kube-node-lease" system namespace',
    ),
    (
        asked("get", "csinodes", "n2", "", group="storage.k8s.io"),
        "can only access CSINode with the same name as the requesting node",
    ),
    (asked("list", "services"), ""),
]


@pytest.mark.parametrize(
    ("wanted", "why"), SINGLE, ids=lambda v: "-".join(v[:6]) if isinstance(v, Attributes) else ""
)
async def test_opinions(nodes: NodeAuthorizer, wanted: Attributes, why: str) -> None:
    """A node is allowed what is its own, and told why where it is not."""
    assert nodes.opinion(N1, wanted) == Opinion(not why, why)


async def test_no_opinion(nodes: NodeAuthorizer) -> None:
    """What is nobody's business in particular is left to RBAC, as are users who are no nodes."""
    deploy = Attributes("list", "apps", "deployments", "", "default")
    stranger = User("jane", groups=("system:nodes",))
    nameless = User("system:node:", groups=("system:nodes",))
    wanted = asked("get", "secrets", "env-secret")
    found = [nodes.opinion(N1, deploy), nodes.opinion(stranger, wanted), nodes.opinion(nameless, wanted)]
    assert found == [
        Opinion(False),
        Opinion(False),
        Opinion(False, 'unknown node for user "system:node:"'),
    ]


async def test_rights_end_with_the_pod(cluster: Cluster, nodes: NodeAuthorizer) -> None:
    """Once the pod is gone the node sees its Secrets no longer."""
    wanted = asked("get", "secrets", "env-secret")
    before = nodes.opinion(N1, wanted).allowed
    await cluster.registry.delete(Pod, "default", "p", DeleteOptions(grace_period=0), Context())
    assert (before, nodes.opinion(N1, wanted).allowed) == (True, False)


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("/api/v1/namespaces/default/secrets/env-secret", 200, ""),
        (
            "/api/v1/namespaces/default/secrets/other-secret",
            403,
            'secrets "other-secret" is forbidden: User "system:node:n1" cannot get resource "secrets" in API '
            f'group "" in the namespace "default": {NOTHING}',
        ),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", 200, ""),
        (
            "/api/v1/pods",
            403,
            'pods is forbidden: User "system:node:n1" cannot list resource "pods" in API group "" at the '
            "cluster scope: can only list/watch pods with spec.nodeName field selector",
        ),
        ("/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Denv-secret", 200, ""),
        ("/apis/apps/v1/deployments", 403, ""),
    ],
)
async def test_over_http(cluster: Cluster, nodes: NodeAuthorizer, path: str, code: int, message: str) -> None:
    """A kubelet elsewhere has these rights with its certificate, and no others by RBAC."""
    for name in ("env-secret", "other-secret"):
        await cluster.registry.create(Secret, "default", {"metadata": {"name": name}}, Context())
    answer = await cluster.client("system:node:n1", "system:nodes").get(path)
    assert answer.code == code
    assert answer.body.get("message", "").startswith(message)
