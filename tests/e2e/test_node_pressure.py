"""A node that runs short of memory and disk for real: the pod that takes too much is evicted, others stay."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Cluster

from minikube_py.testing.containerd import unavailable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

MIB = 1 << 20
DISK = 64  # MiB of the disk of pods' volumes
TRANSITION = "--eviction-pressure-transition-period=3s"


def available() -> int:
    """The MiB of memory that evictions count as available."""
    words = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    found = {name.rstrip(":"): int(kilobytes) for name, kilobytes, *_ in words}
    return (found["MemFree"] + found["Inactive(file)"]) // 1024


@pytest.fixture(scope="module")
def short(testbox_archive: Path) -> Iterator[Cluster]:
    """A cluster of this module's own, whose disk for volumes is small."""
    if reason := unavailable():
        pytest.skip(reason)
    home = Path(tempfile.mkdtemp(prefix="mkpy-short-"))
    made = Cluster(home, f"short-{os.getpid()}")
    try:
        disk = made.folder / "kubelet"
        disk.mkdir(parents=True)
        options = f"size={DISK}m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True, timeout=10)
        made.run("start", "--eviction-hard=")
        made.run("image", "load", str(testbox_archive))
        made.kubectl("create", "-f", "-", input=json.dumps(pod("quiet", ["wait"])))
        made.wait("pod/quiet", "condition=Ready")
        yield made
    finally:
        made.run("delete")
        shutil.rmtree(home, ignore_errors=True)


def pod(name: str, words: list[str], **container: Any) -> dict[str, Any]:
    """A pod of testbox that is never restarted, with a volume /data on the node's disk."""
    main = {"name": "main", "image": "testbox:1", "args": words, **container}
    main["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "containers": [main],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "tolerations": [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def again(cluster: Cluster, hard: str) -> None:
    """The process anew, with other thresholds; pods run on."""
    os.kill(cluster.pid, signal.SIGKILL)
    cluster.run("start", f"--eviction-hard={hard}", TRANSITION)


def evicted(cluster: Cluster, name: str) -> str:
    """The message of a pod once it was evicted."""
    cluster.wait(f"pod/{name}", "jsonpath={.status.reason}=Evicted", timeout="90s")
    status = cluster.get("pod", name)["status"]
    disrupted = {c["type"]: c.get("reason") for c in status["conditions"]}["DisruptionTarget"]
    assert (status["phase"], disrupted) == ("Failed", "TerminationByKubelet")
    return str(status["message"])


def test_memory_runs_short(short: Cluster) -> None:
    """The pod that eats memory is evicted, the node says MemoryPressure until it is over, the others run on."""
    known = short.get("pod", "quiet")["status"]["containerStatuses"]
    left = available()
    eaten = min(2048, left // 3)
    again(short, f"memory.available<{left - eaten * 2 // 3}Mi")
    short.kubectl("create", "-f", "-", input=json.dumps(pod("eater", [f"eat={eaten}", "wait"])))
    short.wait(f"node/{short.profile}", "condition=MemoryPressure", timeout="90s")
    said = evicted(short, "eater")
    assert said.startswith("The node was low on resource: memory. Threshold quantity: ")
    assert "Container main was using " in said
    assert "request is 0, has larger consumption of memory. " in said
    short.wait(f"node/{short.profile}", "condition=MemoryPressure=False", timeout="90s")
    assert short.get("pod", "quiet")["status"]["containerStatuses"] == known


def test_disk_runs_short(short: Cluster) -> None:
    """The pod that fills the disk is evicted; what comes meanwhile waits for the end of DiskPressure."""
    known = short.get("pod", "quiet")["status"]["containerStatuses"]
    again(short, f"nodefs.available<{DISK // 2}Mi")
    fill = ["/bin/busybox", "sh", "-c", f"dd if=/dev/zero of=/data/x bs=1M count={DISK * 3 // 4}; sleep 600"]
    short.kubectl("create", "-f", "-", input=json.dumps(pod("filler", [], command=fill)))
    short.wait(f"node/{short.profile}", "condition=DiskPressure", timeout="90s")
    short.kubectl("create", "-f", "-", input=json.dumps(pod("later", ["wait"])))
    said = evicted(short, "filler")
    assert said.startswith("The node was low on resource: ephemeral-storage. Threshold quantity: 32Mi, ")
    assert "request is 0, has larger consumption of ephemeral-storage. " in said
    short.wait("pod/later", "condition=Ready", timeout="90s")
    assert short.get("pod", "quiet")["status"]["containerStatuses"] == known
