"""Which containers cannot hear SIGTERM, by made-up files of the kernel's."""

from pathlib import Path

import pytest

from minikube_py.cluster.deaf import deaf

TERM = 1 << 14


@pytest.mark.parametrize(
    ("numbers", "caught", "expected"),
    [
        ("100\t1", 0, {"c1"}),
        ("100\t1", TERM, set()),
        ("100\t7", 0, set()),
        ("100", 0, set()),
    ],
    ids=("first-and-deaf", "handles-it", "not-the-first", "the-node's"),
)
def test_deaf_containers(tmp_path: Path, numbers: str, caught: int, expected: set[str]) -> None:
    """Only the first process of a pid namespace is deaf, and only without a handler."""
    cgroup = tmp_path / "cgroup" / "pids" / "mine" / "kubepods" / "pod1" / "c1"
    cgroup.mkdir(parents=True)
    (cgroup / "cgroup.procs").write_text("100\n101\n")
    status = tmp_path / "proc" / "100" / "status"
    status.parent.mkdir(parents=True)
    status.write_text(f"Name:\tsleep\nNSpid:\t{numbers}\nSigCgt:\t{caught:016x}\n")
    assert deaf("/mine", tmp_path / "cgroup", tmp_path / "proc") == expected


def test_nothing_runs(tmp_path: Path) -> None:
    """Without a cgroup there is no container."""
    assert deaf("/mine", tmp_path, tmp_path) == set()
