"""Volumes of every kind in real containers, judged by the real kubectl."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cluster, pod

from minikube_py.testing.csi_hostpath import NAME, CsiHostPath, CsiHostPathConfig

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

Kubectl = Callable[..., str]
Objects = Callable[..., None]
SIZE = {"storage": "1Gi"}
MODES = ["ReadWriteOnce"]


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """kubectl in the test's namespace."""

    def run(*arguments: str, **more: Any) -> str:
        return cluster.kubectl("-n", namespace, *arguments, **more)

    return run


@pytest.fixture
def create(kubectl: Kubectl) -> Objects:
    """Creates objects in the test's namespace."""

    def make(*objects: dict[str, Any]) -> None:
        kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    return make


def shell_pod(name: str, script: str, volumes: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A pod that mounts each volume at a folder of its name, and runs a script."""
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    container = {"volumeMounts": mounts} | more.pop("container", {})
    spec = {"terminationGracePeriodSeconds": 0, "volumes": volumes, "container": container} | more
    return pod(name, ["/bin/sh", "-c", script], **spec)


def core(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}} | more


def await_phase(kubectl: Kubectl, name: str, phase: str) -> None:
    kubectl("wait", f"pod/{name}", f"--for=jsonpath={{.status.phase}}={phase}", "--timeout=30s")


def await_event(cluster: Cluster, namespace: str, name: str, reason: str) -> str:
    """The message of the first event of that reason about a pod, waited for."""
    fields = f"--field-selector=involvedObject.name={name},reason={reason}"
    argv = ["kubectl", "-n", namespace, "get", "events", fields, "--watch", "-o", "jsonpath={.message}{'\\n'}"]
    with subprocess.Popen(argv, env=cluster.environment, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        line = watch.stdout.readline()
        watch.kill()
    return line.rstrip("\n")


def test_content_and_its_updates(kubectl: Kubectl, create: Objects) -> None:
    """ConfigMap, Secret, downward API and projected volumes hold what they should, as whom they should, and
    follow changes while the pod runs."""
    token = {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}}
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    cpu = {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}}
    sources = [
        {"configMap": {"name": "cfg", "items": [{"key": "k", "path": "deep/k", "mode": 0o400}]}},
        {"secret": {"name": "absent", "optional": True}},
        token,
    ]
    volumes = [
        {"name": "cfg", "configMap": {"name": "cfg", "defaultMode": 0o440}},
        {"name": "key", "secret": {"secretName": "key", "items": [{"key": "p", "path": "pass"}]}},
        {"name": "about", "downwardAPI": {"items": [*items, cpu]}},
        {"name": "all", "projected": {"sources": sources}},
    ]
    create(
        core("ConfigMap", "cfg", data={"k": "one"}, binaryData={"b": "AAE="}),
        core("Secret", "key", stringData={"p": "s3cret"}),
    )
    changed = '[ "$(cat /cfg/k /all/deep/k /key/pass)" = twotwonew ] && grep -q b=\\"2 /about/labels'
    wait = f"until {changed}; do sleep 0.05; done"
    limits = {"resources": {"limits": {"cpu": "1500m", "memory": "32Mi"}}}
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    script = f"id; stat -Lc '%n %a %u %g' /cfg/k /all/deep/k /all/token /key/pass; cat /about/cpu; echo; {wait}"
    create(
        shell_pod(
            "web",
            script,
            volumes,
            container=limits | {"volumeMounts": mounts},
            securityContext={"fsGroup": 1234, "runAsUser": 1001},
            restartPolicy="Never",
        )
    )
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=30s")
    told = kubectl("logs", "web").splitlines()[1:]
    assert told == [
        "/cfg/k 440 0 1234",
        "/all/deep/k 440 0 1234",
        "/all/token 640 1001 1234",
        "/key/pass 644 0 1234",
        "2",
    ]
    kubectl("patch", "configmap", "cfg", "-p", '{"data":{"k":"two"}}')
    kubectl("patch", "secret", "key", "-p", '{"stringData":{"p":"new"}}')
    kubectl("label", "pod", "web", "b=2")
    await_phase(kubectl, "web", "Succeeded")


FAILURES = (
    ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
    ({"secret": {"secretName": "no"}}, 'secret "no" not found'),
    (
        {"configMap": {"name": "cfg", "items": [{"key": "no", "path": "p"}]}},
        "configmap references non-existent config key: no",
    ),
    (
        {"hostPath": {"path": "/etc/passwd", "type": "Directory"}},
        "hostPath type check failed: /etc/passwd is not a directory",
    ),
    (
        {"gitRepo": {"repository": "r"}},
        "git-repo volume plugin has been disabled; if necessary, it may be "
        "re-enabled by enabling the feature-gate `GitRepoVolumeDriver`",
    ),
    (
        {"csi": {"driver": "no.such"}},
        "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: "
        "driver name no.such not found in the list of registered CSI drivers",
    ),
)


def test_failed_mounts_are_told(cluster: Cluster, namespace: str, create: Objects) -> None:
    """A volume that cannot be mounted is told as FailedMount, in the kubelet's words."""
    create(core("ConfigMap", "cfg", data={"k": "v"}))
    pods = [shell_pod(f"p{n}", "true", [{"name": "v", **volume}]) for n, (volume, _) in enumerate(FAILURES)]
    create(*pods)
    for number, (_, message) in enumerate(FAILURES):
        told = await_event(cluster, namespace, f"p{number}", "FailedMount")
        assert told == f'MountVolume.SetUp failed for volume "v" : {message}'


def test_missing_object_heals(kubectl: Kubectl, create: Objects) -> None:
    """A pod starts as soon as the ConfigMap that its volume lacks is there."""
    create(shell_pod("web", "cat /v/k", [{"name": "v", "configMap": {"name": "late"}}], restartPolicy="Never"))
    create(core("ConfigMap", "late", data={"k": "v"}))
    await_phase(kubectl, "web", "Succeeded")


def test_empty_dirs_and_propagation(kubectl: Kubectl, create: Objects) -> None:
    """emptyDir on disk and in memory, shared between users of its group; mounts of a privileged container reach
    one that asks for them."""
    volumes = [
        {"name": "disk", "emptyDir": {}},
        {"name": "ram", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]
    look = "stat -c '%a %g' /disk /ram; grep -c ' /ram tmpfs.*size=1024k' /proc/mounts; "
    look += "echo hi > /disk/f; cat /disk/f"
    web = shell_pod("web", f"{look}; sleep 600", volumes, securityContext={"fsGroup": 77, "runAsUser": 1001})
    own = {"privileged": True, "runAsUser": 0}
    mounter = {
        "name": "mounter",
        "image": "demo:1",
        "command": ["/bin/sh", "-c", "mkdir -p /d/m; mount -t tmpfs none /d/m; touch /d/m/seen; sleep 600"],
        "securityContext": own,
        "volumeMounts": [{"name": "disk", "mountPath": "/d", "mountPropagation": "Bidirectional"}],
    }
    seer = {
        "name": "seer",
        "image": "demo:1",
        "command": ["/bin/sh", "-c", "sleep 600"],
        "volumeMounts": [{"name": "disk", "mountPath": "/d", "mountPropagation": "HostToContainer"}],
    }
    web["spec"]["containers"] += [mounter, seer]
    create(web)
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=30s")
    assert kubectl("logs", "web", "-c", "main").split() == ["2777", "77", "3777", "77", "1", "hi"]
    seen = "until [ -e /d/m/seen ]; do sleep 0.1; done"
    kubectl("exec", "web", "-c", "seer", "--", "/bin/sh", "-c", seen)
    kubectl("delete", "pod", "web", "--timeout=30s")


def test_subpaths_stay_inside(cluster: Cluster, namespace: str, kubectl: Kubectl, create: Objects) -> None:
    """subPath and subPathExpr are made with the volume's mode; a symlink leads nowhere."""
    env = [{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    mounts = [
        {"name": "v", "mountPath": "/a", "subPath": "deep/er"},
        {"name": "v", "mountPath": "/b", "subPathExpr": "logs/$(WHO)"},
    ]
    volumes = [{"name": "v", "emptyDir": {}}]
    good = shell_pod(
        "good",
        "stat -c %a /a /b",
        volumes,
        container={"volumeMounts": mounts, "env": env},
        restartPolicy="Never",
        securityContext={"runAsUser": 1001},
    )
    trap = {
        "name": "trap",
        "image": "demo:1",
        "command": ["/bin/busybox", "ln", "-s", "/etc", "/v/out"],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    hostile = [{"name": "v", "mountPath": "/a", "subPath": "out"}]
    bad = shell_pod("bad", "true", volumes, container={"volumeMounts": hostile}, initContainers=[trap])
    create(good, bad)
    await_phase(kubectl, "good", "Succeeded")
    assert kubectl("logs", "good").split() == ["777", "777"]
    told = await_event(cluster, namespace, "bad", "Failed")
    assert told == 'Error: failed to prepare subPath for volumeMount "v" of container "main"'


def bind(kubectl: Kubectl, cluster: Cluster, name: str, source: dict[str, Any]) -> None:
    """A claim and a PersistentVolume made for each other, once they are bound."""
    spec = {"accessModes": MODES, "resources": {"requests": SIZE}, "volumeName": name, "storageClassName": ""}
    kubectl("create", "-f", "-", input=json.dumps(core("PersistentVolumeClaim", name, spec=spec)))
    namespace = json.loads(kubectl("get", "pvc", name, "-o", "json"))["metadata"]["namespace"]
    ref = {"namespace": namespace, "name": name}
    volume = {"accessModes": MODES, "capacity": SIZE, "claimRef": ref, **source}
    cluster.kubectl("create", "-f", "-", input=json.dumps(core("PersistentVolume", name, spec=volume)))
    kubectl("wait", f"pvc/{name}", "--for=jsonpath={.status.phase}=Bound", "--timeout=20s")


def claim(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "persistentVolumeClaim": {"claimName": name, **more}}


def test_claims_of_hostpath_and_local(
    cluster: Cluster, namespace: str, kubectl: Kubectl, create: Objects, tmp_path: Path
) -> None:
    """hostPath and local PersistentVolumes are mounted for bound claims; what they hold stays."""
    names = {kind: f"{kind}-{namespace}"[:60] for kind in ("host", "local")}
    for kind in names:
        (tmp_path / kind).mkdir()
    volumes = [claim(names["host"], readOnly=True), claim(names["local"])]
    for volume, kind in zip(volumes, names, strict=True):
        volume["name"] = kind
    script = (
        "touch /host/no 2>/dev/null || echo read-only; echo kept > /local/f; stat -c %g /local/f; cat /host/f"
    )
    (tmp_path / "host/f").write_text("given\n")
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    spec = {"securityContext": {"fsGroup": 4321}, "restartPolicy": "Never", "nodeName": node}
    create(shell_pod("web", script, volumes, **spec))
    told = await_event(cluster, namespace, "web", "FailedMount")
    both = " ".join(sorted(names))
    assert told.startswith(
        f"Unable to attach or mount volumes: unmounted volumes=[{both}], unattached volumes=[], "
        f"failed to process volumes=[{both}]: error processing PVC {namespace}/{names['host']}: "
        f'failed to fetch PVC from API server: persistentvolumeclaims "{names["host"]}" not found'
    )
    where = [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": where}]}}
    bind(kubectl, cluster, names["host"], {"hostPath": {"path": str(tmp_path / "host")}})
    local = {"local": {"path": str(tmp_path / "local")}, "nodeAffinity": affinity}
    bind(kubectl, cluster, names["local"], local)
    await_phase(kubectl, "web", "Succeeded")
    assert kubectl("logs", "web").split() == ["read-only", "4321", "given"]
    kubectl("delete", "pod", "web", "--timeout=30s")
    assert (tmp_path / "local/f").read_text() == "kept\n"
    cluster.kubectl("delete", "pv", *names.values(), "--wait=false")


async def test_csi_volumes(
    cluster: Cluster, namespace: str, kubectl: Kubectl, create: Objects, tmp_path: Path
) -> None:
    """A CSI driver registers, its volumes are mounted for a claim and for a pod, and unmounted in the end."""
    config = CsiHostPathConfig(cluster.folder / "kubelet", tmp_path / "volumes", topology={"test/zone": "here"})
    driver_object = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": NAME},
        "spec": {
            "attachRequired": False,
            "podInfoOnMount": True,
            "volumeLifecycleModes": ["Persistent", "Ephemeral"],
            "fsGroupPolicy": "File",
        },
    }
    name = f"csi-{namespace}"
    web = shell_pod(
        "web",
        "echo data > /kept/f; echo more > /scratch/f; stat -c %g /kept/f /scratch/f; sleep 600",
        [
            {"name": "kept", "persistentVolumeClaim": {"claimName": name}},
            {"name": "scratch", "csi": {"driver": NAME}},
        ],
        securityContext={"fsGroup": 99, "runAsUser": 1001},
        terminationGracePeriodSeconds=1,
    )

    def story() -> None:
        create(driver_object)
        bind(kubectl, cluster, name, {"csi": {"driver": NAME, "volumeHandle": "disk-1"}})
        create(web)
        kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=30s")
        assert kubectl("logs", "web").split() == ["99", "99"]
        found = cluster.get("csinodes")["items"][0]["spec"]["drivers"]
        assert [(one["name"], one["topologyKeys"]) for one in found] == [(NAME, ["test/zone"])]
        kubectl("delete", "pod", "web", "--timeout=30s")
        cluster.kubectl("delete", "csidriver", NAME)
        cluster.kubectl("delete", "pv", name, "--wait=false")

    async with CsiHostPath(config) as driver:
        assert await driver.registered == ""
        await asyncio.to_thread(story)
        made, gone = ["NodePublishVolume"] * 2, ["NodeUnpublishVolume"] * 2
        assert sorted(driver.methods()) == sorted(["NodeStageVolume", *made, *gone, "NodeUnstageVolume"])
    assert (tmp_path / "volumes/disk-1/f").read_text() == "data\n"


def test_ephemeral_volume_waits_for_its_claim(
    cluster: Cluster, namespace: str, kubectl: Kubectl, create: Objects
) -> None:
    """The claim of a generic ephemeral volume is made for its pod, and goes with it."""
    template = {"spec": {"accessModes": MODES, "resources": {"requests": SIZE}, "storageClassName": "none"}}
    volume = {"name": "data", "ephemeral": {"volumeClaimTemplate": template}}
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    create(shell_pod("web", "true", [volume], nodeName=node))
    kubectl("wait", "pvc/web-data", "--for=create", "--timeout=10s")
    told = await_event(cluster, namespace, "web", "FailedMount")
    assert told.startswith("Unable to attach or mount volumes: unmounted volumes=[data]")
    kubectl("delete", "pod", "web", "--timeout=30s")
    kubectl("wait", "pvc/web-data", "--for=delete", "--timeout=20s")
