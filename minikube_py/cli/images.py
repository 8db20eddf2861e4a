"""What the image commands share: the runtime, lists in minikube's forms, logins, and other programs' images."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from minikube_py.cli.main import Failure
from minikube_py.cli.session import Session

T = TypeVar("T")

FORMATS = ("short", "table", "json", "yaml")
UNITS = ("B", "kB", "MB", "GB", "TB")
ENGINES = ("docker", "podman")
NO_NAME = "<none>"
PROGRAM_LIMIT = 3600.0  # seconds that a build, or the saving of an image, may take


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


def human_size(size: float) -> str:
    """Bytes with three digits: 683kB, 1.24MB."""
    unit = 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g}{UNITS[unit]}" if size < 1000 else f"{size:.0f}{UNITS[unit]}"


def render(images: Sequence[Any], form: str) -> str:
    """Images (of the runtime's contract) as `minikube image ls` prints them."""
    if form == "table":
        return _table(images)
    if form == "short":
        return "\n".join(sorted((tag for image in images for tag in image.tags), reverse=True))
    listed = [
        {
            "id": image.id,
            "repoDigests": list(image.digests),
            "repoTags": list(image.tags),
            "size": str(image.size),
        }
        for image in sorted(images, key=lambda image: (image.tags or image.digests or (image.id,))[0])
    ]
    if form == "json":
        return json.dumps(listed, separators=(",", ":"))
    from minikube_py.cli import output

    return output.as_yaml(listed)


def _table(images: Sequence[Any]) -> str:
    rows = []
    for image in images:
        id = image.id.removeprefix("sha256:")[:13]
        names = image.tags or [f"{digest.partition('@')[0]}:{NO_NAME}" for digest in image.digests]
        for name in names or [f"{NO_NAME}:{NO_NAME}"]:
            repository, _, tag = name.rpartition(":")
            rows.append((repository, tag, id, human_size(image.size)))
    rows = [("Image", "Tag", "Image ID", "Size"), *sorted(rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    line = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    head, *body = (
        "|" + "|".join(f" {cell:^{width}} " for cell, width in zip(rows[0], widths, strict=True)) + "|",
        *(
            "|" + "|".join(f" {cell:<{width}} " for cell, width in zip(row, widths, strict=True)) + "|"
            for row in rows[1:]
        ),
    )
    return "\n".join([line, head, line, *body, line])


def logins(domain: str, path: str) -> list[Any]:
    """The user's own credentials for an image, from docker's config.json; [None] where there are none."""
    from minikube_py.kubelet.images.keyring import credentials_for

    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config = (folder / "config.json").read_bytes()
    except OSError:
        config = b""
    return list(credentials_for(f"{domain}/{path}", (), config)) or [None]


def run_program(argv: Sequence[str], *, input: str | None = None) -> str:
    """What another program prints. Errors: Failure with its words."""
    from minikube_py.aio import process

    try:
        done = asyncio.run(process.run(argv, input=input, timeout=PROGRAM_LIMIT))
    except (process.CommandFailed, TimeoutError) as error:
        raise Failure(str(error)) from error
    return done.stdout


def archive_of(source: str, scratch: Path) -> Path:
    """The archive that a user names: a file, `-` for stdin, or an image that docker or podman has.
    Errors: Failure."""
    if source == "-":
        archive = scratch / "stdin.tar"
        with archive.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        return archive
    if Path(source).is_dir():
        raise Failure(
            f'"{source}" is a folder, not an archive', f"tar -C {source} -c . | minikube-py image load -"
        )
    if Path(source).exists():
        return Path(source)
    for engine in ENGINES:
        if shutil.which(engine):
            archive = scratch / "engine.tar"
            try:
                run_program([engine, "save", "-o", str(archive), source])
            except Failure as failure:
                told = f'there is no file "{source}", and {engine} gives no such image: {failure}'
                raise Failure(told) from failure
            return archive
    raise Failure(
        f'there is no file "{source}"', "write one with: docker save IMAGE -o FILE   (or podman save)"
    )
