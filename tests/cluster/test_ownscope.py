"""The cgroup of the cluster's own processes, on fake trees."""

import os
from pathlib import Path

import pytest

from minikube_py.cluster.ownscope import hierarchy, leave, settle

SESSION = "/user.slice/user-1000.slice/session-3.scope"


def tree(folder: Path, own: str, *files: str) -> tuple[Path, Path]:
    """A cgroup file system with `files`, and the /proc of a process whose cgroup is `own` everywhere."""
    root, proc = folder / "cgroup", folder / "proc"
    proc.mkdir(parents=True)
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("")
    (proc / "cgroup").write_text(f"4:memory:{own}\n1:name=systemd:{own}\n0::{own}\n")
    return root, proc


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("cgroup.controllers",), ""),
        (("systemd/cgroup.procs", "memory/cgroup.procs"), "systemd"),
        (("unified/cgroup.procs", "memory/cgroup.procs"), "unified"),
        (("systemd/cgroup.procs", "unified/cgroup.procs"), "systemd"),
        (("memory/cgroup.procs",), None),
    ],
    ids=["v2", "v1", "hybrid without systemd's", "hybrid", "v1 without systemd"],
)
def test_hierarchy(tmp_path: Path, files: tuple[str, ...], expected: str | None) -> None:
    """systemd goes by the unified hierarchy, or by its own named one."""
    root, proc = tree(tmp_path, SESSION, *files)
    found = hierarchy((proc / "cgroup").read_text(), root)
    assert found == (None if expected is None else (root / expected, SESSION))


@pytest.mark.parametrize("top", ["", "systemd"])
def test_out_of_a_session_and_back(tmp_path: Path, top: str) -> None:
    """A process of a session moves beside its pods, and to the root before that is removed."""
    marker = "cgroup.controllers" if not top else "systemd/cgroup.procs"
    root, proc = tree(tmp_path, SESSION, marker)
    settle("/minikube-py", root, proc)
    assert (root / top / "minikube-py/system/cgroup.procs").read_text() == str(os.getpid())
    assert (proc / "oom_score_adj").read_text() == "-999"
    (proc / "cgroup").write_text("1:name=systemd:/minikube-py/system\n0::/minikube-py/system\n")
    leave("/minikube-py", root, proc)
    assert (root / top / "cgroup.procs").read_text() == str(os.getpid())


def test_what_is_in_nobodys_stays(tmp_path: Path) -> None:
    """A process of the machine's root is nobody's to kill; one of another cluster's is not ours to move."""
    root, proc = tree(tmp_path, "/", "cgroup.controllers", "cgroup.procs")
    settle("/minikube-py", root, proc)
    assert sorted(path.name for path in root.iterdir()) == ["cgroup.controllers", "cgroup.procs"]
    (proc / "cgroup").write_text("0::/minikube-py-other/system\n")
    leave("/minikube-py", root, proc)
    assert (root / "cgroup.procs").read_text() == ""


def test_root_of_a_container(tmp_path: Path) -> None:
    """In a container all processes leave the root, so that it can hand controllers down."""
    root, proc = tree(tmp_path, "/", "cgroup.controllers", "cgroup.type", "cgroup.procs")
    (root / "cgroup.procs").write_text("17\n")
    settle("/minikube-py", root, proc)
    assert (root / "init" / "cgroup.procs").read_text() == "17"
    (proc / "cgroup").write_text("0::/minikube-py/system\n")
    leave("/minikube-py", root, proc)
    assert (root / "init" / "cgroup.procs").read_text() == str(os.getpid())
