"""Images: pulled through CRI, loaded from archives through containerd's own services."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from minikube_py.runtime import convert, reference
from minikube_py.runtime.archive import Archive, ArchivedImage, BadArchive
from minikube_py.runtime.base import Credentials, Image, ImagePullFailed, RuntimeFailed, RuntimeUnavailable
from minikube_py.runtime.calls import Calls
from minikube_py.runtime.load import Importer, Lease
from minikube_py.runtime.proto import cri_pb2 as cri

SERVICE = "/runtime.v1.ImageService/"
RECOGNISE_WITHIN = 10.0  # seconds until CRI must know a loaded image


class CriImages:
    """The contract's Images on containerd."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def pull(self, reference: str, credentials: Credentials | None = None) -> Image:
        """Pull from the registry named by `reference`. Errors: ImagePullFailed with the registry's words."""
        auth = None
        if credentials:
            auth = cri.AuthConfig(
                username=credentials.username,
                password=credentials.password,
                registry_token=credentials.token,
            )
        request = cri.PullImageRequest(image=cri.ImageSpec(image=reference), auth=auth)
        try:
            answer = await self._calls.unary(
                SERVICE + "PullImage", request, cri.PullImageResponse, deadline=None
            )
        except RuntimeUnavailable:
            raise
        except (RuntimeFailed, TimeoutError) as error:
            raise ImagePullFailed(str(error)) from error
        if image := await self.status(answer.image_ref):
            return image
        raise ImagePullFailed(f'image "{reference}" was removed while it was pulled')

    async def list(self) -> Sequence[Image]:
        """All images at hand."""
        answer = await self._calls.unary(
            SERVICE + "ListImages", cri.ListImagesRequest(), cri.ListImagesResponse
        )
        return tuple(convert.image(item) for item in answer.images)

    async def status(self, reference: str) -> Image | None:
        """The image with this name or id, if it is at hand."""
        answer = await self._calls.unary(SERVICE + "ImageStatus", _request(reference), cri.ImageStatusResponse)
        return convert.image(answer.image) if answer.HasField("image") else None

    async def remove(self, reference: str) -> None:
        """Remove the image with all its names; one that is gone already is fine."""
        await self._calls.unary(SERVICE + "RemoveImage", _request(reference), cri.Empty)

    async def load(self, archive: Path, *, pinned: bool = False) -> Sequence[str]:
        """Import every image for this architecture, pinned if it is never to be collected; their names in full
        (the id of one without a name). Errors: RuntimeFailed, OSError."""
        loaded: list[str] = []
        try:
            with await asyncio.to_thread(Archive, archive) as source:
                images = await asyncio.to_thread(source.images)
                async with Lease(self._calls) as headers:
                    importer = Importer(self._calls, source, headers)
                    for image in images:
                        names = _names(image)
                        await importer.load(image, names, pinned=pinned)
                        loaded += names or (image.config.digest,)
        except (BadArchive, reference.BadReference) as error:
            raise RuntimeFailed(f"cannot load {archive}: {error}") from error
        for image in images:
            await self._recognised(_names(image) or (image.config.digest,), image.config.digest)
        return tuple(loaded)

    async def _recognised(self, names: Sequence[str], id: str) -> None:
        """Wait until CRI knows the image, which it learns from containerd's events some milliseconds later."""
        wait, spent = 0.002, 0.0
        for name in names:
            while (known := await self.status(name)) is None or known.id != id:
                if spent > RECOGNISE_WITHIN:
                    raise RuntimeFailed(f"containerd's CRI service did not recognise the loaded image {name}")
                await asyncio.sleep(wait)
                spent += wait
                wait = min(0.2, wait * 2)


def _request(name: str) -> cri.ImageRequest:
    return cri.ImageRequest(image=cri.ImageSpec(image=name))


def _names(image: ArchivedImage) -> tuple[str, ...]:
    return tuple(str(reference.parse(name)) for name in image.names)
