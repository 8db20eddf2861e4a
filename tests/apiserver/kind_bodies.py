"""A small object of every kind that is stored, as a client would send it."""

import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from minikube_py.meta.kind import Kind

Obj = dict[str, Any]
LABELS = {"app": "life"}
POD = {"containers": [{"name": "c", "image": "busybox:1"}]}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
WORKLOAD = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
JOB = {"template": {"spec": {**POD, "restartPolicy": "Never"}}}
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
ABOUT = {"kind": "Pod", "name": "p", "namespace": "default", "apiVersion": "v1"}
MOMENT = "2026-01-01T00:00:00.000000Z"
WEBHOOK = {
    "name": "life.example.com",
    "clientConfig": {"url": "https://127.0.0.1:1/life"},
    "rules": [{"operations": ["CREATE"], "apiGroups": ["x.io"], "apiVersions": ["v1"], "resources": ["xs"]}],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
MATCH = {
    "resourceRules": [
        {"operations": ["CREATE"], "apiGroups": ["x.io"], "apiVersions": ["v1"], "resources": ["xs"]}
    ]
}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
FLOW_SUBJECT = {
    "subjects": [{"kind": "User", "user": {"name": "life"}}],
    "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/life"]}],
}


def _signing_request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "life")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


def _definition() -> Obj:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "lives", "kind": "Life"}
    return {"group": "life.example.com", "scope": "Namespaced", "names": names, "versions": [version]}


LIMITED = {"limitResponse": {"type": "Reject"}}
PARTS: dict[str, Obj] = {
    "APIService": {"spec": {"group": "life.example.com", "version": "v1", "groupPriorityMinimum": 1000,
                            "versionPriority": 10, "service": {"name": "s", "namespace": "default"},
                            "insecureSkipTLSVerify": True}},
    "CertificateSigningRequest": {"spec": {"request": _signing_request(), "signerName": "example.com/life",
                                           "usages": ["client auth"]}},
    "ClusterRole": {"rules": []},
    "ClusterRoleBinding": {"roleRef": ROLE},
    "ConfigMap": {"data": {"a": "1"}},
    "ControllerRevision": {"revision": 1, "data": {"a": "1"}},
    "CronJob": {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": JOB}}},
    "CSIDriver": {"spec": {}},
    "CSINode": {"spec": {"drivers": []}},
    "CSIStorageCapacity": {"storageClassName": "s", "nodeTopology": {}},
    "CustomResourceDefinition": {"spec": _definition()},
    "DaemonSet": {"spec": WORKLOAD},
    "Deployment": {"spec": WORKLOAD},
    "DeviceClass": {"spec": {}},
    "Endpoints": {"subsets": []},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": []},
    "FlowSchema": {"spec": {"priorityLevelConfiguration": {"name": "exempt"}, "rules": [FLOW_SUBJECT]}},
    "HorizontalPodAutoscaler": {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 3}},
    "Ingress": {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    "IngressClass": {"spec": {"controller": "example.com/life"}},
    "IPAddress": {"spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "s"}}},
    "Job": {"spec": JOB},
    "Lease": {"spec": {"holderIdentity": "me"}},
    "LimitRange": {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}},
    "MutatingWebhookConfiguration": {"webhooks": [WEBHOOK]},
    "NetworkPolicy": {"spec": {"podSelector": {}}},
    "PersistentVolume": {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                                  "hostPath": {"path": "/data"}}},
    "PersistentVolumeClaim": {"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "",
                                       "resources": {"requests": {"storage": "1Gi"}}}},
    "Pod": {"spec": POD},
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": {"matchLabels": LABELS}}},
    "PodTemplate": {"template": TEMPLATE},
    "PriorityClass": {"value": 7},
    "PriorityLevelConfiguration": {"spec": {"type": "Limited", "limited": LIMITED}},
    "ReplicaSet": {"spec": WORKLOAD},
    "ReplicationController": {"spec": {"selector": LABELS, "template": TEMPLATE}},
    "ResourceClaim": {"spec": {"devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": "c"}}]}}},
    "ResourceClaimTemplate": {"spec": {"spec": {"devices": {}}}},
    "ResourceQuota": {"spec": {"hard": {"count/lives.life.example.com": "5"}}},
    "ResourceSlice": {"spec": {"driver": "life.example.com", "allNodes": True,
                               "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}},
    "Role": {"rules": []},
    "RoleBinding": {"roleRef": ROLE},
    "RuntimeClass": {"handler": "life"},
    "Secret": {"stringData": {"a": "1"}},
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "ServiceCIDR": {"spec": {"cidrs": ["10.111.0.0/24"]}},
    "StatefulSet": {"spec": {**WORKLOAD, "serviceName": "s"}},
    "StorageClass": {"provisioner": "example.com/life"},
    "ValidatingAdmissionPolicy": {"spec": {"matchConstraints": MATCH, "validations": [{"expression": "true"}]}},
    "ValidatingAdmissionPolicyBinding": {"spec": {"policyName": "p", "validationActions": ["Deny"]}},
    "ValidatingWebhookConfiguration": {"webhooks": [WEBHOOK]},
    "VolumeAttachment": {"spec": {"attacher": "life.example.com", "nodeName": "n",
                                  "source": {"persistentVolumeName": "v"}}},
    "VolumeAttributesClass": {"driverName": "life.example.com", "parameters": {"a": "1"}},
}  # fmt: skip
"""What the object of a kind has besides its metadata."""
EVENTS: dict[str, Obj] = {
    "v1": {"involvedObject": ABOUT, "reason": "Life", "message": "m", "type": "Normal"},
    "events.k8s.io/v1": {
        "regarding": ABOUT, "reason": "Life", "note": "n", "type": "Normal", "action": "Living",
        "eventTime": MOMENT, "reportingController": "life", "reportingInstance": "life-0",
    },
}  # fmt: skip
NAMES = {
    "APIService": "v1.life.example.com",
    "CSIDriver": "life.example.com",
    "CustomResourceDefinition": "lives.life.example.com",
    "IPAddress": "10.111.0.9",
}
"""The names of objects whose kind does not take any."""


def body_of(kind: Kind, name: str = "life") -> Obj:
    """An object of the kind; kinds that need nothing have metadata alone."""
    parts = EVENTS[kind.api_version] if kind.kind == "Event" else PARTS.get(kind.kind, {})
    metadata = {"name": NAMES.get(kind.kind, name), "labels": LABELS}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **parts}
