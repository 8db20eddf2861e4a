"""Images: pulled through CRI, loaded from archives through containerd's own services."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from minikube_py.runtime import convert, reference
from minikube_py.runtime.archive import Archive, ArchivedImage, BadArchive
from minikube_py.runtime.base import (
    Credentials,
    Image,
    ImagePullFailed,
    RuntimeFailed,
    RuntimeNotFound,
    RuntimeUnavailable,
)
from minikube_py.runtime.calls import Calls
from minikube_py.runtime.export import ExportedImage, Exporter
from minikube_py.runtime.load import Importer, Lease, record
from minikube_py.runtime.proto import containerd_pb2 as containerd
from minikube_py.runtime.proto import cri_pb2 as cri

SERVICE = "/runtime.v1.ImageService/"
IMAGES = "/containerd.services.images.v1.Images/"
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
        except RuntimeNotFound as error:  # a kubelet keeps the code of the errors that have one
            raise ImagePullFailed(error.decorated) from error
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

    async def export(self, names: Sequence[str], folder: Path) -> Sequence[ExportedImage]:
        """The images with these names or ids, their blobs as files in `folder`. Errors: RuntimeNotFound for
        what is not there, RuntimeFailed, OSError."""
        exporter = Exporter(self._calls, folder)
        found = []
        for name in names:
            image = await self._known(name)
            tag = next((tag for tag in image.tags if tag == _full(name)), next(iter(image.tags), ""))
            if not tag:
                raise RuntimeFailed(f'image "{name}" has no name: give it one with: image tag')
            found.append(await exporter.export(tag, tag))
        return found

    async def tag(self, source: str, target: str) -> None:
        """Let the image `source` (a name or id) be known as `target`, too. Errors: RuntimeNotFound,
        RuntimeFailed, BadReference."""
        name = str(reference.parse(target))
        image = await self._known(source)
        await record(self._calls, name, await self._record(image))
        await self._recognised((name,), image.id)

    async def untag(self, name: str) -> None:
        """Take a name away; the image goes with its last one. Errors: RuntimeNotFound, RuntimeFailed."""
        image = await self._known(name)
        full = _full(name)
        if full not in image.tags or len(image.tags) == 1:
            await self.remove(image.id)
            return
        request = containerd.DeleteImageRequest(name=full, sync=True)
        await self._calls.unary(IMAGES + "Delete", request, cri.Empty)

    async def _known(self, name: str) -> Image:
        image = await self.status(name)
        if image is None:
            raise RuntimeNotFound(f'image "{name}" is not there')
        return image

    async def _record(self, image: Image) -> containerd.Image:
        """What containerd has recorded of an image under its id."""
        request = containerd.GetImageRequest(name=image.id)
        answer = await self._calls.unary(IMAGES + "Get", request, containerd.ImageResponse)
        return answer.image

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


def _full(name: str) -> str:
    """The name in full, or `name` as it is where that is an id."""
    try:
        return str(reference.parse(name))
    except reference.BadReference:
        return name


def _request(name: str) -> cri.ImageRequest:
    return cri.ImageRequest(image=cri.ImageSpec(image=name))


def _names(image: ArchivedImage) -> tuple[str, ...]:
    return tuple(str(reference.parse(name)) for name in image.names)
