"""Mirrors and insecure registries, as containerd is told of them and as a push reads them."""

from pathlib import Path

import pytest

from minikube_py.cluster.registries import MARK, BadRegistry, Endpoint, hosts_files, push_endpoints, write


def test_files() -> None:
    """Docker Hub's mirrors come in order; an insecure registry is asked by HTTPS, then by HTTP."""
    found = hosts_files(["https://a.example/", "b.example:5000"], ["b.example:5000"])
    assert found == {
        "b.example:5000": (
            f'{MARK}server = "http://b.example:5000"\n\n'
            '[host."https://b.example:5000"]\n  capabilities = ["pull", "resolve", "push"]\n'
            "  skip_verify = true\n"
        ),
        "docker.io": (
            f'{MARK}server = "https://registry-1.docker.io"\n\n'
            '[host."https://a.example"]\n  capabilities = ["pull", "resolve"]\n\n'
            '[host."https://b.example:5000"]\n  capabilities = ["pull", "resolve"]\n  skip_verify = true\n'
        ),
    }


@pytest.mark.parametrize(
    ("mirrors", "insecure"),
    [
        (["ftp://a"], []),
        (["https://a/b c"], []),
        (["https://"], []),
        ([], ["10.0.0.0/24"]),
        ([], ["../x"]),
        ([], ["a/b"]),
    ],
)
def test_refused(mirrors: list[str], insecure: list[str]) -> None:
    """What is no registry, or a range of them, is refused."""
    with pytest.raises(BadRegistry):
        hosts_files(mirrors, insecure)


def test_written_and_taken_back(tmp_path: Path) -> None:
    """Files follow the settings; one that somebody wrote is left alone."""
    (tmp_path / "mine.example").mkdir()
    mine = tmp_path / "mine.example" / "hosts.toml"
    mine.write_text('server = "https://mine.example"\n')
    write(tmp_path, hosts_files([], ["a.example", "mine.example"]))
    assert (tmp_path / "a.example" / "hosts.toml").read_text().startswith(MARK)
    write(tmp_path, hosts_files([], ["b.example"]))
    assert sorted(path.parent.name for path in tmp_path.glob("*/hosts.toml")) == ["b.example", "mine.example"]
    assert mine.read_text() == 'server = "https://mine.example"\n'


def test_where_to_push(tmp_path: Path) -> None:
    """As told, else by HTTPS, and by HTTP on this machine."""
    write(tmp_path, hosts_files(["mirror.example"], ["a.example:5000"]))
    assert {host: push_endpoints(tmp_path, host) for host in ("a.example:5000", "docker.io")} == {
        "a.example:5000": [Endpoint("https://a.example:5000", False), Endpoint("http://a.example:5000")],
        "docker.io": [Endpoint("https://registry-1.docker.io")],
    }
    hosts = ("b.example", "localhost:5000", "127.0.0.1:5000")
    assert [push_endpoints(tmp_path, host) for host in hosts] == [
        [Endpoint("https://b.example")],
        [Endpoint("http://localhost:5000")],
        [Endpoint("http://127.0.0.1:5000")],
    ]


def test_a_damaged_file(tmp_path: Path) -> None:
    """A file that containerd could not read either is named."""
    (tmp_path / "a.example").mkdir()
    (tmp_path / "a.example" / "hosts.toml").write_text("server = ")
    with pytest.raises(BadRegistry, match=r"a\.example/hosts\.toml is damaged"):
        push_endpoints(tmp_path, "a.example")
