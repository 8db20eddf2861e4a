"""exec and attach between a client and a command: what passes, what ends it, and the words of its end."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping

import orjson
import pytest

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.server.channels import CLOSE, ERROR, RESIZE, STDERR, STDIN, STDOUT, Wanted
from minikube_py.kubelet.server.commands import (
    SUCCESS,
    AttachCommand,
    Idle,
    Replay,
    exit_status,
    failed_status,
    serve,
)
from minikube_py.kubelet.server.resizing import sizes
from minikube_py.kubelet.server.spdy import SpdyConnection, SpdyStream, spdy_over
from minikube_py.kubelet.server.spdy_client import agreed
from minikube_py.kubelet.server.upgrade import UpgradeRefused

HOURS = 3600.0


class Client:
    """A client that sends what it is given, then listens; `got` is what it was told, in order."""

    def __init__(self, *messages: tuple[int, bytes], leaves: bool = False) -> None:
        self._messages = list(messages)
        self._leaves = leaves
        self.got: list[tuple[int | str, bytes]] = []

    async def greet(self) -> None: ...

    async def receive(self) -> tuple[int, bytes] | None:
        if self._messages:
            return self._messages.pop(0)
        if not self._leaves:
            await asyncio.Event().wait()
        return None

    async def send(self, channel: int, data: bytes) -> None:
        self.got.append((channel, data))

    async def end(self, channel: int) -> None:
        self.got.append((channel, b""))

    async def send_status(self, status: bytes) -> None:
        self.got.append((ERROR, status))

    async def close(self) -> None:
        self.got.append(("closed", b""))


class Command:
    """A command that gives its input back on stdout, once that has ended."""

    def __init__(self) -> None:
        self.written = b""
        self.sizes: list[Mapping[str, int]] = []
        self._ended = asyncio.Event()

    async def read(self, channel: int) -> bytes:
        if channel == STDERR:
            return b""
        await self._ended.wait()
        data, self.written = self.written, b""
        return data

    async def write(self, data: bytes) -> None:
        self.written += data

    async def end_input(self) -> None:
        self._ended.set()

    async def resize(self, size: Mapping[str, int]) -> None:
        self.sizes.append(size)

    async def missed(self) -> AsyncIterator[tuple[int, bytes]]:
        yield STDERR, b"missed"

    async def status(self) -> bytes:
        return exit_status(3, ["cat"])


async def test_a_session() -> None:
    """Input and sizes reach the command; the output comes first, then its ends, the Status last."""
    command = Command()
    client = Client((STDIN, b"one"), (RESIZE, b'{"Width":80,"Height":24}\n'), (STDIN, b"two"), (CLOSE, b"\x00"))
    clock = VirtualClock()
    await serve(client, command, (STDOUT, STDERR), Idle(clock, HOURS))
    assert command.sizes == [{"Width": 80, "Height": 24}]
    assert client.got == [
        (STDOUT, b"onetwo"),
        (STDOUT, b""),
        (STDERR, b""),
        (ERROR, exit_status(3, ["cat"])),
        ("closed", b""),
    ]


async def test_only_the_newest_size_counts() -> None:
    """Of many sizes that come while one is being set the last is set, before any input that came after it."""
    command, told = Command(), [b'{"Width":%d,"Height":1}' % width for width in range(500)]
    messages = [(RESIZE, data) for data in [*told, b"noise"]]
    client = Client(*messages, (STDIN, b"stty size"), (CLOSE, b"\x00"))
    await serve(client, command, (STDOUT,), Idle(VirtualClock(), HOURS))
    assert (command.sizes[-1], len(command.sizes) < 500, client.got[0]) == (
        {"Width": 499, "Height": 1},
        True,
        (STDOUT, b"stty size"),
    )


async def test_missed_output() -> None:
    """Where nothing could be read, what was printed before is told."""
    client = Client((CLOSE, b"\x00"))
    await serve(client, Command(), (STDOUT,), Idle(VirtualClock(), HOURS))
    assert client.got[0] == (STDERR, b"missed")


async def test_a_client_that_goes_ends_the_session() -> None:
    """Nothing is told to a client that has gone."""
    client = Client((STDIN, b"one"), leaves=True)
    await serve(client, Command(), (STDOUT,), Idle(VirtualClock(), HOURS))
    assert client.got == [("closed", b"")]


async def test_idle_sessions_end() -> None:
    """A session in which nothing passes ends after its limit, which every message begins anew."""
    clock, client = VirtualClock(), Client()
    idle = Idle(clock, 4 * HOURS)
    async with Tasks("session") as tasks:
        session = tasks.spawn(serve(client, Command(), (STDOUT,), idle), "serve")
        await clock.advance(3 * HOURS)
        idle.touch()
        await clock.advance(3 * HOURS)
        assert not session.done()
        await clock.advance(HOURS)
        await session
    assert client.got == [("closed", b"")]


async def test_attach_to_what_has_ended() -> None:
    """Who attaches to a container that has ended gets what it has printed, and a success."""

    async def ended() -> bool:
        return True

    async def read(stream: str) -> AsyncIterator[bytes]:
        yield stream.encode()

    client, wanted = Client(), Wanted(stdout=True, stderr=True)
    command = AttachCommand({}, wanted.outputs, Replay(ended, read))
    await serve(client, command, wanted.outputs, Idle(VirtualClock(), HOURS))
    assert client.got == [
        (STDOUT, b"Stdout"),
        (STDERR, b"Stderr"),
        (STDOUT, b""),
        (STDERR, b""),
        (ERROR, SUCCESS),
        ("closed", b""),
    ]


async def test_spdy_between_two_sides() -> None:
    """The server learns of each stream and its headers; data passes both ways, beyond what either buffers, and
    each side of a stream ends by itself."""
    opened: asyncio.Queue[SpdyStream] = asyncio.Queue()
    left, right = socket.socketpair()
    ours, theirs = await asyncio.open_connection(sock=left), await asyncio.open_connection(sock=right)
    big = os.urandom(3 << 20)

    async def write(data: bytes) -> None:
        theirs[1].write(data)
        await theirs[1].drain()

    async with (
        SpdyConnection(lambda: theirs[0].read(65536), write, opened.put_nowait) as server,
        spdy_over(*ours) as client,
        Tasks("echo") as tasks,
    ):
        stream = await client.open({"streamtype": "stdin"})
        there = await opened.get()
        assert there.headers == {"streamtype": "stdin"}

        async def echo() -> None:
            while data := await there.read():
                await there.write(data)
            await there.close()

        async def send() -> None:
            await stream.write(big)
            await stream.close()

        tasks.spawn(echo(), "echo")
        tasks.spawn(send(), "send")
        found = bytearray()
        while data := await stream.read():
            found += data
        assert bytes(found) == big
    await server.ended()
    theirs[1].close()
    await theirs[1].wait_closed()


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], ""),
        (["v4.channel.k8s.io", "channel.k8s.io"], "v4.channel.k8s.io"),
        (["v5.channel.k8s.io, v3.channel.k8s.io"], "v3.channel.k8s.io"),
    ],
)
def test_protocols(offered: list[str], chosen: str) -> None:
    """The client's first protocol that is known here."""
    assert agreed(offered) == chosen


def test_unknown_protocols() -> None:
    """A client that knows none of the protocols is refused."""
    with pytest.raises(UpgradeRefused, match="unable to negotiate protocol") as refused:
        agreed(["v9.channel.k8s.io"])
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"Width":80,"Height":24}\n', [{"Width": 80, "Height": 24}]),
        (
            b'{"Width":1,"Height":2}{"Width":3,"Height":4}\n',
            [{"Width": 1, "Height": 2}, {"Width": 3, "Height": 4}],
        ),
        (b'{"Width":70000,"Height":-1}', [{"Width": 4464, "Height": 65535}]),
        (b'{"Width":"x"}\nnoise\n[]\n', []),
        (b"", []),
    ],
)
def test_sizes(data: bytes, expected: list[dict[str, int]]) -> None:
    """Sizes come alone or together; what is none does no harm."""
    assert sizes(data) == expected


def test_words_of_an_end() -> None:
    """The Status of a command that has ended, and of one that could not be run."""
    assert exit_status(0, ["true"]) == SUCCESS
    ended = orjson.loads(exit_status(7, ["sh", "-c", "exit 7"]))
    assert (ended["reason"], ended["details"]["causes"]) == (
        "NonZeroExitCode",
        [{"reason": "ExitCode", "message": "7"}],
    )
    words = "command terminated with non-zero exit code: error executing command [sh -c exit 7], exit code 7"
    assert ended["message"] == words
    failed = orjson.loads(failed_status("no such file"))
    assert (failed["code"], failed["reason"], failed["message"]) == (
        500,
        "InternalError",
        "Internal error occurred: error executing command in container: no such file",
    )
