"""Building images: by buildah from a Dockerfile, or without any builder a site that busybox serves."""

import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minikube_py.cli.images import run_program
from minikube_py.cli.main import Failure

DOCKERFILES = ("Containerfile", "Dockerfile")


@dataclass(frozen=True, slots=True)
class Build:
    """What is to be built: `context` a folder, a URL or `-`; `arguments` are handed to buildah."""

    context: str
    tag: str
    file: str = ""
    arguments: Sequence[str] = ()

    @property
    def is_site(self) -> bool:
        """Whether there is no Dockerfile, but a folder of pages."""
        folder = Path(self.context)
        known = self.file or any((folder / name).exists() for name in DOCKERFILES)
        return folder.is_dir() and not known


def by_buildah(build: Build, archive: Path) -> None:
    """Build from a Dockerfile into an archive. Errors: Failure."""
    buildah = shutil.which("buildah")
    if buildah is None:
        raise Failure(
            "buildah is not installed, which builds from a Dockerfile",
            "apt-get install -y buildah   (or: docker build -t TAG . && minikube-py image load TAG)",
        )
    from minikube_py.runtime import reference

    context, given, name = build.context, None, str(reference.parse(build.tag))
    words = [buildah, "build", "--tag", name, *build.arguments]
    if context == "-":
        context, given = str(archive.parent), sys.stdin.read()
        words += ["--file", "-"]
    elif build.file:
        words += ["--file", build.file]
    elif "://" not in context and not Path(context).is_dir():
        raise Failure(f'there is no folder "{context}"')
    run_program([*words, context], input=given)
    run_program([buildah, "push", name, f"docker-archive:{archive}:{name}"])


def site(build: Build, archive: Path) -> None:
    """An image that serves the folder's files by busybox httpd on port 8080 as user 1000. Errors: Failure."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise Failure("busybox is not installed", "apt-get install -y busybox-static")
    from minikube_py.runtime.oci import ARCHITECTURES, File, Recipe, write_archive

    folder = Path(build.context)
    files = {"/bin/busybox": File(Path(busybox).resolve(), 0o755)}
    for path in folder.rglob("*"):
        if path.is_file():
            mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
            files[f"/www/{path.relative_to(folder)}"] = File(path, mode)
    recipe = Recipe(
        build.tag,
        files=files,
        links={"/bin/sh": "busybox", "/bin/httpd": "busybox"},
        folders={"/tmp": 0o1777},
        command=("/bin/httpd", "-f", "-v", "-p", "8080", "-h", "/www"),
        user="1000",
        ports=("8080/tcp",),
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
    )
    write_archive(archive, [recipe])
