"""One real cluster for the whole folder: started, used and deleted by the command line, as a user does."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from minikube_py.cluster.profile import Profile
from minikube_py.runtime.oci import File, write_archive
from minikube_py.testing.containerd import busybox_recipe, unavailable

PROFILE = f"e2e-{os.getpid()}"
"""A name of this run's own: two runs side by side share no bridge, table or cgroup."""


@dataclass(frozen=True)
class Cluster:
    """How tests reach the cluster. `run` is minikube-py, `kubectl` the real one."""

    home: Path
    profile: str = PROFILE

    @property
    def environment(self) -> dict[str, str]:
        ours = {"MINIKUBE_PY_HOME": str(self.home), "KUBECONFIG": str(self.home / "kubeconfig")}
        return {**os.environ, **ours, "MINIKUBE_PY_PROFILE": self.profile}

    @property
    def folder(self) -> Path:
        return self.home / "profiles" / self.profile

    @property
    def pid(self) -> int:
        return int((self.folder / "minikube-py.pid").read_text())

    def run(self, *arguments: str, input: str | None = None, code: int = 0) -> str:
        """The output of `minikube-py ARGUMENTS`, which must end with `code`."""
        return self._call([sys.executable, "-m", "minikube_py", *arguments], input, code)

    def kubectl(self, *arguments: str, input: str | None = None, code: int = 0) -> str:
        """The output of `kubectl ARGUMENTS`, which must end with `code`; its stderr where that is not 0."""
        return self._call(["kubectl", *arguments], input, code)

    def _call(self, argv: list[str], input: str | None, code: int) -> str:
        done = subprocess.run(
            argv, input=input, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        said = f"{' '.join(argv)}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, said
        return done.stdout if code == 0 else done.stdout + done.stderr

    def get(self, *arguments: str) -> Any:
        """The object or list that `kubectl get ARGUMENTS -o json` prints."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def wait(self, target: str, condition: str, *arguments: str, timeout: str = "60s") -> None:
        self.kubectl("wait", target, f"--for={condition}", f"--timeout={timeout}", *arguments)


def leftovers(folder: Path) -> list[str]:
    """What a deleted cluster has left on the machine: mounts, interfaces, nft tables, cgroups, processes."""
    state = Profile(PROFILE, folder.parents[1]).containerd_state
    mounts = Path("/proc/mounts").read_text().splitlines()
    found = [line for line in mounts if str(folder) in line or str(state) in line]
    found += [str(state)] if state.exists() else []
    found += [link for link in os.listdir("/sys/class/net") if link == Profile(PROFILE).bridge]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    found += [line for line in tables.splitlines() if line.endswith(Profile(PROFILE).nft_table)]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**{Profile(PROFILE).cgroup_root}")]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A started cluster with an image `demo:1` of busybox httpd; deleted in the end, and nothing is left."""
    if reason := unavailable():
        pytest.skip(reason)
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    home = Path(tempfile.mkdtemp(prefix="mkpy-e2e-"))
    made = Cluster(home)
    try:
        made.run("start")
        site = home / "site"
        site.mkdir()
        (site / "index.html").write_text("<h1>built in</h1>\n")
        made.run("image", "build", "-t", "demo:1", str(site))
        yield made
        made.run("delete")
        assert leftovers(made.folder) == []
    finally:
        made.run("delete")
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def testbox_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with the image testbox:1: busybox, and as entrypoint /bin/testbox (see testbox/testbox.c)."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("testbox")
    source, program = Path(__file__).parent / "testbox" / "testbox.c", folder / "testbox"
    build = ["gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source), "-lm"]
    subprocess.run(build, check=True, timeout=60)
    base = busybox_recipe("testbox:1")
    files = {**base.files, "/bin/testbox": File(program, 0o755)}
    recipe = replace(base, files=files, entrypoint=("/bin/testbox",), command=("wait",))
    write_archive(folder / "image.tar", [recipe])
    return folder / "image.tar"


@pytest.fixture(scope="session")
def testbox(cluster: Cluster, testbox_archive: Path) -> str:
    """The name of a loaded image: busybox, and as entrypoint /bin/testbox, as root."""
    cluster.run("image", "load", str(testbox_archive))
    return "testbox:1"


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, deleted with all that is in it."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower()).removeprefix("test-")[:50].strip("-")
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--timeout=60s")


@pytest.fixture
def shell(cluster: Cluster, namespace: str) -> Callable[..., str]:
    """A pod in the namespace that runs commands: `shell("wget -qO- http://web")`."""
    body = pod("shell", ["/bin/busybox", "sleep", "3600"], terminationGracePeriodSeconds=0)
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(body))
    cluster.wait("pod/shell", "condition=Ready", "-n", namespace)

    def run(command: str, code: int = 0) -> str:
        return cluster.kubectl("exec", "-n", namespace, "shell", "--", "/bin/sh", "-c", command, code=code)

    return run


def pod(name: str, command: list[str], **spec: Any) -> dict[str, Any]:
    """A pod with one container of the demo image."""
    container = {"name": "main", "image": "demo:1", "command": command}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container | spec.pop("container", {})], **spec},
    }
