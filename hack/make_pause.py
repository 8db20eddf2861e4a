"""Build the sandbox (pause) image for amd64 and arm64 into minikube_py/runtime/data/pause.tar.

Needs gcc for both (Debian: gcc and gcc-aarch64-linux-gnu on amd64). The archive is committed, so that users
need no compiler and starting a cluster needs no registry.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from minikube_py.runtime.oci import File, Recipe, write_archive
from minikube_py.runtime.pause import ARCHIVE, IMAGE

COMPILERS = {"amd64": "x86_64-linux-gnu-gcc", "arm64": "aarch64-linux-gnu-gcc"}
FLAGS = (
    *("-Os", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie", "-s"),
    *("-fno-asynchronous-unwind-tables", "-Wl,--build-id=none", "-Wl,-z,noseparate-code"),
    *("-Wl,-z,max-page-size=4096", "-Wall", "-Wextra", "-Werror"),
)


def binary(compiler: str, folder: Path) -> bytes:
    """The static binary that `compiler` makes of pause.c."""
    out = folder / compiler
    source = Path(__file__).with_name("pause.c")
    subprocess.run([compiler, *FLAGS, "-o", str(out), str(source)], check=True)
    return out.read_bytes()


def main() -> int:
    """Write the archive."""
    with tempfile.TemporaryDirectory() as folder:
        recipes = [
            Recipe(
                IMAGE,
                files={"/pause": File(binary(compiler, Path(folder)), 0o755)},
                entrypoint=("/pause",),
                user="65535:65535",
                architecture=architecture,
            )
            for architecture, compiler in COMPILERS.items()
        ]
    ARCHIVE.parent.mkdir(exist_ok=True)
    write_archive(ARCHIVE, recipes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
