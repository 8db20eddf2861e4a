"""Our entries come and go; everything else in the user's kubeconfig stays."""

import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from minikube_py.cluster import kubeconfig
from minikube_py.cluster.kubeconfig import Access, BadKubeconfig

OURS = Access("minikube-py", "https://127.0.0.1:8443", b"CA", b"CERT", b"KEY")
OTHERS = {
    "apiVersion": "v1",
    "kind": "Config",
    "preferences": {"colors": True},
    "clusters": [
        {"name": "work", "cluster": {"server": "https://work:6443", "insecure-skip-tls-verify": True}}
    ],
    "users": [
        {
            "name": "ada",
            "user": {
                "exec": {"command": "login", "args": ["--expires", "2026-01-01T00:00:00Z"]},
                "token": "0123",
            },
        }
    ],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "ada", "namespace": "yes"}}],
    "current-context": "work",
    "x-custom": [1, None, {"deep": "ü"}],
}


def read(file: Path) -> Any:
    """The file's content."""
    return yaml.safe_load(file.read_text())


def test_a_missing_file_is_made_private(tmp_path: Path) -> None:
    """The file and its folder are made for their owner alone, with our context the current one."""
    file = tmp_path / ".kube" / "config"
    kubeconfig.add(OURS, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read(file) == {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [
            {
                "name": "minikube-py",
                "cluster": {"server": "https://127.0.0.1:8443", "certificate-authority-data": "Q0E="},
            }
        ],
        "users": [
            {"name": "minikube-py", "user": {"client-certificate-data": "Q0VSVA==", "client-key-data": "S0VZ"}}
        ],
        "contexts": [{"name": "minikube-py", "context": {"cluster": "minikube-py", "user": "minikube-py"}}],
        "current-context": "minikube-py",
    }
    assert list(file.parent.iterdir()) == [file]


def test_what_others_made_stays(tmp_path: Path) -> None:
    """Adding twice and removing gives back what was there, but for the current context."""
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(OTHERS, allow_unicode=True))
    file.chmod(0o640)
    kubeconfig.add(OURS, file)
    kubeconfig.add(OURS, file)
    merged = read(file)
    assert [entry["name"] for entry in merged["clusters"]] == ["work", "minikube-py"]
    assert merged["users"][0] == OTHERS["users"][0]  # type: ignore[index]
    assert merged["current-context"] == "minikube-py"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    kubeconfig.remove("minikube-py", file)
    assert read(file) == OTHERS | {"current-context": ""}


def test_timestamps_of_others_stay_text(tmp_path: Path) -> None:
    """An unquoted time is not turned into something else."""
    file = tmp_path / "config"
    file.write_text("users:\n- name: ada\n  user: {expiry: 2026-01-01T00:00:00Z}\n")
    kubeconfig.add(OURS, file)
    entries = yaml.load(file.read_text(), Loader=yaml.BaseLoader)["users"]
    assert entries[0] == {"name": "ada", "user": {"expiry": "2026-01-01T00:00:00Z"}}


def test_a_changed_server_replaces_ours_in_place(tmp_path: Path) -> None:
    """Our entry keeps its position when its content changes."""
    file = tmp_path / "config"
    kubeconfig.add(OURS, file)
    kubeconfig.add(Access("other", "https://127.0.0.1:1", b"", b"", b""), file)
    kubeconfig.add(Access("minikube-py", "https://127.0.0.1:9443", b"CA", b"CERT", b"KEY", "dev"), file)
    merged = read(file)
    assert [entry["cluster"]["server"] for entry in merged["clusters"]] == [
        "https://127.0.0.1:9443",
        "https://127.0.0.1:1",
    ]
    assert merged["contexts"][0]["context"]["namespace"] == "dev"


def test_removing_another_profile_keeps_the_current_context(tmp_path: Path) -> None:
    """The current context changes only if it was the removed one; a missing file is fine."""
    file = tmp_path / "config"
    kubeconfig.remove("minikube-py", file)
    assert not file.exists()
    kubeconfig.add(Access("other", "https://127.0.0.1:1", b"", b"", b""), file)
    kubeconfig.add(OURS, file)
    kubeconfig.remove("other", file)
    assert (read(file)["current-context"], len(read(file)["users"])) == ("minikube-py", 1)


@pytest.mark.parametrize("text", ["[1, 2", "- a\n- b\n", "clusters: 7\n", "clusters: [7]\n", "a: b: c\n"])
def test_what_is_no_kubeconfig_is_left_alone(text: str, tmp_path: Path) -> None:
    """The error names the file, which keeps its content; no lock stays."""
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(BadKubeconfig, match="config"):
        kubeconfig.add(OURS, file)
    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    """What a link points to is changed, not the link."""
    target = tmp_path / "real"
    target.write_text(yaml.safe_dump(OTHERS))
    link = tmp_path / "config"
    link.symlink_to(target)
    kubeconfig.add(OURS, link)
    assert link.is_symlink()
    assert read(target)["current-context"] == "minikube-py"


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Eight writers at once leave eight clusters."""
    file = tmp_path / "config"
    accesses = [Access(f"profile-{i}", "https://127.0.0.1:1", b"", b"", b"") for i in range(8)]
    threads = [threading.Thread(target=kubeconfig.add, args=(access, file)) for access in accesses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry["name"] for entry in read(file)["clusters"]} == {access.name for access in accesses}


def test_a_lock_that_is_held_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program's lock is respected, and the error says which file it is."""
    monkeypatch.setattr(kubeconfig, "LOCK_WITHIN", 0.05)
    lock = tmp_path / "config.lock"
    lock.touch()
    with pytest.raises(BadKubeconfig, match=r"config\.lock"):
        kubeconfig.add(OURS, tmp_path / "config")
    assert lock.exists()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"KUBECONFIG": "/a/one:/b/two"}, "/a/one"),
        ({"KUBECONFIG": ":/b/two"}, "/b/two"),
        ({"KUBECONFIG": ""}, None),
        ({}, None),
    ],
)
def test_the_file_that_kubectl_writes(environment: dict[str, str], expected: str | None) -> None:
    """The first entry of KUBECONFIG, or the one in the home folder."""
    assert kubeconfig.path(environment) == (Path(expected) if expected else Path.home() / ".kube" / "config")


def test_a_kubeconfig_of_its_own(tmp_path: Path) -> None:
    """write_own holds our access only."""
    kubeconfig.write_own(OURS, tmp_path / "own" / "config")
    assert [entry["name"] for entry in read(tmp_path / "own" / "config")["contexts"]] == ["minikube-py"]
