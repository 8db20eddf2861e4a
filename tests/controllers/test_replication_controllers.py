"""ReplicationControllers in virtual time."""

from typing import Any

from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.replicationcontroller import ReplicationController
from minikube_py.meta.objects import dig, uid_of


async def test_a_replication_controller_keeps_its_pods(world: Any) -> None:
    """It creates, adopts, releases and removes pods by its plain selector, and tells how many there are."""
    await world.add_node("n1")
    pod = {"containers": [{"name": "main", "image": "ok:1"}]}
    orphan = {"metadata": {"name": "orphan", "namespace": "default", "labels": {"app": "web"}}, "spec": pod}
    await world.create(Pod, orphan)
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod}
    meta = {"name": "web", "namespace": "default"}
    spec = {"replicas": 2, "selector": {"app": "web"}, "template": template}
    await world.create(ReplicationController, {"metadata": meta, "spec": spec})
    mine = uid_of(world.the(ReplicationController, "web"))
    assert [dig(p, "metadata.ownerReferences")[0]["uid"] for p in world.pods()] == [mine, mine]
    assert world.the(ReplicationController, "web")["status"]["readyReplicas"] == 2
    await world.patch(Pod, "orphan", {"metadata": {"labels": {"app": "other"}}})
    assert (len(world.pods()), dig(world.the(Pod, "orphan"), "metadata.ownerReferences")) == (3, None)
    await world.patch(ReplicationController, "web", {"spec": {"replicas": 0}})
    assert world.names(Pod) == ["orphan"]
