"""What containers leave behind is found and removed, and nothing else is."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from minikube_py.aio.process import run_blocking
from minikube_py.cluster.containerd_config import ContainerdConfig
from minikube_py.cluster.leftovers import (
    SHIM_BUNDLES,
    LeftoversRemain,
    children,
    end_stray_shims,
    kill_containers,
    mounts_under,
    remove_cgroups,
    remove_folder,
    remove_shim_sockets,
    shims,
    stray_shims,
    unmount_all,
)
from minikube_py.cluster.strays import Strays

MOUNTINFO = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 22 0:40 / /home/a/.minikube-py/state/netns/cni-1 rw - nsfs nsfs rw
41 22 0:41 / /home/a/.minikube-py/state/task/1/rootfs rw - overlay overlay rw
42 22 0:42 / /home/a/.minikube-py-other/state rw - tmpfs tmpfs rw
43 41 0:43 / /home/a/.minikube-py/state/task/1/rootfs/with\\040space rw - tmpfs tmpfs rw
"""

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_mounts_below_a_folder_the_deepest_first() -> None:
    """Only mounts of the folder itself, not of one whose name begins alike; escaped names are read."""
    state = "/home/a/.minikube-py/state"
    assert mounts_under([Path("/home/a/.minikube-py")], MOUNTINFO) == [
        Path(f"{state}/task/1/rootfs/with space"),
        Path(f"{state}/task/1/rootfs"),
        Path(f"{state}/netns/cni-1"),
    ]


@root
def test_mounts_are_taken_away(tmp_path: Path) -> None:
    """Nested mounts go; a folder with a mount below is not removed before."""
    for folder in ("a", "a/b"):
        (tmp_path / folder).mkdir()
        run_blocking(["mount", "-t", "tmpfs", "none", str(tmp_path / folder)])
    with pytest.raises(LeftoversRemain, match="still mounted"):
        remove_folder(tmp_path / "a")
    assert unmount_all([tmp_path]) == [tmp_path / "a" / "b", tmp_path / "a"]
    assert unmount_all([tmp_path]) == []
    remove_folder(tmp_path / "a")
    remove_folder(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_shims_are_known_by_our_socket(tmp_path: Path) -> None:
    """A shim of our socket is killed with its containers; one of another socket lives on."""

    def shim(socket: str) -> subprocess.Popen[bytes]:
        words = ["containerd-shim-runc-v2", "-c", "sleep 60 >/dev/null & echo up; wait", "-address", socket]
        child = subprocess.Popen(words, executable="/bin/sh", stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        return child

    ours, other = shim(str(tmp_path / "ours.sock")), shim(str(tmp_path / "other.sock"))
    try:
        assert shims(tmp_path / "ours.sock") == [ours.pid]
        [container] = children(ours.pid)
        assert kill_containers(tmp_path / "ours.sock") == 2
        assert ours.wait(5) == -9
        assert not Path(f"/proc/{container}/exe").exists()
        assert other.poll() is None
    finally:
        for child in (ours, other):
            for pid in children(child.pid):
                os.kill(pid, 9)
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()


@root
def test_cgroups_go_with_what_runs_in_them() -> None:
    """A cgroup is removed from each hierarchy with those below; its processes are killed."""
    hierarchies = [path for path in Path("/sys/fs/cgroup").iterdir() if path.is_dir()]
    v1 = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
    tops = [path for path in hierarchies if path.name in ("memory", "cpu")] if v1 else [Path("/sys/fs/cgroup")]
    name = f"/minikube-py-leftovers-{os.getpid()}"
    for top in tops:
        (top / name.strip("/") / "pod").mkdir(parents=True)
    child = subprocess.Popen(["sleep", "60"])
    (tops[0] / name.strip("/") / "pod" / "cgroup.procs").write_text(str(child.pid))
    reaper = threading.Thread(target=child.wait)
    reaper.start()
    removed = remove_cgroups(name)
    reaper.join()
    assert child.returncode == -9
    assert len(removed) == 2 * len(tops)
    assert not any((top / name.strip("/")).exists() for top in tops)
    assert remove_cgroups(name) == []


def test_the_root_cgroup_is_never_removed() -> None:
    """An empty name would mean every cgroup of the machine."""
    with pytest.raises(LeftoversRemain, match="root cgroup"):
        remove_cgroups("/")


def test_the_sockets_of_shims_go(tmp_path: Path) -> None:
    """The bundles tell where they are: containerd 1.x in a line of text, 2.x in JSON; what is damaged tells
    nothing."""
    bundles, sockets = tmp_path / "io.containerd.runtime.v2.task/k8s.io", tmp_path / "s"
    sockets.mkdir()
    params = {"version": 3, "address": f"unix://{sockets / 'new'}", "protocol": "ttrpc"}
    for id, name, text in (
        ("old", "address", f"unix://{sockets / 'old'}"),
        ("new", "bootstrap.json", json.dumps(params)),
        ("cut", "bootstrap.json", '{"version": 3, "addr'),
        ("odd", "bootstrap.json", "[]"),
    ):
        (bundles / id).mkdir(parents=True)
        (bundles / id / name).write_text(text)
        (sockets / id).touch()
    remove_shim_sockets(tmp_path)
    assert sorted(path.name for path in sockets.iterdir()) == ["cut", "odd"]


LISTEN = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
print("up", flush=True)
input()
"""


@contextlib.contextmanager
def kept_and_stray(folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two shims of the containerd at c.sock in `folder`, the first with a bundle, the second without."""
    started: list[subprocess.Popen[bytes]] = []
    (folder / SHIM_BUNDLES / "kept").mkdir(parents=True)
    for id in ("kept", "stray"):
        argv = ["containerd-shim-test", "-c", LISTEN, str(folder / id), "-id", id]
        argv += ["-address", str(folder / "c.sock")]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(argv, executable=sys.executable, stdin=pipe, stdout=pipe))
    try:
        assert [shim.stdout.readline() for shim in started if shim.stdout] == [b"up\n"] * 2
        yield started
    finally:
        for shim in started:
            shim.kill()
            shim.communicate()


def test_shims_without_a_bundle_are_ended(tmp_path: Path) -> None:
    """A shim whose container was given up is ended, and its socket goes; one with a bundle serves on."""
    socket = tmp_path / "c.sock"
    with kept_and_stray(tmp_path) as (kept, stray):
        assert stray_shims(socket, tmp_path) == [stray.pid]
        assert end_stray_shims(socket, tmp_path, {kept.pid}) == 0
        assert end_stray_shims(socket, tmp_path) == 1
        assert stray.wait(timeout=5) == -9
        assert kept.poll() is None
        assert [(tmp_path / id).exists() for id in ("kept", "stray")] == [True, False]


async def test_shims_that_become_strays_later_are_ended(tmp_path: Path) -> None:
    """One that containerd gives up while the cluster runs goes at the second look."""
    config = ContainerdConfig(
        tmp_path, tmp_path / "c.sock", tmp_path / "log", tmp_path, "pause:1", state_folder=tmp_path
    )
    with kept_and_stray(tmp_path) as (kept, stray):
        strays = Strays(config)
        assert [await strays.end_shims(), await strays.end_shims()] == [0, 1]
        assert stray.wait(timeout=5) == -9
        assert kept.poll() is None
