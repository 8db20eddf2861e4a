"""A full disk under the API's own database: writes say so, reads go on, and room alone heals everything."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Cluster, pod

from minikube_py.testing.containerd import unavailable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOM, DISKS = "48m", {"containerd": "256m", "kubelet": "64m"}
"""The cluster's home, with the database in it, is a small disk; what pods need is on others."""
PIECE = 512 * 1024


@pytest.fixture(scope="module")
def small() -> Iterator[Cluster]:
    """A cluster of this module's own whose database has little room."""
    if reason := unavailable():
        pytest.skip(reason)
    home = Path(tempfile.mkdtemp(prefix="mkpy-full-"))
    made = Cluster(home, f"full-{os.getpid()}")
    try:
        mount(home, ROOM)
        for name, size in DISKS.items():
            mount(made.folder / name, size)
        made.run("start", "--eviction-hard=")
        site = home / "site"
        site.mkdir()
        made.run("image", "build", "-t", "demo:1", str(site))
        yield made
    finally:
        made.run("delete")
        subprocess.run(["umount", str(home)], check=True, timeout=10)
        home.rmdir()


def mount(folder: Path, size: str) -> None:
    """Make `folder` a disk of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, timeout=10)


def large(name: str) -> dict[str, Any]:
    """A ConfigMap of half a megabyte."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": "x" * PIECE}}


def write_until_full(cluster: Cluster) -> tuple[list[str], str]:
    """Create one large object after another; the names of those that were taken, and why the last was not."""
    taken: list[str] = []
    while len(taken) < 200:
        body = json.dumps(large(chr(ord("a") + len(taken) % 26) * (1 + len(taken) // 26)))
        argv = ["kubectl", "create", "-f", "-", "-o", "name"]
        done = subprocess.run(
            argv, input=body, env=cluster.environment, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            return taken, done.stderr
        taken.append(done.stdout.strip().removeprefix("configmap/"))
    raise AssertionError("the disk was never full")


def stored(cluster: Cluster) -> dict[str, int]:
    """The sizes of the ConfigMaps by name."""
    items = cluster.get("configmaps")["items"]
    return {item["metadata"]["name"]: len(item["data"].get("x", "")) for item in items}


def test_a_full_disk_under_the_database(small: Cluster) -> None:
    """Each write is refused with the cause, nothing is half-written, and all heals without a restart."""
    small.kubectl("apply", "-f", "-", input=json.dumps(pod("before", ["/bin/busybox", "sleep", "3600"])))
    small.wait("pod/before", "condition=Ready")
    small.kubectl("create", "configmap", "settings", "--from-literal=a=1")
    pid, filler = small.pid, small.folder / "filler"
    with filler.open("wb") as file:
        free = os.statvfs(small.folder)
        os.posix_fallocate(file.fileno(), 0, (free.f_bavail - 256) * free.f_frsize)
    taken, why = write_until_full(small)
    try:
        assert "the store cannot be written" in why
        assert "disk is full" in why
        for verb, name in (("replace", "settings"), ("create", "another")):
            said = small.kubectl(verb, "-f", "-", input=json.dumps(large(name)), code=1)
            assert "disk is full" in said
        assert set(stored(small)) == {*taken, "settings", "kube-root-ca.crt"}
        assert small.get("configmap", "settings")["data"] == {"a": "1"}
        assert "[-]etcd failed" in small.kubectl("get", "--raw", "/readyz", code=1)
        assert "before" in small.kubectl("get", "pods")
        assert small.kubectl("exec", "before", "--", "/bin/busybox", "echo", "up") == "up\n"
    finally:
        filler.unlink()
    small.kubectl("create", "configmap", "after", "--from-literal=a=1")
    small.kubectl("apply", "-f", "-", input=json.dumps(pod("later", ["/bin/busybox", "sleep", "3600"])))
    small.wait("pod/later", "condition=Ready")
    small.wait(f"node/{small.profile}", "condition=Ready")
    assert small.kubectl("get", "--raw", "/readyz") == "ok"
    assert small.pid == pid
    known = stored(small)
    assert set(known) == {*taken, "settings", "after", "kube-root-ca.crt"}
    small.run("stop")
    small.run("start", "--eviction-hard=")
    assert stored(small) == known
