"""A cluster of the benchmark's own: started, measured and deleted by the command line, in a folder of its own.

Has no main: start.py, idle.py and pods.py use it. Needs root, and what `minikube-py start` needs.
"""

import contextlib
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from minikube_py.cluster.preflight import busy_ports
from minikube_py.cluster.profile import SLOTS, BadProfile, Network, Profile, choose, routes, slot
from minikube_py.meta.objects import condition_is

PROFILE = f"bench-{os.getpid()}"
IMAGE = "bench:1"
DNS_NAME = "kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class OwnCluster:
    """A profile in a temporary home. `network` and `connect` need it to be started."""

    home: Path

    @property
    def profile(self) -> Profile:
        return Profile(PROFILE, self.home)

    @property
    def network(self) -> Network:
        found = self.profile.network()
        assert found is not None
        return found

    @property
    def pid(self) -> int:
        return int(self.profile.pid_file.read_text())

    @property
    def environment(self) -> dict[str, str]:
        ours = {"MINIKUBE_PY_HOME": str(self.home), "KUBECONFIG": str(self.home / "kubeconfig")}
        return {**os.environ, **ours, "MINIKUBE_PY_PROFILE": PROFILE}

    def run(self, *arguments: str) -> str:
        """What `minikube-py ARGUMENTS` prints. Errors: CalledProcessError."""
        argv = [sys.executable, "-m", "minikube_py", *arguments]
        return subprocess.run(argv, env=self.environment, stdout=subprocess.PIPE, text=True, check=True).stdout

    def tls(self) -> ssl.SSLContext:
        """The administrator's credentials."""
        pki = self.profile.pki
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(str(pki / "admin.crt"), str(pki / "admin.key"))
        return context

    def get(self, path: str) -> Any:
        """An object by a connection of its own. Errors: OSError where nobody answers."""
        connection = HTTPSConnection("127.0.0.1", self.network.api_port, context=self.tls(), timeout=10)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise OSError(f"GET {path}: {response.status} {body[:200]!r}")
            return json.loads(body) if body[:1] == b"{" else body.decode()
        finally:
            connection.close()

    def answers(self) -> None:
        """Return once the API is ready, the node Ready and DNS answering at its ClusterIP, each asked from
        outside. Errors: TimeoutError after 30 s."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.get("/readyz")
                if condition_is(self.get(f"/api/v1/nodes/{PROFILE}"), "Ready") and self.resolves():
                    return
            time.sleep(0.005)
        raise TimeoutError("the cluster does not answer")

    def resolves(self, within: float = 1.0) -> bool:
        """Whether the cluster's DNS knows `kubernetes.default`, asked through its Service."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(within)
            asking.sendto(dns_query(DNS_NAME), (self.network.dns_ip, 53))
            return socket.inet_aton(self.network.kubernetes_ip) in asking.recv(1232)


def dns_query(name: str, id: int = 1) -> bytes:
    """A query for the A record of `name` (RFC 1035)."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", id, 0x0100, 1, 0, 0, 0) + labels + b"\0" + b"\0\1\0\1"


def free_network() -> Network:
    """Addresses and ports that no cluster of any home uses now."""
    known = routes(Path("/proc/net/route").read_text())
    for number in ((os.getpid() + n) % SLOTS for n in range(SLOTS)):
        with contextlib.suppress(BadProfile):
            found = choose([slot(n) for n in range(SLOTS) if n != number], known)
            if not busy_ports([("127.0.0.1", found.api_port), ("127.0.0.1", found.dns_port)]):
                return found
    raise SystemExit("every network for a profile is in use")


@contextlib.contextmanager
def own_home() -> Iterator[OwnCluster]:
    """A home with nothing in it; whatever runs in it is deleted in the end."""
    home = Path(tempfile.mkdtemp(prefix="mkpy-bench-"))
    cluster = OwnCluster(home)
    cluster.profile.save({"network": asdict(free_network())})
    try:
        yield cluster
    finally:
        cluster.run("delete")
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def started() -> Iterator[OwnCluster]:
    """A cluster that runs and has the image IMAGE (busybox)."""
    with own_home() as cluster:
        cluster.run("start")
        cluster.answers()
        site = cluster.home / "site"
        site.mkdir()
        (site / "index.html").write_text("bench\n")
        cluster.run("image", "build", "-t", IMAGE, str(site))
        yield cluster


def need_root() -> None:
    """Leave with one line where no cluster can be started here."""
    from minikube_py.testing.containerd import unavailable

    if reason := unavailable():
        print(f"left out: {reason}")
        raise SystemExit(0)
