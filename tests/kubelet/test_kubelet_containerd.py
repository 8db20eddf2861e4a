"""Pods in real containers: a kubelet on a private containerd, asked through its own HTTPS server."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubelet_node import pod_object

from minikube_py.aio.clock import SystemClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Change, Client
from minikube_py.cluster import pki
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.secret import Secret
from minikube_py.kubelet.agent import Kubelet
from minikube_py.kubelet.config import KubeletConfig, ServerConfig
from minikube_py.kubelet.server.access import AccessRequest, Decision
from minikube_py.kubelet.server.spdy import spdy_over
from minikube_py.kubelet.volumes.mounts import mounts_below
from minikube_py.meta.objects import Key, Obj, dig
from minikube_py.testing.containerd import BUSYBOX, PrivateContainerd, private_containerd, unavailable
from minikube_py.testing.inprocess import local_cluster

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.skipif(bool(unavailable()), reason=unavailable()),
    pytest.mark.timeout(120),
]


class ApiServerOnly:
    """An Access that lets the API server in, and nobody else."""

    async def decide(self, request: AccessRequest) -> Decision:
        return Decision(request.user == "kube-apiserver-kubelet-client", request.user)


@dataclass
class RealNode:
    """A kubelet on containerd, and clients of its API server and of its own server."""

    client: Client
    private: PrivateContainerd
    config: KubeletConfig
    tls: ssl.SSLContext
    anonymous: ssl.SSLContext
    kubelet: Kubelet

    @property
    def url(self) -> str:
        assert self.config.server is not None
        return f"https://127.0.0.1:{self.config.server.port}"

    async def until(self, check: Callable[[Obj], object], name: str = "web") -> Obj:
        """The pod's state once `check` holds."""
        found: asyncio.Future[Obj] = asyncio.get_running_loop().create_future()

        def see(change: Change) -> None:
            obj = change.object
            if obj["metadata"]["name"] == name and change.type != "DELETED" and not found.done() and check(obj):
                found.set_result(obj)

        unsubscribe = self.client.cache.subscribe(Pod, see)
        try:
            return await asyncio.wait_for(found, 60)
        finally:
            unsubscribe()

    async def gone(self, name: str = "web") -> None:
        event = asyncio.Event()

        def see(change: Change) -> None:
            if change.object["metadata"]["name"] == name and change.type == "DELETED":
                event.set()

        unsubscribe = self.client.cache.subscribe(Pod, see)
        try:
            if self.client.cache.get(Pod, Key("default", name)) is not None:
                await asyncio.wait_for(event.wait(), 60)
        finally:
            unsubscribe()

    async def ready(self, name: str = "web") -> Obj:
        return await self.until(lambda pod: all_ready(pod), name)

    async def run(self, name: str, script: str, **spec: Any) -> Obj:
        """A pod that runs a shell script, once it is ready."""
        await self.client.create(Pod, shell_pod(name, script, **spec))
        return await self.ready(name)

    async def output(self, name: str, *command: str) -> str:
        """What a command in the pod's container prints."""
        query = [("command", word) for word in command]
        async with aiohttp.ClientSession() as session:
            url = f"{self.url}/run/default/{name}/main"
            async with session.post(url, params=query, ssl=self.tls) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.text()


def all_ready(pod: Obj) -> bool:
    entries = dig(pod, "status.containerStatuses", [])
    return bool(entries) and all(entry["ready"] for entry in entries)


def shell_pod(name: str, script: str, **spec: Any) -> Obj:
    container = {
        "name": "main",
        "image": BUSYBOX,
        "command": ["/bin/sh", "-c", script],
        **spec.pop("container", {}),
    }
    return pod_object(name, containers=[container], terminationGracePeriodSeconds=1, **spec)


@contextlib.asynccontextmanager
async def running(node: RealNode) -> AsyncIterator[None]:
    async with Tasks("test") as tasks:
        ready = asyncio.Event()
        task = tasks.spawn(node.kubelet.run(ready), "kubelet")
        waiter = tasks.spawn(ready.wait(), "ready")
        await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def stopped_node(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[RealNode]:
    """A node with containerd whose kubelet does not run yet."""
    keys = pki.ensure(tmp_path / "pki", pki.subjects("node-1", ["127.0.0.1"]), pki.system_now())
    async with private_containerd(tmp_path) as private:
        clients = await local_cluster(namespaces=("default", "kube-system", "kube-node-lease"))
        config = KubeletConfig(
            node_name="node-1",
            node_ip="127.0.0.1",
            root_dir=tmp_path / "kubelet",
            log_dir=tmp_path / "logs",
            cgroup_root=f"{private.cgroup}/kubepods",
            server=ServerConfig(
                keys.kubelet.certificate, keys.kubelet.key, keys.ca.certificate, port=unused_tcp_port
            ),
        )
        anonymous = ssl.create_default_context(cafile=str(keys.ca.certificate))
        anonymous.check_hostname = False
        admin = ssl.create_default_context(cafile=str(keys.ca.certificate))
        admin.check_hostname = False
        admin.load_cert_chain(keys.apiserver_kubelet_client.certificate, keys.apiserver_kubelet_client.key)
        client = clients.named("kubelet")
        kubelet = Kubelet(client, private.runtime, SystemClock(), config, ApiServerOnly())
        yield RealNode(client, private, config, admin, anonymous, kubelet)
        clients.cache.close()


@pytest.fixture
async def node(stopped_node: RealNode) -> AsyncIterator[RealNode]:
    """A node with containerd and a running kubelet, whose pods are deleted in the end."""
    async with running(stopped_node):
        yield stopped_node
        for pod in stopped_node.client.cache.list(Pod):
            name = pod["metadata"]["name"]
            await stopped_node.client.delete(Pod, Key("default", name), {"gracePeriodSeconds": 1})
        await asyncio.wait_for(stopped_node.kubelet.idle(), 60)
        assert mounts_below(stopped_node.config.root_dir / "pods") == []
        assert not list(stopped_node.config.root_dir.glob("pods/*"))
        left = list(Path("/sys/fs/cgroup").glob(f"*{stopped_node.config.cgroup_root}/**/pod*"))
        assert left == []


async def channels(node: RealNode, path: str, protocol: str, send: list[bytes]) -> dict[int, bytes]:
    """What a WebSocket client of the channel protocol receives, by channel."""
    got: dict[int, bytes] = {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{node.url}{path}", ssl=node.tls, protocols=(protocol,)) as socket,
    ):
        assert socket.protocol == protocol
        for message in send:
            await socket.send_bytes(message)
        async for message in socket:
            got[message.data[0]] = got.get(message.data[0], b"") + message.data[1:]
    return got


async def test_logs_exec_and_port_forward(node: RealNode) -> None:
    """Logs, exec by WebSocket with stdin and an exit code, and port-forward work on a running pod."""
    script = (
        "echo one; echo two >&2; mkdir -p /tmp/w; echo hello >/tmp/w/index.html; httpd -f -p 8080 -h /tmp/w"
    )
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    await node.run("web", script, container={"ports": [{"containerPort": 8080}], "readinessProbe": probe})
    async with aiohttp.ClientSession() as session:
        logs = f"{node.url}/containerLogs/default/web/main"
        async with session.get(logs, params={"follow": "true"}, ssl=node.tls) as answer:
            # the runtime writes the two streams to the log in its own time
            assert sorted([await answer.content.readline() for _ in range(2)]) == [b"one\n", b"two\n"]
        async with session.get(logs, params={"tailLines": "1"}, ssl=node.tls) as answer:
            assert len((await answer.text()).splitlines()) == 1
        async with session.get(logs, ssl=node.anonymous) as answer:
            assert answer.status == 401
        async with session.get(f"{node.url}/stats/summary", ssl=node.tls) as answer:
            summary = await answer.json()
            assert [pod["podRef"]["name"] for pod in summary["pods"]] == ["web"]
        async with session.get(f"{node.url}/metrics/resource", ssl=node.tls) as answer:
            assert 'container_memory_working_set_bytes{container="main"' in await answer.text()

    path = "/exec/default/web/main?command=sh&command=-c&command=cat;exit%207&input=1&output=1&error=1"
    got = await channels(node, path, "v5.channel.k8s.io", [b"\x00typed\n", b"\xff\x00"])
    assert got[1] == b"typed\n"
    assert b'"ExitCode","message":"7"' in got[3]
    got = await channels(
        node, "/exec/default/web/main?command=echo&command=hi&output=1", "v4.channel.k8s.io", []
    )
    assert (got[1], b'"Success"' in got[3]) == (b"hi\n", True)
    assert b"<h" not in await forwarded(node, 8080)
    assert (await forwarded(node, 8080)).endswith(b"hello\n")


async def forwarded(node: RealNode, port: int) -> bytes:
    """The answer to an HTTP request through SPDY tunnelled in a WebSocket, as kubectl forwards ports."""
    tunnel = "SPDY/3.1+portforward.k8s.io"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{node.url}/portForward/default/web", ssl=node.tls, protocols=(tunnel,)) as socket,
    ):
        ours, theirs = await _pipe()
        async with Tasks("tunnel") as tasks:

            async def up() -> None:
                while data := await theirs[0].read(65536):
                    await socket.send_bytes(data)

            async def down() -> None:
                async for message in socket:
                    theirs[1].write(message.data)

            tasks.spawn(up(), "up")
            tasks.spawn(down(), "down")
            async with spdy_over(*ours) as spdy:
                names = {"port": str(port), "requestid": "0"}
                await spdy.open({"streamtype": "error", **names})
                stream = await spdy.open({"streamtype": "data", **names})
                await stream.write(b"GET / HTTP/1.0\r\n\r\n")
                result = b""
                while data := await stream.read():
                    result += data
        theirs[1].close()
        return result


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _pipe() -> tuple[Streams, Streams]:
    """Two ends of one connection."""
    import socket

    left, right = socket.socketpair()
    return (await asyncio.open_connection(sock=left), await asyncio.open_connection(sock=right))


async def test_spdy_exec(node: RealNode) -> None:
    """A SPDY client's exec reaches the container, and its exit status comes back."""
    await node.run("web", "sleep 1000")
    assert node.config.server is not None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", node.config.server.port, ssl=node.tls, server_hostname=""
    )
    path = "/exec/default/web/main?command=sh&command=-c&command=cat;exit%203&input=1&output=1"
    head = [
        f"POST {path} HTTP/1.1",
        "Host: kubelet",
        "Connection: Upgrade",
        "Upgrade: SPDY/3.1",
        "Content-Length: 0",
        "X-Stream-Protocol-Version: v4.channel.k8s.io",
    ]
    writer.write("\r\n".join([*head, "", ""]).encode())
    answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert answer.startswith("HTTP/1.1 101 ")
    assert "X-Stream-Protocol-Version: v4.channel.k8s.io" in answer
    async with spdy_over(reader, writer) as spdy:
        error = await spdy.open({"streamtype": "error"})
        stdin = await spdy.open({"streamtype": "stdin"})
        stdout = await spdy.open({"streamtype": "stdout"})
        await stdin.write(b"x" * 200_000)
        await stdin.close()
        size = 0
        while data := await stdout.read():
            size += len(data)
        assert size == 200_000
        assert b'"message":"3"' in await error.read()


async def test_volumes_and_environment(node: RealNode) -> None:
    """configMap, secret, downwardAPI, emptyDir and subPath volumes and the environment reach the container,
    and a changed ConfigMap reaches its files."""
    meta = {"namespace": "default"}
    await node.client.create(
        ConfigMap, {"metadata": {"name": "cfg", **meta}, "data": {"page": "one", "k": "v"}}
    )
    await node.client.create(Secret, {"metadata": {"name": "key", **meta}, "stringData": {"token": "s3cret"}})
    volumes = [
        {"name": "cfg", "configMap": {"name": "cfg"}},
        {"name": "key", "secret": {"secretName": "key", "defaultMode": 0o400}},
        {
            "name": "about",
            "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]},
        },
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "disk", "emptyDir": {}},
    ]
    mounts = [
        {"name": "cfg", "mountPath": "/cfg"},
        {"name": "cfg", "mountPath": "/one/page", "subPath": "page"},
        {"name": "key", "mountPath": "/key"},
        {"name": "about", "mountPath": "/about"},
        {"name": "shm", "mountPath": "/shm"},
        {"name": "disk", "mountPath": "/disk", "subPath": "deep/er"},
    ]
    env = [
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "BOTH", "value": "$(IP)-$$(IP)"},
    ]
    resources = {"limits": {"memory": "64Mi", "cpu": "500m"}}
    container = {"volumeMounts": mounts, "env": env, "resources": resources}
    pod = await node.run("web", "sleep 1000", container=container, volumes=volumes)
    ip = pod["status"]["podIP"]
    out = await node.output(
        "web", "sh", "-c", "cat /cfg/page /one/page /key/token /about/name; echo; echo $MEM $BOTH"
    )
    assert out == f"oneones3cretweb\n64 {ip}-$(IP)\n"
    out = await node.output("web", "sh", "-c", "stat -L -c %a /key/token; grep -c ' /shm tmpfs' /proc/mounts")
    assert out == "400\n1\n"
    out = await node.output("web", "sh", "-c", "touch /disk/x; grep web /etc/hosts; hostname; ls /disk")
    assert out == f"{ip}\tweb\nweb\nx\n"
    uid = pod["metadata"]["uid"]
    assert (node.config.pod_dir(uid) / "volumes/kubernetes.io~empty-dir/disk/deep/er/x").exists()
    limits = list(Path("/sys/fs/cgroup").glob(f"**/pod{uid}/memory.limit_in_bytes"))
    limits += list(Path("/sys/fs/cgroup").glob(f"**/pod{uid}/memory.max"))
    assert [int(limit.read_text()) for limit in limits] == [64 << 20]
    await node.client.patch(ConfigMap, Key("default", "cfg"), {"data": {"page": "two"}})
    until_new = "until grep -q two /cfg/page; do sleep 0.05; done; cat /cfg/page /one/page"
    async with asyncio.timeout(5):
        assert await node.output("web", "sh", "-c", until_new) == "twoone"


async def test_subpath_cannot_leave_its_volume(node: RealNode) -> None:
    """A symlink that a container has put into a volume does not lead a subPath out of it."""
    script = "ln -s /etc /data/out; sleep 1000"
    volume = {"name": "data", "hostPath": {"path": str(node.config.root_dir.parent / "shared")}}
    volume["hostPath"]["type"] = "DirectoryOrCreate"  # type: ignore[index]
    mount = {"name": "data", "mountPath": "/data"}
    await node.run("evil", script, container={"volumeMounts": [mount]}, volumes=[volume])
    await node.output("evil", "ls", "-la", "/data")
    victim = {"name": "data", "mountPath": "/etc2", "subPath": "out/passwd"}
    await node.client.create(
        Pod, shell_pod("victim", "sleep 1000", container={"volumeMounts": [victim]}, volumes=[volume])
    )
    refused = await node.until(
        lambda pod: dig(dig(pod, "status.containerStatuses", [{}])[0], "state.waiting.message"), "victim"
    )
    waiting = refused["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "CreateContainerConfigError"
    assert waiting["message"] == 'failed to prepare subPath for volumeMount "data" of container "main"'


async def test_probes_restart_and_previous_logs(node: RealNode) -> None:
    """An http readiness probe makes the pod ready, a failing liveness probe restarts it, and the log of the
    run before is kept."""
    script = "echo run; mkdir -p /w; touch /w/ok; touch /tmp/live; httpd -f -p 80 -h /w"
    container = {
        "ports": [{"name": "http", "containerPort": 80}],
        "readinessProbe": {"httpGet": {"path": "/ok", "port": "http"}, "periodSeconds": 1},
        "livenessProbe": {
            "exec": {"command": ["cat", "/tmp/live"]},
            "periodSeconds": 1,
            "failureThreshold": 1,
        },
        "startupProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1},
    }
    first = await node.run("web", script, container=container)
    await node.output("web", "rm", "/tmp/live")
    again = await node.until(
        lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1 and all_ready(pod)
    )
    entry = again["status"]["containerStatuses"][0]
    assert (
        entry["lastState"]["terminated"]["containerID"]
        == first["status"]["containerStatuses"][0]["containerID"]
    )
    messages = [event["message"] for event in node.client.cache.list(Event)]
    assert any(text.startswith("Liveness probe failed: cat: can't open") for text in messages)
    assert "Container main failed liveness probe, will be restarted" in messages
    async with aiohttp.ClientSession() as session:
        url = f"{node.url}/containerLogs/default/web/main"
        async with session.get(url, params={"previous": "true"}, ssl=node.tls) as answer:
            assert (answer.status, await answer.text()) == (200, "run\n")


async def test_follow_ends_with_the_container(node: RealNode) -> None:
    """Following a log shows each line as it comes and ends when the container does; its last words are told."""
    script = "echo a; sleep 1; echo b; echo bye >/dev/termination-log; exit 5"
    await node.client.create(Pod, shell_pod("web", script, restartPolicy="Never"))
    await node.until(lambda pod: dig(pod, "status.phase") == "Running")
    async with aiohttp.ClientSession() as session:
        url = f"{node.url}/containerLogs/default/web/main"
        async with session.get(url, params={"follow": "true"}, ssl=node.tls) as answer:
            assert await answer.text() == "a\nb\n"
    pod = await node.until(lambda pod: dig(pod, "status.phase") == "Failed")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (5, "Error", "bye\n")


async def test_adoption_without_restart(stopped_node: RealNode) -> None:
    """Containers outlive the kubelet, are adopted by the next one, and die with their pod."""
    node = stopped_node
    async with running(node):
        before = await node.run("web", "sleep 1000")
    again = Kubelet(node.client, node.private.runtime, SystemClock(), node.config, ApiServerOnly())
    async with running(replace(node, kubelet=again)):
        await asyncio.sleep(0.5)
        after = await node.client.get(Pod, "web", "default")
        assert after["status"] == before["status"]
        assert await node.output("web", "echo", "here") == "here\n"
        await node.client.delete(Pod, Key("default", "web"))
        await node.gone()
        assert list(await node.private.runtime.sandboxes.list()) == []
        assert list(await node.private.runtime.containers.list()) == []
