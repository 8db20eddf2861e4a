"""Reading an image archive: an OCI layout or what `docker save` writes, plain or gzipped.

Nothing is unpacked: blobs are read in place, by offset. Nothing in it is trusted: blobs are looked up by
well-formed digests only, the size of JSON documents is bounded, and the runtime checks every digest.
Blocking: call it in a thread.
"""

import gzip
import hashlib
import os
import platform
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from minikube_py.runtime import oci, reference

JSON_LIMIT = 8 << 20  # bytes of one manifest, index or config
INDEXES = (oci.INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")


class BadArchive(ValueError):
    """The file is no image archive, or a damaged one; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob of an image: bytes made here, or a span of the archive."""

    media_type: str
    digest: str
    size: int
    offset: int = 0
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """One image: its names, and its blobs from the manifest down. diff_ids are the layers' uncompressed."""

    names: tuple[str, ...]
    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]
    diff_ids: tuple[str, ...]


def this_architecture() -> str:
    """OCI's name for this machine's architecture."""
    machine = platform.machine()
    return oci.ARCHITECTURES.get(machine, machine)


def chain_ids(diff_ids: Iterable[str]) -> list[str]:
    """The chain id of each layer upon those below (OCI image spec, config.md)."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(oci.digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain


class Archive:
    """An open image archive; use as a context manager. Errors: BadArchive, OSError."""

    def __init__(self, path: Path, architecture: str = "") -> None:
        self._path = path
        self._architecture = architecture or this_architecture()
        self._file: BinaryIO = path.open("rb")
        try:
            if self._file.peek(2)[:2] == b"\x1f\x8b":
                self._file = _gunzipped(self._file)
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                self._members = {os.path.normpath(member.name): member for member in tar}
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, OSError) as error:
            self._file.close()
            if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
                raise
            raise BadArchive(f"{path.name} is no tar archive: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def images(self) -> list[ArchivedImage]:
        """The images for this machine's architecture."""
        try:
            if "index.json" in self._members:
                images = list(self._from_layout())
            elif "manifest.json" in self._members:
                images = [self._from_docker(entry) for entry in self._json_at("manifest.json")]
            else:
                raise BadArchive(
                    f"{self._path.name} holds neither index.json nor manifest.json: no image archive"
                )
        except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError) as error:
            raise BadArchive(f"{self._path.name} is damaged: {error!r}") from error
        if not images:
            raise BadArchive(f"{self._path.name} holds no image for linux/{self._architecture}")
        return images

    def chunks(self, blob: Blob, size: int = 1 << 20) -> Iterator[bytes]:
        """The blob in pieces of at most `size` bytes. May be used from several threads."""
        if blob.data is not None:
            yield blob.data
            return
        position, left = blob.offset, blob.size
        while left:
            piece = os.pread(self._file.fileno(), min(size, left), position)
            if not piece:
                raise BadArchive(f"{self._path.name} is cut off")
            yield piece
            position += len(piece)
            left -= len(piece)

    def _member(self, name: str) -> tarfile.TarInfo:
        member = self._members.get(os.path.normpath(name))
        if member is not None and member.islnk():
            member = self._members.get(os.path.normpath(member.linkname))
        elif member is not None and member.issym():  # docker save before 25 links equal layers
            member = self._members.get(os.path.normpath(Path(name).parent / member.linkname))
        if member is None or not member.isfile():
            raise BadArchive(f"{self._path.name} lacks {name}")
        return member

    def _read(self, name: str) -> bytes:
        member = self._member(name)
        if member.size > JSON_LIMIT:
            raise BadArchive(f"{name} in {self._path.name} is too large ({member.size} bytes)")
        return os.pread(self._file.fileno(), member.size, member.offset_data)

    def _json_at(self, name: str) -> Any:
        return orjson.loads(self._read(name))

    def _blob(self, descriptor: dict[str, Any]) -> Blob:
        digest = descriptor["digest"]
        member = self._member(_blob_name(digest))
        return Blob(descriptor["mediaType"], digest, member.size, member.offset_data)

    def _from_layout(self) -> Iterator[ArchivedImage]:
        by_manifest: dict[str, tuple[dict[str, Any], list[str]]] = {}
        for entry in self._json_at("index.json").get("manifests") or ():
            name = _name_of(entry.get("annotations") or {})
            chosen = self._choose(entry)
            if chosen is not None:
                _, names = by_manifest.setdefault(chosen["digest"], (chosen, []))
                names += [name] if name and name not in names else []
        for descriptor, names in by_manifest.values():
            manifest = self._json_at(_blob_name(descriptor["digest"]))
            config = self._blob(manifest["config"])
            described = self._json_at(_blob_name(config.digest))
            if described.get("architecture", self._architecture) != self._architecture:
                continue
            yield ArchivedImage(
                tuple(names),
                self._blob({"mediaType": oci.MANIFEST, **descriptor}),
                config,
                tuple(self._blob(layer) for layer in manifest["layers"]),
                tuple(described["rootfs"]["diff_ids"]),
            )

    def _choose(self, entry: dict[str, Any], depth: int = 0) -> dict[str, Any] | None:
        """The manifest for this architecture that `entry` is or, being an index, leads to."""
        wanted = (entry.get("platform") or {}).get("architecture", self._architecture) == self._architecture
        if not wanted or depth > 3:
            return None
        if entry.get("mediaType") not in INDEXES:
            return entry
        below = self._json_at(_blob_name(entry["digest"]))["manifests"]
        return next(filter(None, (self._choose(inner, depth + 1) for inner in below)), None)

    def _from_docker(self, entry: dict[str, Any]) -> ArchivedImage:
        data = self._read(entry["Config"])
        described = orjson.loads(data)
        config = Blob(oci.CONFIG, oci.digest_of(data), len(data), data=data)
        layers = tuple(self._docker_layer(name) for name in entry["Layers"])
        manifest = orjson.dumps(
            {
                "schemaVersion": 2,
                "mediaType": oci.MANIFEST,
                "config": descriptor(config),
                "layers": [descriptor(layer) for layer in layers],
            }
        )
        return ArchivedImage(
            tuple(entry.get("RepoTags") or ()),
            Blob(oci.MANIFEST, oci.digest_of(manifest), len(manifest), data=manifest),
            config,
            layers,
            tuple(described["rootfs"]["diff_ids"]),
        )

    def _docker_layer(self, name: str) -> Blob:
        member = self._member(name)
        span = Blob(oci.LAYER, "", member.size, member.offset_data)
        sha, start = hashlib.sha256(), b""
        for piece in self.chunks(span):
            start = start or piece[:2]
            sha.update(piece)
        media_type = oci.LAYER + ("+gzip" if start == b"\x1f\x8b" else "")
        return Blob(media_type, f"sha256:{sha.hexdigest()}", member.size, member.offset_data)


def _gunzipped(source: BinaryIO) -> BinaryIO:
    """The content of `source` in an unnamed temporary file: a gzip stream cannot be read by offset."""
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 (the archive closes it)
    try:
        with source, gzip.GzipFile(fileobj=source) as packed:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
        unpacked.seek(0)
    except BaseException:
        unpacked.close()
        raise
    return unpacked


def descriptor(blob: Blob) -> dict[str, Any]:
    """A blob as manifests and indexes describe it."""
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


def _blob_name(digest: str) -> str:
    if not reference.DIGEST.fullmatch(digest):
        raise BadArchive(f"bad digest {digest!r}")
    return f"blobs/{digest.replace(':', '/')}"


def _name_of(annotations: dict[str, str]) -> str:
    """The image's name; a bare tag in ref.name (as some builders write) is no name."""
    name = annotations.get(oci.NAME_ANNOTATION) or annotations.get(oci.REF_NAME_ANNOTATION, "")
    return name if "/" in name or ":" in name or oci.NAME_ANNOTATION in annotations else ""
