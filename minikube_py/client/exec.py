"""Running a command in a container from a terminal, by WebSocket (v5.channel.k8s.io, KEP-4006).

Every message begins with a channel number: 0 stdin, 1 stdout, 2 stderr, 3 the outcome as a Status, 4 the
terminal's size; 255 closes the channel that follows.
"""

import asyncio
import json
import os
import shutil
import signal
import ssl
import sys
import termios
import tty as terminal
from typing import Any

import aiohttp

from minikube_py.aio.tasks import Tasks
from minikube_py.errors import ApiError, BadRequest

STDIN, STDOUT, STDERR, OUTCOME, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOL = "v5.channel.k8s.io"


def run_exec(url: str, tls: ssl.SSLContext, *, stdin: bool, tty: bool) -> int:
    """Run the command that `url` (an exec subresource with its query) names; its exit code.
    Errors: ApiError where the server refuses."""
    raw = tty and stdin and sys.stdin.isatty()
    before = termios.tcgetattr(sys.stdin) if raw else None
    try:
        if raw:
            terminal.setraw(sys.stdin)
        return asyncio.run(_exec(url, tls, stdin=stdin, tty=tty))
    finally:
        if before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def _exec(url: str, tls: ssl.SSLContext, *, stdin: bool, tty: bool) -> int:
    async with aiohttp.ClientSession() as session, Tasks("exec") as tasks:
        try:
            socket = await session.ws_connect(url, ssl=tls, protocols=(PROTOCOL,), max_msg_size=0)
        except aiohttp.WSServerHandshakeError as error:
            raise BadRequest(
                f"the server refused to run the command: {error.status} {error.message}"
            ) from error
        async with socket:
            if stdin:
                tasks.spawn(_send_input(socket), "stdin")
            if tty:
                _follow_size(socket, tasks)
            return await _receive(socket)


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> int:
    outputs = {STDOUT: sys.stdout.buffer, STDERR: sys.stderr.buffer}
    async for message in socket:
        if message.type != aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel in outputs:
            outputs[channel].write(data)
            outputs[channel].flush()
        elif channel == OUTCOME and data:
            return exit_code(json.loads(data))
    return 0


def exit_code(status: dict[str, Any]) -> int:
    """The exit code in an outcome. Errors: ApiError where the command did not run at all."""
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise ApiError(status.get("message", "the command could not be run"))


async def _send_input(socket: aiohttp.ClientWebSocketResponse) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(0), "rb", 0))
    while data := await reader.read(65536):
        await socket.send_bytes(bytes((STDIN,)) + data)
    await socket.send_bytes(bytes((CLOSE, STDIN)))


def _follow_size(socket: aiohttp.ClientWebSocketResponse, tasks: Tasks) -> None:
    def send_size() -> None:
        size = shutil.get_terminal_size()
        body = json.dumps({"Width": size.columns, "Height": size.lines}).encode()
        tasks.spawn(socket.send_bytes(bytes((RESIZE,)) + body), "resize")

    send_size()
    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, send_size)
