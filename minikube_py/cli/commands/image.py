"""image: put images into the cluster, and see which are there."""

import asyncio
import platform
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from minikube_py.cli import output
from minikube_py.cli.main import Failure
from minikube_py.cli.session import Session, with_session

T = TypeVar("T")

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@click.group("image")
def command() -> None:
    """Load, build and list the images that pods can use."""


def with_runtime(session: Session, work: Callable[[Any], Awaitable[T]]) -> T:
    """The result of `work` on the cluster's container runtime. Errors: Failure."""
    from minikube_py.runtime.base import RuntimeFailed
    from minikube_py.runtime.containerd import Containerd

    async def run() -> T:
        runtime = await Containerd.connect(session.profile.containerd_socket, timeout=5)
        try:
            return await work(runtime)
        finally:
            await runtime.close()

    try:
        return asyncio.run(run())
    except TimeoutError as error:
        raise Failure("the cluster's containerd does not answer", "start it with: minikube-py start") from error
    except RuntimeFailed as error:
        raise Failure(str(error)) from error


@command.command("load")
@click.argument("archive", type=click.Path(path_type=Path))
@with_session
def load(session: Session, archive: Path) -> None:
    """Load an image from an OCI or docker archive (`docker save`), without any registry."""
    if not archive.exists():
        raise Failure(f'there is no file "{archive}"', "write one with: docker save IMAGE -o FILE")
    for name in with_runtime(session, lambda runtime: runtime.images.load(archive)):
        session.say(f"loaded {name}")


@command.command("ls")
@with_session
def ls(session: Session) -> None:
    """List the images that are there."""
    rows = [["IMAGE", "IMAGE ID", "SIZE"]]
    for image in with_runtime(session, lambda runtime: runtime.images.list()):
        size = f"{image.size / 1e6:.1f}MB"
        rows += [[tag, image.id.removeprefix("sha256:")[:12], size] for tag in image.tags or image.digests]
    session.say(output.table(rows[:1] + sorted(rows[1:])))


@command.command("build")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-t", "--tag", required=True, help="The image's name, such as demo:1.")
@with_session
def build(session: Session, folder: Path, tag: str) -> None:
    """Build an image that serves FOLDER's files by busybox httpd on port 8080, and load it.

    It runs as user 1000, without a shell of yours or a registry; for images of other kinds, build with your own
    tool and `image load` the archive."""
    if not folder.is_dir():
        raise Failure(f'there is no folder "{folder}"')
    busybox = shutil.which("busybox")
    if busybox is None:
        raise Failure("busybox is not installed", "apt-get install -y busybox-static")
    from minikube_py.runtime.oci import File, Recipe, write_archive

    files = {"/bin/busybox": File(Path(busybox).resolve(), 0o755)}
    for path in folder.rglob("*"):
        if path.is_file():
            mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
            files[f"/www/{path.relative_to(folder)}"] = File(path, mode)
    recipe = Recipe(
        tag,
        files=files,
        links={"/bin/sh": "busybox", "/bin/httpd": "busybox"},
        folders={"/tmp": 0o1777},
        command=("/bin/httpd", "-f", "-v", "-p", "8080", "-h", "/www"),
        user="1000",
        ports=("8080/tcp",),
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
    )
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "image.tar"
        write_archive(archive, [recipe])
        for name in with_runtime(session, lambda runtime: runtime.images.load(archive)):
            session.say(f"built {name}")
