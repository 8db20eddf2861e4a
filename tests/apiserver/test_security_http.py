"""Attacks below the API: smuggled requests, bytes that are no text, numbers and selectors without end."""

import asyncio
import base64
import contextlib
import gc
import json
import logging
import tracemalloc
from pathlib import Path

import pytest
from api_cluster import Client, Cluster, start, stop

from minikube_py.apiserver import watch
from minikube_py.apiserver.request import parse_request
from minikube_py.meta.remembered import LONGEST, remembered
from minikube_py.meta.selectors import parse_labels

MAPS = "/api/v1/namespaces/default/configmaps"
BODY = b'{"metadata":{"generateName":"a"}}'
NEXT = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


async def said(cluster: Cluster, client: Client, sent: bytes) -> bytes:
    """Everything that raw bytes are answered."""
    host, port = cluster.server.addresses[0]
    reader, writer = await asyncio.open_connection(host, port, ssl=client.tls)
    try:
        writer.write(sent)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


def posted(*headers: bytes, body: bytes = b"") -> bytes:
    lines = [f"POST {MAPS} HTTP/1.1".encode(), b"Host: x", b"Content-Type: application/json", *headers]
    return b"\r\n".join([*lines, b"", b""]) + body


CHUNKED = b"Transfer-Encoding: chunked"
SMUGGLED = {
    "both lengths": posted(b"Content-Length: 4", CHUNKED, body=b"0\r\n\r\n" + NEXT),
    "two encodings": posted(CHUNKED, b"Transfer-Encoding: identity", body=b"0\r\n\r\n" + NEXT),
    "chunked is not last": posted(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n" + NEXT),
    "an unknown encoding": posted(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + NEXT),
    "a blank before the colon": posted(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n" + NEXT),
    "two lengths": posted(b"Content-Length: 0", b"Content-Length: 5", body=NEXT),
    "a signed length": posted(b"Content-Length: +5", body=b"hello" + NEXT),
    "a negative length": posted(b"Content-Length: -1", body=NEXT),
    "bare line feeds": b"GET /version HTTP/1.1\nHost: x\n\n" + NEXT,
    "a folded header": b"GET /version HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n" + NEXT,
    "a line feed in a chunk extension": posted(CHUNKED, body=b"2;a=\nb\r\n{}\r\n0\r\n\r\n" + NEXT),
    "chunks ended by line feeds": posted(CHUNKED, body=b"2\n{}\n0\n\n" + NEXT),
    "an endless chunk": posted(CHUNKED, body=b"f" * 20 + b"\r\n" + NEXT),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an escape in a header": posted(b"User-Agent: a\x1b[31m", b"Content-Length: 0"),
    "NUL in a header": posted(b"User-Agent: a\x00", b"Content-Length: 0"),
    "CR in a header": posted(b"User-Agent: a\rX: b", b"Content-Length: 0"),
}


@pytest.mark.parametrize("name", SMUGGLED)
async def test_smuggling(cluster: Cluster, admin: Client, name: str) -> None:
    """What two readers could read differently is refused, and the connection ends there."""
    answer = await said(cluster, admin, SMUGGLED[name])
    assert (answer.split(b" ")[1], answer.count(b"gitVersion")) == (b"400", 0)


TEXTS = (
    b"User-Agent",
    b"X-Forwarded-For",
    b"Audit-Id",
    b"Accept",
    b"Impersonate-User",
    b"Authorization: Bearer",
)


async def test_headers_that_are_no_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A header that is no UTF-8 fails nothing: the request is judged, answered, and told to the audit log."""
    log = tmp_path / "audit.log"
    cluster, task = await start(tmp_path, audit_log=log)
    admin, found = cluster.client("admin", "system:masters"), []
    length = b"Content-Length: %d" % len(BODY)
    with caplog.at_level(logging.WARNING):
        for name in TEXTS:
            header = name + (b" " if b":" in name else b": ") + b"\xff\xfe\xed\xa0\x80"
            client = cluster.client() if b"Authorization" in name else admin
            answer = await said(cluster, client, posted(length, b"Connection: close", header, body=BODY))
            found.append(int(answer.split(b" ")[1]))
    await stop(cluster, task)
    told = [json.loads(line) for line in log.read_bytes().splitlines()]
    seen = [event["responseStatus"]["code"] for event in told if event["stage"] == "ResponseComplete"]
    assert found == [201, 201, 201, 406, 403, 401]
    assert [code for code in seen if code in found] == found
    assert [record for record in caplog.records if record.exc_info] == []


NUMBERS = [
    ("resourceVersion=" + "9" * 5000, 400),
    ("resourceVersion=18446744073709551616", 400),
    ("resourceVersion=99999999999999999999", 400),
    ("resourceVersion=9999999999999", 504),
    ("resourceVersion=-1", 400),
    ("resourceVersion=%D9%A1", 400),
    ("limit=" + "9" * 5000, 400),
    ("limit=9223372036854775808", 400),
    ("limit=1_0", 400),
    ("limit=%D9%A1", 400),
    ("limit=%201", 400),
    ("watch=1&timeoutSeconds=99999999999999999999", 400),
    ("timeout=" + "9" * 4500 + "h", 200),
    ("timeout=%E2%88%9E", 400),
    ("continue=" + "A" * 10_000, 400),
    ("continue=bnVsbA", 400),
    ("continue=WzFd", 400),
    ("continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoieFx1MDAwMCJ9", 400),
]


async def test_numbers_without_end(admin: Client) -> None:
    """A number that Kubernetes could not hold is the client's fault."""
    found = [(query, (await admin.get(f"{MAPS}?{query}")).code) for query, _ in NUMBERS]
    assert found == NUMBERS


def forged(start: str) -> str:
    token = {"v": "meta.k8s.io/v1", "rv": 1, "start": start}
    return base64.urlsafe_b64encode(json.dumps(token).encode()).rstrip(b"=").decode()


STARTS = ("", "\0", "../", "../../secrets/kube-system/", "/registry/secrets/", "kube-system/", "a" * 9000)


@pytest.mark.parametrize("start", STARTS, ids=range(len(STARTS)))
async def test_forged_continue_tokens(admin: Client, start: str) -> None:
    """Whatever a continue token says, a list shows its own resource and namespace only."""
    secret = {"metadata": {"name": "secret"}, "stringData": {"a": "b"}}
    await admin.post("/api/v1/namespaces/kube-system/secrets", secret)
    await admin.post("/api/v1/namespaces/kube-system/configmaps", {"metadata": {"name": "theirs"}})
    await admin.post(MAPS, {"metadata": {"name": "mine"}})
    answer = await admin.get(f"{MAPS}?limit=100&continue={forged(start)}")
    items = answer.body.get("items") or []
    assert answer.code in (200, 400, 410)
    assert {(item["metadata"]["namespace"], "type" in item) for item in items} <= {("default", False)}


TERMS = 10_000
SELECTORS = (
    "labelSelector=" + ",".join(f"a{n}=b" for n in range(TERMS)),
    "labelSelector=a in (" + ",".join(f"a{n}" for n in range(TERMS)) + ")",
    "labelSelector=" + "(" * TERMS,
    "labelSelector=" + "a" * TERMS * 5,
    "fieldSelector=" + ",".join("metadata.name!=b" for _ in range(TERMS // 2)),
    "fieldSelector=" + "%5C," * TERMS,
    "fieldSelector=" + "a" * TERMS * 5,
)


@pytest.mark.parametrize("query", SELECTORS, ids=range(len(SELECTORS)))
async def test_selectors_without_end(admin: Client, query: str) -> None:
    """A selector of thousands of terms is read or refused; the server goes on."""
    answer = await admin.get(f"{MAPS}?{query.replace(' ', '%20')}")
    assert (answer.code in (200, 400), (await admin.get(MAPS)).code) == (True, 200)


def test_long_texts_are_not_remembered() -> None:
    """What clients may make as long as they like is not kept, so that no flood of it fills the memory."""
    calls: list[str] = []

    @remembered(8)
    def found(text: str) -> int:
        calls.append(text)
        return len(text)

    short, long = "a" * LONGEST, "a" * (LONGEST + 1)
    assert [found(text) for text in (short, short, long, long)] == [512, 512, 513, 513]
    assert calls == [short, long, long]


def test_floods_of_long_paths_and_selectors() -> None:
    """A thousand long paths and selectors hold no memory once they are answered."""
    tracemalloc.start()
    for number in range(300):
        parse_request("GET", f"/api/v1/{number}{'a' * 50_000}", {})
        parse_labels(",".join(f"a{number}x{n}" for n in range(100)))
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 4_000_000


async def test_watcher_that_stops_reading(
    cluster: Cluster, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watcher that takes no bytes is sent a bounded number of them, and is hung up on."""
    monkeypatch.setattr(watch, "STALLED_SECONDS", 0.3)
    host, port = cluster.server.addresses[0]
    reader, writer = await asyncio.open_connection(host, port, ssl=admin.tls, limit=1024)
    writer.write(f"GET {MAPS}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    body = {"metadata": {"name": "big"}, "data": {"a": "x" * 900_000}}
    assert (await admin.post(MAPS, body)).code == 201
    for number in range(30):
        body["data"] = {"a": f"{number}" + "x" * 900_000}
        assert (await admin.call("PUT", f"{MAPS}/big", body)).code == 200
    got = 0
    async with asyncio.timeout(10):
        while "apiserver_registered_watchers 1" in (await admin.get("/metrics")).body:
            await admin.get(MAPS)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                got += len(data)
    writer.close()
    assert got < 20_000_000
