"""Indexes: lists with a pinned value look at the objects that have it, and find what a look at all finds."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import orjson
import pytest

from minikube_py.kinds.core.pod import Pod
from minikube_py.registry.base import ListOptions, WatchOptions
from minikube_py.registry.catalogue import Catalogue
from minikube_py.registry.indexes import AT_ONCE, KEPT, WORTH, Indexes
from minikube_py.registry.lists import list_entries, list_in_turns
from minikube_py.registry.selection import Pin, Selection
from minikube_py.registry.versions import Versions
from minikube_py.registry.watches import Watches
from minikube_py.store.base import Delete, Entry, Page, Put
from minikube_py.store.memory import MemoryStore

BY_NODE = Pin(False, "spec.nodeName", "n1")


class Counting(MemoryStore):
    """A store that counts the entries that are read."""

    read = 0

    def get(self, key: str) -> Entry | None:
        self.read += 1
        return super().get(key)

    def list(self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0) -> Page:
        page = super().list(prefix, after=after, limit=limit, revision=revision)
        self.read += len(page.entries)
        return page


def pod(name: str, app: str, node: str = "", namespace: str = "default") -> Put:
    """Stores a pod."""
    labels = {"app": app} if app else {}
    meta = {"name": name, "namespace": namespace, "labels": labels}
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"nodeName": node} if node else {}}
    return Put(Pod.storage_key(namespace, name), orjson.dumps(obj))


@pytest.fixture
async def store() -> AsyncIterator[Counting]:
    """Twice as many pods as an index is worth, on 100 nodes: one in fifty of app rare, others of app web."""
    made = Counting()
    await made.commit([pod(f"p{n:04}", "web" if n % 50 else "rare", f"n{n % 100}") for n in range(2 * WORTH)])
    yield made
    await made.close()


@pytest.fixture
async def listed(store: Counting) -> AsyncIterator[Callable[..., list[str]]]:
    """The names that a list finds."""
    indexes = Indexes(store)

    def names(namespace: str = "", **options: Any) -> list[str]:
        found = list_entries(indexes, Pod, namespace, ListOptions(**options))
        return [entry.key.rpartition("/")[2] for entry in found.entries]

    yield names
    indexes.close()


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"labels": "app=rare"}, 45),
        ({"fields": "spec.nodeName=n7"}, 25),
        ({"labels": "app=rare", "fields": "spec.nodeName=n50"}, 45),
        ({"labels": "app in (rare),!gone"}, 45),
        ({"labels": "app=nobody"}, 5),
    ],
)
async def test_the_second_list_looks_at_few(
    store: Counting, listed: Callable[..., list[str]], options: dict[str, str], most: int
) -> None:
    """Once the index is made, a list reads what has the value."""
    first = listed(**options)
    store.read = 0
    assert listed(**options) == first
    assert store.read <= most


@pytest.mark.parametrize("options", [{"labels": "app=web"}, {"labels": "app!=web"}, {"labels": "!app"}])
async def test_what_most_have_is_looked_for_in_all(
    store: Counting, listed: Callable[..., list[str]], options: dict[str, str]
) -> None:
    """A value that is no help, or none at all, is answered by a look at every object."""
    listed(**options)
    store.read = 0
    listed(**options)
    assert store.read > 2 * WORTH


async def test_few_objects_need_no_index(store: Counting) -> None:
    """A resource of few objects gets no index."""
    await store.commit([Delete(Pod.storage_key("default", f"p{n:04}")) for n in range(WORTH + 1)])
    indexes = Indexes(store)
    assert result(indexes, [BY_NODE]) is None


def result(indexes: Indexes, pins: Sequence[Pin]) -> Sequence[str] | None:
    """What the steps lead to."""
    steps = indexes.among(Pod, pins)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Sequence[str] | None = end.value
            return found


async def test_changes_meanwhile_are_seen(store: Counting) -> None:
    """What changes, comes and goes while an index is being made is in it as it is at the end."""
    indexes = Indexes(store)
    steps = indexes.among(Pod, [BY_NODE])
    next(steps)
    await store.commit([pod("p0001", "web", "n2"), pod("p1998", "web", "n1"), pod("new", "web", "n1")])
    await store.commit(
        [Delete(Pod.storage_key("default", "p1901")), Delete(Pod.storage_key("default", "p0101"))]
    )
    with pytest.raises(StopIteration) as end:
        while True:
            next(steps)
    expected = {f"p{n:04}" for n in range(1, 2 * WORTH, 100)} - {"p0001", "p0101", "p1901"} | {"p1998", "new"}
    assert [key.rpartition("/")[2] for key in end.value.value] == sorted(expected)
    indexes.close()


async def test_an_index_is_made_together(store: Counting) -> None:
    """Lists that need an index while another makes it do a part of the work, also where the other gives up."""
    await store.commit([pod(f"more{n:05}", "web", "n1") for n in range(2 * AT_ONCE)])
    indexes = Indexes(store)
    first, second = indexes.among(Pod, [BY_NODE]), indexes.among(Pod, [BY_NODE])
    next(first)
    store.read = 0
    next(second)
    assert AT_ONCE <= store.read <= AT_ONCE + 5
    first.close()
    assert len(result(indexes, [Pin(False, "spec.nodeName", "n2")]) or ()) == WORTH // 50
    assert store.read <= 3 * AT_ONCE + 5


async def test_the_index_asked_for_last_stays(store: Counting) -> None:
    """Of many indexes the one that was not asked for is forgotten, and is made again when it is."""
    indexes = Indexes(store)
    assert result(indexes, [BY_NODE]) is not None
    for number in range(KEPT):
        assert result(indexes, [Pin(True, f"label-{number}", "a")]) == []
    store.read = 0
    assert len(result(indexes, [BY_NODE]) or ()) == WORTH // 50
    assert store.read > 2 * WORTH


async def test_pages_of_selected_objects(store: Counting) -> None:
    """Pages through an index are those of one snapshot, though objects come and go between them."""
    indexes, found, token = Indexes(store), list[str](), ""
    for _ in range(20):
        options = ListOptions(labels="app=rare", limit=7, continue_token=token)
        page = await list_in_turns(indexes, Pod, "default", options)
        found += [entry.key.rpartition("/")[2] for entry in page.entries]
        token = page.continue_token
        if not token:
            break
        name = found[-1]
        await store.commit([pod(f"{name}x", "rare", "n1"), Delete(Pod.storage_key("default", name))])
    assert found == [f"p{n:04}" for n in range(0, 2 * WORTH, 50)]


async def test_an_index_finds_what_a_look_at_all_finds(
    store: Counting, listed: Callable[..., list[str]]
) -> None:
    """After any changes, for any selector and namespace, the names are those that the selector matches."""
    chance = random.Random(7)
    selectors = ("app=a", "app=b,x!=1", "app in (c)", "app=rare", "app=", "app=a,tier=none")
    for _ in range(30):
        await asyncio.sleep(0)
        ops: list[Put | Delete] = []
        for name in {f"p{chance.randrange(2 * WORTH):04}" for _ in range(5)}:
            space = chance.choice(("default", "other"))
            app, node = chance.choice(("a", "b", "c", "")), f"n{chance.randrange(3)}"
            ops.append(
                pod(name, app, node, space) if chance.random() < 0.7 else Delete(Pod.storage_key(space, name))
            )
        await store.commit(ops)
        labels, space = chance.choice(selectors), chance.choice(("", "default", "other"))
        fields = chance.choice(("", "spec.nodeName=n1", "spec.nodeName!=n1", "spec.nodeName=n1,status.phase="))
        selection = Selection.of(Pod, labels, fields)
        entries = store.list(Pod.prefix(space)).entries
        expected = [e.key.rpartition("/")[2] for e in entries if selection.matches_entry(e)]
        assert listed(space, labels=labels, fields=fields) == expected


async def told_first(watches: Watches, **options: Any) -> list[str]:
    """The names that a watch tells first."""
    watch, found = watches.open(Pod, "", WatchOptions(bookmarks=True, **options)), list[str]()
    while "" not in found:
        found += [event.entry.key.rpartition("/")[2] for event in await anext(watch)]
    watch.close()
    return found[:-1]


async def test_first_objects_of_a_watch_come_from_an_index(store: Counting) -> None:
    """The first watch with a selector looks at all objects and makes the index from which others begin; what
    has changed meanwhile counts."""
    indexes = Indexes(store)
    watches = Watches(store, Versions(indexes, Catalogue([Pod])))
    asked = {"labels": "app=rare", "send_initial_events": True, "match": "NotOlderThan"}
    first = await told_first(watches, **asked)
    await store.commit([pod("p0000", "web"), pod("a", "rare"), pod("z", "rare", namespace="other")])
    store.read = 0
    second = await told_first(watches, **asked)
    assert (len(first), first == sorted(first)) == (2 * WORTH // 50, True)
    assert (second, store.read < 2 * len(first)) == (["a", *first[1:], "z"], True)
    watches.close()
    indexes.close()
