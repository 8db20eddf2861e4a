"""image: put images into the cluster and take them out, and see which are there."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from minikube_py.cli.images import FORMATS, archive_of, logins, render, with_runtime
from minikube_py.cli.main import Failure
from minikube_py.cli.session import Session, with_session

ALIASES = {"list": "ls", "remove": "rm", "unload": "rm"}


class ImageCommands(click.Group):
    """The commands, some also under minikube's other names for them."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))


@click.group("image", cls=ImageCommands)
def command() -> None:
    """Load, build, list, pull, push and save the images that pods can use."""


@command.command("load")
@click.argument("sources", nargs=-1, required=True, metavar="ARCHIVE | IMAGE | -...")
@with_session
def load(session: Session, sources: tuple[str, ...]) -> None:
    """Load images from OCI or docker archives, from stdin (-), or from docker or podman."""
    for source in sources:
        with tempfile.TemporaryDirectory() as scratch:
            archive = archive_of(source, Path(scratch))
            for name in with_runtime(session, partial(_load, archive)):
                session.say(f"loaded {name}")


async def _load(archive: Path, runtime: Any) -> Sequence[str]:
    names: Sequence[str] = await runtime.images.load(archive)
    return names


@command.command("ls")
@click.option(
    "-o",
    "--output",
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="short",
    show_default=True,
    help="How to print.",
)
@with_session
def ls(session: Session, form: str) -> None:
    """List the images that are there."""
    if text := render(with_runtime(session, lambda runtime: runtime.images.list()), form):
        session.say(text)


@command.command("pull")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@with_session
def pull(session: Session, images: tuple[str, ...]) -> None:
    """Pull images from their registries, with the login of docker's config.json if there is one."""
    for image in images:
        asked = _parse(image)
        with_runtime(session, partial(_pull, image, logins(asked.domain, asked.path)))
        session.say(f"pulled {asked}")


async def _pull(image: str, keys: Sequence[Any], runtime: Any) -> None:
    """Pull by the first of the logins that the registry takes."""
    from minikube_py.runtime.base import ImagePullFailed

    failure: Exception | None = None
    for credentials in keys:
        try:
            await runtime.images.pull(image, credentials)
            return
        except ImagePullFailed as error:
            failure = error
    raise failure or ImagePullFailed(image)


@command.command("push")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@with_session
def push(session: Session, images: tuple[str, ...]) -> None:
    """Push images to the registries of their names, with the login of docker's config.json if there is one."""
    for image in images:
        _export_and_push(session, image)


def _export_and_push(session: Session, image: str) -> None:
    from minikube_py.cluster import registries

    target = _parse(image)
    try:
        folder = session.profile.containerd / registries.CERTS
        endpoints = registries.push_endpoints(folder, target.domain)
    except registries.BadRegistry as error:
        raise Failure(str(error)) from error

    async def work(runtime: Any) -> str:
        with tempfile.TemporaryDirectory() as scratch:
            [found] = await runtime.images.export([image], Path(scratch))
            return await asyncio.to_thread(_push, found, target, endpoints, Path(scratch))

    session.say(f"pushed {target}: digest: {with_runtime(session, work)}")


def _push(found: Any, target: Any, endpoints: Any, folder: Path) -> str:
    """The digest of the manifest, by the first way and login that work. Errors: Failure."""
    from minikube_py.runtime.push import NotReached, Push, PushFailed

    failures: list[str] = []
    for endpoint in endpoints:
        for credentials in logins(target.domain, target.path):
            try:
                pusher = Push(endpoint.url, target.path, credentials, verify=endpoint.verify)
                return pusher.push(found, target, folder)
            except NotReached as error:
                failures.append(str(error))
                break
            except PushFailed as error:
                failures.append(str(error))
    raise Failure(f"cannot push {target}: {'; '.join(failures)}")


@command.command("rm")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@with_session
def rm(session: Session, images: tuple[str, ...]) -> None:
    """Remove images; one that has other names, too, only loses this one."""

    async def work(runtime: Any) -> None:
        for image in images:
            await runtime.images.untag(image)

    with_runtime(session, work)


@command.command("tag")
@click.argument("source")
@click.argument("target")
@with_session
def tag(session: Session, source: str, target: str) -> None:
    """Let the image SOURCE be known as TARGET, too."""
    if _parse(target).digest:
        raise Failure(f'"{target}" has a digest, which is the content\'s own: a tag is a name of yours')
    with_runtime(session, lambda runtime: runtime.images.tag(source, target))


@command.command("save")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE... ARCHIVE | IMAGE -")
@with_session
def save(session: Session, images: tuple[str, ...]) -> None:
    """Write images to an archive (- is stdout) that docker, podman and `image load` read."""
    if len(images) < 2:
        raise click.UsageError("say which images, and the archive last (- for stdout)")
    *names, archive = images
    if archive == "-" and sys.stdout.isatty():
        raise click.UsageError("an archive is not for a terminal: name a file, or send stdout to one")

    async def work(runtime: Any) -> None:
        from minikube_py.runtime.export import write_saved

        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            found = await runtime.images.export(names, folder)
            made = folder / "saved.tar"
            with made.open("wb") as out:
                await asyncio.to_thread(write_saved, out, found, folder)
            try:
                await asyncio.to_thread(_deliver, made, archive)
            except OSError as error:
                raise Failure(f'cannot write "{archive}": {error.strerror}') from error

    with_runtime(session, work)


def _deliver(made: Path, archive: str) -> None:
    if archive != "-":
        shutil.copyfile(made, archive)
        return
    with made.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
    sys.stdout.buffer.flush()


@command.command("build")
@click.argument("context", metavar="FOLDER | URL | -")
@click.option("-t", "--tag", required=True, help="The image's name, such as demo:1.")
@click.option("-f", "--file", default="", help="The Dockerfile (default: the one in FOLDER).")
@click.option("--build-env", multiple=True, metavar="NAME=VALUE", help="An ARG of the Dockerfile.")
@click.option("--build-opt", multiple=True, metavar="NAME[=VALUE]", help="An option of buildah, without --.")
@click.option("--push", "then_push", is_flag=True, help="Push it when it is built.")
@with_session
@click.pass_context
def build(
    ctx: click.Context,
    session: Session,
    context: str,
    tag: str,
    file: str,
    build_env: tuple[str, ...],
    build_opt: tuple[str, ...],
    then_push: bool,
) -> None:
    """Build an image from a Dockerfile (by buildah) and load it.

    A FOLDER without Dockerfile becomes an image that serves its files by busybox httpd on port 8080, as user
    1000; this needs neither a builder nor a registry."""
    from minikube_py.cli.building import Build, by_buildah, site

    _parse(tag)
    words = [f"--build-arg={pair}" for pair in build_env] + [f"--{option}" for option in build_opt]
    asked = Build(context, tag, file, words)
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "image.tar"
        (site if asked.is_site else by_buildah)(asked, archive)
        for name in with_runtime(session, lambda runtime: runtime.images.load(archive)):
            session.say(f"built {name}")
    if then_push:
        ctx.invoke(push, images=(tag,))


def _parse(image: str) -> Any:
    """The full reference of an image. Errors: Failure."""
    from minikube_py.runtime.reference import BadReference, parse

    try:
        return parse(image)
    except BadReference as error:
        raise Failure(f'"{image}" names no image: {error}') from error
