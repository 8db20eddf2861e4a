"""What people and programs do with the kinds of autoscaling, networking, policy, events and certificates."""

import base64
import json
from typing import Any

import pytest
from api_cluster import Client, Cluster, Kubectl
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PREFIX = "autoscaling.alpha.kubernetes.io/"
V1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
V2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
MEMORY = {
    "type": "Resource",
    "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "100Mi"}},
}


async def test_an_autoscaler_is_the_same_in_both_versions(admin: Client) -> None:
    """What v1 has no field for travels in annotations, and comes back from there."""
    spec = {"maxReplicas": 5, "scaleTargetRef": TARGET, "metrics": [MEMORY]}
    made = await admin.post(V2, {"metadata": {"name": "web"}, "spec": spec})
    assert (made.code, made["spec"]) == (201, spec | {"minReplicas": 1})
    old = await admin.get(f"{V1}/web")
    notes = old["metadata"]["annotations"]
    assert old["apiVersion"] == "autoscaling/v1"
    assert old["spec"] == {"maxReplicas": 5, "minReplicas": 1, "scaleTargetRef": TARGET}
    assert json.loads(notes[f"{PREFIX}metrics"]) == [
        {"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "100Mi"}}
    ]
    old.body["spec"]["maxReplicas"] = 7
    old.body["spec"]["targetCPUUtilizationPercentage"] = 50
    changed = await admin.call("PUT", f"{V1}/web", old.body)
    assert changed.code == 200
    new = await admin.get(f"{V2}/web")
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    assert new["spec"]["maxReplicas"] == 7
    assert new["spec"]["metrics"] == [{"type": "Resource", "resource": cpu}, MEMORY]
    assert "annotations" not in new["metadata"]


async def test_kubectl_autoscales(kubectl: Kubectl, admin: Client) -> None:
    """`kubectl autoscale` makes an autoscaler that `get` shows, targets and all."""
    await kubectl("create", "deployment", "web", "--image=nginx")
    await kubectl("autoscale", "deployment", "web", "--min=2", "--max=4", "--cpu-percent=60")
    shown = (await kubectl("get", "hpa", "--no-headers")).stdout.split()
    assert shown[:7] == ["web", "Deployment/web", "cpu:", "<unknown>/60%", "2", "4", "0"]
    described = (await kubectl("describe", "hpa", "web")).stdout
    assert "resource cpu on pods  (as a percentage of request):  <unknown> / 60%" in described


async def test_events_are_the_same_in_both_groups(admin: Client, kubectl: Kubectl) -> None:
    """An Event of events.k8s.io is a core Event under other names; each group selects by its own."""
    about = {"kind": "Pod", "name": "web", "namespace": "default", "apiVersion": "v1"}
    event = {
        "metadata": {"name": "web.1"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/ctl",
        "reportingInstance": "ctl-1",
        "action": "Testing",
        "reason": "Tested",
        "type": "Normal",
        "note": "it works",
        "regarding": about,
        "series": {"count": 3, "lastObservedTime": "2026-01-01T00:01:00.000000Z"},
    }
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    made = await admin.post(path, event)
    assert (made.code, made["note"], made["regarding"]) == (201, "it works", about)
    core = await admin.get("/api/v1/namespaces/default/events/web.1")
    assert core["apiVersion"] == "v1"
    assert (core["message"], core["involvedObject"]) == ("it works", about)
    assert (core["reportingComponent"], core["series"]["count"]) == ("example.com/ctl", 3)
    found = await admin.get(f"{path}?fieldSelector=regarding.name=web,reason=Tested")
    assert [one["metadata"]["name"] for one in found["items"]] == ["web.1"]
    none = await admin.get(f"{path}?fieldSelector=regarding.name=other")
    assert none["items"] == []
    by_source = await admin.get("/api/v1/namespaces/default/events?fieldSelector=source=example.com/ctl")
    assert [one["metadata"]["name"] for one in by_source["items"]] == ["web.1"]
    shown = (await kubectl("events", "--for=pod/web", "--no-headers")).stdout
    assert shown.split()[-2:] == ["it", "works"]


async def test_a_new_event_of_the_newer_group_has_no_old_fields(admin: Client) -> None:
    """events.k8s.io wants an eventTime, and none of what is deprecated."""
    event = {"metadata": {"name": "e"}, "type": "Normal", "deprecatedCount": 2, "regarding": {}}
    answer = await admin.post("/apis/events.k8s.io/v1/namespaces/default/events", event)
    assert answer.code == 422
    told = {cause["field"]: cause["message"] for cause in answer["details"]["causes"]}
    assert told["eventTime"] == "Required value"
    assert told["deprecatedCount"] == 'Invalid value: "": needs to be unset'


def request_of(common_name: str) -> str:
    """A certificate request as a CSR object carries it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def signing_request(name: str, **more: Any) -> Any:
    """A CertificateSigningRequest that claims to be somebody else's."""
    spec = {
        "request": request_of(name),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
        "username": "somebody-else",
    }
    return {"metadata": {"name": name}, "spec": spec | more}


REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


async def test_kubectl_approves_and_denies(cluster: Cluster, admin: Client, kubectl: Kubectl) -> None:
    """`kubectl certificate` decides on requests; who asked is who was authenticated."""
    for name in ("jane", "joe"):
        made = await admin.post(REQUESTS, signing_request(name, expirationSeconds=86400))
        assert (made.code, made["spec"]["username"]) == (201, "admin")
        assert made["spec"]["groups"] == ["system:masters", "system:authenticated"]
    await kubectl("certificate", "approve", "jane")
    await kubectl("certificate", "deny", "joe")
    shown = [line.split() for line in (await kubectl("get", "csr", "--no-headers")).stdout.splitlines()]
    assert [[row[0], *row[2:]] for row in shown] == [
        ["jane", "kubernetes.io/kube-apiserver-client", "admin", "24h", "Approved"],
        ["joe", "kubernetes.io/kube-apiserver-client", "admin", "24h", "Denied"],
    ]
    jane = (await admin.get(f"{REQUESTS}/jane")).body
    (condition,) = jane["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Approved", "True")
    assert condition["lastTransitionTime"] and condition["lastUpdateTime"]
    both = json.loads(json.dumps(jane))
    both["status"]["conditions"].append({"type": "Denied", "status": "True"})
    refused = await admin.call("PUT", f"{REQUESTS}/jane/approval", both)
    assert refused.code == 422
    assert "Approved and Denied conditions are mutually exclusive" in refused["message"]


async def test_a_status_neither_approves_nor_loses_an_approval(admin: Client) -> None:
    """Only the approval subresource sets Approved; the status subresource keeps it."""
    await admin.post(REQUESTS, signing_request("ann"))
    ann = (await admin.get(f"{REQUESTS}/ann")).body
    approval = {"type": "Approved", "status": "True", "reason": "ByTest"}
    refused = await admin.call("PUT", f"{REQUESTS}/ann/status", ann | {"status": {"conditions": [approval]}})
    assert refused.code == 422
    assert 'updates may not add a condition of type "Approved"' in refused["message"]
    answer = await admin.call("PUT", f"{REQUESTS}/ann/approval", ann | {"status": {"conditions": [approval]}})
    assert answer.code == 200
    answer.body["spec"]["usages"] = ["server auth"]
    kept = await admin.call("PUT", f"{REQUESTS}/ann", answer.body)
    assert (kept.code, kept["spec"]["usages"]) == (200, ["client auth"])
    lost = await admin.call("PUT", f"{REQUESTS}/ann/status", ann | {"status": {}, "metadata": {"name": "ann"}})
    assert 'updates may not remove a condition of type "Approved"' in lost["message"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("spec.signerName=kubernetes.io/kube-apiserver-client", ["ann"]),
        ("spec.signerName=example.com/other", []),
        ("spec.signerName!=example.com/other", ["ann"]),
    ],
)
async def test_requests_are_selected_by_signer(admin: Client, path: str, told: list[str]) -> None:
    """spec.signerName is a field selector."""
    await admin.post(REQUESTS, signing_request("ann"))
    found = await admin.get(f"{REQUESTS}?fieldSelector={path}")
    assert [one["metadata"]["name"] for one in found["items"]] == told


INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: nginx
  tls: [{hosts: [a.example.com], secretName: cert}]
  rules:
  - host: a.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: inward}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{namespaceSelector: {matchLabels: {team: a}}}]
    ports: [{port: 80}]
"""


async def test_kubectl_describes_how_traffic_flows(kubectl: Kubectl) -> None:
    """Ingress and NetworkPolicy as kubectl shows and describes them."""
    await kubectl("apply", "-f", "-", input=INGRESS)
    shown = (await kubectl("get", "ing", "web", "--no-headers")).stdout.split()
    assert shown[:5] == ["web", "nginx", "a.example.com", "80,", "443"]
    described = (await kubectl("describe", "ingress", "web")).stdout
    assert "cert terminates a.example.com" in described
    shown = (await kubectl("get", "netpol", "--no-headers")).stdout.split()
    assert shown[:2] == ["inward", "app=web"]
    described = (await kubectl("describe", "netpol", "inward")).stdout
    assert "To Port: 80/TCP" in described
    assert "Policy Types: Ingress" in described


async def test_services_hold_ip_addresses(admin: Client, kubectl: Kubectl) -> None:
    """Each address of a Service is an IPAddress, as long as the Service has it."""
    range_ = await admin.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes")
    (condition,) = range_["status"]["conditions"]
    assert (range_["spec"]["cidrs"], condition["type"], condition["status"]) == (
        ["10.96.0.0/12"],
        "Ready",
        "True",
    )
    spec = {"clusterIP": "10.96.7.7", "ports": [{"port": 80}]}
    service = await admin.post("/api/v1/namespaces/default/services", {"metadata": {"name": "s"}, "spec": spec})
    assert service.code == 201
    address = await admin.get("/apis/networking.k8s.io/v1/ipaddresses/10.96.7.7")
    assert address["spec"]["parentRef"] == {"resource": "services", "namespace": "default", "name": "s"}
    shown = (await kubectl("get", "ip", "--no-headers")).stdout.split()
    assert shown[:2] == ["10.96.0.1", "services/default/kubernetes"]
    await admin.call("DELETE", "/api/v1/namespaces/default/services/s")
    assert (await admin.get("/apis/networking.k8s.io/v1/ipaddresses/10.96.7.7")).code == 404


async def test_an_address_that_is_reserved_is_not_given(admin: Client) -> None:
    """An IPAddress made by hand keeps its address from Services."""
    parent = {"group": "example.com", "resource": "things", "name": "mine"}
    body = {"metadata": {"name": "10.96.8.8"}, "spec": {"parentRef": parent}}
    assert (await admin.post("/apis/networking.k8s.io/v1/ipaddresses", body)).code == 201
    spec = {"clusterIP": "10.96.8.8", "ports": [{"port": 80}]}
    service = {"metadata": {"name": "s"}, "spec": spec}
    refused = await admin.post("/api/v1/namespaces/default/services", service)
    assert refused.code == 422
    assert "provided IP is already allocated" in refused["message"]
    await admin.call("DELETE", "/apis/networking.k8s.io/v1/ipaddresses/10.96.8.8")
    assert (await admin.post("/api/v1/namespaces/default/services", service)).code == 201
