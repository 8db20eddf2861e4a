"""The real kubectl against the server: what people type."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator

import pytest
from api_cluster import Client, Cluster, Kubectl

from minikube_py.aio.process import CommandFailed, run

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: hello}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "web:1", ports: [{containerPort: 80}]}
"""


async def test_apply_and_change(kubectl: Kubectl) -> None:
    """apply creates, then finds nothing to do, then changes; server-side apply takes over."""
    results = [(await kubectl("apply", "-f", "-", input=MANIFEST)).stdout for _ in range(2)]
    changed = MANIFEST.replace("replicas: 3", "replicas: 4")
    results.append((await kubectl("apply", "-f", "-", input=changed)).stdout)
    results.append((await kubectl("apply", "--server-side", "-f", "-", input=changed)).stdout)
    replicas = await kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}")
    assert results == [
        "configmap/page created\ndeployment.apps/web created\n",
        "configmap/page unchanged\ndeployment.apps/web unchanged\n",
        "configmap/page unchanged\ndeployment.apps/web configured\n",
        "configmap/page serverside-applied\ndeployment.apps/web serverside-applied\n",
    ]
    assert replicas.stdout == "4"


async def test_edit_one_object(kubectl: Kubectl) -> None:
    """create, label, annotate, the three patches, get and delete."""
    await kubectl("create", "configmap", "x", "--from-literal=a=1")
    said = [
        (await kubectl("label", "configmap", "x", "l=1")).stdout,
        (await kubectl("annotate", "configmap", "x", "n=1")).stdout,
        (await kubectl("patch", "configmap", "x", "-p", '{"data":{"b":"2"}}')).stdout,
        (await kubectl("patch", "configmap", "x", "--type=merge", "-p", '{"data":{"a":null}}')).stdout,
        (
            await kubectl(
                "patch", "configmap", "x", "--type=json", "-p", '[{"op":"add","path":"/data/c","value":"3"}]'
            )
        ).stdout,
    ]
    shown = json.loads((await kubectl("get", "configmap", "x", "-o", "json")).stdout)
    deleted = await kubectl("delete", "configmap", "x")
    assert said == ["configmap/x labeled\n", "configmap/x annotated\n", *["configmap/x patched\n"] * 3]
    found = (shown["data"], shown["metadata"]["labels"], shown["metadata"]["annotations"])
    assert found == ({"b": "2", "c": "3"}, {"l": "1"}, {"n": "1"})
    assert deleted.stdout == 'configmap "x" deleted\n'


async def test_typed_commands(kubectl: Kubectl) -> None:
    """Commands that speak protobuf: create, auth, token."""
    await kubectl("create", "deployment", "web", "--image=web:1", "--replicas=0", "--port=80")
    spec = json.loads((await kubectl("get", "deployment", "web", "-o", "json")).stdout)["spec"]
    who = json.loads((await kubectl("auth", "whoami", "-o", "json")).stdout)
    can = await kubectl("auth", "can-i", "create", "pods")
    token = await kubectl("create", "token", "default")
    assert (spec["replicas"], spec["template"]["spec"]["containers"][0]["ports"]) == (
        0,
        [{"containerPort": 80, "protocol": "TCP"}],
    )
    assert who["status"]["userInfo"]["groups"] == ["system:masters", "system:authenticated"]
    assert (can.stdout, token.stdout.count(".")) == ("yes\n", 2)


async def test_read_the_schema(kubectl: Kubectl) -> None:
    """api-resources and explain read discovery and OpenAPI."""
    resources = (await kubectl("api-resources", "-o", "name")).stdout.splitlines()
    explained = (await kubectl("explain", "deployment.spec.replicas")).stdout
    assert {"pods", "deployments.apps", "subjectaccessreviews.authorization.k8s.io"} <= set(resources)
    assert "FIELD: replicas <integer>" in explained


async def test_refusals_reach_people(cluster: Cluster, kubectl: Kubectl) -> None:
    """Errors are printed as people know them."""
    bob = cluster.kubeconfig("bob")
    cases = {
        ("get", "configmap", "x"): 'Error from server (NotFound): configmaps "x" not found\n',
        ("get", "foos"): 'error: the server doesn\'t have a resource type "foos"\n',
        ("get", "pods", f"--kubeconfig={bob}"): (
            'Error from server (Forbidden): pods is forbidden: User "bob" cannot list resource "pods" '
            'in API group "" in the namespace "default"\n'
        ),
        ("create", "configmap", "Bad"): (
            'error: failed to create configmap: ConfigMap "Bad" is invalid: metadata.name: '
            'Invalid value: "Bad": '
        ),
    }
    for arguments, message in cases.items():
        with pytest.raises(CommandFailed) as caught:
            await kubectl(*arguments)
        assert caught.value.stderr[: len(message)] == message


@pytest.fixture
async def watching(cluster: Cluster) -> AsyncIterator[asyncio.StreamReader]:
    """The output of `kubectl get configmaps --watch`."""
    path = cluster.kubeconfig("watcher", "system:masters")
    argv = ["kubectl", f"--kubeconfig={path}", "get", "configmaps", "--watch", "--no-headers"]
    child = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    yield child.stdout
    child.kill()
    await child.wait()


async def test_get_watch(watching: asyncio.StreamReader, admin: Client) -> None:
    """get --watch prints what is there and then each change."""
    seen = [(await watching.readline()).split()[:2]]
    await admin.post("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "x"}, "data": {"a": "1"}})
    seen.append((await watching.readline()).split()[:2])
    assert seen == [[b"kube-root-ca.crt", b"1"], [b"x", b"1"]]


async def test_client_version_is_supported(cluster: Cluster) -> None:
    """kubectl reads the server's version."""
    path = cluster.kubeconfig("v", "system:masters")
    shown = json.loads((await run(["kubectl", f"--kubeconfig={path}", "version", "-o", "json"])).stdout)
    assert shown["serverVersion"]["gitVersion"] == "v1.34.0"
