"""What people type into kubectl, line by line, and what they are told."""

import re
import shlex
from pathlib import Path

import pytest
from api_cluster import Cluster, Kubectl

POD = """
apiVersion: v1
kind: Pod
metadata: {name: one}
spec:
  containers: [{name: one, image: busybox}]
"""
NODE = """
apiVersion: v1
kind: Node
metadata: {name: box}
"""
KUSTOMIZATION = """
resources: [pod.yaml]
configMapGenerator: [{name: generated, literals: [a=b]}]
"""


def stories() -> dict[str, list[tuple[list[str], str]]]:
    """By title: arguments, and what is printed (stdout and stderr, without warnings)."""
    found: dict[str, list[tuple[list[str], str]]] = {}
    text = Path(__file__).with_name("kubectl_everyday.txt").read_text()
    for section in text.split("\n# ")[1:]:
        title, _, body = section.partition("\n\n")
        commands = re.findall(r"^(\S.*)\n((?:    .*\n)*)", body + "\n", re.MULTILINE)
        found[title] = [(shlex.split(command), told.strip()) for command, told in commands]
    return found


STORIES = stories()


def pattern(told: str) -> str:
    """A regular expression of the expected output."""
    text = re.escape(told).replace(r"\.\*", "[^ ]*").replace(r"\*", ".*").replace(r"\|", r"\s*\n")
    return re.sub(r"(\\ )+", r"\\s+", text) + r"\s*"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("title", STORIES)
async def test_everyday(title: str, cluster: Cluster, kubectl: Kubectl) -> None:
    """Each command of a story says what it says against any Kubernetes."""
    folder = Path(cluster.folder)
    files = {"pod.yaml": POD, "node.yaml": NODE, "kustomization.yaml": KUSTOMIZATION}
    for name, content in files.items():
        (folder / name).write_text(content)
    wrong = []
    for arguments, told in STORIES[title]:
        placed = [str(folder / a) if a in files else str(folder) if a == "." else a for a in arguments]
        done = await kubectl(*placed, check=False)
        said = "".join(
            f"{line}\n"
            for line in (done.stdout + done.stderr).splitlines()
            if not line.startswith(("Warning:", "Flag --"))
        )
        if not re.fullmatch(pattern(told), said, re.DOTALL):
            wrong.append((arguments, said, told))
    assert wrong == []
