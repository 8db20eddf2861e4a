"""kill -9 of each process of a cluster while pods come and go, a runtime that is away, and disks that are full:
nothing restarts that need not, nothing is left behind, everything is ready again.

`make chaos` raises CHAOS_CYCLES, the kills of each kind, to 20, and CHAOS_ABSENT, the seconds without a
runtime, to 60; CHAOS_SEED chooses another churn.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from churn import MOVING, STEADY, Churn, begin, calm, runs, template
from conftest import Cluster
from machine import Machine

from minikube_py.cluster.containerd import listener
from minikube_py.testing.containerd import unavailable

CYCLES = int(os.environ.get("CHAOS_CYCLES", "1"))
ABSENT = float(os.environ.get("CHAOS_ABSENT", "3"))
SEED = int(os.environ.get("CHAOS_SEED", "7"))
DISKS = {"kubelet": "64m", "containerd/root": "256m"}
"""Small disks of the cluster's own."""
STEPS = (
    "RunPodSandbox",
    "CreateContainer",
    "StartContainer",
    "StopContainer",
    "StopPodSandbox",
    "RemovePodSandbox",
)
NO_EVICTIONS = "--eviction-hard="
Kill = Callable[[Cluster, random.Random], set[str]]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180 + 90 * CYCLES + 4 * ABSENT)]


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A cluster of this module's own on small disks, as its processes are killed and its disks filled."""
    if reason := unavailable():
        pytest.skip(reason)
    home = Path(tempfile.mkdtemp(prefix="mkpy-kill-"))
    made = Cluster(home, f"kill-{os.getpid()}")
    try:
        for name, size in DISKS.items():
            (made.folder / name).mkdir(parents=True)
            disk = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(made.folder / name)]
            subprocess.run(disk, check=True, timeout=10)
        made.run("start", NO_EVICTIONS)
        site = home / "site"
        site.mkdir()
        (site / "index.html").write_text("<h1>built in</h1>\n")
        made.run("image", "build", "-t", "demo:1", str(site))
        yield made
    finally:
        made.run("delete")
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def steady(own: Cluster) -> Iterator[Cluster]:
    """The cluster with pods that must not notice anything; in the end nothing of any pod is left."""
    machine = Machine(own)
    before = machine.traces()
    begin(own)
    yield own
    own.kubectl("delete", "namespace", STEADY, MOVING, "--timeout=90s")
    assert machine.left(before, within=60) == {}


def kill_process(cluster: Cluster, _: random.Random) -> set[str]:
    """kill -9 of minikube-py, then start; it spares every pod."""
    restart(cluster, NO_EVICTIONS)
    return set()


def restart(cluster: Cluster, *flags: str) -> None:
    """kill -9 of minikube-py, then start with other flags; pods run on."""
    os.kill(cluster.pid, signal.SIGKILL)
    cluster.run("start", *flags)


def containerd(cluster: Cluster) -> int:
    """The pid of the cluster's containerd."""
    pid = listener(Machine(cluster).profile.containerd_socket)
    assert pid is not None
    return pid


def kill_containerd(cluster: Cluster, _: random.Random) -> set[str]:
    """kill -9 of containerd; it spares every pod."""
    os.kill(containerd(cluster), signal.SIGKILL)
    return set()


def kill_shim(cluster: Cluster, choice: random.Random) -> set[str]:
    """kill -9 of some pod's shim; the uid of the pod that is not spared."""
    machine = Machine(cluster)
    shims = machine.shims()
    sandbox = choice.choice(sorted(shims))
    uid = machine.pod_of(sandbox)
    with contextlib.suppress(ProcessLookupError):
        os.kill(shims[sandbox], signal.SIGKILL)
    return {uid}


def kill_both(cluster: Cluster, choice: random.Random) -> set[str]:
    """kill -9 of containerd and of minikube-py, then start; it spares every pod."""
    os.kill(containerd(cluster), signal.SIGKILL)
    return kill_process(cluster, choice)


KILLS = (kill_process, kill_containerd, kill_shim, kill_both)


@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: kill.__name__)
def test_killed_during_churn(steady: Cluster, kill: Kill) -> None:
    """After each kill, in the middle of some step of containerd's, all is ready again, and of the steady pods
    only that of the killed shim has restarted."""
    choice, churn = random.Random(SEED), Churn(steady, SEED)
    for _ in range(CYCLES):
        known = runs(steady)
        with churn:
            churn.wait(choice.uniform(0.3, 1.0))
            Machine(steady).await_step(choice.choice(STEPS), within=2)
            churn.wait(choice.choice((0, 0, 0.02, 0.1, 0.4)))
            hit = kill(steady, choice)
            churn.wait(choice.uniform(0.5, 3.0))
        calm(steady)
        spared = {key: run for key, run in known.items() if key[0] not in hit}
        now = runs(steady)
        assert {key: now.get(key) for key in spared} == spared


@pytest.mark.parametrize("kill", [kill_process, kill_containerd], ids=lambda kill: kill.__name__)
def test_half_made_pods_are_finished(steady: Cluster, kill: Kill) -> None:
    """Killed in the middle of a burst of creations, every pod of it runs, without a restart."""
    burst = [pod(f"burst-{number}") for number in range(12)]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": burst})
    known = runs(steady)
    steady.kubectl("create", "-n", MOVING, "-f", "-", input=text)
    kill(steady, random.Random(SEED))
    steady.kubectl("wait", "pod", "-n", MOVING, "-l", "app=burst", "--for=condition=Ready", "--timeout=100s")
    found = runs(steady, MOVING, "app=burst")
    assert [count for _, count in found.values()] == [0] * 12
    assert runs(steady) == known
    steady.kubectl("delete", "pod", "-n", MOVING, "-l", "app=burst", "--timeout=60s")


def stopped(cluster: Cluster) -> Callable[[], None]:
    """SIGSTOP of containerd; what lets it go on."""
    pid = containerd(cluster)
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


def unstartable(cluster: Cluster) -> Callable[[], None]:
    """kill -9 of containerd, which then cannot start; what lets it start again."""
    socket = Machine(cluster).profile.containerd_socket
    pid = containerd(cluster)
    os.kill(pid, signal.SIGSTOP)
    socket.unlink()
    socket.mkdir()  # nothing can listen there
    os.kill(pid, signal.SIGKILL)
    return socket.rmdir


@pytest.mark.parametrize("absent", [stopped, unstartable], ids=lambda absent: absent.__name__)
def test_a_runtime_that_is_away_costs_nothing(
    steady: Cluster, absent: Callable[[Cluster], Callable[[], None]]
) -> None:
    """Pods made and deleted while no runtime answers are started and gone once it does; the others run on."""
    known = runs(steady)
    come_back = absent(steady)
    try:
        steady.kubectl("delete", "pod", "-n", MOVING, "-l", "app=web", "--wait=false")
        steady.kubectl("create", "-n", MOVING, "-f", "-", input=json.dumps(pod("late")))
        time.sleep(ABSENT)
        assert steady.get("pod", "late", "-n", MOVING)["status"]["phase"] == "Pending"
    finally:
        come_back()
    steady.wait("pod/late", "condition=Ready", "-n", MOVING)
    calm(steady)
    steady.wait(f"node/{steady.profile}", "condition=Ready")
    assert runs(steady) == known
    steady.kubectl("delete", "pod", "late", "-n", MOVING)


def test_a_deleted_bridge_comes_back(steady: Cluster) -> None:
    """A pod of before is reached again, with no restart."""
    known = runs(steady)
    subprocess.run(["ip", "link", "delete", Machine(steady).profile.bridge], check=True, timeout=10)
    web = steady.get("pods", "-n", STEADY, "-l", "app=web")["items"][0]
    assert fetched(f"http://{web['status']['podIP']}:8080/") == "<h1>built in</h1>\n"
    calm(steady)
    assert runs(steady) == known


def fetched(url: str, within: float = 60) -> str:
    """What a server answers, asked again where it does not, for `within` s."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            return str(answer.read().decode())
        time.sleep(0.1)  # a machine without a default route refuses at once
    return ""


@pytest.mark.parametrize("disk", DISKS)
def test_a_full_disk_heals(steady: Cluster, disk: str) -> None:
    """A pod that finds no room says so in an event and runs once there is; the others run on."""
    known = runs(steady)
    filler = steady.folder / disk / "filler"
    try:
        fill(filler)
        steady.kubectl("create", "-n", MOVING, "-f", "-", input=json.dumps(pod("late")))
        assert "no space left on device" in warning(steady, steady.get("pod", "late", "-n", MOVING)).lower()
    finally:
        filler.unlink()
    steady.wait("pod/late", "condition=Ready", "-n", MOVING, timeout="90s")
    calm(steady)
    assert runs(steady) == known
    steady.kubectl("delete", "pod", "late", "-n", MOVING)


def warning(cluster: Cluster, about: dict[str, Any]) -> str:
    """The first warning about a pod of the namespace MOVING, as soon as there is one."""
    about = f"--field-selector=type=Warning,involvedObject.uid={about['metadata']['uid']}"
    argv = ["kubectl", "get", "events", "-n", MOVING, about, "-w", "-o", "jsonpath={.message}{'\\n'}"]
    with subprocess.Popen(argv, env=cluster.environment, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        try:
            return watch.stdout.readline()
        finally:
            watch.kill()


def fill(file: Path) -> None:
    """Write until nothing more fits on the file's disk."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as target:
        while True:
            target.write(b"\0" * 4096)


def pod(name: str, shell: str | None = None, **spec: Any) -> dict[str, Any]:
    """A pod of the template, its label app the name's first part."""
    words = {"shell": shell} if shell else {}
    made = template(name.partition("-")[0], **words, **spec)
    made["metadata"]["name"] = name
    return {"apiVersion": "v1", "kind": "Pod", **made}
