"""The smaller admission plugins: defaults, classes, certificates, rates, and what nodes may not do."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from api_cluster import Client, Cluster, start, stop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from minikube_py.apiserver.admission.node_mirror_pods import mirror_pod_fault
from minikube_py.apiserver.admission.node_restriction import is_reserved
from minikube_py.apiserver.admission.references import config_maps_of, secrets_of
from minikube_py.apiserver.config import EventLimit
from minikube_py.meta.objects import Obj

CORE = "/api/v1/namespaces/default"
PODS, CLAIMS, SERVICES = f"{CORE}/pods", f"{CORE}/persistentvolumeclaims", f"{CORE}/services"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MERGE = "application/merge-patch+json"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def claim(name: str, size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"metadata": {"name": name}, "spec": wanted | spec}


def default_class(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "annotations": {f"{kind}/is-default-class": "true"}}, **more}


async def test_missing_namespace_is_told_first(admin: Client) -> None:
    """Whatever else is wrong with an object, a missing namespace is told of first; four namespaces stay."""
    answer = await admin.post("/api/v1/namespaces/none/pods", {"metadata": {"name": "p"}, "spec": {}})
    ended = await admin.call("DELETE", "/api/v1/namespaces/kube-system")
    assert (answer.code, answer["message"]) == (404, 'namespaces "none" not found')
    assert (ended.code, ended["message"]) == (
        403,
        'namespaces "kube-system" is forbidden: this namespace may not be deleted',
    )


async def test_claims_get_class_and_finalizer(admin: Client) -> None:
    """A claim without a class gets the default one and its finalizer; an empty class stays empty."""
    before = await admin.post(CLAIMS, claim("early"))
    made = default_class("storageclass.kubernetes.io", "fast", provisioner="x")
    assert (await admin.post(CLASSES, made)).code == 201
    after = await admin.post(CLAIMS, claim("late"))
    none = await admin.post(CLAIMS, claim("none", storageClassName=""))
    found = [answer["spec"].get("storageClassName") for answer in (before, after, none)]
    assert found == ["standard", "fast", ""]
    assert after["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


@pytest.mark.parametrize(("expands", "code"), [(True, 200), (False, 403)])
async def test_claims_grow_where_their_class_allows(admin: Client, expands: bool, code: int) -> None:
    """A bound claim grows if its class says that volumes can."""
    storage = {"metadata": {"name": "s"}, "provisioner": "x", "allowVolumeExpansion": expands}
    await admin.post(CLASSES, storage)
    await admin.post(CLAIMS, claim("c", storageClassName="s", volumeName="v"))
    status = {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
    assert (await admin.call("PATCH", f"{CLAIMS}/c/status", status, type=MERGE)).code == 200
    grown = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    answer = await admin.call("PATCH", f"{CLAIMS}/c", grown, type=MERGE)
    assert answer.code == code
    if not expands:
        assert answer["message"] == (
            'persistentvolumeclaims "c" is forbidden: only dynamically provisioned pvc can be resized and the '
            "storageclass that provisions the pvc must support resize"
        )


async def test_ingress_gets_the_default_class(admin: Client) -> None:
    """An Ingress that names no class gets the default one."""
    root = "/apis/networking.k8s.io/v1"
    made = default_class("ingressclass.kubernetes.io", "web", spec={"controller": "example.com/web"})
    assert (await admin.post(f"{root}/ingressclasses", made)).code == 201
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    ingress = {"metadata": {"name": "i"}, "spec": {"defaultBackend": backend}}
    answer = await admin.post(f"{root}/namespaces/default/ingresses", ingress)
    assert answer["spec"]["ingressClassName"] == "web"


async def test_update_keeps_what_a_manifest_leaves_out(admin: Client) -> None:
    """Replacing a pod by a manifest without priority and tolerations keeps them."""
    made = (await admin.post(PODS, pod())).body
    for field in ("priority", "preemptionPolicy", "tolerations"):
        del made["spec"][field]
    made["metadata"]["labels"] = {"a": "b"}
    answer = await admin.call("PUT", f"{PODS}/p", made)
    assert (answer.code, answer["spec"]["priority"], len(answer["spec"]["tolerations"])) == (200, 0, 2)


def certificate_request(*groups: str) -> str:
    """A PKCS#10 request for user u in groups, as CSRs carry it."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, "u")]
    names += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, SHA256())
    return base64.b64encode(made.public_bytes(Encoding.PEM)).decode()


def signing(name: str, request: str, signer: str = CLIENT_SIGNER) -> dict[str, Any]:
    spec = {"request": request, "signerName": signer, "usages": ["client auth"]}
    return {"metadata": {"name": name}, "spec": spec}


async def test_certificates_for_masters_are_refused(admin: Client) -> None:
    """Nobody gets a client certificate of system:masters."""
    answer = await admin.post(REQUESTS, signing("m", certificate_request("system:masters")))
    fine = await admin.post(REQUESTS, signing("f", certificate_request("team")))
    assert (answer.code, fine.code) == (403, 201)
    assert answer["message"].endswith(f"use of {CLIENT_SIGNER} signer with system:masters group is not allowed")


async def test_approving_needs_the_signer(cluster: Cluster, admin: Client) -> None:
    """Who may write approvals must also be allowed to approve for the signer, by name or by domain."""
    await admin.post(REQUESTS, signing("r", certificate_request("team"), "example.com/one"))
    rules: list[Obj] = [
        {
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["certificatesigningrequests", "certificatesigningrequests/approval"],
            "verbs": ["*"],
        }
    ]
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    await admin.post(roles, {"metadata": {"name": "approver"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "approver"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}
    binding = {"metadata": {"name": "approver"}, "roleRef": reference, "subjects": [subject]}
    await admin.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    eve = cluster.client("eve")
    condition = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}
    patch = {"status": {"conditions": [condition]}}
    refused = await eve.call("PATCH", f"{REQUESTS}/r/approval", patch, type=MERGE)
    signers = {"resources": ["signers"], "resourceNames": ["example.com/*"], "verbs": ["approve"]}
    rules.append({"apiGroups": ["certificates.k8s.io"], **signers})
    await admin.call("PATCH", f"{roles}/approver", {"rules": rules}, type=MERGE)
    allowed = await eve.call("PATCH", f"{REQUESTS}/r/approval", patch, type=MERGE)
    assert (refused.code, allowed.code) == (403, 200)
    assert refused["message"].endswith(
        'user not permitted to approve requests with signerName "example.com/one"'
    )


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Client]:
    """An administrator of a server with every optional plugin on."""
    made, task = await start(
        tmp_path,
        deny_service_external_ips=True,
        extended_resource_toleration=True,
        event_rate_limits=(EventLimit("Namespace", 0.0, 2),),
    )
    yield made.client("admin", "system:masters")
    await stop(made, task)


async def test_optional_plugins(strict: Client) -> None:
    """Plugins that are off by default do their work where they are turned on."""
    ports = [{"port": 80}]
    taken = await strict.post(
        SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": ports, "externalIPs": ["1.2.3.4"]}}
    )
    resources = {"limits": {"example.com/gpu": "1"}, "requests": {"example.com/gpu": "1"}}
    device = await strict.post(PODS, pod(containers=[{"name": "c", "image": "i", "resources": resources}]))
    involved = {"kind": "Pod", "namespace": "default", "name": "p"}
    codes = []
    for number in range(3):
        event = {
            "metadata": {"name": f"e{number}"},
            "involvedObject": involved,
            "reason": "r",
            "type": "Normal",
        }
        answer = await strict.post(f"{CORE}/events", event)
        codes.append(answer.code)
    assert (taken.code, taken["message"].partition(": ")[2]) == (
        403,
        "Use of external IPs is denied by admission control.",
    )
    assert {"key": "example.com/gpu", "operator": "Exists"} in device["spec"]["tolerations"]
    assert (codes, answer["message"]) == ([201, 201, 429], "limit reached on type Namespace for key default")


async def test_optional_plugins_are_off(admin: Client) -> None:
    """External IPs are taken unless the plugin is turned on."""
    spec = {"ports": [{"port": 80}], "externalIPs": ["1.2.3.4"]}
    assert (await admin.post(SERVICES, {"metadata": {"name": "s"}, "spec": spec})).code == 201


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("team", False),
        ("example.com/team", False),
        ("kubernetes.io/hostname", False),
        ("topology.kubernetes.io/zone", False),
        ("node.kubernetes.io/anything", False),
        ("x.node.kubernetes.io/anything", False),
        ("kubelet.kubernetes.io/anything", False),
        ("node-role.kubernetes.io/control-plane", True),
        ("kubernetes.io/other", True),
        ("x.k8s.io/y", True),
        ("node-restriction.kubernetes.io/x", True),
        ("x.node-restriction.kubernetes.io/x", True),
        ("notkubernetes.io/x", False),
    ],
)
def test_labels_of_nodes(label: str, expected: bool) -> None:
    """Which labels a node may not give itself."""
    assert is_reserved(label) is expected


MIRROR = {"kubernetes.io/config.mirror": "x"}
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u", "controller": True}


@pytest.mark.parametrize(
    ("metadata", "spec", "expected"),
    [
        ({}, {}, ""),
        (
            {"annotations": {}},
            {},
            'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods',
        ),
        ({}, {"nodeName": "n2"}, 'node "n1" can only create pods with spec.nodeName set to itself'),
        (
            {"ownerReferences": []},
            {},
            'node "n1" can only create pods with an owner reference set to itself',
        ),
        (
            {"ownerReferences": [OWNER, OWNER]},
            {},
            'node "n1" can only create pods with a single owner reference set to itself',
        ),
        (
            {"ownerReferences": [OWNER | {"controller": False}]},
            {},
            'node "n1" can only create pods with a controller owner reference set to itself',
        ),
        (
            {"ownerReferences": [OWNER | {"blockOwnerDeletion": True}]},
            {},
            'node "n1" must not set blockOwnerDeletion on an owner reference',
        ),
        ({"ownerReferences": [OWNER | {"uid": "v"}]}, {}, "node n1 UID mismatch: expected v got u"),
        (
            {},
            {"serviceAccountName": "s"},
            'node "n1" can not create pods that reference a service account',
        ),
        (
            {},
            {"imagePullSecrets": [{"name": "s"}]},
            'node "n1" can not create pods that reference secrets',
        ),
        (
            {},
            {"volumes": [{"configMap": {"name": "c"}}]},
            'node "n1" can not create pods that reference configmaps',
        ),
        (
            {},
            {"volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]},
            'node "n1" can not create pods that reference persistentvolumeclaims',
        ),
        (
            {},
            {"volumes": [{"projected": {"sources": [{"clusterTrustBundle": {}}]}}]},
            'node "n1" can not create pods that reference clustertrustbundles',
        ),
        (
            {},
            {"resourceClaims": [{"name": "c"}]},
            'node "n1" can not create pods that reference resourceclaims',
        ),
    ],
)
def test_mirror_pods(metadata: Obj, spec: Obj, expected: str) -> None:
    """A node's mirror pods are its own and lead to nothing else."""
    made = {
        "metadata": {"annotations": MIRROR, "ownerReferences": [OWNER], **metadata},
        "spec": {"nodeName": "n1", **spec},
    }
    assert mirror_pod_fault(made, "n1", {"metadata": {"name": "n1", "uid": "u"}}) == expected


def test_references_are_found_everywhere() -> None:
    """Secrets and ConfigMaps are found in environments, volumes, projections and pull secrets."""
    spec = {
        "imagePullSecrets": [{"name": "pull"}],
        "initContainers": [{"envFrom": [{"secretRef": {"name": "from"}}, {"configMapRef": {"name": "cfrom"}}]}],
        "ephemeralContainers": [
            {
                "env": [
                    {"valueFrom": {"secretKeyRef": {"name": "key"}}},
                    {"valueFrom": {"configMapKeyRef": {"name": "ckey"}}},
                ]
            }
        ],
        "volumes": [
            {"secret": {"secretName": "volume"}},
            {"csi": {"nodePublishSecretRef": {"name": "csi"}}},
            {"configMap": {"name": "cvolume"}},
            {
                "projected": {
                    "sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "cprojected"}}]
                }
            },
        ],
    }
    assert list(secrets_of(spec)) == ["pull", "from", "key", "volume", "csi", "projected"]
    assert list(config_maps_of(spec)) == ["cfrom", "ckey", "cvolume", "cprojected"]


async def test_node_does_not_grow(cluster: Cluster, admin: Client) -> None:
    """A node changes neither its taints, owners and reserved labels, nor claims; nor is it made by prefix."""
    node = cluster.client("system:node:n1", "system:nodes")
    nodes = "/api/v1/nodes"
    assert (await node.post(nodes, {"metadata": {"name": "n1", "labels": {"team": "a"}}})).code == 201
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u"}
    patches: dict[str, Obj] = {
        'node "n1" is not allowed to modify taints': {"spec": {"taints": []}},
        'node "n1" is not allowed to modify ownerReferences': {"metadata": {"ownerReferences": [owner]}},
        "is not allowed to modify labels: kubernetes.io/x": {"metadata": {"labels": {"kubernetes.io/x": ""}}},
    }
    for told, patch in patches.items():
        for path in (f"{nodes}/n1", f"{nodes}/n1/status"):
            if "spec" in patch and path.endswith("status"):
                continue
            answer = await node.call("PATCH", path, patch, type=MERGE)
            assert (answer.code, answer["message"].partition("forbidden: ")[2]) == (403, told)
    prefixed = await node.post(nodes, {"metadata": {"generateName": "n1"}})
    labelled = await node.post(nodes, {"metadata": {"name": "n1", "labels": {"kubernetes.io/x": "y"}}})
    assert (prefixed.code, labelled.code) == (403, 403)
    assert labelled["message"].endswith('node "n1" is not allowed to set the following labels: kubernetes.io/x')


@pytest.mark.parametrize(
    ("audiences", "code"),
    [([], 201), (["vault"], 201), (["other"], 403), (["vault", "other"], 403)],
)
async def test_node_asks_tokens_for_audiences_of_the_pod(
    cluster: Cluster, admin: Client, audiences: list[str], code: int
) -> None:
    """A node gets tokens only for audiences that a volume of the pod names."""
    node = cluster.client("system:node:n1", "system:nodes")
    source = {"serviceAccountToken": {"path": "t", "audience": "vault"}}
    volumes = [{"name": "v", "projected": {"sources": [source]}}]
    made = await admin.post(PODS, pod(nodeName="n1", volumes=volumes))
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]}
    body = {"spec": {"audiences": audiences, "boundObjectRef": bound}}
    answer = await node.post(f"{CORE}/serviceaccounts/default/token", body)
    assert answer.code == code
