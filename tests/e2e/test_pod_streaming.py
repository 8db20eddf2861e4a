"""Streams of containers by kubectl (WebSocket and SPDY) and by bare WebSockets: what goes in comes out."""

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import ssl
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from conftest import Cluster, pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

BUSYBOX = "/bin/busybox"
BIG = os.urandom(1 << 20) * 20
SERVE = "mkdir -p /www; echo page > /www/index.html; httpd -p 8080 -h /www; exec sleep 3600"
CLOSING = 0.1  # seconds in which the client library closes a TLS connection, which it does not wait for
TRANSPORTS = pytest.mark.parametrize("transport", ["websocket", "spdy"])


@pytest.fixture(scope="module")
def box(cluster: Cluster, testbox: str) -> Iterator[str]:
    """A pod of busybox, as root, that serves /www on port 8080; its name."""
    container = {"image": testbox, "command": ["/bin/sh", "-c", SERVE]}
    body = pod("streams", [], container=container, terminationGracePeriodSeconds=0)
    probe = {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1}
    body["spec"]["containers"][0] |= container | {"readinessProbe": probe}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(body))
    cluster.wait("pod/streams", "condition=Ready")
    yield "streams"
    cluster.kubectl("delete", "pod", "streams", "--now")


def kubectl(
    cluster: Cluster, transport: str, *arguments: str, input: bytes = b"", stdin: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """kubectl over one transport, with bytes; its stdin is a pipe if anything is to be read."""
    on = "true" if transport == "websocket" else "false"
    chosen = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": on, "KUBECTL_PORT_FORWARD_WEBSOCKETS": on}
    given: dict[str, Any] = {"input": input} if input or stdin else {"stdin": subprocess.DEVNULL}
    return subprocess.run(
        ["kubectl", *arguments], env=cluster.environment | chosen, capture_output=True, timeout=60, **given
    )


@TRANSPORTS
def test_exec(cluster: Cluster, box: str, transport: str) -> None:
    """Input reaches the command to its end; output, errors and the exit code come back apart; a long argument
    is no matter."""
    script = "cat; echo wrong >&2; exit 7"
    done = kubectl(cluster, transport, "exec", "-i", box, "--", "/bin/sh", "-c", script, input=b"\xff\x00in\n")
    assert (done.returncode, done.stdout) == (7, b"\xff\x00in\n")
    assert done.stderr == b"wrong\ncommand terminated with exit code 7\n"
    long = "a" * 100_000
    done = kubectl(cluster, transport, "exec", box, "--", "/bin/sh", "-c", "echo ${#1}", "sh", long)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"100000\n", b"")


@TRANSPORTS
def test_large_transfers(cluster: Cluster, box: str, transport: str) -> None:
    """20 MB go in and come out unchanged, whoever is slow."""
    into = kubectl(cluster, transport, "exec", "-i", box, "--", BUSYBOX, "sha256sum", input=BIG)
    assert into.stdout.decode().split()[0] == hashlib.sha256(BIG).hexdigest()
    kept = kubectl(cluster, transport, "exec", "-i", box, "--", "/bin/sh", "-c", "cat > /tmp/big", input=BIG)
    assert (kept.returncode, kept.stdout, kept.stderr) == (0, b"", b"")
    assert kubectl(cluster, transport, "exec", box, "--", "cat", "/tmp/big").stdout == BIG
    out = kubectl(cluster, transport, "exec", box, "--", "/bin/sh", "-c", "yes 0123456 | head -c 20000000")
    assert out.stdout == (b"0123456\n" * 2_500_000)


@TRANSPORTS
def test_copies(cluster: Cluster, box: str, transport: str, tmp_path: Path) -> None:
    """kubectl cp carries folders both ways."""
    source = tmp_path / "there"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "data").write_bytes(BIG)
    (source / "link").symlink_to("deep/data")
    there, back = f"{box}:/tmp/{transport}", tmp_path / "back"
    done = kubectl(cluster, transport, "cp", str(source), there)
    assert (done.returncode, done.stderr) == (0, b"")
    seen = kubectl(cluster, transport, "exec", box, "--", "ls", "-l", f"/tmp/{transport}/link")
    assert seen.stdout.endswith(b"link -> deep/data\n")
    done = kubectl(cluster, transport, "cp", there, str(back))
    assert done.returncode == 0
    assert (back / "deep" / "data").read_bytes() == BIG


@TRANSPORTS
def test_port_forward(cluster: Cluster, box: str, transport: str) -> None:
    """Many connections at once are served, large answers come whole, and a closed port is told."""
    on = "true" if transport == "websocket" else "false"
    big = "head -c 20000000 /dev/zero > /www/big"
    assert kubectl(cluster, transport, "exec", box, "--", "/bin/sh", "-c", big).returncode == 0
    with forwarded(cluster, box, on, "8080") as (port, _):

        async def fetched(path: str) -> int:
            async with session.get(f"http://127.0.0.1:{port}/{path}") as answer:
                return len(await answer.read())

        async def everything() -> list[int]:
            nonlocal session
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
                return await asyncio.gather(fetched("big"), *(fetched("index.html") for _ in range(30)))

        session: Any = None
        assert asyncio.run(everything()) == [20_000_000, *[5] * 30]
    with forwarded(cluster, box, on, "81") as (port, process):
        with socket.create_connection(("127.0.0.1", port), 10) as connection, contextlib.suppress(OSError):
            connection.recv(1)
        assert process.stderr is not None
        told = process.stderr.readline() + process.stderr.readline()
    assert b"an error occurred forwarding" in told
    assert b"connect: connection refused" in told


@contextlib.contextmanager
def forwarded(
    cluster: Cluster, name: str, websockets: str, port: str
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A port of a pod on a port of this machine."""
    process = subprocess.Popen(
        ["kubectl", "port-forward", f"pod/{name}", f":{port}"],
        env=cluster.environment | {"KUBECTL_PORT_FORWARD_WEBSOCKETS": websockets},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield int(line.split(b"127.0.0.1:")[1].split(b" ")[0]), process
    finally:
        process.kill()
        process.communicate(timeout=10)


@TRANSPORTS
def test_a_forwarded_answer_after_the_question(cluster: Cluster, box: str, transport: str) -> None:
    """A server that answers a second after its client has ended is heard."""
    there = "7007" if transport == "spdy" else "7008"
    answer = "cat >/tmp/asked; sleep 1; wc -c </tmp/asked"
    start = f"nc -ll -p {there} -e /bin/sh -c '{answer}' >/dev/null 2>&1 </dev/null &"
    wait = f"until netstat -ltn | grep -q :{there}; do sleep 0.1; done"
    on = "true" if transport == "websocket" else "false"
    assert kubectl(cluster, transport, "exec", box, "--", "/bin/sh", "-c", f"{start} {wait}").returncode == 0
    with (
        forwarded(cluster, box, on, there) as (port, _),
        socket.create_connection(("127.0.0.1", port), 10) as connection,
    ):
        connection.sendall(b"x" * 200_000)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(20)
        found = b""
        while piece := connection.recv(1000):
            found += piece
    assert found == b"200000\n"


@TRANSPORTS
def test_run_loses_no_output(cluster: Cluster, namespace: str, transport: str) -> None:
    """`kubectl run -i --rm` shows everything of containers that end before anybody can attach."""
    for number in range(4):
        script = f"echo out{number}; echo err >&2; exit {number % 2}"
        flags = ("-i", "--rm", "--restart=Never", "--image=demo:1", "-n", namespace, "--command", "--")
        done = kubectl(cluster, transport, "run", f"r{number}", *flags, BUSYBOX, "sh", "-c", script)
        assert (done.returncode, f"out{number}\n".encode() in done.stdout) == (number % 2, True), done
        assert b"err\n" in done.stdout + done.stderr


def test_run_reads_input(cluster: Cluster, namespace: str) -> None:
    """Input of `kubectl run -i` reaches the container, whose stdin ends with it (stdinOnce)."""
    flags = ("-i", "--rm", "--restart=Never", "--image=demo:1", "-n", namespace, "--command", "--")
    script = 'while [ -z "$s" ]; do read s; done; echo read:$s; /bin/busybox cat; echo closed'
    done = kubectl(
        cluster, "websocket", "run", "r", *flags, BUSYBOX, "sh", "-c", script, input=b"value\nmore\n"
    )
    assert done.stdout.startswith(b"read:value\nmore\nclosed\n"), done


@TRANSPORTS
@pytest.mark.parametrize("once", [True, False], ids=["stdin-once", "stdin-stays"])
def test_input_outlives_an_output(cluster: Cluster, namespace: str, transport: str, once: bool) -> None:
    """A container that has closed one of its outputs still gets all the input of `kubectl attach`."""
    script = "exec >&-; /bin/busybox head -c 100000 | /bin/busybox wc -c >&2; /bin/busybox sleep 1"
    told = {"stdin": True, "stdinOnce": once, "command": [BUSYBOX, "sh", "-c", script]}
    body = pod("listener", [], container=told, restartPolicy="Never")
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(body))
    cluster.wait("pod/listener", "condition=Ready", "-n", namespace)
    attach = ("attach", "-i", "listener", "-n", namespace)
    done = kubectl(cluster, transport, *attach, input=b"line\n" * 20_000)
    assert done.returncode == 0, done
    assert kubectl(cluster, "", "logs", "listener", "-n", namespace, "-f").stdout == b"100000\n"


def test_debug(cluster: Cluster, box: str, testbox: str) -> None:
    """kubectl debug sees the container's processes, and the node's files."""
    flags = (f"--image={testbox}", "--image-pull-policy=IfNotPresent", "-i", "--profile=general")
    seen = kubectl(cluster, "websocket", "debug", box, *flags, "--target=main", "--", "/bin/ps")
    assert b"sleep 3600" in seen.stdout, seen
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    flags = (*flags[:3], "--profile=sysadmin", "--", "/bin/ls", "/host/etc/hostname")
    seen = kubectl(cluster, "websocket", "debug", f"node/{node}", *flags)
    assert b"/host/etc/hostname" in seen.stdout, seen
    for made in cluster.get("pods")["items"]:
        if made["metadata"]["name"].startswith("node-debugger-"):
            cluster.kubectl("delete", "pod", made["metadata"]["name"], "--now")


LINES = (
    r"printf 'one\rstill one\n\033[31mtwo\377\n'; head -c 1000000 /dev/zero | tr '\0' x; echo; echo last; "
    "exit 3"
)


def test_logs(cluster: Cluster, namespace: str, testbox: str) -> None:
    """Logs are what was printed, byte for byte: of the run before, the last lines, a part, and with times."""
    container = {"image": testbox, "command": ["/bin/sh", "-c", LINES]}
    init = {"name": "init", "image": testbox, "command": ["/bin/echo", "first"]}
    body = pod("talker", [], container=container, restartPolicy="OnFailure", initContainers=[init])
    body["spec"]["containers"][0] |= container
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(body))
    restarted = "jsonpath={.status.containerStatuses[0].restartCount}=1"
    cluster.wait("pod/talker", restarted, "-n", namespace)

    def logs(*arguments: str) -> bytes:
        done = kubectl(cluster, "", "logs", "talker", "-n", namespace, "-c", "main", *arguments)
        assert done.returncode == 0, done
        return done.stdout

    whole = b"one\rstill one\n\x1b[31mtwo\xff\n" + b"x" * 1_000_000 + b"\nlast\n"
    assert logs("--previous") == whole
    assert logs("--previous", "--tail=1") == b"last\n"
    assert logs("--previous", "--limit-bytes=20") == whole[:20]
    assert logs("--previous", "--since-time=2100-01-01T00:00:00Z") == b""
    stamped = logs("--previous", "--timestamps").split(b"\n")
    assert [len(line.split(b" ")[0]) for line in stamped[:2]] == [30, 30]
    assert max(map(len, stamped)) == 1_000_031
    assert kubectl(cluster, "", "logs", "talker", "-n", namespace, "-c", "init").stdout == b"first\n"
    everything = kubectl(cluster, "", "logs", "talker", "-n", namespace, "--all-containers").stdout
    assert (everything.count(b"first\n"), everything.count(b"one\rstill one\n")) == (1, 1)  # in any order


def test_logs_that_cannot_be_read(cluster: Cluster, namespace: str) -> None:
    """Containers that wait, or were never run before, and options without sense are told as Kubernetes does."""
    body = pod("waiting", ["x"], container={"image": "none:1", "imagePullPolicy": "Never"})
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(body))
    reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImageNeverPull"
    cluster.wait("pod/waiting", reason, "-n", namespace)
    nowhere = pod("nowhere", ["x"], nodeSelector={"no": "node"})
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(nowhere))
    assert cluster.kubectl("logs", "nowhere", "-n", namespace) == ""
    for arguments, words in (
        ((), 'container "main" in pod "waiting" is waiting to start: ErrImageNeverPull'),
        (("--previous",), 'previous terminated container "main" in pod "waiting" not found'),
    ):
        said = cluster.kubectl("logs", "waiting", "-n", namespace, *arguments, code=1)
        assert said == f"Error from server (BadRequest): {words}\n"
    said = cluster.kubectl("exec", "waiting", "-n", namespace, "--", "true", code=1)
    why = 'unable to upgrade connection: container not found ("main")'
    assert said == f"error: Internal error occurred: {why}\n"
    path = f"/api/v1/namespaces/{namespace}/pods/waiting/log?limitBytes=0&tailLines=-1"
    said = cluster.kubectl("get", "--raw", path, code=1)
    assert said == (
        'The PodLogOptions "waiting" is invalid: \n'
        "* tailLines: Invalid value: -1: must be greater than or equal to 0\n"
        "* limitBytes: Invalid value: 0: must be greater than 0\n"
    )


def tls_of(cluster: Cluster) -> tuple[str, ssl.SSLContext]:
    """The API server's URL, and how an administrator speaks TLS to it."""
    pki = cluster.folder / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(str(pki / "admin.crt"), str(pki / "admin.key"))
    port = json.loads((cluster.folder / "config.json").read_text())["network"]["api_port"]
    return f"https://127.0.0.1:{port}", context


async def messages(cluster: Cluster, path: str, protocol: str) -> list[Any]:
    """What a WebSocket brings until the server closes it."""
    url, context = tls_of(cluster)
    protocols = (protocol,) if protocol else ()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}{path}", protocols=protocols, ssl=context) as opened,
    ):
        assert opened.protocol == (protocol or None)
        found = [message.data async for message in opened]
    await asyncio.sleep(CLOSING)
    return found


def exec_path(name: str, script: str) -> str:
    """A command in the box; its output and errors are wanted."""
    command = [("command", word) for word in ("/bin/sh", "-c", script)]
    query = urlencode([*command, ("stdout", "1"), ("stderr", "1"), ("container", "main")])
    return f"/api/v1/namespaces/default/pods/{name}/exec?{query}"


@pytest.mark.parametrize("protocol", ["channel.k8s.io", ""])
async def test_old_channels(cluster: Cluster, box: str, protocol: str) -> None:
    """Before version 4 the error channel is silent for a success, and carries words for a failure."""
    found = await messages(cluster, exec_path(box, "echo remote"), protocol)
    assert b"".join(data[1:] for data in found if data[0] == 1) == b"remote\n"
    assert [data for data in found if data[0] != 1 and len(data) > 1] == []
    found = await messages(cluster, exec_path(box, "exit 3"), protocol)
    [told] = [data[1:] for data in found if data[0] == 3 and len(data) > 1]
    assert b"exit code 3" in told
    assert not told.startswith(b"{")


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
async def test_channels_tell_the_end_last(cluster: Cluster, box: str, protocol: str) -> None:
    """The exit code comes as a Status once all output has."""
    found = await messages(cluster, exec_path(box, "yes | head -c 300000; exit 3"), protocol)
    if "base64" in protocol:
        found = [bytes((int(data[:1]),)) + b64decode(data[1:]) for data in found]
    assert sum(len(data) - 1 for data in found if data[0] == 1) == 300_000
    status = json.loads(found[-1][1:])
    assert (found[-1][0], status["reason"]) == (3, "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


async def test_unknown_protocol(cluster: Cluster, box: str) -> None:
    """A client that knows none of the protocols is refused before it is let in."""
    url, context = tls_of(cluster)
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "v9.other",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}{exec_path(box, 'true')}", headers=headers, ssl=context) as answer,
    ):
        assert (answer.status, "not supported" in await answer.text()) == (403, True)
    await asyncio.sleep(CLOSING)


async def test_log_messages(cluster: Cluster, namespace: str) -> None:
    """A log can be read by WebSocket."""
    body = pod("logger", [BUSYBOX, "echo", "container is alive"], restartPolicy="Never")
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(body))
    cluster.wait("pod/logger", "jsonpath={.status.phase}=Succeeded", "-n", namespace)
    path = f"/api/v1/namespaces/{namespace}/pods/logger/log"
    for protocol in ("binary.k8s.io", "base64.binary.k8s.io", ""):
        found = await messages(cluster, path, protocol)
        data = [b64decode(text) for text in found] if "base64" in protocol else found
        assert b"".join(data) == b"container is alive\n"
