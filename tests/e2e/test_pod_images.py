"""Images from real registries on loopback and on the pods' bridge: pushed by commands, pulled by pods."""

import json
import re
import shutil
import socket
import subprocess
import tarfile
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Cluster, pod

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(90),
    pytest.mark.skipif(not shutil.which("docker-registry"), reason="docker-registry is not installed"),
]

SLEEP = ["/bin/busybox", "sleep", "3600"]
ADA = "ada:$2b$04$W2GRpGYrBbheQJAxAWtPU.OqR/6zVaV097PXrwXTe4a1HrlgMbbzK\n"  # the password is `secret`


@dataclass(frozen=True)
class Registry:
    """A running registry; `login` is how docker's config.json holds the only user."""

    host: str
    process: subprocess.Popen[bytes]

    @property
    def login(self) -> str:
        return json.dumps({"auths": {self.host: {"auth": b64encode(b"ada:secret").decode()}}})


def serve(folder: Path, address: str, *, users: str = "") -> Registry:
    """Start a registry on a free port of `address`."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind((address, 0))
        port = probe.getsockname()[1]
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"{address}:{port}"},
    }
    if users:
        (folder / "users").write_text(users)
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "users")}}
    (folder / "config.yml").write_text(json.dumps(config))
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=subprocess.STDOUT
    )
    log.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection((address, port), 1).close()
            return Registry(f"{address}:{port}", process)
        except OSError:
            assert process.poll() is None, (folder / "log").read_text()
    raise TimeoutError("the registry does not answer")


@pytest.fixture(scope="module")
def registries(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Registry]]:
    """An open registry, one with a login, and one on the bridge, whose HTTP nobody expects."""
    folder = tmp_path_factory.mktemp("registries")
    gateway = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    made = {
        "open": serve(folder / "open", "127.0.0.1"),
        "login": serve(folder / "login", "127.0.0.1", users=ADA),
        "bridge": serve(folder / "bridge", gateway),
    }
    yield made
    for registry in made.values():
        registry.process.terminate()
        registry.process.wait(10)


def run_pod(cluster: Cluster, namespace: str, name: str, image: str, **spec: Any) -> dict[str, Any]:
    """A pod of the image, once it is Running."""
    body = pod(name, SLEEP, container={"image": image}, terminationGracePeriodSeconds=0, **spec)
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(body))
    cluster.wait(f"pod/{name}", "condition=Ready", "-n", namespace)
    found: dict[str, Any] = cluster.get("pod", name, "-n", namespace)
    return found


def messages(cluster: Cluster, namespace: str, name: str, reason: str) -> list[str]:
    """What the events of one reason say about a pod."""
    chosen = f"involvedObject.name={name},reason={reason}"
    return [e["message"] for e in cluster.get("events", "-n", namespace, "--field-selector", chosen)["items"]]


def pushed(cluster: Cluster, registry: Registry, name: str) -> tuple[str, str]:
    """The demo image, pushed as `name` and gone from the cluster; its name and digest."""
    image = f"{registry.host}/{name}"
    cluster.run("image", "tag", "demo:1", image)
    said = cluster.run("image", "push", image)
    cluster.run("image", "rm", image)
    found = re.fullmatch(rf"pushed {image}: digest: (sha256:[0-9a-f]{{64}})\n", said)
    assert found is not None, said
    return image, found[1]


def test_pulled_once_then_present(cluster: Cluster, registries: dict[str, Registry], namespace: str) -> None:
    """A pushed image is pulled by the first pod, which says how long it took, and is there for the second."""
    image, digest = pushed(cluster, registries["open"], "team/web:1")
    first = run_pod(cluster, namespace, "first", image)
    second = run_pod(cluster, namespace, "second", image)
    repository = image.removesuffix(":1")
    [status] = first["status"]["containerStatuses"]
    assert (status["image"], status["imageID"]) == (image, f"{repository}@{digest}")
    assert second["status"]["containerStatuses"][0]["imageID"] == status["imageID"]
    [said] = messages(cluster, namespace, "first", "Pulled")
    took = r"[0-9.]+m?s"
    words = (
        rf'Successfully pulled image "{image}" in {took} \({took} including waiting\)\. Image size: \d+ bytes\.'
    )
    assert re.fullmatch(words, said), said
    assert messages(cluster, namespace, "first", "Pulling") == [f'Pulling image "{image}"']
    assert messages(cluster, namespace, "second", "Pulled") == [
        f'Container image "{image}" already present on machine'
    ]


def test_digests(cluster: Cluster, registries: dict[str, Registry], namespace: str) -> None:
    """An image by its digest, with and without a tag beside it, is that very image."""
    image, digest = pushed(cluster, registries["open"], "team/exact:1")
    repository = image.removesuffix(":1")
    for name, asked in (("plain", f"{repository}@{digest}"), ("tagged", f"{image}@{digest}")):
        found = run_pod(cluster, namespace, name, asked)
        assert found["status"]["containerStatuses"][0]["imageID"] == f"{repository}@{digest}"


def test_logins(
    cluster: Cluster,
    registries: dict[str, Registry],
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a login neither push nor pull works; the service account's pull secret is enough for a pod."""
    registry = registries["login"]
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    image = f"{registry.host}/team/private:1"
    cluster.run("image", "tag", "demo:1", image)
    assert "UNAUTHORIZED" in cluster.run("image", "push", image, code=1)
    (tmp_path / "config.json").write_text(registry.login)
    cluster.run("image", "push", image)
    cluster.run("image", "rm", image)
    body = pod("denied", SLEEP, container={"image": image}, terminationGracePeriodSeconds=0)
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(body))
    reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff"
    cluster.wait("pod/denied", reason, "-n", namespace)
    waiting = cluster.get("pod", "denied", "-n", namespace)["status"]["containerStatuses"][0]["state"][
        "waiting"
    ]
    back_off = f'Back-off pulling image "{image}"'
    assert waiting["message"].startswith(f"{back_off}: ErrImagePull: ")
    assert back_off in messages(cluster, namespace, "denied", "BackOff")
    assert "trying and failing to pull image" in cluster.kubectl("logs", "denied", "-n", namespace, code=1)
    secret = ("--docker-username=ada", "--docker-password=secret", f"--docker-server=http://{registry.host}")
    cluster.kubectl("create", "secret", "docker-registry", "pull", "-n", namespace, *secret)
    wrong = ("--docker-username=eve", "--docker-password=guess", f"--docker-server={registry.host}/team")
    cluster.kubectl("create", "secret", "docker-registry", "wrong", "-n", namespace, *wrong)
    account = {"imagePullSecrets": [{"name": "wrong"}, {"name": "pull"}]}
    cluster.kubectl("patch", "sa", "default", "-n", namespace, "-p", json.dumps(account))
    found = run_pod(cluster, namespace, "allowed", image)
    assert found["spec"]["imagePullSecrets"] == account["imagePullSecrets"]


def test_insecure_registry(cluster: Cluster, registries: dict[str, Registry], namespace: str) -> None:
    """A registry that speaks HTTP at an address of the network is refused until it is told to be insecure."""
    host = registries["bridge"].host
    image = f"{host}/web:1"
    cluster.run("image", "tag", "demo:1", image)
    assert "cannot push" in cluster.run("image", "push", image, code=1)
    assert "are as told" in cluster.run("start", "--insecure-registry", host, "--no-set-context")
    cluster.run("image", "push", image)
    cluster.run("image", "rm", image)
    try:
        run_pod(cluster, namespace, "web", image)
    finally:
        cluster.run("start", "--insecure-registry", "", "--no-set-context")


def test_mirror_of_docker_hub(cluster: Cluster, registries: dict[str, Registry]) -> None:
    """An image of Docker Hub comes from the mirror that is told."""
    registry = registries["open"]
    pushed(cluster, registry, "library/mirrored:1")
    cluster.run("start", "--registry-mirror", f"http://{registry.host}", "--no-set-context")
    try:
        assert cluster.run("image", "pull", "mirrored:1") == "pulled docker.io/library/mirrored:1\n"
    finally:
        cluster.run("start", "--registry-mirror", "", "--no-set-context")
    assert "docker.io/library/mirrored:1" in cluster.run("image", "ls")


def test_saved_and_loaded(cluster: Cluster, tmp_path: Path) -> None:
    """A saved archive is an OCI layout and docker's at once; loaded again, the image is the same."""
    cluster.run("image", "tag", "demo:1", "example.com/copy:1")
    before = listed(cluster)["docker.io/library/demo:1"]
    archive = tmp_path / "saved.tar"
    cluster.run("image", "save", "demo:1", "example.com/copy:1", str(archive))
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
    assert {"oci-layout", manifest[0]["Config"], *manifest[0]["Layers"]} <= set(names)
    assert [entry["RepoTags"] for entry in manifest] == [["docker.io/library/demo:1"], ["example.com/copy:1"]]
    annotations = [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]]
    assert annotations == ["docker.io/library/demo:1", "example.com/copy:1"]
    cluster.run("image", "rm", "example.com/copy:1")
    assert "docker.io/library/demo:1" in listed(cluster)
    said = cluster.run("image", "load", str(archive), str(archive))
    assert said == 2 * "loaded docker.io/library/demo:1\nloaded example.com/copy:1\n"
    assert listed(cluster)["example.com/copy:1"]["id"] == before["id"]
    cluster.run("image", "rm", "example.com/copy:1")


def listed(cluster: Cluster) -> dict[str, Any]:
    """Images by name, as `image ls --format json` has them."""
    images = json.loads(cluster.run("image", "ls", "--format", "json"))
    return {tag: image for image in images for tag in image["repoTags"]}


def test_image_that_is_not_there(cluster: Cluster) -> None:
    """What is done to an image that is not there fails with its name."""
    for arguments in (("rm", "gone:1"), ("tag", "gone:1", "x:1"), ("push", "gone:1"), ("save", "gone:1", "x")):
        assert 'image "gone:1" is not there' in cluster.run("image", *arguments, code=1)
    digest = f"x@sha256:{'0' * 64}"
    assert f'"{digest}" has a digest' in cluster.run("image", "tag", "demo:1", digest, code=1)
    assert '/tmp" is a folder' in cluster.run("image", "load", "/tmp", code=1)


@pytest.mark.skipif(not shutil.which("buildah"), reason="buildah is not installed")
def test_built_from_a_dockerfile(cluster: Cluster, tmp_path: Path) -> None:
    """A Dockerfile is built by buildah, with the arguments that are told."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG WORD=no\nCOPY page /page\nLABEL word=$WORD\n")
    (tmp_path / "page").write_text("hello")
    said = cluster.run("image", "build", "-t", "built:1", "--build-env", "WORD=yes", str(tmp_path))
    assert said == "built docker.io/library/built:1\n"
    cluster.run("image", "save", "built:1", str(tmp_path / "built.tar"))
    with tarfile.open(tmp_path / "built.tar") as tar:
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(tar.extractfile(manifest[0]["Config"]))  # type: ignore[arg-type]
    assert config["config"]["Labels"]["word"] == "yes"
    cluster.run("image", "rm", "built:1")
