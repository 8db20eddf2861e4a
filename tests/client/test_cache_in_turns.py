"""Meeting many objects a few at a time: every object is told once, and each change in its place among them."""

import asyncio
from collections.abc import Callable

import pytest

from minikube_py.aio.turns import AT_ONCE, TURN_SECONDS
from minikube_py.client.base import Change
from minikube_py.client.cache import Table
from minikube_py.client.local import LocalCache
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.meta.objects import Obj, key_of, name_of
from minikube_py.testing.inprocess import local_cluster

MANY = 10 * AT_ONCE


def config(number: int, team: str = "red", version: int = 1) -> Obj:
    meta = {"name": f"c{number:04}", "namespace": "default", "labels": {"team": team}}
    return {"metadata": meta | {"resourceVersion": str(version)}}


def by_team(obj: Obj) -> list[str]:
    return [obj["metadata"]["labels"]["team"]]


@pytest.fixture
def table() -> Table:
    """A table of many objects."""
    made = Table(ConfigMap)
    for number in range(MANY):
        made.put(config(number))
    return made


class Slowly:
    """Notes changes, each of which takes a while of the loop's time; `at` does things between them."""

    def __init__(self, at: dict[int, Callable[[], None]] | None = None) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.first = 0
        self._at = at or {}

    def hear(self, change: Change) -> None:
        """A subscriber."""
        if not self.told:
            asyncio.get_running_loop().call_soon(self._others)
        version = change.object["metadata"]["resourceVersion"]
        self.told.append((change.type, name_of(change.object), version))
        until = asyncio.get_running_loop().time() + TURN_SECONDS / AT_ONCE
        while asyncio.get_running_loop().time() < until:
            pass

    def _others(self) -> None:
        """Runs when the loop turns for the first time."""
        self.first = len(self.told)
        for act in self._at.values():
            act()


async def test_others_have_their_turn(table: Table) -> None:
    """The loop turns before all objects are told, and all are told in order before `follow` returns."""
    reader = Slowly()
    await table.follow(reader.hear)
    assert 0 < reader.first < MANY
    assert reader.told == [("ADDED", f"c{number:04}", "1") for number in range(MANY)]


async def test_changes_come_in_between(table: Table) -> None:
    """What was told is changed or deleted for the reader; what was not is told as it is then, or never."""
    last = MANY - 1
    reader = Slowly(
        {
            0: lambda: table.put(config(0, version=2)),
            1: lambda: table.remove(config(1, version=2)),
            2: lambda: table.put(config(last, version=2)),
            3: lambda: table.remove(config(last - 1)),
            4: lambda: table.put(config(MANY, version=2)),
        }
    )
    stop = await table.follow(reader.hear)
    between = [("MODIFIED", "c0000", "2"), ("DELETED", "c0001", "2")]
    between += [("ADDED", f"c{last:04}", "2"), ("ADDED", f"c{MANY:04}", "2")]
    first = [("ADDED", f"c{number:04}", "1") for number in range(last - 1)]
    assert reader.told == first[: reader.first] + between + first[reader.first :]
    table.put(config(last, version=3))
    assert reader.told[-1] == ("MODIFIED", f"c{last:04}", "3")
    stop()
    table.put(config(last, version=4))
    assert reader.told[-1] == ("MODIFIED", f"c{last:04}", "3")


async def test_a_reader_that_is_cancelled_hears_no_more(table: Table) -> None:
    """Who gives up before all was told is not told what happens afterwards."""
    reader = Slowly()
    task = asyncio.ensure_future(table.follow(reader.hear))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    heard = len(reader.told)
    table.put(config(0, version=2))
    assert len(reader.told) == heard < MANY


async def test_an_index_that_is_being_made_follows_changes(table: Table) -> None:
    """What changes while an index is made is filed as it is at the end, whoever made the parts of it."""
    first, second = (asyncio.ensure_future(table.file("team", by_team)) for _ in range(2))
    table.put(config(0, team="blue", version=2))
    table.put(config(MANY - 1, team="blue", version=2))
    table.remove(config(1))
    await asyncio.sleep(0)
    table.put(config(2, team="blue", version=2))
    await asyncio.gather(first, second)
    assert [name_of(obj) for obj in table.under("team", "blue")] == ["c0000", f"c{MANY - 1:04}", "c0002"]
    assert len(table.under("team", "red")) == MANY - 4


async def test_an_index_that_is_needed_at_once_is_completed(table: Table) -> None:
    """Who cannot wait has what remains filed at once, and others find it made."""
    making = asyncio.ensure_future(table.file("team", by_team))
    table.add_index("team", by_team)
    assert len(table.under("team", "red")) == MANY
    await making
    table.put(config(0, team="blue", version=2))
    assert [key_of(obj).name for obj in table.under("team", "blue")] == ["c0000"]


async def test_a_table_is_whole_for_who_reads_it_meanwhile() -> None:
    """While the local cache fills a table, a read finds every object, and changes are not lost."""
    clients = await local_cluster()
    client = clients.named("tester")
    for number in range(3 * AT_ONCE):
        made = config(number)
        del made["metadata"]["resourceVersion"]
        await client.create(ConfigMap, made)
    others = len(clients.cache.list(ConfigMap)) - 3 * AT_ONCE
    cache, heard = LocalCache(clients.registry), list[str]()
    following = asyncio.ensure_future(cache.follow(ConfigMap, lambda change: heard.append(change.type)))
    await asyncio.sleep(0)
    await client.delete(ConfigMap, key_of(config(3 * AT_ONCE - 1)))
    assert len(cache.list(ConfigMap)) - others == 3 * AT_ONCE - 1
    await following
    await client.delete(ConfigMap, key_of(config(0)))
    left = len(cache.list(ConfigMap))
    cache.close()
    assert (heard.count("ADDED") - heard.count("DELETED"), left - others) == (left, 3 * AT_ONCE - 2)
