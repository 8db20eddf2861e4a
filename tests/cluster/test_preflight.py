"""Preflight names what is missing, why it matters, and the command that mends it."""

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from minikube_py.cluster.preflight import Machine, Missing, busy_ports, load_overlay, missing


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A machine's /proc and /sys/fs/cgroup that lack nothing."""
    (tmp_path / "proc" / "self" / "ns").mkdir(parents=True)
    for kind in ("net", "pid", "mnt", "uts", "ipc"):
        (tmp_path / "proc" / "self" / "ns" / kind).touch()
    (tmp_path / "proc" / "filesystems").write_text("nodev\toverlay\n\text4\n")
    for controller in ("cpu", "memory", "pids"):
        (tmp_path / "cgroup" / controller).mkdir(parents=True)
    return tmp_path


def machine(kernel: Path, *, has: tuple[str, ...], euid: int = 0, cni: bool = True) -> Machine:
    """A machine with these programs."""
    which: Callable[[str], str | None] = lambda name: f"/usr/bin/{name}" if name in has else None  # noqa: E731
    return Machine(
        euid, which, lambda: Path("/usr/lib/cni") if cni else None, kernel / "proc", kernel / "cgroup"
    )


ALL = ("containerd", "runc", "nft", "ip")


def test_nothing_is_missing(kernel: Path) -> None:
    """A complete machine is told nothing."""
    assert missing(machine(kernel, has=(*ALL, "apt-get"))) == []


def test_a_bare_debian(kernel: Path) -> None:
    """Every missing program comes with apt's command."""
    found = missing(machine(kernel, has=("apt-get",), cni=False))
    assert [(item.what, item.fix) for item in found] == [
        ("containerd", "apt-get install -y containerd"),
        ("runc", "apt-get install -y runc"),
        ("nft", "apt-get install -y nftables"),
        ("ip", "apt-get install -y iproute2"),
        ("CNI plugins", "apt-get install -y containernetworking-plugins"),
    ]


def test_a_bare_fedora(kernel: Path) -> None:
    """With dnf, its command and its names."""
    [found] = missing(machine(kernel, has=("containerd", "runc", "nft", "dnf")))
    assert found == Missing("ip", "the pods' bridge is made with it", "dnf install -y iproute")
    assert str(found) == "ip: the pods' bridge is made with it (mend it with `dnf install -y iproute`)"


def test_another_user_than_root(kernel: Path) -> None:
    """Root is asked for first."""
    [found] = missing(machine(kernel, has=ALL, euid=1000))
    assert (found.what, found.fix) == ("root", "sudo minikube-py start")


def test_an_old_kernel(kernel: Path) -> None:
    """Overlay, cgroups and namespaces are looked for."""
    (kernel / "proc" / "filesystems").write_text("\text4\n")
    (kernel / "cgroup" / "pids").rmdir()
    (kernel / "proc" / "self" / "ns" / "net").unlink()
    found = missing(machine(kernel, has=ALL))
    assert [item.what for item in found] == ["overlayfs", "cgroups", "net namespaces"]
    assert all("None" not in str(item) for item in found)


@pytest.mark.parametrize("loaded", [True, False])
def test_overlayfs_is_loaded(kernel: Path, loaded: bool) -> None:
    """A machine whose own containerd does not run has the module but not loaded; one that has it is left be."""
    program, calls = kernel / "modprobe", kernel / "calls"
    program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    program.chmod(0o755)
    (kernel / "proc" / "filesystems").write_text("nodev\toverlay\n" if loaded else "\text4\n")
    subject = replace(machine(kernel, has=ALL), which=lambda name: str(program) if name == "modprobe" else None)
    load_overlay(subject)
    assert (calls.read_text() if calls.exists() else "") == ("" if loaded else "overlay\n")


def test_read_only_cgroups(kernel: Path) -> None:
    """In a container without privileges cgroups can be seen but not made."""
    for controller in ("cpu", "memory", "pids"):
        (kernel / "cgroup" / controller).rmdir()
        (kernel / "cgroup" / controller).symlink_to("/proc/self")  # where nobody can make anything
    assert [item.what for item in missing(machine(kernel, has=ALL))] == ["writable cgroups"]


@pytest.mark.parametrize(
    ("controllers", "names"), [("cpuset cpu io memory pids", []), ("cpu memory", ["cgroups"])]
)
def test_cgroup_version_2(kernel: Path, controllers: str, names: list[str]) -> None:
    """The unified hierarchy must offer cpu, memory and pids."""
    (kernel / "cgroup" / "cgroup.controllers").write_text(controllers)
    assert [item.what for item in missing(machine(kernel, has=ALL))] == names


def test_busy_ports_are_named() -> None:
    """A port that is held is named; a free one and one of an absent address are not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = busy_ports([("127.0.0.1", port), ("192.0.2.1", port)])
        assert [(item.what, item.fix) for item in found] == [(f"port {port}", f"ss -ltnp 'sport = :{port}'")]
    assert busy_ports([("127.0.0.1", port)]) == []
