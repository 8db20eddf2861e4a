"""How `image ls` prints images, and whose logins the image commands use."""

import json
from base64 import b64encode
from pathlib import Path

import click
import pytest

from minikube_py.cli.commands.image import command
from minikube_py.cli.images import human_size, logins, render
from minikube_py.runtime.base import Credentials, Image

WEB = Image("sha256:" + "1" * 64, ("docker.io/library/web:1", "localhost:5000/web:2"), (), 1_997_569)
BARE = Image("sha256:" + "2" * 64, (), ("a.io/x@sha256:" + "3" * 64,), 683_000)


def test_short() -> None:
    """Names only, the last first, as minikube has it."""
    assert render([BARE, WEB], "short") == "localhost:5000/web:2\ndocker.io/library/web:1"


def test_table() -> None:
    """A row for each name."""
    assert render([WEB, BARE], "table").splitlines() == [
        "|-----------------------|--------|---------------|-------|",
        "|         Image         |  Tag   |   Image ID    | Size  |",
        "|-----------------------|--------|---------------|-------|",
        "| a.io/x                | <none> | 2222222222222 | 683kB |",
        "| docker.io/library/web | 1      | 1111111111111 | 2MB   |",
        "| localhost:5000/web    | 2      | 1111111111111 | 2MB   |",
        "|-----------------------|--------|---------------|-------|",
    ]


def test_json_and_yaml() -> None:
    """The fields of minikube's list."""
    listed = {"id": WEB.id, "repoDigests": [], "repoTags": list(WEB.tags), "size": "1997569"}
    assert json.loads(render([WEB], "json")) == [listed]
    assert render([WEB], "yaml").startswith(f"- id: {WEB.id}\n  repoDigests: []\n")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (999, "999B"), (683_000, "683kB"), (1_240_000, "1.24MB"), (2.5e9, "2.5GB")]
)
def test_sizes(size: float, text: str) -> None:
    """Three digits and a decimal unit."""
    assert human_size(size) == text


def test_logins_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docker's config.json says who one is; without an entry nobody."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert logins("a.io", "web") == [None]
    auth = b64encode(b"ada:secret").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"a.io": {"auth": auth}}}))
    assert logins("a.io", "web") == [Credentials("ada", "secret")]
    assert logins("b.io", "web") == [None]


@pytest.mark.parametrize(
    ("name", "expected"), [("list", "ls"), ("remove", "rm"), ("unload", "rm"), ("ls", "ls")]
)
def test_other_names(name: str, expected: str) -> None:
    """minikube's other names for a command mean it, too."""
    found = command.get_command(click.Context(command), name)
    assert found is not None
    assert found.name == expected
