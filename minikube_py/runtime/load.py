"""Loading an image archive into containerd by its own services, so that its CRI service knows the image.

Under a lease that keeps containerd's garbage collector off: blobs go to the content store, layers are
applied one upon the other by the overlayfs snapshotter, the image is recorded under its names and its id.
Labels tie manifest to config and layers, and config to the snapshot, which keeps them once the lease ends.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from minikube_py.runtime.archive import Archive, ArchivedImage, Blob, chain_ids
from minikube_py.runtime.base import RuntimeNotFound
from minikube_py.runtime.calls import AlreadyThere, Calls
from minikube_py.runtime.proto import containerd_pb2 as containerd

SERVICES = "/containerd.services."
SNAPSHOTTER = "overlayfs"
CHUNK = 1 << 20  # bytes in one message
LEASE_TIME = timedelta(hours=1)  # after which a lease that we could not end is collected
APPLY_DEADLINE = 600.0  # seconds for one layer
MANAGED = {"io.cri-containerd.image": "managed"}
PINNED = {"io.cri-containerd.pinned": "pinned"}


@dataclass(frozen=True, slots=True)
class Importer:
    """Imports the images of one archive under one lease."""

    calls: Calls
    archive: Archive
    headers: Mapping[str, str]

    async def load(self, image: ArchivedImage, names: tuple[str, ...], *, pinned: bool) -> None:
        """Store `image`, unpack it and record it as each of `names` and as its id."""
        chain = chain_ids(image.diff_ids)
        for layer in image.layers:
            await self._write(layer, {})
        refs = {f"containerd.io/gc.ref.snapshot.{SNAPSHOTTER}": chain[-1]} if chain else {}
        await self._write(image.config, refs)
        below = {f"containerd.io/gc.ref.content.l.{i}": layer.digest for i, layer in enumerate(image.layers)}
        await self._write(image.manifest, {"containerd.io/gc.ref.content.config": image.config.digest} | below)
        for position, layer in enumerate(image.layers):
            parent = chain[position - 1] if position else ""
            await self._unpack(layer, parent, chain[position])
        labels = MANAGED | (PINNED if pinned else {})
        recorded = containerd.Image(labels=labels, target=_descriptor(image.manifest))
        for name in (image.config.digest, *names):
            await record(self.calls, name, recorded, self.headers)

    async def _write(self, blob: Blob, labels: Mapping[str, str]) -> None:
        method = f"{SERVICES}content.v1.Content/"
        types = (containerd.WriteContentRequest, containerd.WriteContentResponse)
        try:
            await self.calls.exchange(
                method + "Write", self._requests(blob, labels), types, headers=self.headers
            )
        except AlreadyThere:
            if labels:
                info = containerd.ContentInfo(digest=blob.digest, labels=labels)
                request = containerd.UpdateContentRequest(info=info)
                request.update_mask.paths.extend(f"labels.{key}" for key in labels)
                await self.calls.unary(
                    method + "Update", request, containerd.UpdateContentResponse, headers=self.headers
                )

    async def _requests(
        self, blob: Blob, labels: Mapping[str, str]
    ) -> AsyncGenerator[containerd.WriteContentRequest]:
        ref = f"minikube-py-{uuid.uuid4()}"
        offset = 0
        pieces = self.archive.chunks(blob, CHUNK)
        while piece := await asyncio.to_thread(_next, pieces):
            yield containerd.WriteContentRequest(
                action="WRITE", ref=ref, total=blob.size, expected=blob.digest, offset=offset, data=piece
            )
            offset += len(piece)
        yield containerd.WriteContentRequest(
            action="COMMIT", ref=ref, total=blob.size, expected=blob.digest, offset=offset, labels=labels
        )

    async def _unpack(self, layer: Blob, parent: str, chain_id: str) -> None:
        method = f"{SERVICES}snapshots.v1.Snapshots/"
        stat = containerd.StatSnapshotRequest(snapshotter=SNAPSHOTTER, key=chain_id)
        try:
            await self.calls.unary(method + "Stat", stat, containerd.StatSnapshotResponse, headers=self.headers)
            return
        except RuntimeNotFound:
            key = f"extract-{uuid.uuid4()} {chain_id}"
        prepare = containerd.PrepareSnapshotRequest(snapshotter=SNAPSHOTTER, key=key, parent=parent)
        prepared = await self.calls.unary(
            method + "Prepare", prepare, containerd.PrepareSnapshotResponse, headers=self.headers
        )
        try:
            apply = containerd.ApplyRequest(diff=_descriptor(layer), mounts=prepared.mounts)
            await self.calls.unary(
                f"{SERVICES}diff.v1.Diff/Apply",
                apply,
                containerd.ApplyResponse,
                deadline=APPLY_DEADLINE,
                headers=self.headers,
            )
            commit = containerd.CommitSnapshotRequest(snapshotter=SNAPSHOTTER, name=chain_id, key=key)
            await self.calls.unary(method + "Commit", commit, containerd.Empty, headers=self.headers)
        except BaseException as error:
            remove = containerd.RemoveSnapshotRequest(snapshotter=SNAPSHOTTER, key=key)
            await self.calls.unary(method + "Remove", remove, containerd.Empty, headers=self.headers)
            if not isinstance(error, AlreadyThere):  # another loader was quicker
                raise


async def record(
    calls: Calls,
    name: str,
    like: containerd.Image,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Record an image as `name`, with the target and the labels of `like`; one of that name is replaced."""
    method = f"{SERVICES}images.v1.Images/"
    image = containerd.Image(name=name, labels=like.labels, target=like.target)
    try:
        create = containerd.CreateImageRequest(image=image)
        await calls.unary(method + "Create", create, containerd.ImageResponse, headers=headers)
    except AlreadyThere:
        update = containerd.UpdateImageRequest(image=image)
        update.update_mask.paths.extend(("target", *(f"labels.{key}" for key in like.labels)))
        await calls.unary(method + "Update", update, containerd.ImageResponse, headers=headers)


def _next(pieces: Iterator[bytes]) -> bytes:
    return next(pieces, b"")


def _descriptor(blob: Blob) -> containerd.Descriptor:
    return containerd.Descriptor(media_type=blob.media_type, digest=blob.digest, size=blob.size)


class Lease:
    """What is stored under it is kept until it ends; an async context manager that gives the call headers."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._id = f"minikube-py-{uuid.uuid4()}"

    async def __aenter__(self) -> Mapping[str, str]:
        expires = (datetime.now(UTC) + LEASE_TIME).strftime("%Y-%m-%dT%H:%M:%SZ")
        request = containerd.CreateLeaseRequest(id=self._id, labels={"containerd.io/gc.expire": expires})
        await self._calls.unary(f"{SERVICES}leases.v1.Leases/Create", request, containerd.CreateLeaseResponse)
        return {"containerd-lease": self._id}

    async def __aexit__(self, *_: object) -> None:
        request = containerd.DeleteLeaseRequest(id=self._id)
        await self._calls.unary(f"{SERVICES}leases.v1.Leases/Delete", request, containerd.Empty)
