"""Storage made on demand: claims of the default StorageClass in real pods, judged by the real kubectl."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cluster, pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

Kubectl = Callable[..., str]


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """kubectl in the test's namespace."""

    def run(*arguments: str, **more: Any) -> str:
        return cluster.kubectl("-n", namespace, *arguments, **more)

    return run


def claim_spec(size: str = "64Mi", **more: Any) -> dict[str, Any]:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}} | more


def stateful_set(replicas: int) -> dict[str, Any]:
    """Pods that are not root, each with a volume of its own in which they count their starts."""
    whole = pod("db", ["/bin/sh", "-c", "date >> /data/starts; exec sleep 3600"])
    template = {"metadata": {"labels": {"app": "db"}}, "spec": whole["spec"]}
    template["spec"] |= {"terminationGracePeriodSeconds": 0, "securityContext": {"runAsUser": 1000}}
    template["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "db"}},
            "template": template,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim_spec()}],
        },
    }


def claim(name: str, **spec: Any) -> str:
    meta = {"name": name}
    return json.dumps({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec})


def user(name: str, of: str) -> str:
    """A pod that uses a claim."""
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": of}}
    container = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    more = {"terminationGracePeriodSeconds": 0, "volumes": [volume], "container": container}
    return json.dumps(pod(name, ["/bin/sh", "-c", "echo kept > /data/file; exec sleep 3600"], **more))


def folder_of(cluster: Cluster, volume: str) -> Path:
    return Path(cluster.get("pv", volume)["spec"]["hostPath"]["path"])


def read(kubectl: Kubectl, name: str, file: str) -> str:
    return kubectl("exec", name, "--", "/bin/sh", "-c", f"cat {file}")


def starts(kubectl: Kubectl, name: str) -> int:
    return len(read(kubectl, name, "/data/starts").splitlines())


def test_a_stateful_set_keeps_its_data(cluster: Cluster, kubectl: Kubectl) -> None:
    """Each pod has its volume, finds its data again after it was deleted, and after the set shrank and grew; a
    deleted claim takes volume and folder along."""
    kubectl("apply", "-f", "-", input=json.dumps(stateful_set(2)))
    kubectl("rollout", "status", "sts/db", "--timeout=60s")
    kubectl("delete", "pod", "db-0", "--timeout=30s")
    kubectl("rollout", "status", "sts/db", "--timeout=60s")
    assert (starts(kubectl, "db-0"), starts(kubectl, "db-1")) == (2, 1)
    kubectl("scale", "sts/db", "--replicas=1")
    kubectl("wait", "pod/db-1", "--for=delete", "--timeout=30s")
    kubectl("scale", "sts/db", "--replicas=2")
    kubectl("rollout", "status", "sts/db", "--timeout=60s")
    assert starts(kubectl, "db-1") == 2
    volume = kubectl("get", "pvc", "data-db-1", "-o", "jsonpath={.spec.volumeName}")
    folder = folder_of(cluster, volume)
    assert (folder.parent, folder.stat().st_mode & 0o777) == (cluster.folder / "storage", 0o777)
    assert len((folder / "starts").read_text().splitlines()) == 2
    kubectl("delete", "sts", "db", "--timeout=30s")
    kubectl("delete", "pod", "-l", "app=db", "--timeout=30s")
    kubectl("delete", "pvc", "data-db-1", "--timeout=30s")
    cluster.wait(f"pv/{volume}", "delete", timeout="30s")
    assert (folder.exists(), kubectl("get", "pvc", "-o", "name")) == (
        False,
        "persistentvolumeclaim/data-db-0\n",
    )


def test_a_claim_waits_grows_and_goes(cluster: Cluster, kubectl: Kubectl) -> None:
    """A claim waits for its first pod, cannot go while the pod is there, and grows while it runs."""
    kubectl("apply", "-f", "-", input=claim("data", **claim_spec()))
    kubectl("wait", "event", "--for=jsonpath={.reason}=WaitForFirstConsumer", "--all", "--timeout=30s")
    assert kubectl("get", "pvc", "data", "-o", "jsonpath={.status.phase}") == "Pending"
    kubectl("apply", "-f", "-", input=user("one", "data"))
    kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=60s")
    kubectl("patch", "pvc", "data", "-p", '{"spec":{"resources":{"requests":{"storage":"96Mi"}}}}')
    kubectl("wait", "pvc/data", "--for=jsonpath={.status.capacity.storage}=96Mi", "--timeout=30s")
    volume = kubectl("get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
    assert cluster.get("pv", volume)["spec"]["capacity"] == {"storage": "96Mi"}
    kubectl("delete", "pvc", "data", "--wait=false")
    described = kubectl("describe", "pvc", "data")
    assert "Terminating (lasts" in described
    assert "Used By:       one" in described
    for reason in ("ProvisioningSucceeded", "Resizing", "VolumeResizeSuccessful"):
        assert reason in described
    kubectl("delete", "pod", "one", "--timeout=30s")
    kubectl("wait", "pvc/data", "--for=delete", "--timeout=30s")
    cluster.wait(f"pv/{volume}", "delete", timeout="30s")


def test_retained_volumes_and_other_classes(cluster: Cluster, kubectl: Kubectl, namespace: str) -> None:
    """A volume of a class that retains outlives its claim, and keeps its data even when it is deleted itself; a
    class may bind at once, and be the default in the place of the first one."""
    kept = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": namespace[:20]},
        "provisioner": "minikube-py.io/local-path",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "Immediate",
    }
    cluster.kubectl("apply", "-f", "-", input=json.dumps(kept))
    try:
        name = kept["metadata"]["name"]  # type: ignore[index]
        kubectl("apply", "-f", "-", input=claim("data", **claim_spec(storageClassName=name)))
        kubectl("wait", "pvc/data", "--for=jsonpath={.status.phase}=Bound", "--timeout=30s")
        volume = kubectl("get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
        kubectl("apply", "-f", "-", input=user("one", "data"))
        kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=60s")
        kubectl("delete", "pod/one", "pvc/data", "--timeout=30s")
        cluster.wait(f"pv/{volume}", "jsonpath={.status.phase}=Released", timeout="30s")
        folder = folder_of(cluster, volume)
        cluster.kubectl("delete", "pv", volume, "--timeout=30s")
        assert (folder / "file").read_text() == "kept\n"
    finally:
        cluster.kubectl("delete", "sc", name)


def test_data_survives_a_killed_cluster(cluster: Cluster, kubectl: Kubectl) -> None:
    """After kill -9 and after stop and start a pod has the data that it had; the class that a user has deleted
    is not made again."""
    kubectl("apply", "-f", "-", input=claim("data", **claim_spec()))
    kubectl("apply", "-f", "-", input=user("one", "data"))
    kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=60s")
    kubectl("exec", "one", "--", "/bin/sh", "-c", "echo more > /data/second")
    standard = cluster.get("sc", "standard")
    cluster.kubectl("delete", "sc", "standard")
    try:
        os.kill(cluster.pid, signal.SIGKILL)
        cluster.run("start")
        assert read(kubectl, "one", "/data/second") == "more\n"
        cluster.run("stop")
        cluster.run("start")
        kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=60s")
        assert read(kubectl, "one", "/data/second") == "more\n"
        assert cluster.kubectl("get", "sc", "-o", "name") == ""
    finally:
        meta = {"name": "standard", "annotations": standard["metadata"]["annotations"]}
        cluster.kubectl("create", "-f", "-", input=json.dumps({**standard, "metadata": meta}))
