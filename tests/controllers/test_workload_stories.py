"""DaemonSets, Jobs, endpoints, namespaces and owners end to end in virtual time."""

from typing import Any

import pytest

from minikube_py.kinds.apps.controllerrevision import ControllerRevision
from minikube_py.kinds.apps.daemonset import DaemonSet
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.batch.job import Job
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.endpoints import Endpoints
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.kinds.discovery.endpointslice import EndpointSlice
from minikube_py.kinds.rbac.clusterrole import ClusterRole
from minikube_py.meta.objects import (
    Obj,
    annotations_of,
    condition,
    dig,
    labels_of,
    name_of,
    owner_reference,
    uid_of,
)


def workload(name: str, image: str = "ok:1", **spec: Any) -> Obj:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    selector = {"selector": {"matchLabels": labels}}
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": template, **selector, **spec},
    }


def job(image: str, **spec: Any) -> Obj:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}
    return {
        "metadata": {"name": "work", "namespace": "default"},
        "spec": {"template": {"spec": pod}, **spec},
    }


def config(name: str, namespace: str = "default", **meta: Any) -> Obj:
    return {"metadata": {"name": name, "namespace": namespace, **meta}}


def ds_numbers(world: Any) -> tuple[int, ...]:
    status = world.the(DaemonSet, "agent")["status"]
    fields = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
    return tuple(status.get(field, 0) for field in fields)


async def test_a_daemonset_follows_the_nodes(world: Any) -> None:
    """A DaemonSet has one pod on each node that it may run on, also on nodes added later."""
    await world.add_node("n1")
    await world.create(DaemonSet, workload("agent"))
    assert ds_numbers(world) == (1, 1, 1, 1)
    await world.add_node("n2", unschedulable=True)
    await world.add_node("n3", taints=[{"key": "own", "effect": "NoSchedule"}])
    assert sorted(dig(pod, "spec.nodeName") for pod in world.pods()) == ["n1", "n2"]
    assert ds_numbers(world) == (2, 2, 2, 2)
    await world.patch(Node, "n3", {"spec": {"taints": None}})
    assert sorted(dig(pod, "spec.nodeName") for pod in world.pods()) == ["n1", "n2", "n3"]


async def test_a_daemonset_is_updated_and_rolled_back(world: Any) -> None:
    """A new template replaces the pods node by node; each template is kept as a ControllerRevision."""
    for name in ("n1", "n2", "n3"):
        await world.add_node(name)
    await world.create(DaemonSet, workload("agent"))
    first = world.the(DaemonSet, "agent")["spec"]["template"]
    await world.patch(
        DaemonSet,
        "agent",
        {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "ok:2"}]}}}},
    )
    assert {dig(pod, "spec.containers")[0]["image"] for pod in world.pods()} == {"ok:2"}
    assert ds_numbers(world) == (3, 3, 3, 3)
    revisions = sorted(world.cache.list(ControllerRevision, "default"), key=lambda rev: rev["revision"])
    assert [rev["revision"] for rev in revisions] == [1, 2]
    assert revisions[0]["data"]["spec"]["template"] == {**first, "$patch": "replace"}
    await world.patch(DaemonSet, "agent", {"spec": {"template": first}})
    assert {dig(pod, "spec.containers")[0]["image"] for pod in world.pods()} == {"ok:1"}
    assert sorted(rev["revision"] for rev in world.cache.list(ControllerRevision, "default")) == [2, 3]


async def test_revisions_of_others_are_left_alone(world: Any) -> None:
    """A revision that a client adds stays until the set has something to do; once it is the only one of its
    template it gets its label, and no pod is replaced for that."""
    await world.add_node("n1")
    await world.create(DaemonSet, workload("agent"))
    (pod,), (first,) = world.pods(), world.cache.list(ControllerRevision, "default")
    assert labels_of(pod)["pod-template-generation"] == "1"
    meta = config("added", labels={"app": "agent"})["metadata"]
    meta["ownerReferences"] = first["metadata"]["ownerReferences"]
    await world.create(ControllerRevision, {"metadata": meta, "data": first["data"], "revision": 2})
    assert world.names(ControllerRevision) == sorted(["added", name_of(first)])
    await world.delete(ControllerRevision, name_of(first))
    (left,) = world.cache.list(ControllerRevision, "default")
    assert (name_of(left), labels_of(left)) == ("added", {"app": "agent", "controller-revision-hash": "added"})
    assert ([name_of(p) for p in world.pods()], ds_numbers(world)) == ([name_of(pod)], (1, 1, 1, 1))


async def test_a_job_completes(world: Any) -> None:
    """A Job runs pods until its completions are reached, counting each once."""
    await world.add_node("n1")
    await world.create(Job, job("succeed", completions=3, parallelism=2))
    status = world.the(Job, "work")["status"]
    assert (status["succeeded"], status.get("active", 0), status["uncountedTerminatedPods"]) == (3, 0, {})
    assert [c["type"] for c in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert len(world.pods()) == 3
    assert [pod["metadata"].get("finalizers", []) for pod in world.pods()] == [[], [], []]
    assert world.events("Completed") == ["Job completed"]


async def test_an_indexed_job_runs_each_index(world: Any) -> None:
    """An Indexed Job has one succeeded pod for each index, which knows its index."""
    await world.add_node("n1")
    await world.create(Job, job("succeed", completions=3, parallelism=3, completionMode="Indexed"))
    status = world.the(Job, "work")["status"]
    assert (status["succeeded"], status["completedIndexes"]) == (3, "0-2")
    key = "batch.kubernetes.io/job-completion-index"
    assert sorted(annotations_of(pod)[key] for pod in world.pods()) == ["0", "1", "2"]


async def test_a_job_fails_after_its_backoff_limit(world: Any) -> None:
    """Failing pods are replaced after 10 s, 20 s, ... and end the Job beyond backoffLimit."""
    await world.add_node("n1")
    await world.create(Job, job("fail", backoffLimit=2))
    made = [len(world.pods())]
    for seconds in (11, 21):
        await world.pass_time(seconds)
        made.append(len(world.pods()))
    assert made == [1, 2, 3]
    status = world.the(Job, "work")["status"]
    assert status["failed"] == 3
    assert [(c["type"], c["reason"]) for c in status["conditions"]] == [
        ("FailureTarget", "BackoffLimitExceeded"),
        ("Failed", "BackoffLimitExceeded"),
    ]
    assert world.events("BackoffLimitExceeded") == ["Job has reached the specified backoff limit"]


async def test_a_job_ends_at_its_deadline(world: Any) -> None:
    """activeDeadlineSeconds ends a Job and its pods."""
    await world.add_node("n1")
    await world.create(Job, job("ok", activeDeadlineSeconds=30))
    await world.pass_time(32)
    assert condition(world.the(Job, "work"), "Failed")["reason"] == "DeadlineExceeded"
    assert world.pods() == []


async def test_a_job_is_suspended_and_resumed(world: Any) -> None:
    """Suspending takes the pods away without counting failures; resuming brings them back."""
    await world.add_node("n1")
    await world.create(Job, job("ok"))
    await world.patch(Job, "work", {"spec": {"suspend": True}})
    held = world.the(Job, "work")["status"]
    assert (world.pods(), held.get("failed", 0), held.get("active", 0)) == ([], 0, 0)
    assert condition({"status": held}, "Suspended")["status"] == "True"
    await world.pass_time(5)
    await world.patch(Job, "work", {"spec": {"suspend": False}})
    assert len(world.pods()) == 1
    assert world.the(Job, "work")["status"]["startTime"] > held["startTime"]
    assert condition(world.the(Job, "work"), "Suspended")["status"] == "False"


async def test_a_job_fails_by_its_policy(world: Any) -> None:
    """A pod that ends with a code of a FailJob rule ends the Job at once."""
    await world.add_node("n1")
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    await world.create(Job, job("fail", podFailurePolicy={"rules": [rule]}))
    failed = condition(world.the(Job, "work"), "Failed")
    [pod] = world.names(Pod)
    message = f"Container main for pod default/{pod} failed with exit code 42 matching FailJob rule at index 0"
    assert (failed["reason"], failed["message"]) == ("PodFailurePolicy", message)


async def test_a_finished_job_goes_after_its_ttl(world: Any) -> None:
    """ttlSecondsAfterFinished deletes the Job and its pods."""
    await world.add_node("n1")
    await world.create(Job, job("succeed", ttlSecondsAfterFinished=5))
    await world.pass_time(3)
    assert world.names(Job) == ["work"]
    await world.pass_time(4)
    assert (world.names(Job), world.pods()) == ([], [])


async def test_endpoints_follow_the_pods(world: Any) -> None:
    """A Service's EndpointSlice and Endpoints hold its pods, and change with them."""
    await world.add_node("n1")
    service = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }
    await world.create(Service, service)
    [slice] = world.cache.list(EndpointSlice, "default")
    assert (slice["endpoints"], slice.get("ports") or []) == ([], [])
    await world.create(Deployment, workload("web", replicas=3))
    [slice] = world.cache.list(EndpointSlice, "default")
    assert slice["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert [e["conditions"] for e in slice["endpoints"]] == [
        {"ready": True, "serving": True, "terminating": False}
    ] * 3
    assert labels_of(slice)["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    by_pod = {dig(pod, "status.podIP") for pod in world.pods()}
    assert {e["addresses"][0] for e in slice["endpoints"]} == by_pod
    [subset] = world.the(Endpoints, "web")["subsets"]
    assert {a["ip"] for a in subset["addresses"]} == by_pod
    await world.patch(Deployment, "web", {"spec": {"replicas": 0}})
    [slice] = world.cache.list(EndpointSlice, "default")
    assert (slice["endpoints"], world.the(Endpoints, "web").get("subsets")) == ([], None)
    await world.patch(Deployment, "web", {"spec": {"replicas": 1}})
    assert len(world.names(EndpointSlice)) == 1
    await world.delete(Service, "web")
    assert (world.names(EndpointSlice), world.names(Endpoints)) == ([], [])


async def test_endpoints_of_a_user_are_mirrored(world: Any) -> None:
    """Endpoints that a user keeps for a Service without selector become a slice, which follows changes."""
    service = {"metadata": {"name": "db", "namespace": "default"}, "spec": {"ports": [{"port": 5432}]}}
    await world.create(Service, service)

    def subsets(ip: str) -> Obj:
        return {"subsets": [{"addresses": [{"ip": ip}], "ports": [{"port": 5432}]}]}

    await world.create(Endpoints, {"metadata": {"name": "db", "namespace": "default"}, **subsets("192.0.2.1")})
    [slice] = world.cache.list(EndpointSlice, "default")
    assert slice["endpoints"] == [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}]
    assert slice["ports"] == [{"name": "", "port": 5432, "protocol": "TCP"}]
    assert labels_of(slice)["kubernetes.io/service-name"] == "db"
    await world.patch(Endpoints, "db", subsets("192.0.2.2"))
    [slice] = world.cache.list(EndpointSlice, "default")
    assert [e["addresses"] for e in slice["endpoints"]] == [["192.0.2.2"]]
    await world.patch(Service, "db", {"spec": {"selector": {"app": "none"}}})
    [slice] = world.cache.list(EndpointSlice, "default")
    assert slice["endpoints"] == []


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_a_tree_goes_with_its_root(world: Any, propagation: str) -> None:
    """Deleting a Deployment takes its ReplicaSets and pods along."""
    await world.add_node("n1")
    await world.create(Deployment, workload("web", replicas=3))
    await world.delete(Deployment, "web", propagationPolicy=propagation)
    assert (world.names(Deployment), world.names(ReplicaSet), world.pods()) == ([], [], [])


async def test_foreground_deletion_waits_for_dependents(world: Any) -> None:
    """In the foreground the root goes last, after every dependent that blocks it."""
    await world.add_node("n1")
    await world.create(Deployment, workload("web", replicas=2))
    world.agent.silent.add("n1")
    await world.delete(Deployment, "web", propagationPolicy="Foreground")
    assert (world.names(Deployment), len(world.names(ReplicaSet)), len(world.pods())) == (["web"], 1, 2)
    world.agent.silent.clear()
    for pod in world.names(Pod):
        world.agent.queue.add(("default", pod))
    await world.settle()
    assert (world.names(Deployment), world.names(ReplicaSet), world.pods()) == ([], [], [])


async def test_orphans_stay(world: Any) -> None:
    """With Orphan the dependents lose their owner and stay; a Deployment of the same selector adopts them."""
    await world.add_node("n1")
    await world.create(Deployment, workload("web", replicas=2))
    [replicaset], pods = world.names(ReplicaSet), world.names(Pod)
    await world.delete(Deployment, "web", propagationPolicy="Orphan")
    assert (world.names(Deployment), world.names(ReplicaSet), world.names(Pod)) == ([], [replicaset], pods)
    assert world.the(ReplicaSet, replicaset)["metadata"].get("ownerReferences", []) == []
    made = await world.create(Deployment, workload("web", replicas=2))
    [ref] = world.the(ReplicaSet, replicaset)["metadata"]["ownerReferences"]
    assert (ref["uid"], world.names(Pod)) == (uid_of(made), pods)


async def test_an_object_of_absent_owners_goes(world: Any) -> None:
    """An object whose owners never existed goes; one with a second, living owner loses the reference."""
    owner = await world.create(ConfigMap, config("owner"))
    absent = {**owner_reference(owner), "name": "absent", "uid": "gone", "controller": False}
    living = {**owner_reference(owner), "controller": False}
    await world.create(ConfigMap, config("alone", ownerReferences=[absent]))
    await world.create(ConfigMap, config("kept", ownerReferences=[absent, living]))
    assert world.names(ConfigMap) == ["kept", "kube-root-ca.crt", "owner"]
    assert world.the(ConfigMap, "kept")["metadata"]["ownerReferences"] == [living]


async def test_an_owner_in_another_namespace_does_not_hold(world: Any) -> None:
    """A reference to an owner in another namespace is told of, and its object is collected."""
    owner = await world.create(ConfigMap, config("owner", "kube-system"))
    reference = {**owner_reference(owner), "controller": False}
    await world.create(ConfigMap, config("child", ownerReferences=[reference]))
    assert world.get(ConfigMap, "child") is None
    identity = f"v1/ConfigMap, namespace: default, name: owner, uid: {uid_of(owner)}"
    message = f'ownerRef [{identity}] does not exist in namespace "default"'
    assert world.events("OwnerRefInvalidNamespace") == [message]


async def test_a_namespace_goes_with_its_content(world: Any) -> None:
    """A deleted namespace is emptied and goes; a finalizer holds it, and the conditions say why."""
    await world.add_node("n1")
    await world.create(Namespace, {"metadata": {"name": "team"}})
    web = workload("web", replicas=2)
    web["metadata"]["namespace"] = "team"
    await world.create(Deployment, web)
    await world.create(ConfigMap, config("held", "team", finalizers=["example.com/hold"]))
    await world.delete(Namespace, "team")
    assert (world.pods("team"), world.names(Deployment, "team")) == ([], [])
    namespace = world.the(Namespace, "team")
    assert condition(namespace, "NamespaceFinalizersRemaining")["message"] == (
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    )
    await world.patch(ConfigMap, "held", {"metadata": {"finalizers": None}}, namespace="team")
    assert world.get(Namespace, "team") is None


async def test_what_a_namespace_needs_is_made_again(world: Any) -> None:
    """The default ServiceAccount and the root CA ConfigMap come back, and the latter is kept right."""
    await world.delete(ServiceAccount, "default")
    await world.patch(ConfigMap, "kube-root-ca.crt", {"data": {"ca.crt": "forged"}})
    assert world.names(ServiceAccount) == ["default"]
    assert world.the(ConfigMap, "kube-root-ca.crt")["data"] == {"ca.crt": "PEM"}
    await world.delete(ConfigMap, "kube-root-ca.crt")
    assert world.the(ConfigMap, "kube-root-ca.crt")["data"] == {"ca.crt": "PEM"}


async def test_token_secrets_are_filled_and_removed(world: Any) -> None:
    """A Secret of the token type gets its token, and goes with its ServiceAccount."""
    await world.create(ServiceAccount, {"metadata": {"name": "bot", "namespace": "default"}})
    annotations = {"kubernetes.io/service-account.name": "bot"}
    kind = "kubernetes.io/service-account-token"
    await world.create(Secret, {**config("bot-token", annotations=annotations), "type": kind})
    data = world.the(Secret, "bot-token")["data"]
    assert sorted(data) == ["ca.crt", "namespace", "token"]
    assert data["token"] == "dG9rZW4gb2Ygc3lzdGVtOnNlcnZpY2VhY2NvdW50OmRlZmF1bHQ6Ym90"
    await world.delete(ServiceAccount, "bot")
    assert world.names(Secret) == []


async def test_cluster_roles_are_aggregated(world: Any) -> None:
    """An aggregating ClusterRole has the rules of those it selects, as they come and change."""
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    selectors = [{"matchLabels": {"to-view": "true"}}]
    view = {"metadata": {"name": "view"}, "aggregationRule": {"clusterRoleSelectors": selectors}}
    await world.create(ClusterRole, view)
    await world.create(
        ClusterRole, {"metadata": {"name": "pods", "labels": {"to-view": "true"}}, "rules": [rule]}
    )
    assert world.the(ClusterRole, "view")["rules"] == [rule]
    await world.delete(ClusterRole, "pods")
    assert world.the(ClusterRole, "view").get("rules", []) == []


def test_the_names_differ(world: Any) -> None:
    """No two controllers have one name."""
    names = [controller.name for controller in world.manager.controllers]
    assert sorted(set(names)) == sorted(names)
    assert {health.state for health in world.manager.health.values()} == {"running"}


async def test_nothing_runs_when_nothing_changes(world: Any) -> None:
    """An idle cluster costs no reconciliation but the one look per node and grace period."""
    await world.add_node("n1")
    await world.create(Deployment, workload("web", replicas=3))
    before = {c.name: c.metrics.runs for c in world.manager.controllers}
    world.beating.clear()
    revision = world.cache.revision
    await world.pass_time(35)
    after = {c.name: c.metrics.runs for c in world.manager.controllers}
    assert (after, world.cache.revision) == (before, revision)
    assert name_of(world.the(Node, "n1")) == "n1"
