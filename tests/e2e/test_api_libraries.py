"""Other public clients, where they are installed: each does what its own guide begins with."""

import asyncio
import os
from typing import Any

import pytest
from conftest import Cluster, pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60), pytest.mark.filterwarnings("default")]

SLEEP = ["/bin/busybox", "sleep", "3600"]


@pytest.fixture(autouse=True)
def environment(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients find the cluster by KUBECONFIG."""
    monkeypatch.setenv("KUBECONFIG", cluster.environment["KUBECONFIG"])


def test_kubernetes_asyncio(namespace: str) -> None:
    """A pod is created, watched until it runs, patched in two ways, and deleted."""
    library: Any = pytest.importorskip("kubernetes_asyncio")

    async def use() -> dict[str, str]:
        await library.config.load_kube_config(config_file=os.environ["KUBECONFIG"])
        async with library.client.ApiClient() as api:
            core = library.client.CoreV1Api(api)
            await core.create_namespaced_pod(namespace, pod("p", SLEEP, terminationGracePeriodSeconds=0))
            async with library.watch.Watch().stream(
                core.list_namespaced_pod, namespace, timeout_seconds=20
            ) as events:
                async for event in events:
                    if event["object"].status.phase == "Running":
                        break
            change = [{"op": "add", "path": "/metadata/labels/json", "value": "1"}]
            await core.patch_namespaced_pod("p", namespace, change)
            merge = {"metadata": {"labels": {"merge": "1"}}}
            type = "application/merge-patch+json"
            patched = await core.patch_namespaced_pod("p", namespace, merge, _content_type=type)
            await core.delete_namespaced_pod("p", namespace)
            return dict(patched.metadata.labels)

    assert asyncio.run(use()) == {"app": "p", "json": "1", "merge": "1"}


def test_lightkube(namespace: str) -> None:
    """Objects are applied, patched, listed in pages, watched and deleted; a refusal has its reason."""
    lightkube: Any = pytest.importorskip("lightkube")
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import ConfigMap

    client = lightkube.Client(namespace=namespace, field_manager="tests")
    for value in ("1", "2"):
        client.apply(ConfigMap(metadata=ObjectMeta(name="c"), data={"a": value}))
    client.patch(ConfigMap, "c", {"data": {"b": "3"}})
    assert client.get(ConfigMap, "c").data == {"a": "2", "b": "3"}
    names = [found.metadata.name for found in client.list(ConfigMap, chunk_size=1)]
    assert names == ["c", "kube-root-ca.crt"]
    client.delete(ConfigMap, "c")
    with pytest.raises(lightkube.ApiError) as refused:
        client.get(ConfigMap, "c")
    assert (refused.value.status.reason, refused.value.status.details.name) == ("NotFound", "c")


def test_kr8s(namespace: str) -> None:
    """A pod becomes ready, runs a command, is labelled and deleted."""
    pytest.importorskip("kr8s")
    from kr8s.objects import Pod

    made = Pod(pod("p", SLEEP, terminationGracePeriodSeconds=0), namespace=namespace)
    made.create()
    made.wait("condition=Ready", timeout=20)
    assert made.exec(["/bin/busybox", "echo", "hello"]).stdout == b"hello\n"
    made.label(x="y")
    made.refresh()
    assert made.labels == {"app": "p", "x": "y"}
    made.delete()
    made.wait("delete", timeout=20)


def test_pykube(namespace: str) -> None:
    """An object is created, updated, patched and deleted."""
    pykube: Any = pytest.importorskip("pykube")
    client = pykube.HTTPClient(pykube.KubeConfig.from_env())
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": namespace}}
    made = pykube.ConfigMap(client, body)
    made.create()
    made.obj["data"] = {"a": "1"}
    made.update()
    made.patch({"data": {"b": "2"}})
    assert pykube.ConfigMap.objects(client, namespace=namespace).get(name="c").obj["data"] == {
        "a": "1",
        "b": "2",
    }
    made.delete()
    assert made.exists() is False


def test_kopf(namespace: str) -> None:
    """An operator sees a creation, keeps its finalizer while the object lives, and lets it go."""
    kopf: Any = pytest.importorskip("kopf")
    pykube: Any = pytest.importorskip("pykube")
    registry, told = kopf.OperatorRegistry(), []

    @kopf.on.login(registry=registry)
    def login(**known: Any) -> Any:
        return kopf.login_with_kubeconfig(**known)

    @kopf.on.create("configmaps", labels={"mine": "yes"}, registry=registry)
    def created(name: str, **_: Any) -> None:
        told.append(("created", name))

    @kopf.on.delete("configmaps", labels={"mine": "yes"}, registry=registry)
    def deleted(name: str, **_: Any) -> None:
        told.append(("deleted", name))

    async def operate() -> None:
        stop, ready = asyncio.Event(), asyncio.Event()
        operator = kopf.operator(
            registry=registry, namespaces=[namespace], standalone=True, stop_flag=stop, ready_flag=ready
        )
        running = asyncio.ensure_future(operator)
        await ready.wait()
        await asyncio.to_thread(change, pykube.HTTPClient(pykube.KubeConfig.from_env()))
        stop.set()
        await running

    def change(client: Any) -> None:
        meta = {"name": "c", "namespace": namespace, "labels": {"mine": "yes"}}
        made = pykube.ConfigMap(client, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
        made.create()
        of_it = pykube.ConfigMap.objects(client, namespace=namespace).filter(
            field_selector={"metadata.name": "c"}
        )
        events = iter(of_it.watch(params={"timeoutSeconds": 20}))
        while "kopf.zalando.org/last-handled-configuration" not in next(events)[1].annotations:
            pass
        made.delete()  # within the one watch, which cannot miss the end
        while next(events)[0] != "DELETED":
            pass

    asyncio.run(operate())
    assert told == [("created", "c"), ("deleted", "c")]
