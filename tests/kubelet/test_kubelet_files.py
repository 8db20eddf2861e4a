"""The kubelet's work with files: atomic volumes, logs and their rotation; and the SPDY codec."""

import asyncio
import os
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.logs.reading import LogOptions, read_log, tail_text, why_no_log
from minikube_py.kubelet.logs.rotation import set_aside
from minikube_py.kubelet.server.spdy import DICTIONARY, HeaderCodec
from minikube_py.kubelet.volumes.atomic import write_files
from minikube_py.kubelet.volumes.base import File, VolumeFailed
from minikube_py.kubelet.volumes.subpath import open_in

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def content(directory: Path) -> dict[str, str]:
    """What a reader of the volume sees."""
    shown = [path for path in directory.iterdir() if not path.name.startswith("..")]
    files = [inner for path in shown for inner in (path.rglob("*") if path.is_dir() else [path])]
    return {str(path.relative_to(directory)): path.read_text() for path in files}


def test_volume_is_written_and_replaced(tmp_path: Path) -> None:
    """Files appear through ..data, are replaced as a whole, and the old ones go."""
    assert write_files(tmp_path, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o600)}, NOW)
    assert content(tmp_path) == {"a": "1", "d/b": "2"}
    first = os.readlink(tmp_path / "..data")
    assert not write_files(tmp_path, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o600)}, NOW)
    assert write_files(tmp_path, {"a": File(b"3", 0o644), "c": File(b"4", 0o644)}, NOW)
    assert content(tmp_path) == {"a": "3", "c": "4"}
    assert not (tmp_path / first).exists()


@pytest.mark.parametrize("path", ["../x", "/x", "..x", "a/../b", ""])
def test_volume_paths_stay_inside(tmp_path: Path, path: str) -> None:
    """A file's path may not lead out of its volume."""
    with pytest.raises(VolumeFailed):
        write_files(tmp_path, {path: File(b"", 0o644)}, NOW)


def test_paths_are_resolved_inside_a_root(tmp_path: Path) -> None:
    """Absolute symlinks and `..` are resolved with the volume as the root."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("inside")
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "up").symlink_to("../../../../etc")
    root = os.open(tmp_path, os.O_PATH)
    try:
        for name in ("out/passwd", "up/passwd"):
            found = open_in(root, name, os.O_RDONLY)
            assert os.read(found, 100) == b"inside"
            os.close(found)
    finally:
        os.close(root)


LOG = (
    b"2026-01-01T00:00:00.000000001Z stdout F one\n"
    b"2026-01-01T00:00:01.000000001Z stderr F two\n"
    b"2026-01-01T00:00:02.000000001Z stdout P long \n"
    b"2026-01-01T00:00:02.000000002Z stdout F line\n"
)


async def output(path: Path, options: LogOptions) -> bytes:
    return b"".join([piece async for piece in read_log(path, options, lambda: False)])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (LogOptions(), b"one\ntwo\nlong line\n"),
        (LogOptions(tail=1), b"line\n"),
        (LogOptions(tail=3), b"two\nlong line\n"),
        (LogOptions(tail=0), b""),
        (LogOptions(tail=99), b"one\ntwo\nlong line\n"),
        (LogOptions(limit=5), b"one\nt"),
        (LogOptions(stream="Stderr"), b"two\n"),
        (LogOptions(stream="Stderr", timestamps=True), b"2026-01-01T00:00:01.000000001Z two\n"),
        (LogOptions(since=datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)), b"two\nlong line\n"),
        (LogOptions(since=datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)), b"long line\n"),
    ],
)
async def test_log_options(tmp_path: Path, options: LogOptions, expected: bytes) -> None:
    """Each option of a log request."""
    path = tmp_path / "0.log"
    path.write_bytes(LOG)
    assert await output(path, options) == expected


async def test_tail_of_a_long_log(tmp_path: Path) -> None:
    """The last lines are found across the pieces in which a log is read."""
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(b"2026-01-01T00:00:00Z stdout F %06d\n" % n for n in range(20_000)))
    assert await output(path, LogOptions(tail=2)) == b"019998\n019999\n"
    assert (await output(path, LogOptions(tail=5000))).startswith(b"015000\n")
    assert tail_text(path, 2, 2048) == "019998\n019999\n"
    assert tail_text(tmp_path / "none", 2, 2048) == ""


async def test_follow_goes_over_to_a_rotated_log(tmp_path: Path) -> None:
    """Following goes on in the new file after a rotation, and ends with the container."""
    path, alive = tmp_path / "0.log", [True]
    path.write_bytes(b"2026-01-01T00:00:00Z stdout F one\n")
    pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def follow() -> None:
        async for piece in read_log(path, LogOptions(follow=True), lambda: alive[0]):
            pieces.put_nowait(piece)

    async with Tasks("test") as tasks:
        task = tasks.spawn(follow(), "follow")
        assert await pieces.get() == b"one\n"
        set_aside(path, tmp_path / "0.log.20260101-000000", 3)
        path.write_bytes(b"2026-01-01T00:00:01Z stdout F two\n")
        assert await pieces.get() == b"two\n"
        with path.open("ab") as more:
            more.write(b"2026-01-01T00:00:02Z stdout F thr")
        with path.open("ab") as more:
            more.write(b"ee\n")
        alive[0] = False
        assert await pieces.get() == b"three\n"
        await task


def test_rotation_keeps_so_many_files(tmp_path: Path) -> None:
    """The log is set aside, earlier ones are compressed, the oldest go."""
    path = tmp_path / "0.log"
    for number in range(5):
        path.write_bytes(b"x")
        set_aside(path, tmp_path / f"0.log.2026010{number}-000000", 4)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "0.log.20260102-000000.gz",
        "0.log.20260103-000000.gz",
        "0.log.20260104-000000",
    ]


def test_spdy_dictionary() -> None:
    """The dictionary is SPDY/3's: 1423 bytes whose checksum every peer's zlib header names."""
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_spdy_headers_round_trip() -> None:
    """Header blocks share one compression context per direction."""
    sender, receiver = HeaderCodec(), HeaderCodec()
    for headers in ({"streamtype": "error"}, {"streamtype": "data", "port": "80"}, {}):
        assert receiver.decode(sender.encode(headers)) == headers


def test_a_log_that_is_lost(tmp_path: Path) -> None:
    """What stands in the place of a log names the first part of its path that is missing."""
    (tmp_path / "0.log").touch()
    gone = tmp_path / "main" / "0.log"
    assert [why_no_log(path, "id") for path in ("", str(tmp_path / "0.log"), str(gone))] == [
        "unable to retrieve container logs for containerd://id",
        "",
        f'failed to try resolving symlinks in path "{gone}": lstat {gone.parent}: no such file or directory',
    ]
