"""ResourceQuota and LimitRange, as users meet them: real requests, real kubectl."""

import asyncio
from typing import Any

import pytest
from api_cluster import Client, Cluster, Kubectl

from minikube_py.apiserver.admission.limits import claim_faults, give_defaults, pod_faults
from minikube_py.client.local import LocalClients
from minikube_py.kinds.core.resourcequota import ResourceQuota
from minikube_py.meta.objects import Obj, copy

CORE = "/api/v1/namespaces/default"
PODS, QUOTAS, MAPS = f"{CORE}/pods", f"{CORE}/resourcequotas", f"{CORE}/configmaps"
MERGE = "application/merge-patch+json"


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def asking(name: str, requests: Obj | None = None, limits: Obj | None = None) -> dict[str, Any]:
    resources = {"requests": requests or {}, "limits": limits or {}}
    return pod(name, containers=[{"name": "c", "image": "i", "resources": resources}])


async def quota(admin: Client, name: str = "q", **spec: Any) -> None:
    hard = {key.replace("__", "/").replace("_", "."): str(value) for key, value in spec.pop("hard").items()}
    answer = await admin.post(QUOTAS, {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
    assert answer.code == 201


async def used(admin: Client, name: str = "q") -> Obj:
    found: Obj = (await admin.get(f"{QUOTAS}/{name}"))["status"]
    return found.get("used", {})


async def test_hundred_creates_against_ten(admin: Client) -> None:
    """Of 100 creates at once exactly as many as the quota allows are admitted, and charged."""
    await quota(admin, hard={"pods": 10, "count/pods": 50})
    answers = await asyncio.gather(*(admin.post(PODS, pod(f"p{number}")) for number in range(100)))
    codes = [answer.code for answer in answers]
    stored = (await admin.get(PODS))["items"]
    refusals = {answer["message"].partition(": ")[2] for answer in answers if answer.code == 403}
    assert (codes.count(201), codes.count(403), len(stored)) == (10, 90, 10)
    assert refusals == {"exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10"}
    assert await used(admin) == {"pods": "10", "count/pods": "10"}


async def test_dry_run_and_refused_writes_are_free(admin: Client) -> None:
    """A dry run is judged but not charged; a name that is taken costs nothing."""
    await quota(admin, hard={"configmaps": 3})  # kube-root-ca.crt is there already
    body = {"metadata": {"name": "a"}}
    first = [(await admin.post(f"{MAPS}?dryRun=All", body)).code for _ in range(5)]
    second = [(await admin.post(MAPS, body)).code for _ in range(5)]
    assert (first, second) == ([201] * 5, [201] + [409] * 4)
    assert await used(admin) == {"configmaps": "2"}
    assert (await admin.post(MAPS, {"metadata": {"name": "b"}})).code == 201
    full = await admin.post(f"{MAPS}?dryRun=All", {"metadata": {"generateName": "c-"}})
    assert full.code == 403


async def test_compute_must_be_said(admin: Client) -> None:
    """A quota of compute makes every container say what it wants, and adds it up."""
    await quota(admin, "compute", hard={"limits_cpu": "2", "requests_memory": "1Gi", "pods": 9})
    silent = await admin.post(PODS, pod())
    said = await admin.post(PODS, asking("a", {"memory": "512Mi"}, {"cpu": "1500m"}))
    more = await admin.post(PODS, asking("b", {"memory": "768Mi"}, {"cpu": "1"}))
    assert (silent.code, silent["message"]) == (
        403,
        'pods "p" is forbidden: failed quota: compute: must specify limits.cpu for: c; requests.memory for: c',
    )
    assert (said.code, more.code, more["message"]) == (
        201,
        403,
        'pods "b" is forbidden: exceeded quota: compute, requested: limits.cpu=1,requests.memory=768Mi, '
        "used: limits.cpu=1500m,requests.memory=512Mi, limited: limits.cpu=2,requests.memory=1Gi",
    )


async def test_quota_of_priority_class(admin: Client) -> None:
    """A scope selector counts the pods of its priority classes alone."""
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await admin.post(classes, {"metadata": {"name": "high"}, "value": 7})
    wanted = [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]
    await quota(admin, hard={"pods": 1}, scopeSelector={"matchExpressions": wanted})
    codes = [(await admin.post(PODS, pod(f"high{n}", priorityClassName="high"))).code for n in range(2)]
    codes += [(await admin.post(PODS, pod(f"low{n}"))).code for n in range(2)]
    assert codes == [201, 403, 201, 201]


async def test_services_are_charged_for_what_they_become(admin: Client) -> None:
    """Making a Service a NodePort one is charged as a change, and refused where none is left."""
    await quota(admin, hard={"services_nodeports": 1, "count/services": 9})
    path = f"{CORE}/services"
    for name in ("a", "b"):
        ports = [{"port": 80}]
        assert (await admin.post(path, {"metadata": {"name": name}, "spec": {"ports": ports}})).code == 201
    patch = {"spec": {"type": "NodePort"}}
    first = await admin.call("PATCH", f"{path}/a", patch, type=MERGE)
    again = await admin.call("PATCH", f"{path}/a", {"metadata": {"labels": {"x": "y"}}}, type=MERGE)
    second = await admin.call("PATCH", f"{path}/b", patch, type=MERGE)
    assert (first.code, again.code, second.code) == (200, 200, 403)
    assert (await used(admin))["services.nodeports"] == "1"


async def test_claims_by_class(admin: Client) -> None:
    """Storage is limited in all and by class, the default class too; growth is charged."""
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    storage = {"metadata": {"name": "gold", "annotations": annotations}, "provisioner": "p"}
    await admin.post("/apis/storage.k8s.io/v1/storageclasses", storage)
    by_class = "gold.storageclass.storage.k8s.io/requests.storage"
    hard = {by_class: "3Gi", "persistentvolumeclaims": "5"}
    await admin.post(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    codes = []
    for name, size in (("a", "2Gi"), ("b", "2Gi"), ("c", "1Gi")):
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        answer = await admin.post(f"{CORE}/persistentvolumeclaims", {"metadata": {"name": name}, "spec": spec})
        codes.append(answer.code)
    assert (codes, await used(admin)) == ([201, 403, 201], {by_class: "3Gi", "persistentvolumeclaims": "2"})


async def test_count_is_never_lost_to_a_recount(cluster: Cluster, admin: Client) -> None:
    """A count of the stored objects, written while a create is under way, still carries its charge."""
    await quota(admin, hard={"configmaps": 2})
    client = LocalClients(cluster.registry).named("resourcequota-controller")
    found: list[Obj] = []

    class Recounting:
        """Admission that counts again between the charge and the commit, as another process would."""

        def __init__(self, inner: Any) -> None:
            self.mutate, self._inner = inner.mutate, inner

        async def validate(self, request: Any) -> None:
            await self._inner.validate(request)
            if request.kind.resource == "configmaps" and not found:
                stored = copy(await client.get(ResourceQuota, "q", "default"))
                stored["status"]["used"] = {"configmaps": "1"}
                found.append(await client.update(ResourceQuota, stored, subresource="status"))

    cluster.registry.admission = Recounting(cluster.registry.admission)
    assert (await admin.post(MAPS, {"metadata": {"name": "a"}})).code == 201
    assert found[0]["status"]["used"] == {"configmaps": "2"}
    assert (await admin.post(MAPS, {"metadata": {"name": "b"}})).code == 403


async def test_kubectl_create_quota(admin: Client, kubectl: Kubectl) -> None:
    """kubectl makes a quota, is refused by it, and describes it."""
    await kubectl("create", "quota", "small", "--hard=configmaps=2,count/deployments.apps=0")
    await kubectl("create", "configmap", "one")
    refused = await kubectl("create", "configmap", "two", check=False)
    deployment = await kubectl("create", "deployment", "d", "--image=i", check=False)
    shown = await kubectl("describe", "quota", "small")
    assert refused.stderr.strip() == (
        'error: failed to create configmap: configmaps "two" is forbidden: exceeded quota: small, requested: '
        "configmaps=1, used: configmaps=2, limited: configmaps=2"
    )
    assert "exceeded quota: small, requested: count/deployments.apps=1" in deployment.stderr
    assert [line.split() for line in shown.stdout.splitlines()[-2:]] == [
        ["configmaps", "2", "2"],
        ["count/deployments.apps", "0", "0"],
    ]


RANGE = {"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1", "memory": "1Gi"}}


@pytest.mark.parametrize(
    ("item", "requests", "limits", "expected"),
    [
        (RANGE, {"cpu": "100m"}, {"cpu": "1", "memory": "1Gi"}, []),
        (
            RANGE,
            {"cpu": "50m"},
            {"cpu": "2"},
            [
                "minimum cpu usage per Container is 100m, but request is 50m",
                "maximum cpu usage per Container is 1, but limit is 2",
                "maximum memory usage per Container is 1Gi.  No limit is specified",
            ],
        ),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "2", "memory": "1"}},
            {"cpu": "100m"},
            {"cpu": "250m"},
            [
                "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000",
                "memory max limit to request ratio per Container is 1, but no request is specified or request "
                "is 0",
            ],
        ),
        (
            {"type": "Pod", "min": {"cpu": "500m"}, "max": {"memory": "1Mi"}},
            {"cpu": "100m", "memory": "2Mi"},
            {"memory": "2Mi"},
            [
                "minimum cpu usage per Pod is 500m, but request is 200m",
                "maximum memory usage per Pod is 1Mi, but limit is 4Mi",
            ],
        ),
    ],
)
def test_limits_of_pods(item: Obj, requests: Obj, limits: Obj, expected: list[str]) -> None:
    """What a LimitRange refuses of containers, and of the pod as a whole."""
    made = asking("p", requests, limits)
    if item["type"] == "Pod":
        made["spec"]["containers"] *= 2
    assert list(pod_faults({"spec": {"limits": [item]}}, made)) == expected


def test_limits_of_claims() -> None:
    """Claims are bounded by what they request."""
    item = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
    limits = {"spec": {"limits": [item]}}
    found = [
        list(claim_faults(limits, {"spec": {"resources": {"requests": {"storage": size}}}}))
        for size in ("500Mi", "1Gi", "3Gi")
    ]
    assert found == [
        ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"],
        [],
        ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"],
    ]


def test_defaults_are_given_once_and_noted() -> None:
    """Containers get what they do not say, init containers too, and the pod carries a note of it."""
    item = {"type": "Container", "defaultRequest": {"cpu": "1", "memory": "2"}, "default": {"cpu": "3"}}
    made = asking("p", {"cpu": "7"})
    made["spec"]["initContainers"] = [{"name": "i"}]
    for _ in range(2):
        give_defaults({"spec": {"limits": [item]}}, made)
    assert made["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "7", "memory": "2"},
        "limits": {"cpu": "3"},
    }
    assert made["spec"]["initContainers"][0]["resources"]["requests"] == {"cpu": "1", "memory": "2"}
    assert made["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: memory request for container c; cpu limit for "
        "container c; cpu, memory request for init container i; cpu limit for init container i"
    }


async def test_limit_range_of_a_namespace(admin: Client) -> None:
    """A LimitRange completes a silent pod and refuses a greedy one; the quota then sees what was given."""
    limits = [{"type": "Container", "default": {"cpu": "500m"}, "max": {"cpu": "1"}}]
    await admin.post(f"{CORE}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": limits}})
    await quota(admin, hard={"limits_cpu": "2"})
    given = await admin.post(PODS, pod())
    greedy = await admin.post(PODS, asking("g", {}, {"cpu": "2"}))
    assert given["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m"},
        "requests": {"cpu": "500m"},
    }
    assert (greedy.code, greedy["message"]) == (
        403,
        'pods "g" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
    )
    assert await used(admin) == {"limits.cpu": "500m"}


async def test_resize_meets_limits_and_quota(admin: Client) -> None:
    """What a running pod grows by is charged, and bounded, like what it began with."""
    await quota(admin, hard={"requests_cpu": "2", "limits_cpu": "9"})
    made = asking("p", {"cpu": "500m"}, {"cpu": "2"})
    assert (await admin.post(PODS, made)).code == 201
    status = {"status": {"containerStatuses": [{"name": "c", "resources": {}}], "phase": "Running"}}
    await admin.call("PATCH", f"{PODS}/p/status", status, type="application/strategic-merge-patch+json")
    limits = [{"type": "Container", "max": {"cpu": "1800m"}}]

    async def resize(cpu: str) -> Any:
        resources = {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}
        patch = {"spec": {"containers": [{"name": "c", "resources": resources}]}}
        return await admin.call(
            "PATCH", f"{PODS}/p/resize", patch, type="application/strategic-merge-patch+json"
        )

    grown, too_far = await resize("1500m"), await resize("2500m")
    await admin.post(f"{CORE}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": limits}})
    bounded = await resize("1900m")
    assert (too_far.code, too_far["message"]) == (
        403,
        'pods "p" is forbidden: exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=1500m, '
        "limited: requests.cpu=2",
    )
    assert (grown.code, bounded.code) == (200, 403)
    assert bounded["message"].endswith("maximum cpu usage per Container is 1800m, but limit is 1900m")
    assert (await used(admin))["requests.cpu"] == "1500m"
