"""What the server remembers of a connection, and of request lines, changes no answer."""

import asyncio
import logging

import pytest
from api_cluster import Client, Cluster
from custom_resources import definition, establish

from minikube_py.apiserver import connections

PATH = b"/api/v1/namespaces/default"


async def answers(cluster: Cluster, client: Client, *requests: bytes) -> list[tuple[bytes, bytes]]:
    """The head and the body that each request is answered, on one connection; it is closed in the end."""
    host, port = cluster.server.addresses[0]
    reader, writer = await asyncio.open_connection(host, port, ssl=client.tls)
    found = []
    try:
        async with asyncio.timeout(10):
            for sent in requests:
                writer.write(sent)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = b"" if sent.startswith(b"HEAD") else await reader.readexactly(length)
                found.append((head, body))
    finally:
        writer.close()
    return found


def asked(*headers: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([method + b" " + PATH + b" HTTP/" + version, b"Host: x", *headers, b"", b""])


async def test_headers_of_an_earlier_request_mean_nothing(cluster: Cluster, admin: Client) -> None:
    """Who is impersonated, what is accepted and the Audit-ID are told by each request for itself."""
    found = await answers(
        cluster,
        admin,
        asked(),
        asked(b"Impersonate-User: jane", b"Audit-ID: first"),
        asked(),
        asked(b"Accept: application/yaml"),
        asked(),
    )
    codes = [head.split(b" ")[1] for head, _ in found]
    assert codes == [b"200", b"403", b"200", b"200", b"200"]
    assert [b"Audit-Id: first\r\n" in head for head, _ in found] == [False, True, False, False, False]
    assert [body[:1] for _, body in found] == [b"{", b"{", b"{", b"a", b"{"]


@pytest.mark.parametrize(
    ("request_", "told", "has_body"),
    [
        pytest.param(asked(), b"HTTP/1.1 200 OK\r\nAudit-Id: ", True, id="as a whole"),
        pytest.param(asked(method=b"HEAD"), b"HTTP/1.1 200 OK\r\n", False, id="HEAD"),
        pytest.param(asked(b"Connection: close"), b"Connection: close\r\n", True, id="the last request"),
        pytest.param(asked(version=b"1.0"), b"HTTP/1.0 200 OK\r\n", True, id="HTTP/1.0"),
    ],
)
async def test_every_way_of_sending_tells_the_same(
    cluster: Cluster, admin: Client, request_: bytes, told: bytes, has_body: bool
) -> None:
    """An answer has the same headers and body, whichever way it is sent."""
    (head, body) = (await answers(cluster, admin, request_))[0]
    assert told in head
    named = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:] if line}
    expected = {b"audit-id", b"cache-control", b"content-type", b"date", b"content-length"}
    flows = {b"x-kubernetes-pf-flowschema-uid", b"x-kubernetes-pf-prioritylevel-uid"}
    assert expected | flows == named - {b"connection"}
    assert has_body == (b'"name":"default"' in body)


async def test_a_request_line_means_what_the_catalogue_says_now(cluster: Cluster, admin: Client) -> None:
    """A path that was asked for before its kind was there is counted as that kind's once it is."""
    path = "/apis/example.com/v1/namespaces/default/widgets"
    before = await admin.get(path)
    await establish(admin, definition())
    after = await admin.get(path)
    assert (before.code, after.code) == (404, 200)
    text = (await admin.get("/metrics")).body
    labels = 'verb="LIST",group="example.com",version="v1",resource="widgets",subresource="",scope="namespace"'
    assert f'apiserver_request_total{{{labels},code="200",dry_run=""}} 1\n' in text


@pytest.mark.parametrize(
    ("error", "level"),
    [(ConnectionResetError("Cannot write to closing transport"), "DEBUG"), (OSError("disk"), "ERROR")],
)
def test_what_is_logged_of_a_failed_answer(
    caplog: pytest.LogCaptureFixture, error: Exception, level: str
) -> None:
    """A client that leaves amid its answer is no failure; what else goes wrong is logged as one."""
    with caplog.at_level(logging.DEBUG):
        connections.Log(connections.log).exception("Error handling %s", "request", exc_info=error)
    [record] = caplog.records
    assert (record.levelname, bool(record.exc_info)) == (level, level == "ERROR")
