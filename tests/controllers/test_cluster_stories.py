"""The cluster's own controllers in virtual time: tokens, claims on devices, zones, hints, namespaces."""

import base64
from datetime import date
from typing import Any

import pytest

from minikube_py.controllers.bootstrap.tokens import Token, signature
from minikube_py.controllers.endpointports import hints
from minikube_py.controllers.legacytokencleaner import DELETE, INVALID_SINCE, KEEP, LAST_USED, MARK, verdict
from minikube_py.controllers.nodes.zones import ALL_LOST, FULL, NORMAL, PARTIAL, Zones, rate_of, state_of
from minikube_py.controllers.ttl import step_for
from minikube_py.kinds.apiregistration.apiservice import APIService
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.resource.resourceclaim import ResourceClaim
from minikube_py.kinds.resource.resourceclaimtemplate import ResourceClaimTemplate
from minikube_py.meta.objects import Obj, annotations_of, condition, dig, name_of, owner_references, timestamp

NOT_READY = "node.kubernetes.io/unreachable"


def a_token(id: str, secret: str = "0123456789abcdef", **more: str) -> Obj:
    fields = {"token-id": id, "token-secret": secret, "usage-bootstrap-signing": "true", **more}
    data = {name: base64.b64encode(text.encode()).decode() for name, text in fields.items()}
    meta = {"name": f"bootstrap-token-{id}", "namespace": "kube-system"}
    return {"metadata": meta, "type": "bootstrap.kubernetes.io/token", "data": data}


async def test_bootstrap_tokens_sign_and_expire(world: Any) -> None:
    """cluster-info has the signature of each valid token, and an expired token's Secret goes."""
    await world.create(Namespace, {"metadata": {"name": "kube-public"}})
    info = {"name": "cluster-info", "namespace": "kube-public"}
    await world.create(ConfigMap, {"metadata": info, "data": {"kubeconfig": "text", "jws-kubeconfig-old": "x"}})
    end = timestamp(world.clock.now()).replace("00:00:00", "00:00:30")
    await world.create(Secret, a_token("abcdef"))
    await world.create(Secret, a_token("ghijkl", expiration=end))
    expected = {
        f"jws-kubeconfig-{id}": signature("text", Token(id, "0123456789abcdef")) for id in ("abcdef", "ghijkl")
    }
    assert world.the(ConfigMap, "cluster-info", "kube-public")["data"] == {"kubeconfig": "text", **expected}
    await world.pass_time(32)
    assert "bootstrap-token-ghijkl" not in world.names(Secret, "kube-system")
    left = world.the(ConfigMap, "cluster-info", "kube-public")["data"]
    assert sorted(left) == ["jws-kubeconfig-abcdef", "kubeconfig"]


def test_a_signature_is_detached() -> None:
    """A signature has a header that names the token, no payload, and 32 bytes."""
    header, payload, digest = signature("text", Token("abcdef", "0123456789abcdef")).split(".")
    decoded = base64.urlsafe_b64decode(header + "==")
    assert (decoded, payload) == (b'{"alg":"HS256","kid":"abcdef"}', "")
    assert len(base64.urlsafe_b64decode(digest + "=")) == 32


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({LAST_USED: "2026-05-01"}, KEEP),
        ({LAST_USED: "2025-01-01"}, MARK),
        ({}, MARK),
        ({INVALID_SINCE: "2025-12-01"}, KEEP),
        ({INVALID_SINCE: "2025-01-02"}, DELETE),
    ],
)
def test_legacy_tokens(labels: dict[str, str], expected: str) -> None:
    """A token that nobody has used for a year is marked, and a year after that deleted."""
    secret = {"metadata": {"creationTimestamp": "2023-01-01T00:00:00Z", "labels": labels}}
    assert verdict(secret, date(2024, 1, 1), date(2026, 6, 1)) == expected


async def test_claims_on_devices_by_template(world: Any) -> None:
    """A pod gets one claim for each entry that names a template; the claim goes once the pod has ended."""
    await world.add_node("n1")
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}
    template = {"metadata": {"labels": {"tier": "a"}}, "spec": {"devices": {"requests": [request]}}}
    containers = [{"name": "main", "image": "ok", "resources": {"claims": [{"name": "gpu"}]}}]
    claims = [{"name": "gpu", "resourceClaimTemplateName": "one"}]
    meta = {"name": "user", "namespace": "default"}
    world.agent.silent.add("n1")
    await world.create(Pod, {"metadata": meta, "spec": {"containers": containers, "resourceClaims": claims}})
    missing = 'resource claim template "one": resourceclaimtemplate.resource.k8s.io "one" not found'
    assert world.events("FailedResourceClaimCreation")[0] == f"PodResourceClaim gpu: {missing}"
    await world.create(ResourceClaimTemplate, {"metadata": {**meta, "name": "one"}, "spec": template})
    await world.pass_time(1)
    [claim] = world.cache.list(ResourceClaim, "default")
    told = [{"name": "gpu", "resourceClaimName": name_of(claim)}]
    assert dig(world.the(Pod, "user"), "status.resourceClaimStatuses") == told
    assert (annotations_of(claim)["resource.kubernetes.io/pod-claim-name"], claim["metadata"]["labels"]) == (
        "gpu",
        {"tier": "a"},
    )
    assert [ref["kind"] for ref in owner_references(claim)] == ["Pod"]
    pod = world.the(Pod, "user")
    await world.api.update(Pod, {**pod, "status": {**pod["status"], "phase": "Failed"}}, subresource="status")
    await world.settle()
    assert world.names(ResourceClaim) == []


async def test_a_namespace_waits_for_apis_that_do_not_answer(world: Any) -> None:
    """While a group's server is away a namespace stays, and says why: nobody knows all that it has in it."""
    await world.create(Namespace, {"metadata": {"name": "team"}})
    spec = {
        "group": "metrics.example.com",
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"name": "metrics", "namespace": "kube-system"},
    }
    await world.create(APIService, {"metadata": {"name": "v1.metrics.example.com"}, "spec": spec})
    await world.delete(Namespace, "team")
    failure = condition(world.the(Namespace, "team"), "NamespaceDeletionDiscoveryFailure")
    lost = "metrics.example.com/v1: stale GroupVersion discovery: metrics.example.com/v1"
    assert (failure["status"], failure["reason"], failure["message"]) == (
        "True",
        "DiscoveryFailed",
        "Discovery failed for some groups, 1 failing: "
        f"unable to retrieve the complete list of server APIs: {lost}",
    )
    await world.delete(APIService, "v1.metrics.example.com")
    assert world.get(Namespace, "team") is None


async def test_an_emptied_namespace_that_others_hold_says_that_it_is_empty(world: Any) -> None:
    """Once its content is gone the controller lets go; what another finalizer still shows is what is true."""
    await world.create(Namespace, {"metadata": {"name": "team"}})
    team = world.the(Namespace, "team")
    finalizers = [*team["spec"]["finalizers"], "example.com/audit"]
    await world.api.update(Namespace, {**team, "spec": {"finalizers": finalizers}}, subresource="finalize")
    held = {"metadata": {"name": "held", "namespace": "team", "finalizers": ["example.com/hold"]}}
    await world.create(ConfigMap, held)
    await world.delete(Namespace, "team")
    before = condition(world.the(Namespace, "team"), "NamespaceContentRemaining")
    await world.patch(ConfigMap, "held", {"metadata": {"finalizers": None}}, "team")
    found = world.the(Namespace, "team")
    told = [condition(found, f"Namespace{name}Remaining") for name in ("Content", "Finalizers")]
    assert (before["status"], before["reason"]) == ("True", "SomeResourcesRemain")
    assert found["spec"]["finalizers"] == ["example.com/audit"]
    assert [(one["status"], one["reason"]) for one in told] == [
        ("False", "ContentRemoved"),
        ("False", "ContentHasNoFinalizers"),
    ]


@pytest.mark.parametrize(
    ("ready", "lost", "state", "rate"),
    [
        (3, 0, NORMAL, 0.1),
        (1, 2, NORMAL, 0.1),
        (1, 3, PARTIAL, 0.0),
        (30, 40, PARTIAL, 0.01),
        (0, 2, FULL, 0.1),
    ],
)
def test_zones(ready: int, lost: int, state: str, rate: float) -> None:
    """Evictions slow down or stop where most of a zone is lost."""
    assert (state_of(ready, lost), rate_of(state, ready + lost)) == (state, rate)
    assert rate_of(ALL_LOST, 5) == 0.0


def test_a_zone_has_turns() -> None:
    """Nodes of one zone are given up ten seconds apart, those of another do not wait for them."""
    zones = Zones()
    for name, zone, ready in (
        ("a", "x", "False"),
        ("b", "x", "False"),
        ("c", "y", "True"),
        ("d", "y", "False"),
    ):
        labels = {"topology.kubernetes.io/zone": zone}
        conditions = [{"type": "Ready", "status": ready}]
        zones.note({"metadata": {"name": name, "labels": labels}, "status": {"conditions": conditions}})
    assert zones.wait("/x", 5.0) == 0.0
    zones.spend("/x", 5.0)
    assert (zones.wait("/x", 6.0), zones.wait("/y", 6.0)) == (9.0, 0.0)


async def test_nobody_is_evicted_while_all_nodes_are_lost(world: Any) -> None:
    """Where no node answers none gets a NoExecute taint; once one is back, the others do."""
    for name in ("n1", "n2"):
        await world.add_node(name)
    world.beating.clear()
    await world.pass_time(45)

    def effects(name: str) -> list[str]:
        taints = dig(world.the(Node, name), "spec.taints", [])
        return sorted(taint["effect"] for taint in taints if taint["key"] == NOT_READY)

    assert (effects("n1"), effects("n2")) == (["NoSchedule"], ["NoSchedule"])
    world.beating.add("n2")
    await world.pass_time(12)
    assert (effects("n1"), effects("n2")) == (["NoExecute", "NoSchedule"], [])


@pytest.mark.parametrize(
    ("wanted", "ready", "expected"),
    [
        (None, True, {}),
        ("PreferClose", True, {"forZones": [{"name": "z"}]}),
        ("PreferSameZone", True, {"forZones": [{"name": "z"}]}),
        ("PreferSameNode", True, {"forZones": [{"name": "z"}], "forNodes": [{"name": "n1"}]}),
        ("PreferClose", False, {}),
    ],
)
def test_hints(wanted: str | None, ready: bool, expected: Obj) -> None:
    """A ready endpoint is for its own zone, or for its node, where the Service wants its traffic near."""
    endpoint = {"conditions": {"ready": ready}, "zone": "z", "nodeName": "n1"}
    assert hints({"spec": {"trafficDistribution": wanted}}, endpoint) == expected


@pytest.mark.parametrize(
    ("nodes", "step", "expected"), [(100, 0, 0), (101, 0, 1), (90, 1, 1), (89, 1, 0), (3000, 0, 4)]
)
def test_ttl_steps(nodes: int, step: int, expected: int) -> None:
    """The step follows the number of nodes, with room between up and down."""
    assert step_for(nodes, step) == expected


async def test_nodes_are_told_their_ttl(world: Any) -> None:
    """Each node has the annotation."""
    await world.add_node("n1")
    assert annotations_of(world.the(Node, "n1"))["node.alpha.kubernetes.io/ttl"] == "0"


@pytest.mark.parametrize(
    ("reserved", "deleted", "expected"),
    [(False, False, True), (True, False, False), (False, True, None)],
    ids=["being-allocated", "freed", "deleted"],
)
async def test_devices_are_protected_while_they_are_wanted(
    world: Any, reserved: bool, deleted: bool, expected: bool | None
) -> None:
    """The finalizer of a claim stays while the scheduler allocates it, and goes with its devices: once the last
    pod that reserved it is gone, or once it is deleted."""
    protection = "resource.kubernetes.io/delete-protection"
    meta = {"name": "gpu", "namespace": "default", "finalizers": [protection]}
    claim = await world.create(ResourceClaim, {"metadata": meta, "spec": {}})
    if reserved:
        gone = [{"resource": "pods", "name": "gone", "uid": "gone"}]
        told = {**claim, "status": {"allocation": {"devices": {}}, "reservedFor": gone}}
        await world.api.update(ResourceClaim, told, subresource="status")
    if deleted:
        await world.delete(ResourceClaim, "gpu")
    await world.pass_time(1)
    found = world.get(ResourceClaim, "gpu")
    assert expected == (None if found is None else protection in found["metadata"].get("finalizers", ()))
    assert dig(found, "status.allocation") is None
