"""Clients that attack: bombs, floods, half-said requests. They get a 4xx or nothing, and the server goes on."""

import asyncio
import gzip
import json
import logging
import ssl
from pathlib import Path

import pytest
from api_bad_bodies import CONFIG_MAPS
from api_certificates import Authority
from api_cluster import Client, Cluster

from minikube_py.apiserver.connections import Connections


async def ask(cluster: Cluster, sent: bytes) -> str:
    """The status line that raw bytes are answered with, or nothing."""
    host, port = cluster.url.removeprefix("https://").split(":")
    tls = cluster.tls(cluster.authority.issue("admin", "system:masters"))
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls, server_hostname=host)
    try:
        writer.write(sent)
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()


def posted(body: bytes, *headers: str) -> bytes:
    """A POST of `body` to the ConfigMaps."""
    lines = [f"POST {CONFIG_MAPS} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def bomb() -> bytes:
    """A billion laughs in YAML."""
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines).encode()


YAML = "Content-Type: application/yaml"
NESTED = b'{"data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001
HOSTILE = {
    "a billion laughs": (posted(bomb(), YAML), "400"),
    "100,000 objects in each other": (posted(NESTED), "400"),
    "100,000 YAML lists in each other": (posted(b"[" * 100_000, YAML), "400"),
    "an endless number": (posted(b'{"metadata":{"generation":1' + b"0" * 100_000 + b"}}"), "400"),
    "a gzip bomb": (posted(gzip.compress(b" " * 100_000_000), "Content-Encoding: gzip"), "400"),
    "4 MB": (posted(json.dumps({"data": {"a": "x" * 4_000_000}}).encode()), "413"),
    "a header of 300 KB": (b"GET /api HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 300_000 + b"\r\n\r\n", "400"),
    "60,000 headers": (b"GET /api HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 60_000 + b"\r\n", "400"),
    "two lengths": (posted(b"0\r\n\r\n", "Transfer-Encoding: chunked"), "400"),
    "a bad chunk": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", "400"),
    "no HTTP": (b"\x00\x01\x02\r\n\r\n", "400"),
    "a byte of Latin-1 in the path": (b"GET /api/v1/\xef HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_bytes(
    name: str, cluster: Cluster, admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is refused by its status code, without a traceback, and the next client is served."""
    sent, code = HOSTILE[name]
    with caplog.at_level(logging.INFO):
        said = await ask(cluster, sent)
    assert said.split()[1] == code
    assert [record for record in caplog.records if record.exc_info] == []
    assert (await admin.get(CONFIG_MAPS)).code == 200


async def test_a_silent_client_is_hung_up_on(tmp_path: Path) -> None:
    """Half a request line holds a connection for the header timeout only."""
    authority = Authority(tmp_path)
    pair = authority.issue("server", addresses=("127.0.0.1",))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)

    async def answer(request: object) -> None:
        raise AssertionError("no request was sent")

    server = Connections(answer, header_seconds=0.05)  # type: ignore[arg-type]
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=tls)
    try:
        port = listener.sockets[0].getsockname()[1]
        client = ssl.create_default_context(cafile=str(authority.path))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.write(b"GET /api HTT")
        assert await reader.read() == b""
        writer.close()
    finally:
        listener.close()
        await server.shutdown(1)
