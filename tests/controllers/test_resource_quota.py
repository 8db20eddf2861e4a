"""The quota controller: what quotas say is used follows what there is."""

from typing import Any

from minikube_py.controllers.resourcequota import ResourceQuotaController
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.resourcequota import ResourceQuota
from minikube_py.kinds.core.service import Service
from minikube_py.meta.objects import Key, Obj, copy


def quota(name: str = "q", **hard: Any) -> Obj:
    limits = {key.replace("_", "."): str(value) for key, value in hard.items()}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"hard": limits}}


def named(name: str, **more: Any) -> Obj:
    return {"metadata": {"name": name, "namespace": "default"}, **more}


def pod(name: str, image: str = "ok:1") -> Obj:
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": "250m"}}}
    return named(name, spec={"containers": [container]})


def used(world: Any, name: str = "q") -> Obj:
    found: Obj = world.the(ResourceQuota, name)["status"]["used"]
    return found


async def test_new_quota_counts_what_there_is(world: Any) -> None:
    """A new quota's status tells at once what is allowed and what is used; a changed one too."""
    await world.create(ConfigMap, named("a"))
    await world.create(Pod, pod("p"))
    await world.create(ResourceQuota, quota(configmaps=9, requests_cpu="1", services=3))
    status = world.the(ResourceQuota, "q")["status"]
    assert status == {
        "hard": {"configmaps": "9", "requests.cpu": "1", "services": "3"},
        "used": {"configmaps": "2", "requests.cpu": "250m", "services": "0"},
    }
    await world.patch(ResourceQuota, "q", {"spec": {"hard": {"secrets": "5", "configmaps": None}}})
    assert used(world) == {"requests.cpu": "250m", "services": "0", "secrets": "0"}


async def test_what_goes_or_shrinks_is_given_back(world: Any) -> None:
    """Deleted objects, pods that end and Services that change are counted less, without a further cause."""
    await world.add_node("n1")
    await world.create(Service, named("s", spec={"type": "NodePort", "ports": [{"port": 80}]}))
    for name in ("a", "b"):
        await world.create(Pod, pod(name))
    await world.create(ConfigMap, named("c"))
    await world.create(ResourceQuota, quota(pods=9, services_nodeports=2, configmaps=9))
    assert used(world) == {"pods": "2", "services.nodeports": "1", "configmaps": "2"}
    await world.delete(ConfigMap, "c")
    ended = copy(world.the(Pod, "a"))
    ended["status"]["phase"] = "Failed"
    await world.api.update(Pod, ended, subresource="status")
    await world.patch(Service, "s", {"spec": {"type": "ClusterIP"}})
    await world.pass_time(1)
    assert used(world) == {"pods": "1", "services.nodeports": "0", "configmaps": "1"}


async def test_charge_without_an_object_is_corrected(world: Any) -> None:
    """A charge whose write failed is gone a few seconds later; then nothing more runs."""
    await world.create(ResourceQuota, quota(configmaps=9))
    charged = copy(world.the(ResourceQuota, "q"))
    charged["status"]["used"] = {"configmaps": "7"}
    await world.api.update(ResourceQuota, charged, subresource="status")
    await world.settle()
    assert used(world) == {"configmaps": "7"}
    await world.pass_time(6)
    assert used(world) == {"configmaps": "1"}
    await world.pass_time(10)
    runs = world.controller(ResourceQuotaController).metrics.runs
    await world.pass_time(60)
    assert world.controller(ResourceQuotaController).metrics.runs == runs


async def test_only_named_kinds_are_followed(world: Any) -> None:
    """Without a quota nothing is followed, and with one only what it names."""
    controller = world.controller(ResourceQuotaController)
    assert set(controller._followed) == set()
    await world.create(ResourceQuota, quota(configmaps=9, pods=3))
    assert set(controller._followed) == {"configmaps", "pods"}
    before = controller.metrics.runs
    await world.create(Service, named("s", spec={"ports": [{"port": 80}]}))
    await world.delete(Service, "s")
    await world.pass_time(1)
    assert controller.metrics.runs == before


async def test_deleted_quota_is_forgotten(world: Any) -> None:
    """A quota that is gone costs nothing any more."""
    await world.create(ResourceQuota, quota(configmaps=9))
    await world.delete(ResourceQuota, "q")
    await world.pass_time(10)
    controller = world.controller(ResourceQuotaController)
    before = controller.metrics.runs
    await world.api.delete(ConfigMap, Key("default", "kube-root-ca.crt"))
    await world.pass_time(10)
    assert controller.metrics.runs == before
