"""The public Python client, unmodified, on the cluster."""

import warnings
from typing import Any

import pytest
from conftest import PROFILE, Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture
def core(cluster: Cluster) -> Any:
    """CoreV1Api of the package `kubernetes`."""
    kubernetes = pytest.importorskip("kubernetes")
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(
        config_file=str(cluster.home / "kubeconfig"), context=PROFILE, client_configuration=configuration
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with kubernetes.client.ApiClient(configuration) as api:
            yield kubernetes.client.CoreV1Api(api)


def test_objects_round_trip(core: Any, namespace: str) -> None:
    """create, read, patch, list by label, and delete a ConfigMap."""
    body = {"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {"k": "v"}}
    created = core.create_namespaced_config_map(namespace, body)
    assert created.metadata.uid
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "w"}})
    assert core.read_namespaced_config_map("a", namespace).data == {"k": "w"}
    listed = core.list_namespaced_config_map(namespace, label_selector="x=y").items
    assert [item.metadata.name for item in listed] == ["a"]
    core.delete_namespaced_config_map("a", namespace)
    with pytest.raises(Exception, match="NotFound"):
        core.read_namespaced_config_map("a", namespace)


def test_watch_sees_changes_in_order(core: Any, namespace: str) -> None:
    """A watch from a list's revision shows each change once, in order."""
    from kubernetes import watch

    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "w"}})
    core.patch_namespaced_config_map("w", namespace, {"data": {"a": "b"}})
    core.delete_namespaced_config_map("w", namespace)
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=5
    )
    seen = [(event["type"], event["object"].metadata.name) for event in stream]
    assert seen == [("ADDED", "w"), ("MODIFIED", "w"), ("DELETED", "w")]
