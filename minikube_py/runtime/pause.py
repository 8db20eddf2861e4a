"""The sandbox image: shipped in the package for amd64 and arm64, so that starting a pod needs no registry.

Built by hack/make_pause.py from hack/pause.c.
"""

from pathlib import Path

from minikube_py.runtime.base import Images

IMAGE = "minikube-py.local/pause:1"
ARCHIVE = Path(__file__).parent / "data" / "pause.tar"


async def ensure_pause(images: Images) -> None:
    """Load the sandbox image, pinned, unless the runtime has it. Errors: RuntimeFailed."""
    if await images.status(IMAGE) is None:
        await images.load(ARCHIVE, pinned=True)
