"""Streams of the public Python client, which sends text where the protocol is binary and waits for the end."""

import gc
import select
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import PROFILE, Cluster, pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

kubernetes = pytest.importorskip("kubernetes")
READ = ["/bin/sh", "-c", "read x; echo got $x; echo err >&2; exit 7"]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """The client leaves its sockets to the garbage collector, which then warns; here nobody minds."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture
def core(cluster: Cluster) -> Iterator[Any]:
    """CoreV1Api of an administrator."""
    made = kubernetes.client.Configuration()
    file = str(cluster.home / "kubeconfig")
    kubernetes.config.load_kube_config(config_file=file, context=PROFILE, client_configuration=made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with kubernetes.client.ApiClient(made) as api:
            yield kubernetes.client.CoreV1Api(api)


@pytest.fixture
def web(cluster: Cluster, core: Any, namespace: str) -> str:
    """A pod that serves the page on port 8080; its name."""
    body = pod(
        "web", ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"], terminationGracePeriodSeconds=0
    )
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    body["spec"]["containers"][0] |= {"readinessProbe": probe}
    core.create_namespaced_pod(namespace, body)
    cluster.wait("pod/web", "condition=Ready", "-n", namespace)
    return "web"


def test_standard_input(core: Any, namespace: str, web: str) -> None:
    """What the client writes reaches the command; its output, errors and exit code come back."""
    run = kubernetes.stream.stream(
        core.connect_get_namespaced_pod_exec,
        web,
        namespace,
        command=READ,
        stdin=True,
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    run.write_stdin("this\n")
    run.run_forever(timeout=10)
    found = run.read_stdout(), run.read_stderr(), run.returncode
    run.close()
    assert found == ("got this\n", "err\n", 7)


def test_port_forward_of_two_ports(core: Any, namespace: str, web: str) -> None:
    """Ports may be named together; one that nobody listens at is told, and the other is served."""
    forward = kubernetes.stream.portforward(
        core.connect_get_namespaced_pod_portforward, web, namespace, ports="81,8080"
    )
    socket = forward.socket(8080)
    socket.settimeout(10)
    socket.sendall(b"GET /nothing HTTP/1.0\r\n\r\n")
    answer = b"".join(iter(lambda: socket.recv(4096), b""))
    while not forward.error(81):  # it comes by the same connection, in its own time
        select.select([], [], [], 0.05)
    forward.close()
    assert answer.startswith(b"HTTP/1.1 404")
    assert "failed to connect to localhost:81" in forward.error(81)


def test_port_forward_ends_with_the_connection(core: Any, namespace: str, web: str) -> None:
    """Once the pod has closed its connection the client's socket ends."""
    forward = kubernetes.stream.portforward(
        core.connect_get_namespaced_pod_portforward, web, namespace, ports="8080"
    )
    socket = forward.socket(8080)
    socket.setblocking(True)
    socket.sendall(b"GET /nothing HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    answer = b""
    while select.select([socket], [], [], 10)[0]:
        data = socket.recv(4096)
        if not data:
            break
        answer += data
    else:
        pytest.fail("the connection did not end within 10 s")
    forward.close()
    assert answer.startswith(b"HTTP/1.1 404")
