"""Archives are built the same every time and read whatever builder wrote them; damaged ones are refused."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from minikube_py.runtime import oci, pause
from minikube_py.runtime.archive import Archive, BadArchive, chain_ids
from minikube_py.runtime.oci import File, Recipe, digest_of, write_archive

WEB = Recipe(
    "web:1",
    files={"/srv/index.html": File(b"hello"), "/bin/tool": File(b"#!/bin/sh\n", 0o755)},
    links={"/bin/sh": "tool"},
    folders={"/tmp": 0o1777},
    entrypoint=("/bin/tool",),
    command=("serve",),
    env={"PATH": "/bin"},
    ports=("8080/tcp",),
    user="1000",
    working_dir="/srv",
    labels={"org.opencontainers.image.title": "web"},
)


def tar_of(path: Path, entries: Mapping[str, bytes]) -> Path:
    """A tar archive with these entries."""
    with tarfile.open(path, "w") as tar:
        for name, data in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two builds are equal to the byte, whatever order the files were given in."""
    turned = Recipe(
        **{**{f: getattr(WEB, f) for f in WEB.__slots__}, "files": dict(reversed(WEB.files.items()))}
    )
    ids = [write_archive(tmp_path / str(i), [recipe]) for i, recipe in enumerate((WEB, turned))]
    assert ids[0] == ids[1]
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()


def test_the_layer_holds_folders_first_and_owners_root() -> None:
    """Every parent folder is there before what it holds, with the modes asked for, time 0 and owner 0."""
    with tarfile.open(fileobj=io.BytesIO(oci.layer(WEB))) as tar:
        members = tar.getmembers()
    assert [(member.name, oct(member.mode)) for member in members] == [
        ("bin", "0o755"),
        ("bin/sh", "0o777"),
        ("bin/tool", "0o755"),
        ("srv", "0o755"),
        ("srv/index.html", "0o644"),
        ("tmp", "0o1777"),
    ]
    assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
    assert next(member.linkname for member in members if member.issym()) == "tool"


def test_the_config_says_how_to_run(tmp_path: Path) -> None:
    """Entrypoint, command, environment, ports, user, folder and labels are in the config."""
    config = orjson.loads(oci.config(WEB, digest_of(b"")))
    assert config["config"] == {
        "Env": ["PATH=/bin"],
        "Entrypoint": ["/bin/tool"],
        "Cmd": ["serve"],
        "ExposedPorts": {"8080/tcp": {}},
        "User": "1000",
        "WorkingDir": "/srv",
        "Labels": {"org.opencontainers.image.title": "web"},
    }
    assert (config["os"], config["architecture"], config["rootfs"]["diff_ids"]) == (
        "linux",
        "amd64",
        [digest_of(b"")],
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Names, config, layers and content come back."""
    [id] = write_archive(tmp_path / "web.tar", [WEB])
    with Archive(tmp_path / "web.tar", "amd64") as archive:
        [image] = archive.images()
        assert image.names == ("web:1",)
        assert image.config.digest == id
        assert image.diff_ids == (digest_of(oci.layer(WEB)),)
        assert b"".join(archive.chunks(image.layers[0], 1000)) == oci.layer(WEB)
        assert digest_of(b"".join(archive.chunks(image.manifest))) == image.manifest.digest


def test_the_machines_architecture_is_chosen(tmp_path: Path) -> None:
    """Of one name for two architectures each machine reads its own; a third finds none."""
    ids = {}
    recipes = [Recipe("web:1", {"/a": File(a.encode())}, architecture=a) for a in ("amd64", "arm64")]
    ids = dict(zip(("amd64", "arm64"), write_archive(tmp_path / "web.tar", recipes), strict=True))
    for architecture, id in ids.items():
        with Archive(tmp_path / "web.tar", architecture) as archive:
            assert [image.config.digest for image in archive.images()] == [id]
    with Archive(tmp_path / "web.tar", "riscv64") as archive, pytest.raises(BadArchive, match="linux/riscv64"):
        archive.images()


def test_the_pause_archive_is_small_and_for_both_architectures() -> None:
    """The shipped archive holds a static ELF of a few kilobytes for amd64 and arm64."""
    machines = {}
    for architecture in ("amd64", "arm64"):
        with Archive(pause.ARCHIVE, architecture) as archive:
            [image] = archive.images()
            layer = b"".join(archive.chunks(image.layers[0]))
            assert image.names == (pause.IMAGE,)
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            [member] = tar.getmembers()
            elf = tar.extractfile(member)
            assert elf is not None
            header = elf.read()
        assert (member.name, member.mode, header[:4]) == ("pause", 0o755, b"\x7fELF")
        assert len(header) < 4096
        machines[architecture] = int.from_bytes(header[18:20], "little")
    assert machines == {"amd64": 62, "arm64": 183}


def layout(manifests: list[dict[str, object]], blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    """The entries of an OCI layout."""
    return {"index.json": orjson.dumps({"manifests": manifests})} | {
        f"./blobs/{digest.replace(':', '/')}": data for digest, data in blobs.items()
    }


def test_names_and_nested_indexes_of_other_builders(tmp_path: Path) -> None:
    """An index within the index is followed; a ref.name that is a bare tag is no name."""
    layer = gzip.compress(oci.layer(WEB))
    config = oci.config(WEB, digest_of(oci.layer(WEB)))
    manifest = orjson.dumps(
        {
            "config": {"mediaType": oci.CONFIG, "digest": digest_of(config)},
            "layers": [{"mediaType": oci.LAYER + "+gzip", "digest": digest_of(layer)}],
        }
    )
    platform = {"os": "linux", "architecture": "amd64"}
    inner = orjson.dumps(
        {
            "manifests": [
                {"digest": digest_of(b"absent"), "platform": {"os": "linux", "architecture": "arm64"}},
                {"digest": digest_of(manifest), "mediaType": oci.MANIFEST, "platform": platform},
            ]
        }
    )
    blobs = {digest_of(data): data for data in (layer, config, manifest, inner)}
    entries = layout(
        [
            {
                "digest": digest_of(inner),
                "mediaType": oci.INDEX,
                "annotations": {"org.opencontainers.image.ref.name": "latest"},
            },
            {"digest": digest_of(manifest), "annotations": {"org.opencontainers.image.ref.name": "a/web:2"}},
            {"digest": digest_of(manifest), "annotations": {"io.containerd.image.name": "web"}},
        ],
        blobs,
    )
    with Archive(tar_of(tmp_path / "built.tar", entries), "amd64") as archive:
        [image] = archive.images()
    assert image.names == ("a/web:2", "web")
    assert [layer.media_type for layer in image.layers] == [oci.LAYER + "+gzip"]


def test_docker_archives_with_linked_layers(tmp_path: Path) -> None:
    """Equal layers that an old docker stored once and linked are found."""
    data = oci.layer(WEB)
    path = tmp_path / "saved.tar"
    with tarfile.open(path, "w") as tar:
        config = oci.config(WEB, digest_of(data))
        manifest = orjson.dumps(
            [{"Config": "c.json", "RepoTags": None, "Layers": ["a/layer.tar", "b/layer.tar"]}]
        )
        for name, content in {"c.json": config, "a/layer.tar": data, "manifest.json": manifest}.items():
            oci.add_to_tar(tar, tarfile.TarInfo(name), content)
        link = tarfile.TarInfo("b/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../a/layer.tar"
        tar.addfile(link)
    with Archive(path, "amd64") as archive:
        [image] = archive.images()
    assert image.names == ()
    assert [layer.digest for layer in image.layers] == [digest_of(data)] * 2


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({}, "neither index.json nor manifest.json"),
        ({"index.json": b"{"}, "damaged"),
        ({"index.json": b"[]"}, "damaged"),
        ({"index.json": b'{"manifests": []}'}, "holds no image"),
        ({"index.json": b'{"manifests": [{"digest": "sha256:../../etc/passwd"}]}'}, "bad digest"),
        ({"index.json": b'{"manifests": [{"digest": 7}]}'}, "damaged"),
        (layout([{"digest": digest_of(b"x")}], {}), "lacks blobs/sha256/"),
        (layout([{"digest": digest_of(b"{}")}], {digest_of(b"{}"): b"{}"}), "damaged"),
        ({"manifest.json": b'[{"Config": "../secret", "Layers": []}]'}, "lacks ../secret"),
        ({"manifest.json": b'[{"Layers": []}]'}, "damaged"),
        ({"index.json": b" " * (9 << 20)}, "too large"),
    ],
)
def test_damaged_archives_are_refused(tmp_path: Path, entries: Mapping[str, bytes], says: str) -> None:
    """Each fault is named; nothing outside the archive is looked at."""
    with (
        Archive(tar_of(tmp_path / "bad.tar", entries), "amd64") as archive,
        pytest.raises(BadArchive, match=says),
    ):
        archive.images()


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 10_000, gzip.compress(b"x" * 10_000), gzip.compress(b"x")[:12]],
    ids=["empty", "text", "gzip", "cut-off"],
)
def test_what_is_no_tar_is_refused(tmp_path: Path, data: bytes) -> None:
    """Neither an empty file nor noise nor a cut gzip stream is an archive."""
    (tmp_path / "noise").write_bytes(data)

    def read() -> None:
        with Archive(tmp_path / "noise") as archive:
            archive.images()

    with pytest.raises(BadArchive, match="noise"):
        read()


def test_an_archive_that_is_cut_off_is_noticed(tmp_path: Path) -> None:
    """A blob that the file does not hold to its end is an error, not a short blob."""
    write_archive(tmp_path / "web.tar", [Recipe("web:1", {"/big": File(b"A" * 500_000)})])
    with Archive(tmp_path / "web.tar", "amd64") as archive:
        [image] = archive.images()
        with (tmp_path / "web.tar").open("r+b") as file:
            file.truncate(image.layers[0].offset + 1000)
        with pytest.raises(BadArchive, match="cut off"):
            b"".join(archive.chunks(image.layers[0]))


def test_chain_ids() -> None:
    """A chain id is the first diff id, then the hash of the one below and the next."""
    first, second = digest_of(b"1"), digest_of(b"2")
    assert chain_ids([first, second]) == [first, digest_of(f"{first} {second}".encode())]
    assert chain_ids([]) == []
