"""Deployments end to end in virtual time: rollout, rollback, scaling, pausing, failing, healing."""

from typing import Any

from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, condition, dig, labels_of, name_of


def deployment(name: str = "web", replicas: int = 3, image: str = "ok:1", **spec: Any) -> Obj:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec},
    }


def image(value: str) -> Obj:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": value}]}}}}


def sizes(world: Any) -> dict[str, int]:
    """Replicas wanted by image."""
    return {
        dig(rs, "spec.template.spec.containers")[0]["image"]: dig(rs, "spec.replicas")
        for rs in world.cache.list(ReplicaSet, "default")
    }


def progressing(world: Any) -> tuple[str, str]:
    found = condition(world.the(Deployment, "web"), "Progressing")
    return (found["status"], found["reason"]) if found else ("", "")


async def test_a_deployment_becomes_available(world: Any) -> None:
    """A new Deployment has its pods, its status, its revision and the events that kubectl shows."""
    await world.add_node("n1")
    await world.create(Deployment, deployment())
    web = world.the(Deployment, "web")
    status = {k: v for k, v in web["status"].items() if k != "conditions"}
    assert status == {
        "observedGeneration": 1,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
    }
    [name] = world.names(ReplicaSet)
    assert progressing(world) == ("True", "NewReplicaSetAvailable")
    assert condition(web, "Progressing")["message"] == f'ReplicaSet "{name}" has successfully progressed.'
    assert condition(web, "Available")["reason"] == "MinimumReplicasAvailable"
    assert web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    assert world.events("ScalingReplicaSet") == [f"Scaled up replica set {name} from 0 to 3"]
    assert len(world.events("SuccessfulCreate")) == 3
    assert {labels_of(pod)["pod-template-hash"] for pod in world.pods()} == {name.removeprefix("web-")}


async def test_an_update_keeps_its_limits(world: Any) -> None:
    """A rolling update never has more pods than replicas + maxSurge nor fewer ready than its minimum."""
    await world.add_node("n1")
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await world.create(Deployment, deployment(replicas=4, strategy=rolling))
    seen: list[tuple[int, int]] = []

    def watch(change: Any) -> None:
        alive = [pod for pod in world.pods() if not pod["metadata"].get("deletionTimestamp")]
        ready = [pod for pod in alive if (condition(pod, "Ready") or {}).get("status") == "True"]
        seen.append((len(alive), len(ready)))

    unsubscribe = world.cache.subscribe(Pod, watch)
    await world.patch(Deployment, "web", image("ok:2"))
    unsubscribe()
    assert sizes(world) == {"ok:1": 0, "ok:2": 4}
    assert (max(total for total, _ in seen), min(ready for _, ready in seen)) == (5, 4)
    assert progressing(world) == ("True", "NewReplicaSetAvailable")


async def test_a_bad_update_stops_and_is_rolled_back(world: Any) -> None:
    """Pods that never become ready stop the rollout, its deadline passes, and undoing it heals."""
    await world.add_node("n1")
    await world.create(Deployment, deployment(progressDeadlineSeconds=60))
    first = world.the(Deployment, "web")["spec"]["template"]
    await world.patch(Deployment, "web", image("stuck"))
    assert sizes(world) == {"ok:1": 3, "stuck": 1}
    assert progressing(world) == ("True", "ReplicaSetUpdated")
    await world.pass_time(63)
    assert progressing(world) == ("False", "ProgressDeadlineExceeded")
    await world.patch(Deployment, "web", {"spec": {"template": first}})
    assert sizes(world) == {"ok:1": 3, "stuck": 0}
    assert progressing(world) == ("True", "NewReplicaSetAvailable")
    [used] = [rs for rs in world.cache.list(ReplicaSet, "default") if dig(rs, "spec.replicas")]
    annotations = used["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "3"
    assert annotations["deployment.kubernetes.io/revision-history"] == "1"
    assert len(world.pods()) == 3


async def test_scaling_up_and_down(world: Any) -> None:
    """spec.replicas is followed in both directions."""
    await world.add_node("n1")
    await world.create(Deployment, deployment(replicas=1))
    await world.patch(Deployment, "web", {"spec": {"replicas": 5}})
    assert (len(world.pods()), world.the(Deployment, "web")["status"]["availableReplicas"]) == (5, 5)
    await world.patch(Deployment, "web", {"spec": {"replicas": 0}})
    assert (len(world.pods()), world.the(Deployment, "web")["status"].get("replicas", 0)) == (0, 0)
    [name] = world.names(ReplicaSet)
    assert world.events("ScalingReplicaSet") == [
        f"Scaled up replica set {name} from 0 to 1",
        f"Scaled up replica set {name} from 1 to 5",
        f"Scaled down replica set {name} from 5 to 0",
    ]


async def test_a_dead_pod_is_replaced(world: Any) -> None:
    """Deleting a pod brings a new one; a failed pod is replaced too."""
    await world.add_node("n1")
    await world.create(Deployment, deployment())
    before = set(world.names(Pod))
    await world.delete(Pod, min(before))
    after = set(world.names(Pod))
    assert (len(after), len(after & before)) == (3, 2)
    await world.api.patch(Pod, (("default", max(after))), {"status": {"phase": "Failed"}}, subresource="status")
    await world.settle()
    running = [name_of(pod) for pod in world.pods() if pod["status"]["phase"] == "Running"]
    assert (len(running), max(after) in running) == (3, False)


async def test_recreate_waits_for_the_old_pods(world: Any) -> None:
    """With Recreate no new pod is made before the last old one is gone."""
    await world.add_node("n1")
    await world.create(Deployment, deployment(strategy={"type": "Recreate"}))
    overlap: list[set[str]] = []
    watch = lambda change: overlap.append({dig(p, "spec.containers")[0]["image"] for p in world.pods()})  # noqa: E731
    unsubscribe = world.cache.subscribe(Pod, watch)
    await world.patch(Deployment, "web", image("ok:2"))
    unsubscribe()
    assert sizes(world) == {"ok:1": 0, "ok:2": 3}
    assert [images for images in overlap if len(images) > 1] == []
    assert len(world.pods()) == 3


async def test_pause_holds_a_template_but_not_a_size(world: Any) -> None:
    """A paused Deployment scales, but rolls nothing out until it is resumed."""
    await world.add_node("n1")
    await world.create(Deployment, deployment())
    await world.patch(Deployment, "web", {"spec": {"paused": True}})
    assert progressing(world) == ("Unknown", "DeploymentPaused")
    await world.patch(Deployment, "web", image("ok:2"))
    await world.patch(Deployment, "web", {"spec": {"replicas": 4}})
    assert sizes(world) == {"ok:1": 4}
    await world.patch(Deployment, "web", {"spec": {"paused": False}})
    assert sizes(world) == {"ok:1": 0, "ok:2": 4}


async def test_history_is_limited(world: Any) -> None:
    """Of the ReplicaSets of past templates as many stay as revisionHistoryLimit says, the newest."""
    await world.add_node("n1")
    await world.create(Deployment, deployment(revisionHistoryLimit=1))
    for version in ("ok:2", "ok:3", "ok:4"):
        await world.patch(Deployment, "web", image(version))
    assert sizes(world) == {"ok:3": 0, "ok:4": 3}


async def test_min_ready_seconds_delay_availability(world: Any) -> None:
    """A pod counts as available only once it has been ready for minReadySeconds."""
    await world.add_node("n1")
    await world.create(Deployment, deployment(minReadySeconds=10))
    assert world.the(Deployment, "web")["status"].get("availableReplicas", 0) == 0
    await world.pass_time(11)
    assert world.the(Deployment, "web")["status"].get("availableReplicas", 0) == 3


async def test_a_pod_that_loses_its_label_is_released(world: Any) -> None:
    """A pod whose labels stop matching is let go and replaced; given them back, it is adopted and one goes."""
    await world.add_node("n1")
    await world.create(Deployment, deployment())
    name = world.names(Pod)[0]
    await world.patch(Pod, name, {"metadata": {"labels": {"app": "other"}}})
    assert (len(world.pods()), world.the(Pod, name)["metadata"].get("ownerReferences", [])) == (4, [])
    await world.patch(Pod, name, {"metadata": {"labels": {"app": "web"}}})
    assert len(world.pods()) == 3
