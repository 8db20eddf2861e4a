"""What only the HTTP client must do: survive its server, relist after 410, page, say what cannot be reached."""

from collections.abc import AsyncIterator

import pytest
from client_worlds import WIDGET, Server, until

from minikube_py.client.http import HttpClients, decode
from minikube_py.client.reflector import lines
from minikube_py.errors import Forbidden, InternalError, NotFound, ServiceUnavailable, Unauthorized
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.meta.objects import Key, Obj, name_of
from minikube_py.registry.base import Context, DeleteOptions, Patch

CONTEXT = Context(field_manager="test")


async def store(server: Server, name: str) -> None:
    await server.registry.create(WIDGET, "default", {"metadata": {"name": name}}, CONTEXT)


async def test_cache_goes_on_after_a_restart(server: Server) -> None:
    """When the server comes back, the cache goes on where it was, without telling of what it knew."""
    await store(server, "before")
    async with server.clients() as clients:
        await clients.sync(WIDGET)
        heard: list[tuple[str, str]] = []
        clients.cache.subscribe(WIDGET, lambda change: heard.append((change.type, name_of(change.object))))
        await server.stop()
        await store(server, "meanwhile")
        await server.start()
        await until(clients.cache, WIDGET, lambda: len(clients.cache.list(WIDGET)) == 2)
        assert heard == [("ADDED", "before"), ("ADDED", "meanwhile")]


async def test_lost_history_is_listed_again(server: Server) -> None:
    """Where the history is gone (410) the cache lists anew and tells the differences as changes."""
    for name in ("stays", "goes", "changes"):
        await store(server, name)
    async with server.clients() as clients:
        await clients.sync(WIDGET)
        heard: list[tuple[str, str]] = []
        clients.cache.subscribe(WIDGET, lambda change: heard.append((change.type, name_of(change.object))))
        heard.clear()
        await server.stop()
        await server.registry.delete(WIDGET, "default", "goes", DeleteOptions(), CONTEXT)
        patch = Patch("application/merge-patch+json", {"metadata": {"labels": {"a": "b"}}})
        await server.registry.patch(WIDGET, "default", "changes", patch, CONTEXT)
        await store(server, "comes")
        await server.registry.store.compact(server.registry.revision)
        await server.start()
        await until(
            clients.cache, WIDGET, lambda: clients.cache.get(WIDGET, Key("default", "comes")) is not None
        )
        assert sorted(heard) == [("ADDED", "comes"), ("DELETED", "goes"), ("MODIFIED", "changes")]


async def test_long_lists_come_in_pages(server: Server) -> None:
    """A list of more than a page is whole."""
    for number in range(620):
        await store(server, f"w{number}")
    async with server.clients() as clients:
        await clients.sync(WIDGET)
        assert len(clients.cache.list(WIDGET)) == 620


async def test_revision_waits_for_own_writes(server: Server) -> None:
    """The cache's revision stays below a write of one's own until the cache shows it; quiet kinds do not hold
    it back."""
    async with server.clients() as clients:
        await clients.sync(WIDGET, ConfigMap)
        client = clients.named("tester")
        made = await client.create(WIDGET, {"metadata": {"name": "w", "namespace": "default"}})
        written = int(made["metadata"]["resourceVersion"])
        key = Key("default", "w")
        assert (clients.cache.revision >= written) is (clients.cache.get(WIDGET, key) is not None)
        await until(clients.cache, WIDGET, lambda: clients.cache.revision >= written)
        assert clients.cache.get(WIDGET, key) == made


async def test_tokens_are_credentials(server: Server) -> None:
    """A ServiceAccount's token authenticates; what RBAC refuses is Forbidden, and sync says so."""
    async with server.clients() as admin:
        answer = await admin.named("admin").post(
            ServiceAccount, Key("kube-system", "default"), "token", {"spec": {}}
        )
    token = answer["status"]["token"]
    async with HttpClients(server.url, server.tls(admin=False), token) as clients:
        with pytest.raises(Forbidden) as refused:
            await clients.named("robot").get(ConfigMap, "x", "default")
        assert "system:serviceaccount:kube-system:default" in refused.value.message
        with pytest.raises(Forbidden):
            await clients.sync(ConfigMap)
    async with HttpClients(server.url, server.tls(admin=False), "wrong") as clients:
        with pytest.raises(Unauthorized):
            await clients.named("nobody").get(ConfigMap, "x", "default")


async def test_unreachable_server(server: Server) -> None:
    """A server that is gone is ServiceUnavailable, and so is a client that is not open."""
    async with server.clients() as clients:
        client = clients.named("tester")
        await server.stop()
        with pytest.raises(ServiceUnavailable):
            await client.get(ConfigMap, "x", "default")
        with pytest.raises(ServiceUnavailable):
            await clients.sync(ConfigMap)
    with pytest.raises(ServiceUnavailable):
        await client.get(ConfigMap, "x", "default")


def test_answers_are_decoded() -> None:
    """Objects pass, Statuses raise what they say, and other content is an internal error."""
    status: Obj = {"reason": "NotFound", "message": "no"}
    assert decode(200, b'{"a": 1}') == {"a": 1}
    with pytest.raises(NotFound):
        decode(404, b'{"reason": "%s", "message": "no"}' % status["reason"].encode())
    with pytest.raises(InternalError):
        decode(502, b"<html>")


async def test_lines_of_any_length() -> None:
    """Lines are found wherever the chunks break; empty ones are passed over."""

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"on", b"e\ntwo\n\nth", b"r", b"ee\n", b"four"):
            yield chunk

    assert [line async for line in lines(chunks())] == [b"one", b"two", b"three"]
