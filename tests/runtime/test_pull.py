"""Pulls from a registry on loopback: what it has, what it lacks, and what it gives only to those it knows."""

from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from conftest import Subject

from minikube_py.runtime.archive import Archive
from minikube_py.runtime.base import Credentials, ImagePullFailed
from minikube_py.runtime.oci import MANIFEST, File, Recipe, write_archive

pytestmark = pytest.mark.containerd


@dataclass
class Registry:
    """A registry (OCI distribution spec, pull only) that serves one image as `page:1`."""

    manifest: bytes
    digest: str
    blobs: dict[str, bytes]
    port: int = 0
    demands: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}/page:1"

    async def answer(self, request: web.Request) -> web.Response:
        """One request."""
        self.asked.append(request.path)
        if self.demands and request.headers.get("Authorization") != self.demands:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="registry"'})
        if request.path in ("/v2/page/manifests/1", f"/v2/page/manifests/{self.digest}"):
            headers = {"Docker-Content-Digest": self.digest}
            return web.Response(body=self.manifest, content_type=MANIFEST, headers=headers)
        blob = self.blobs.get(request.path.rpartition("/")[2])
        if blob is None or not request.path.startswith("/v2/page/blobs/"):
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, status=404)
        return web.Response(body=blob, content_type="application/octet-stream")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    """A running registry."""
    write_archive(tmp_path / "page.tar", [Recipe("page:1", {"/page": File(b"hello")}, user="web")])
    with Archive(tmp_path / "page.tar") as archive:
        [image] = archive.images()
        read = {blob.digest: b"".join(archive.chunks(blob)) for blob in (image.config, *image.layers)}
        manifest = b"".join(archive.chunks(image.manifest))
    served = Registry(manifest, image.manifest.digest, read)
    runner = web.ServerRunner(web.Server(served.answer))  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.port = runner.addresses[0][1]
    yield served
    await runner.cleanup()


async def test_an_image_is_pulled(real: Subject, registry: Registry) -> None:
    """A pulled image is known by name and digest, with the user that it says."""
    image = await real.runtime.images.pull(registry.name)
    assert image.tags == (registry.name,)
    assert image.digests == (f"127.0.0.1:{registry.port}/page@{registry.digest}",)
    assert (image.uid, image.username) == (None, "web")
    assert image.id in registry.blobs
    asked = len(registry.asked)
    assert await real.runtime.images.pull(registry.name) == image
    assert not any("blobs" in path for path in registry.asked[asked:])


async def test_an_image_that_is_not_there(real: Subject, registry: Registry) -> None:
    """The registry's `not found` is in the message."""
    with pytest.raises(ImagePullFailed, match=r"page:2.*not found"):
        await real.runtime.images.pull(f"127.0.0.1:{registry.port}/page:2")


async def test_credentials(real: Subject, registry: Registry) -> None:
    """Without the right credentials the pull is refused with a readable message; with them it works."""
    registry.demands = "Basic " + b64encode(b"ada:secret").decode()
    for credentials in (None, Credentials("ada", "wrong")):
        with pytest.raises(ImagePullFailed, match=r"authorization failed|401"):
            await real.runtime.images.pull(registry.name, credentials)
    image = await real.runtime.images.pull(registry.name, Credentials("ada", "secret"))
    assert image.tags == (registry.name,)


async def test_a_registry_that_lies(real: Subject, registry: Registry) -> None:
    """Content that is not what its digest says is refused."""
    registry.blobs = {digest: data + b"x" for digest, data in registry.blobs.items()}
    with pytest.raises(ImagePullFailed, match="failed"):
        await real.runtime.images.pull(registry.name)
    assert await real.runtime.images.status(registry.name) is None
