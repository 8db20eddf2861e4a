"""The kinds of the smaller groups through the public Python client and kubectl's tables."""

import asyncio
from collections.abc import Callable

import pytest
from api_cluster import Cluster, Kubectl
from kubernetes import client, config


async def speak(cluster: Cluster, story: Callable[[client.ApiClient], None]) -> None:
    """Let a story of the public Python client, which blocks, happen in a thread."""
    path = cluster.kubeconfig("python-admin", "system:masters")

    def happen() -> None:
        with config.new_client_from_config(str(path)) as python:
            story(python)

    await asyncio.to_thread(happen)


async def test_autoscalers(cluster: Cluster) -> None:
    """The typed models of both versions read each other's objects."""
    await speak(cluster, autoscalers)


def autoscalers(python: client.ApiClient) -> None:
    """One autoscaler, seen and changed in both versions."""
    new, old = client.AutoscalingV2Api(python), client.AutoscalingV1Api(python)
    target = client.V2CrossVersionObjectReference(api_version="apps/v1", kind="Deployment", name="web")
    spec = client.V2HorizontalPodAutoscalerSpec(max_replicas=3, scale_target_ref=target)
    body = client.V2HorizontalPodAutoscaler(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    made = new.create_namespaced_horizontal_pod_autoscaler("default", body)
    assert made.spec.metrics[0].resource.target.average_utilization == 80
    read = old.read_namespaced_horizontal_pod_autoscaler("web", "default")
    assert read.spec.target_cpu_utilization_percentage == 80
    patch = {"spec": {"targetCPUUtilizationPercentage": 50}}
    old.patch_namespaced_horizontal_pod_autoscaler("web", "default", patch)
    listed = new.list_namespaced_horizontal_pod_autoscaler("default")
    assert [one.spec.metrics[0].resource.target.average_utilization for one in listed.items] == [50]
    status = {"status": {"currentReplicas": 2, "desiredReplicas": 3}}
    new.patch_namespaced_horizontal_pod_autoscaler_status("web", "default", status)
    read = old.read_namespaced_horizontal_pod_autoscaler_status("web", "default")
    assert (read.status.current_replicas, read.status.desired_replicas) == (2, 3)


async def test_budgets_and_evictions(cluster: Cluster) -> None:
    """A budget and an eviction are made with the typed models."""
    await speak(cluster, budgets)


def budgets(python: client.ApiClient) -> None:
    """A budget, and the eviction of a pod that does not run yet."""
    policy, core = client.PolicyV1Api(python), client.CoreV1Api(python)
    selector = client.V1LabelSelector(match_labels={"app": "web"})
    spec = client.V1PodDisruptionBudgetSpec(max_unavailable="25%", selector=selector)
    body = client.V1PodDisruptionBudget(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    made = policy.create_namespaced_pod_disruption_budget("default", body)
    assert (made.spec.max_unavailable, made.status.disruptions_allowed) == ("25%", 0)
    container = client.V1Container(name="c", image="nginx")
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(name="a"),
        spec=client.V1PodSpec(containers=[container], automount_service_account_token=False),
    )
    core.create_namespaced_pod("default", pod)
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="a"))
    core.create_namespaced_pod_eviction("a", "default", eviction)
    assert core.list_namespaced_pod("default").items == []


async def test_networking(cluster: Cluster) -> None:
    """Ingresses, their status and NetworkPolicies have typed models."""
    await speak(cluster, networking)


def networking(python: client.ApiClient) -> None:
    """An Ingress that gets an address, and a policy."""
    api = client.NetworkingV1Api(python)
    port = client.V1ServiceBackendPort(number=80)
    backend = client.V1IngressBackend(service=client.V1IngressServiceBackend(name="web", port=port))
    body = client.V1Ingress(
        metadata=client.V1ObjectMeta(name="web"), spec=client.V1IngressSpec(default_backend=backend)
    )
    made = api.create_namespaced_ingress("default", body)
    assert (made.metadata.generation, made.spec.default_backend.service.port.number) == (1, 80)
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}}
    api.patch_namespaced_ingress_status("web", "default", status)
    listed = api.list_ingress_for_all_namespaces()
    assert listed.items[0].status.load_balancer.ingress[0].ip == "10.0.0.1"
    spec = client.V1NetworkPolicySpec(pod_selector={}, egress=[client.V1NetworkPolicyEgressRule()])
    policy = client.V1NetworkPolicy(metadata=client.V1ObjectMeta(name="a"), spec=spec)
    assert api.create_namespaced_network_policy("default", policy).spec.policy_types == ["Ingress", "Egress"]


MANIFESTS = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: hook}
webhooks:
- name: a.example.com
  clientConfig: {url: "https://127.0.0.1:1/"}
  failurePolicy: Ignore
  rules: [{operations: [CREATE], apiGroups: [example.com], apiVersions: [v1], resources: [things]}]
  sideEffects: None
  admissionReviewVersions: [v1]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: limit}
spec:
  matchConstraints:
    resourceRules: [{operations: [CREATE], apiGroups: [example.com], apiVersions: [v1], resources: [things]}]
  validations: [{expression: "object.spec.replicas <= 5"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: limited}
spec: {policyName: limit, validationActions: [Deny]}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: example.com/ingress}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: mine}
spec:
  priorityLevelConfiguration: {name: none}
"""


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("validatingwebhookconfigurations/hook", ["hook", "1"]),
        ("validatingadmissionpolicies/limit", ["limit", "1", "<unset>"]),
        ("validatingadmissionpolicybindings/limited", ["limited", "limit", "<unset>"]),
        ("ingressclass/nginx", ["nginx", "example.com/ingress", "<none>"]),
        ("pdb/web", ["web", "2", "N/A", "0"]),
        ("flowschema/mine", ["mine", "none", "1000", "<none>"]),
        ("servicecidr/kubernetes", ["kubernetes", "10.96.0.0/12"]),
    ],
)
async def test_tables(kubectl: Kubectl, what: str, expected: list[str]) -> None:
    """kubectl applies manifests, and shows the columns of each kind."""
    await kubectl("apply", "-f", "-", input=MANIFESTS)
    shown = (await kubectl("get", what, "--no-headers")).stdout.split()
    assert shown[: len(expected)] == expected
