"""OCI image archives built from files, without a registry or a builder (archive.py reads them).

`write_archive` is reproducible: the same recipes give the same bytes (sorted entries, time 0, owner root). An
image has one uncompressed layer. Blocking: call it in a thread where files are large.
"""

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
NAME_ANNOTATION = "io.containerd.image.name"
REF_NAME_ANNOTATION = "org.opencontainers.image.ref.name"
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""OCI's name for each `platform.machine()`."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of an image: its content (bytes, or the path of a file to copy) and mode."""

    content: bytes | Path
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image of one layer. Paths are absolute in the image; `links` are symbolic (path > target);
    `ports` are such as 8080/tcp; `folders` are made besides those of the files (path > mode)."""

    name: str
    files: Mapping[str, File] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[str] = ()
    user: str = ""
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    architecture: str = "amd64"


def digest_of(data: bytes) -> str:
    """sha256:<hex> of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def add_to_tar(tar: tarfile.TarFile, entry: tarfile.TarInfo, data: bytes = b"") -> None:
    """Add an entry that is the same whoever makes it, and whenever."""
    entry.mtime = 0
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def layer(recipe: Recipe) -> bytes:
    """The layer as an uncompressed tar: folders before what they hold, everything sorted."""
    modes = {path.strip("/"): mode for path, mode in recipe.folders.items()}
    leaves = {path.strip("/"): path for path in (*recipe.files, *recipe.links)}
    for path in (*leaves, *tuple(modes)):
        for parent in Path(path).parents:
            if parent != Path("."):
                modes.setdefault(str(parent), 0o755)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted({*modes, *leaves}):
            entry = tarfile.TarInfo(path)
            if path in modes:
                entry.type, entry.mode = tarfile.DIRTYPE, modes[path]
                add_to_tar(tar, entry)
            elif (key := leaves[path]) in recipe.links:
                entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, recipe.links[key]
                add_to_tar(tar, entry)
            else:
                source = recipe.files[key]
                content = source.content
                entry.mode = source.mode
                add_to_tar(tar, entry, content if isinstance(content, bytes) else content.read_bytes())
    return out.getvalue()


def config(recipe: Recipe, diff_id: str) -> bytes:
    """The image config (OCI image spec, config.md)."""
    run: dict[str, Any] = {
        "Env": [f"{key}={value}" for key, value in recipe.env.items()] or None,
        "Entrypoint": list(recipe.entrypoint) or None,
        "Cmd": list(recipe.command) or None,
        "ExposedPorts": {port: {} for port in recipe.ports} or None,
        "User": recipe.user or None,
        "WorkingDir": recipe.working_dir or None,
        "Labels": dict(recipe.labels) or None,
    }
    return orjson.dumps(
        {
            "created": "1970-01-01T00:00:00Z",
            "architecture": recipe.architecture,
            "os": "linux",
            "config": {key: value for key, value in run.items() if value is not None},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "minikube-py"}],
        }
    )


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def write_archive(path: Path, recipes: Sequence[Recipe]) -> tuple[str, ...]:
    """Write an OCI layout archive of `recipes` (one name may come once per architecture); the images' ids
    (digests of their configs), in the same order."""
    blobs: dict[str, bytes] = {}
    manifests, ids = [], []
    for recipe in recipes:
        tar = layer(recipe)
        image_config = config(recipe, digest_of(tar))
        manifest = orjson.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _descriptor(CONFIG, image_config),
                "layers": [_descriptor(LAYER, tar)],
            }
        )
        blobs |= {digest_of(data): data for data in (tar, image_config, manifest)}
        ids.append(digest_of(image_config))
        manifests.append(
            _descriptor(MANIFEST, manifest)
            | {
                "annotations": {NAME_ANNOTATION: recipe.name},
                "platform": {"architecture": recipe.architecture, "os": "linux"},
            }
        )
    documents = {
        "oci-layout": orjson.dumps({"imageLayoutVersion": "1.0.0"}),
        "index.json": orjson.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}),
    }
    entries = {f"blobs/{digest.replace(':', '/')}": data for digest, data in blobs.items()} | documents
    with tarfile.open(path, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(entries):
            entry = tarfile.TarInfo(name)
            entry.mode = 0o644
            add_to_tar(archive, entry, entries[name])
    return tuple(ids)
