"""Exporting images from containerd: their blobs as files, and archives of them that docker and podman load too.

The manifest for this machine's architecture is taken; layers are what the registry or the archive gave, so
digests stay. A lease is not needed: the image itself keeps its content.
"""

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import grpc.aio
import orjson

from minikube_py.runtime import oci, reference
from minikube_py.runtime.archive import INDEXES, JSON_LIMIT, Blob, descriptor, this_architecture
from minikube_py.runtime.base import RuntimeFailed, RuntimeNotFound
from minikube_py.runtime.calls import Calls, translate
from minikube_py.runtime.proto import containerd_pb2 as containerd

SERVICES = "/containerd.services."
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """An image whose blobs are files: `<folder>/<hex digits of the digest>`."""

    name: str
    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Every blob, what is referred to before what refers to it."""
        return (*self.layers, self.config, self.manifest)


def blob_file(folder: Path, blob: Blob) -> Path:
    """Where an exported blob is."""
    return folder / blob.digest.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Exporter:
    """Reads images of one containerd into `folder`."""

    calls: Calls
    folder: Path

    async def export(self, name: str, shown: str) -> ExportedImage:
        """The image recorded as `name`, to be called `shown`. Errors: RuntimeFailed, OSError."""
        request = containerd.GetImageRequest(name=name)
        answer = await self.calls.unary(f"{SERVICES}images.v1.Images/Get", request, containerd.ImageResponse)
        manifest = await self._manifest(_blob(answer.image.target))
        described = orjson.loads(blob_file(self.folder, manifest).read_bytes())
        if "layers" not in described:
            raise RuntimeFailed(f'image "{shown}" has no layers: it is of a form that cannot be exported')
        image = ExportedImage(
            shown, manifest, _described(described["config"]), tuple(map(_described, described["layers"]))
        )
        for blob in (image.config, *image.layers):
            await self._read(blob)
        return image

    async def _manifest(self, target: Blob, depth: int = 0) -> Blob:
        """The manifest that `target` is or, being an index, has for this machine's architecture."""
        await self._read(target, JSON_LIMIT)
        if target.media_type not in INDEXES or depth > 3:
            return target
        for entry in orjson.loads(blob_file(self.folder, target).read_bytes()).get("manifests") or ():
            platform = entry.get("platform") or {}
            if platform.get("architecture", this_architecture()) == this_architecture():
                try:
                    return await self._manifest(_described(entry), depth + 1)
                except RuntimeNotFound:
                    continue  # of another operating system or variant, and not here
        raise RuntimeFailed(f"there is no manifest for linux/{this_architecture()} below {target.digest}")

    async def _read(self, blob: Blob, limit: int | None = None) -> None:
        if not reference.DIGEST.fullmatch(blob.digest):
            raise RuntimeFailed(f"bad digest {blob.digest!r}")
        if limit is not None and blob.size > limit:
            raise RuntimeFailed(f"{blob.digest} is too large for a manifest ({blob.size} bytes)")
        path = blob_file(self.folder, blob)
        if path.exists():
            return
        request = containerd.ReadContentRequest(digest=blob.digest)
        answers = self.calls.server_stream(
            f"{SERVICES}content.v1.Content/Read", request, containerd.ReadContentResponse
        )
        fresh = path.with_suffix(".part")
        try:
            with fresh.open("wb") as file:
                async for answer in answers:
                    file.write(answer.data)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        fresh.rename(path)


def _blob(target: containerd.Descriptor) -> Blob:
    return Blob(target.media_type, target.digest, target.size)


def _described(entry: dict[str, Any]) -> Blob:
    return Blob(entry.get("mediaType") or DOCKER_MANIFEST, entry["digest"], entry["size"])


def write_saved(out: IO[bytes], images: Sequence[ExportedImage], folder: Path) -> None:
    """Write an archive of exported images, as a stream: an OCI layout with docker's manifest.json. Blocking."""
    index = {
        "schemaVersion": 2,
        "mediaType": oci.INDEX,
        "manifests": [
            descriptor(image.manifest)
            | {
                "annotations": {
                    oci.NAME_ANNOTATION: image.name,
                    oci.REF_NAME_ANNOTATION: reference.parse(image.name).tag,
                }
            }
            for image in images
        ],
    }
    docker = [
        {
            "Config": _place(image.config),
            "RepoTags": [image.name],
            "Layers": [_place(layer) for layer in image.layers],
        }
        for image in images
    ]
    documents = {
        "oci-layout": orjson.dumps({"imageLayoutVersion": "1.0.0"}),
        "index.json": orjson.dumps(index),
        "manifest.json": orjson.dumps(docker),
    }
    blobs = {blob.digest: blob for image in images for blob in image.blobs}
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for digest in sorted(blobs):
            with blob_file(folder, blobs[digest]).open("rb") as content:
                archive.addfile(_entry(_place(blobs[digest]), blobs[digest].size), content)
        for name, data in documents.items():
            oci.add_to_tar(archive, _entry(name, len(data)), data)


def _place(blob: Blob) -> str:
    return f"blobs/{blob.digest.replace(':', '/')}"


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = 0o644, size
    return entry
