"""Subresources: scale, binding, eviction, token."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from registry_objects import CONTEXT, WIDGET, pod_body

from minikube_py.errors import BadRequest, Conflict, Invalid, MethodNotAllowed, NotFound, ServiceUnavailable
from minikube_py.kinds.admissionregistration.validatingadmissionpolicy import ValidatingAdmissionPolicy
from minikube_py.kinds.apiextensions.customresourcedefinition import CustomResourceDefinition
from minikube_py.kinds.apiregistration.apiservice import APIService
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.kinds.flowcontrol.flowschema import FlowSchema
from minikube_py.meta.kind import USER_METADATA, Kind
from minikube_py.meta.objects import Obj, copy, dig, name_of
from minikube_py.registry.base import Context, Patch
from minikube_py.registry.patching import APPLY_PATCH, MERGE_PATCH
from minikube_py.registry.pipeline import Write
from minikube_py.registry.resource import Registry
from minikube_py.registry.writing import merged


@pytest.fixture
async def deployment(create: Any) -> Obj:
    """A Deployment of two replicas."""
    template = {"metadata": {"labels": {"app": "web"}}, **pod_body()}
    selector = {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}
    template["metadata"]["labels"]["x"] = "1"
    made: Obj = await create(
        Deployment, "web", {"spec": {"replicas": 2, "selector": selector, "template": template}}
    )
    return made


def scale(registry: Registry, kind: Any, name: str) -> Obj:
    found: Obj = copy(registry.decoded(registry.get(kind, "default", name, subresource="scale")))
    return found


async def test_scale_is_read(registry: Registry, deployment: Obj) -> None:
    """The Scale tells replicas wanted and seen, and the selector as text."""
    found = scale(registry, Deployment, "web")
    meta = deployment["metadata"]
    assert found == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        },
        "spec": {"replicas": 2},
        "status": {"replicas": 0, "selector": "app=web,x"},
    }


async def test_scale_is_updated(registry: Registry, deployment: Obj) -> None:
    """A PUT of the Scale changes the object's replicas and generation; a stale one is a Conflict."""
    wanted = scale(registry, Deployment, "web")
    wanted["spec"]["replicas"] = 5
    entry, _ = await registry.update(Deployment, "default", "web", copy(wanted), CONTEXT, "scale")
    stored = registry.decoded(registry.get(Deployment, "default", "web"))
    assert registry.decoded(entry)["spec"] == {"replicas": 5}
    assert (stored["spec"]["replicas"], stored["metadata"]["generation"]) == (5, 2)
    with pytest.raises(Conflict):
        await registry.update(Deployment, "default", "web", wanted, CONTEXT, "scale")


@pytest.mark.parametrize("type", [MERGE_PATCH, APPLY_PATCH])
async def test_scale_is_patched(registry: Registry, deployment: Obj, type: str) -> None:
    """A patch of the Scale answers with the Scale and changes the object."""
    body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 0}}
    patch = Patch(type, body, force=True)
    context = Context(field_manager="autoscaler")
    entry, _ = await registry.patch(Deployment, "default", "web", patch, context, "scale")
    assert registry.decoded(entry)["spec"] == {}
    stored = registry.decoded(registry.get(Deployment, "default", "web"))
    assert (stored["spec"]["replicas"], len(stored["spec"]["template"]["spec"]["containers"])) == (0, 1)
    owners = {e["manager"]: e["fieldsV1"] for e in stored["metadata"]["managedFields"]}
    assert owners["autoscaler"] == {"f:spec": {"f:replicas": {}}}


async def test_scale_of_a_custom_resource(registry: Registry, create: Any) -> None:
    """Custom resources scale by the same fields."""
    await create(WIDGET, "w", {"spec": {"replicas": 1, "color": "red"}})
    patch = Patch(MERGE_PATCH, {"spec": {"replicas": 3}})
    await registry.patch(WIDGET, "default", "w", patch, CONTEXT, "scale")
    assert registry.decoded(registry.get(WIDGET, "default", "w"))["spec"] == {"replicas": 3, "color": "red"}


async def test_bad_scales_are_refused(registry: Registry, deployment: Obj) -> None:
    """Negative replicas are Invalid, text is a bad request, and a kind without scale is not found."""
    cases = [({"replicas": -1}, Invalid), ({"replicas": "many"}, BadRequest)]
    for spec, error in cases:
        with pytest.raises(error):
            await registry.update(Deployment, "default", "web", {"spec": spec}, CONTEXT, "scale")
    with pytest.raises(NotFound):
        await registry.update(ConfigMap, "default", "kube-root-ca.crt", {"spec": {}}, CONTEXT, "scale")


def binding(node: str, **meta: Any) -> Obj:
    return {"metadata": {"name": "p", **meta}, "target": {"kind": "Node", "name": node}}


async def test_binding_assigns_the_pod(registry: Registry, create: Any) -> None:
    """A binding sets node, annotations and the PodScheduled condition, once."""
    await create(Pod, "p", pod_body())
    body = binding("n1", annotations={"why": "fits"})
    answer = await registry.post(Pod, "default", "p", "binding", body, CONTEXT)
    pod = registry.decoded(registry.get(Pod, "default", "p"))
    assert (answer["status"], answer["code"]) == ("Success", 201)
    assert (pod["spec"]["nodeName"], pod["metadata"]["annotations"]) == ("n1", {"why": "fits"})
    assert [(c["type"], c["status"]) for c in pod["status"]["conditions"]] == [("PodScheduled", "True")]
    with pytest.raises(Conflict) as refused:
        await registry.post(Pod, "default", "p", "binding", binding("n2"), CONTEXT)
    assert refused.value.message == (
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"'
    )


async def test_bindings_that_are_refused(registry: Registry, create: Any) -> None:
    """A gated pod, another uid, no node and no pod are refused."""
    await create(Pod, "p", pod_body(schedulingGates=[{"name": "example.com/wait"}]))
    for body, error in (
        (binding("n1"), Conflict),
        (binding("n1", uid="other"), Conflict),
        ({"metadata": {}, "target": {}}, Invalid),
    ):
        with pytest.raises(error):
            await registry.post(Pod, "default", "p", "binding", body, CONTEXT)
    with pytest.raises(NotFound):
        await registry.post(Pod, "default", "q", "binding", binding("n1"), CONTEXT)


async def test_deleting_pods_are_not_bound(registry: Registry, create: Any) -> None:
    """A pod whose deletion has begun takes no node."""
    from minikube_py.registry.base import DeleteOptions

    await create(Pod, "p", pod_body(), finalizers=["example.com/x"])
    await registry.delete(Pod, "default", "p", DeleteOptions(), CONTEXT)
    with pytest.raises(Conflict) as refused:
        await registry.post(Pod, "default", "p", "binding", binding("n1"), CONTEXT)
    assert "pod p is being deleted, cannot be assigned to a host" in refused.value.message


async def test_eviction_deletes_the_pod(registry: Registry, create: Any) -> None:
    """An eviction deletes by its own options."""
    pod = await create(Pod, "p", pod_body(nodeName="n"))
    named = {"metadata": {"name": "p"}}
    wrong = {**named, "deleteOptions": {"preconditions": {"uid": "other"}}}
    with pytest.raises(Conflict):
        await registry.post(Pod, "default", "p", "eviction", wrong, CONTEXT)
    options = {"gracePeriodSeconds": 7, "preconditions": {"uid": pod["metadata"]["uid"]}}
    await registry.post(Pod, "default", "p", "eviction", {**named, "deleteOptions": options}, CONTEXT)
    stored = registry.decoded(registry.get(Pod, "default", "p"))
    assert stored["metadata"]["deletionGracePeriodSeconds"] == 7


async def test_eviction_may_be_a_dry_run(registry: Registry, create: Any) -> None:
    """An eviction with dryRun leaves the pod."""
    await create(Pod, "p", pod_body())
    body = {"metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["All"]}}
    await registry.post(Pod, "default", "p", "eviction", body, CONTEXT)
    assert name_of(registry.decoded(registry.get(Pod, "default", "p"))) == "p"


class Signer:
    """Signs nothing, but tells what it was asked to."""

    issuer = "api"

    def sign(self, claims: Any) -> str:
        return "unused"

    def issue(
        self, namespace: str, name: str, uid: str, *, audiences: Sequence[str], seconds: int, bound: Obj | None
    ) -> tuple[str, datetime]:
        text = f"{namespace}/{name}/{','.join(audiences)}/{seconds}/{(bound or {}).get('uid')}"
        return text, datetime(2026, 1, 1, tzinfo=UTC)


async def test_token_is_issued(registry: Registry, create: Any) -> None:
    """A TokenRequest is answered with a token, bound to the uid of the pod that it names."""
    registry.subresources.signer = Signer()
    pod = await create(Pod, "p", pod_body())
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
    body = {"spec": {"audiences": ["vault"], "expirationSeconds": 900, "boundObjectRef": ref}}
    answer = await registry.post(ServiceAccount, "default", "default", "token", body, CONTEXT)
    assert answer["status"] == {
        "token": f"default/default/vault/900/{pod['metadata']['uid']}",
        "expirationTimestamp": "2026-01-01T00:00:00Z",
    }
    plain = await registry.post(ServiceAccount, "default", "default", "token", {}, CONTEXT)
    assert dig(plain, "status.token") == "default/default/api/3600/None"


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"expirationSeconds": 10}, Invalid),
        ({"expirationSeconds": 1 << 40}, Invalid),
        ({"boundObjectRef": {"kind": "Pod", "name": "none"}}, NotFound),
        ({"boundObjectRef": {"kind": "ConfigMap", "name": "x"}}, BadRequest),
        ({"boundObjectRef": {"kind": "Pod", "name": "p", "uid": "other"}}, Conflict),
        ({"boundObjectRef": {"kind": "Pod", "name": "robot"}}, BadRequest),
    ],
)
async def test_tokens_that_are_refused(
    registry: Registry, create: Any, spec: Obj, error: type[Exception]
) -> None:
    """Lifetimes out of range, and objects that are missing, foreign or others, are refused."""
    registry.subresources.signer = Signer()
    await create(Pod, "p", pod_body())
    await create(Pod, "robot", pod_body(serviceAccountName="robot"))
    with pytest.raises(error):
        await registry.post(ServiceAccount, "default", "default", "token", {"spec": spec}, CONTEXT)


async def test_no_signer_and_no_such_subresource(registry: Registry) -> None:
    """Without a key there are no tokens; what cannot be posted is not allowed or not found."""
    with pytest.raises(ServiceUnavailable):
        await registry.post(ServiceAccount, "default", "default", "token", {}, CONTEXT)
    with pytest.raises(NotFound):
        await registry.post(ConfigMap, "default", "kube-root-ca.crt", "binding", {}, CONTEXT)
    with pytest.raises(MethodNotAllowed):
        await registry.post(Pod, "default", "p", "status", {}, CONTEXT)


async def test_a_status_has_the_defaults_of_its_fields(registry: Registry, create: Any) -> None:
    """What a status is given without a default is filled in, as on a write of the whole object."""
    await create(Service, "web", {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}})
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}
    patch = Patch(MERGE_PATCH, status)
    entry, _ = await registry.patch(Service, "default", "web", patch, CONTEXT, "status")
    assert registry.decoded(entry)["status"]["loadBalancer"]["ingress"] == [
        {"ip": "203.0.113.1", "ipMode": "VIP"}
    ]


KEEPING = [
    (Deployment, {"labels"}),
    (Pod, {"ownerReferences"}),
    (FlowSchema, set(USER_METADATA)),
    (ValidatingAdmissionPolicy, set(USER_METADATA)),
    (APIService, set(USER_METADATA)),
    (ReplicaSet, set()),
    (CustomResourceDefinition, set()),
]


@pytest.mark.parametrize(("kind", "kept"), KEEPING, ids=lambda value: getattr(value, "kind", ""))
def test_what_a_status_leaves_of_the_metadata(kind: Kind, kept: set[str]) -> None:
    """A write to the status changes labels, annotations and such as far as the kind lets it."""
    old = {"metadata": {"name": "x", "labels": {"a": "1"}}, "spec": {}}
    sent = {field: [{"name": "new"}] for field in USER_METADATA}
    new = {"metadata": {"name": "x", **sent}, "spec": {"other": 1}, "status": {"seen": 1}}
    found = merged(Write(kind, CONTEXT, "status"), new, old)
    stays = {"name": "x"} | ({"labels": {"a": "1"}} if "labels" in kept else {})
    changed = {field: value for field, value in sent.items() if field not in kept}
    assert found == {"metadata": stays | changed, "spec": {}, "status": {"seen": 1}}


async def test_an_applied_status_owns_no_labels(registry: Registry, deployment: Obj) -> None:
    """Labels in an applied Deployment's status are passed over, and owned by nobody new."""
    config = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"by": "status"}, "annotations": {"by": "status"}},
        "status": {"observedGeneration": 1},
    }
    context = replace(CONTEXT, field_manager="m")
    entry, _ = await registry.patch(Deployment, "default", "web", Patch(APPLY_PATCH, config), context, "status")
    meta = registry.decoded(entry)["metadata"]
    owned = next(one["fieldsV1"] for one in meta["managedFields"] if one["manager"] == "m")
    assert (meta.get("labels"), meta["annotations"]) == (None, {"by": "status"})
    assert owned == {
        "f:metadata": {"f:annotations": {"f:by": {}}},
        "f:status": {"f:observedGeneration": {}},
    }
