"""Simulated images: a table of names and ids; what can be pulled is told beforehand (see simulated.py)."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from minikube_py.runtime import reference as references
from minikube_py.runtime.archive import Archive, BadArchive
from minikube_py.runtime.base import Credentials, Image, ImagePullFailed, RuntimeFailed


class SimulatedImages:
    """Images by name and id; `pulls` tells whether, and with what failure, a pull succeeds."""

    def __init__(self) -> None:
        self.pulls: dict[str, str] = {}  # name in full > '' (it can be pulled) or why not
        self.pulled: list[tuple[str, Credentials | None]] = []
        self._images: dict[str, Image] = {}  # by id

    def add(self, name: str, *, id: str = "", size: int = 1000, pinned: bool = False) -> Image:
        """Have an image `name` at hand; another image loses the name."""
        full = str(references.parse(name))
        id = id or "sha256:" + hashlib.sha256(full.encode()).hexdigest()
        for image in tuple(self._images.values()):
            if full in image.tags and image.id != id:
                self._images[image.id] = replace(image, tags=tuple(tag for tag in image.tags if tag != full))
        tags = {*self._images[id].tags, full} if id in self._images else {full}
        self._images[id] = Image(id, tuple(sorted(tags)), (), size, pinned=pinned)
        return self._images[id]

    async def pull(self, reference: str, credentials: Credentials | None = None) -> Image:
        try:
            full = str(references.parse(reference))
        except references.BadReference as error:
            raise ImagePullFailed(f'failed to parse image reference "{reference}": {error}') from error
        self.pulled.append((full, credentials))
        why = self.pulls.get(full, "not found")
        if why:
            raise ImagePullFailed(f'failed to pull and unpack image "{full}": {why}')
        return self.add(full)

    async def list(self) -> Sequence[Image]:
        return tuple(self._images.values())

    async def status(self, reference: str) -> Image | None:
        if reference in self._images:
            return self._images[reference]
        try:
            full = str(references.parse(reference))
        except references.BadReference as error:
            raise RuntimeFailed(str(error)) from error
        return next((image for image in self._images.values() if full in image.tags), None)

    async def remove(self, reference: str) -> None:
        if image := await self.status(reference):
            del self._images[image.id]

    async def load(self, archive: Path, *, pinned: bool = False) -> Sequence[str]:
        loaded: list[str] = []
        try:
            with await asyncio.to_thread(Archive, archive) as source:
                for image in await asyncio.to_thread(source.images):
                    size = sum(layer.size for layer in image.layers)
                    names = tuple(str(references.parse(name)) for name in image.names)
                    for name in names:
                        self.add(name, id=image.config.digest, size=size, pinned=pinned)
                    if not names:
                        self._images[image.config.digest] = Image(image.config.digest, (), (), size)
                    loaded += names or (image.config.digest,)
        except (BadArchive, references.BadReference) as error:
            raise RuntimeFailed(f"cannot load {archive}: {error}") from error
        return tuple(loaded)
