"""Device plugins and drivers of dynamic resources beside a real node: what its containers see of them."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Cluster, pod

from minikube_py.runtime.base import Device
from minikube_py.runtime.devices import Allocation, PreparedDevice
from minikube_py.testing.device_plugin import DevicePluginServer, Plugin
from minikube_py.testing.dra_driver import DraDriverServer, Driver

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

RESOURCE = "e2e.example.com/dongle"
VENDOR = f"e2e-{os.getpid()}.example.com"
"""A name of this run's own: CDI specs are the machine's."""
SLEEP = ["/bin/busybox", "sleep", "3600"]
Kubectl = Callable[..., Awaitable[str]]


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """kubectl in the test's namespace, while plugins go on answering."""

    async def run(*arguments: str, apply: Any = None) -> str:
        if apply is not None:
            arguments = ("apply", "-f", "-")
        text = json.dumps(apply) if apply is not None else None
        return await asyncio.to_thread(cluster.kubectl, "-n", namespace, *arguments, input=text)

    return run


@pytest.fixture
def cdi() -> Iterator[None]:
    """A CDI spec with one device, in the folder that runtimes look in."""
    folder, name = Path("/var/run/cdi"), f"{VENDOR}-gpu.json"
    fresh = not folder.exists()
    folder.mkdir(exist_ok=True)
    edits = {"env": ["GPU=zero"], "deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/zero"}]}
    spec = {"cdiVersion": "0.5.0", "kind": f"{VENDOR}/gpu", "devices": [{"name": "0", "containerEdits": edits}]}
    (folder / name).write_text(json.dumps(spec))
    yield
    (folder / name).unlink()
    if fresh and not any(folder.iterdir()):
        folder.rmdir()


def user(name: str, **spec: Any) -> dict[str, Any]:
    """A pod that asks for a dongle."""
    asked = {RESOURCE: "1"}
    container = {"resources": {"limits": asked}}
    return pod(name, SLEEP, container=container, terminationGracePeriodSeconds=0, **spec)


async def test_a_device_plugin(cluster: Cluster, kubectl: Kubectl) -> None:
    """The node tells what a plugin offers; a container has its device and variable; who comes too late waits,
    or is refused where it insists on the node."""
    given = Allocation({"DONGLE": "yes"}, (), (Device("/dev/null", "/dev/dongle", "rw"),))
    escaped = RESOURCE.replace(".", "\\.")
    async with DevicePluginServer(
        Plugin(cluster.folder / "kubelet", RESOURCE, {"a": True, "b": False}, allocation=given)
    ) as plugin:
        for field, count in (("capacity", "2"), ("allocatable", "1")):
            await kubectl("wait", "node", "--all", f"--for=jsonpath={{.status.{field}.{escaped}}}={count}")
        plugins = {"name": "plugins", "hostPath": {"path": "/var/lib/kubelet/device-plugins"}}
        body = user("one", volumes=[plugins])
        body["spec"]["containers"][0]["volumeMounts"] = [{"name": "plugins", "mountPath": "/plugins"}]
        await kubectl(apply=body)
        await kubectl("wait", "pod/one", "--for=condition=Ready")
        look = "echo $DONGLE; test -c /dev/dongle && echo x > /dev/dongle && echo device; ls /plugins"
        seen = await kubectl("exec", "one", "--", "/bin/sh", "-c", look)
        expected = [
            "yes",
            "device",
            "e2e.example.com-dongle.sock",
            "kubelet.sock",
            "kubelet_internal_checkpoint",
        ]
        assert seen.split() == expected
        await kubectl(apply=user("two"))
        late = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=Unschedulable"
        await kubectl("wait", "pod/two", f"--for={late}")
        node = (await kubectl("get", "pod/one", "-o", "jsonpath={.spec.nodeName}")).strip()
        await kubectl(apply=user("three", nodeName=node))
        await kubectl("wait", "pod/three", "--for=jsonpath={.status.reason}=UnexpectedAdmissionError")
        plugin.offer(a=True, b=True)
        await kubectl("wait", "pod/two", "--for=condition=Ready")
        assert plugin.calls == [("Allocate", ["a"]), ("Allocate", ["b"])]


async def test_a_driver_of_dynamic_resources(cluster: Cluster, kubectl: Kubectl, cdi: None) -> None:
    """A pod's claim is made, allocated from the driver's slice and prepared; its container has what the CDI
    device brings; with the pod the claim is unprepared and goes."""
    name, node = (
        f"gpu.{VENDOR}",
        (await kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")).strip(),
    )
    prepared = (PreparedDevice(node, "gpu-0", ("gpu",), (f"{VENDOR}/gpu=0",)),)
    async with DraDriverServer(Driver(cluster.folder / "kubelet", name, prepared=prepared)) as driver:
        assert await driver.registered == ""
        selector = {"cel": {"expression": f"device.driver == '{name}'"}}
        pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
        request = {"name": "gpu", "exactly": {"deviceClassName": VENDOR}}
        of = {"apiVersion": "resource.k8s.io/v1"}
        spec = {"driver": name, "nodeName": node, "pool": pool, "devices": [{"name": "gpu-0"}]}
        for kind, meta, inner in (
            ("DeviceClass", VENDOR, {"selectors": [selector]}),
            ("ResourceSlice", VENDOR, spec),
            ("ResourceClaimTemplate", "gpu", {"spec": {"devices": {"requests": [request]}}}),
        ):
            await kubectl(apply={**of, "kind": kind, "metadata": {"name": meta}, "spec": inner})
        claims = [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]
        container = {"resources": {"claims": [{"name": "gpu", "request": "gpu"}]}}
        more = {"resourceClaims": claims, "terminationGracePeriodSeconds": 1}
        await kubectl(apply=pod("user", SLEEP, container=container, **more))
        await kubectl("wait", "pod/user", "--for=condition=Ready", "--timeout=60s")
        look = "echo $GPU; head -c 1 /dev/gpu0 | wc -c"
        assert (await kubectl("exec", "user", "--", "/bin/sh", "-c", look)).split() == ["zero", "1"]
        claim = await kubectl("get", "resourceclaims", "-o", "name")
        await kubectl("delete", "pod/user")
        assert [method for method, _ in driver.calls] == ["Prepare", "Unprepare"]
        await kubectl("wait", claim.strip(), "--for=delete", "--timeout=60s")
        for kind in ("deviceclass", "resourceslice"):
            await kubectl("delete", kind, VENDOR)
