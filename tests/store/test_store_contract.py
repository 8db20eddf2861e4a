"""The store's contract, for every implementation."""

import asyncio
from typing import Any

import pytest

from minikube_py.aio.clock import VirtualClock
from minikube_py.store.base import (
    Compacted,
    Delete,
    Entry,
    Event,
    FutureRevision,
    Lagging,
    Put,
    RevisionMismatch,
    Store,
    StoreUnavailable,
    Value,
)
from minikube_py.store.state import KEEP_DECODED, Retention

PODS = "/registry/pods/"
A, B, C = PODS + "default/a", PODS + "default/b", PODS + "kube-system/c"
NODE = "/registry/nodes/n1"


async def put(store: Any, key: str, data: bytes = b"x", expected: int | None = None) -> Entry:
    (entry,) = await store.commit([Put(key, data, expected)])
    return entry


def keys(page: Any) -> list[str]:
    return [entry.key for entry in page.entries]


async def test_fits_the_protocol(store: Any) -> None:
    """An empty store satisfies Store and stands at revision 0."""
    typed: Store = store
    assert (typed.revision, typed.compacted, typed.get(A), typed.list("/").entries) == (0, 0, None, [])


async def test_commit_sets_and_get_reads(store: Any) -> None:
    """A put is read back with its revisions, and the create revision stays."""
    await put(store, A, b"1")
    await put(store, B, b"2")
    await put(store, A, b"3")
    assert store.get(A) == Entry(A, b"3", revision=3, create_revision=1)
    assert store.revision == 3


async def test_everyone_shares_one_entry(store: Any) -> None:
    """get, list, watch and the writer hold the same Entry object, with what the writer had decoded."""
    watch = store.watch(PODS)
    decoded = {"kind": "Pod"}
    (entry,) = await store.commit([Put(A, lambda revision: Value(b"v%d" % revision, decoded))])
    (event,) = await anext(watch)
    assert entry.data == b"v1"
    assert store.get(A) is store.list(PODS).entries[0] is event.entry is entry
    assert store.get(A).decoded is decoded


async def test_past_states_are_not_kept_decoded(store: Any) -> None:
    """History keeps the bytes of what is past, and lets go of the objects that they were encoded from."""
    first, _ = await store.commit([Put(A, lambda _: Value(b"1", {"kind": "Pod"})), Put(B, b"1")])
    for number in range(KEEP_DECODED + 1):
        await store.commit([Put(B, lambda _, n=number: Value(b"%d" % n, {"n": n}))])
        if number == 0:
            await store.commit([Put(A, lambda _: Value(b"2", {"kind": "Pod"}))])
    assert (first.data, first.decoded) == (b"1", None)
    assert store.get(A).decoded == {"kind": "Pod"}
    assert store.get(B).decoded == {"n": KEEP_DECODED}


@pytest.mark.parametrize(("exists", "expected", "actual"), [(False, 3, 0), (True, 0, 1), (True, 7, 1)])
@pytest.mark.parametrize(
    "make", [lambda k, e: Put(k, b"2", e), lambda k, e: Delete(k, e)], ids=["put", "delete"]
)
async def test_unexpected_revision_is_refused(
    store: Any, make: Any, exists: bool, expected: int, actual: int
) -> None:
    """An op at another revision than expected stores nothing of its commit and tells the actual one."""
    if exists:
        await put(store, A)
    before = store.revision
    with pytest.raises(RevisionMismatch) as refused:
        await store.commit([Put(B, b"beside"), make(A, expected)])
    assert (refused.value.key, refused.value.expected, refused.value.actual) == (A, expected, actual)
    assert (store.revision, store.get(B)) == (before, None)


async def test_expected_revision_is_accepted(store: Any) -> None:
    """Absent as 0, then the entry's own revision, lead through create, update and delete."""
    created = await put(store, A, b"1", expected=0)
    updated = await put(store, A, b"2", expected=created.revision)
    await store.commit([Delete(A, updated.revision)])
    assert store.get(A) is None


async def test_a_commit_over_several_keys_has_one_revision(store: Any) -> None:
    """All ops of a commit share a revision, and a watcher gets them in one batch in their order."""
    await put(store, B)
    watch = store.watch("/registry/")
    entries = await store.commit([Put(NODE, b"n"), Delete(B), Put(A, b"a")])
    events = await anext(watch)
    assert [entry.revision for entry in entries] == [2, 2, 2]
    assert [(e.entry.key, e.deleted) for e in events] == [(NODE, False), (B, True), (A, False)]


async def test_delete_shows_the_last_state(store: Any) -> None:
    """A deletion's event holds the last state at the deletion's revision, and the state before it."""
    before = await put(store, A, b"1")
    watch = store.watch(PODS)
    (last,) = await store.commit([Delete(A, value=lambda revision: Value(b"last@%d" % revision))])
    assert await anext(watch) == [Event(Entry(A, b"last@2", 2, 1), before, deleted=True)]
    assert last == Entry(A, b"last@2", 2, 1)


async def test_a_commit_without_a_change_takes_no_revision(store: Any) -> None:
    """Deleting what is not there answers None and makes no revision."""
    await put(store, A)
    assert await store.commit([Delete(B)]) == [None]
    assert await store.commit([]) == []
    assert store.revision == 1


async def test_what_cannot_be_stored_fails_its_writer_alone(store: Any) -> None:
    """A key twice in a commit, a key that is no text, a value that is no bytes: each is refused."""
    with pytest.raises(ValueError, match="more than one operation"):
        await store.commit([Put(A, b"1"), Delete(A)])
    with pytest.raises(UnicodeEncodeError):
        await store.commit([Put(PODS + "\ud800", b"1")])
    with pytest.raises(TypeError, match="not str"):
        await store.commit([Put(A, lambda revision: Value("text"))])  # type: ignore[arg-type]
    assert (await put(store, B)).revision == 1


async def test_list_is_ordered_and_bound_to_its_prefix(store: Any) -> None:
    """Lists hold the keys under their prefix only, sorted, whatever the order of the writes."""
    for key in (C, B, "/registry/pods.metrics.k8s.io/x", NODE, A):
        await put(store, key)
    assert keys(store.list(PODS)) == [A, B, C]
    assert keys(store.list(PODS + "default/")) == [A, B]
    assert keys(store.list("/registry/pods")) == ["/registry/pods.metrics.k8s.io/x", A, B, C]
    assert keys(store.list("")) == sorted([A, B, C, NODE, "/registry/pods.metrics.k8s.io/x"])
    await store.commit([Delete(B)])
    assert keys(store.list(PODS)) == [A, C]


async def test_pages_continue_at_the_first_pages_revision(store: Any) -> None:
    """Paging by limit and after at one revision gives that snapshot, whatever is written meanwhile."""
    names = [f"{PODS}default/p{i:02}" for i in range(10)]
    for name in names:
        await put(store, name, b"old")
    page = store.list(PODS, limit=4)
    assert (keys(page), page.revision, page.remaining) == (names[:4], 10, 6)
    await store.commit([Put(names[5], b"new"), Delete(names[6]), Put(PODS + "default/p051", b"new")])
    await put(store, names[5], b"newer")
    second = store.list(PODS, after=names[3], limit=4, revision=page.revision)
    assert (keys(second), second.revision, second.remaining) == (names[4:8], 10, 2)
    assert {entry.data for entry in second.entries} == {b"old"}
    third = store.list(PODS, after=names[7], limit=4, revision=page.revision)
    assert (keys(third), third.remaining) == (names[8:], 0)


async def test_watch_replays_from_a_revision_then_follows(store: Any) -> None:
    """A watch from a revision gives each later event once and in order, past ones first."""
    for i in range(5):
        await put(store, A, b"%d" % i)
    watch = store.watch(PODS, after=2)
    await put(store, B, b"live")
    await put(store, NODE, b"elsewhere")
    await put(store, A, b"6")
    seen = [*await anext(watch), *await anext(watch)]
    assert [(e.revision, e.entry.key) for e in seen] == [(3, A), (4, A), (5, A), (6, B), (8, A)]
    assert [e.previous and e.previous.revision for e in seen] == [2, 3, 4, None, 5]


async def test_watch_of_everything_keeps_the_order(store: Any) -> None:
    """A watch over several resources replays their events in the order of the revisions."""
    for key in (A, NODE, B, NODE):
        await put(store, key)
    assert [e.entry.key for e in await anext(store.watch("/registry/", after=0))] == [A, NODE, B, NODE]


async def test_watch_that_lags_is_closed(store: Any) -> None:
    """A reader that lets more than its capacity pile up gets Lagging; the writer never waited."""
    watch = store.watch(PODS, capacity=3)
    for _ in range(4):
        await put(store, A)
    with pytest.raises(Lagging):
        await anext(watch)


async def test_closed_watch_stops(store: Any) -> None:
    """Closing a watch ends its waiting reader; closing the store ends every watch."""
    first, second = store.watch(PODS), store.watch(PODS)
    waiting = [asyncio.ensure_future(_drain(first)), asyncio.ensure_future(_drain(second))]
    await put(store, A)
    await asyncio.sleep(0)
    first.close()
    assert await waiting[0] == 1
    await store.close()
    assert await waiting[1] == 1


async def _drain(watch: Any) -> int:
    return sum([len(events) async for events in watch])


async def test_subscribers_know_before_the_writer(store: Any) -> None:
    """A subscriber has seen the change, and reads it, before the commit returns; unsubscribed, it is silent."""
    seen: list[tuple[int, bytes]] = []
    stop = store.subscribe(PODS, lambda event: seen.append((store.revision, store.get(event.entry.key).data)))
    wide: list[str] = []
    store.subscribe("/registry/", lambda event: wide.append(event.entry.key))
    await put(store, A, b"1")
    assert seen == [(1, b"1")]
    await put(store, NODE)
    stop()
    await put(store, A, b"2")
    assert (seen, wide) == ([(1, b"1")], [A, NODE, A])


@pytest.mark.filterwarnings("default")
async def test_a_failing_subscriber_harms_nobody(store: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A subscriber that raises is logged; the commit and the other readers go on."""
    seen: list[str] = []
    store.subscribe(PODS, lambda event: 1 / 0)
    store.subscribe(PODS, lambda event: seen.append(event.entry.key))
    await put(store, A)
    assert (seen, "ZeroDivisionError" in caplog.text) == ([A], True)


async def test_compaction_forgets_history_and_keeps_values(store: Any) -> None:
    """Below the compacted revision lists and watches are refused; at it and above they work."""
    await put(store, A, b"1")
    await put(store, A, b"2")
    await store.commit([Delete(A)])
    await put(store, B, b"4")
    await put(store, B, b"5")
    await store.compact(4)
    assert store.compacted == 4
    with pytest.raises(Compacted) as refused:
        store.watch(PODS, after=3)
    assert (refused.value.asked, refused.value.compacted) == (3, 4)
    with pytest.raises(Compacted):
        store.list(PODS, revision=3)
    assert [e.data for e in store.list(PODS, revision=4).entries] == [b"4"]
    assert [e.data for e in store.list(PODS).entries] == [b"5"]
    assert [e.revision for e in await anext(store.watch(PODS, after=4))] == [5]
    await store.compact(2)
    assert store.compacted == 4


async def test_future_revisions_are_refused(store: Any) -> None:
    """A revision that is not reached yet can be neither listed, watched nor compacted to."""
    await put(store, A)
    with pytest.raises(FutureRevision, match="revision 2 is not reached yet; the last one is 1"):
        store.list(PODS, revision=2)
    with pytest.raises(FutureRevision):
        store.watch(PODS, after=2)
    with pytest.raises(FutureRevision):
        await store.compact(2)


async def test_history_is_compacted_by_size(open_store: Any) -> None:
    """History beyond its size is dropped by the store itself, the newest kept."""
    store = await open_store(retention=Retention(events=100))
    for start in range(0, 1000, 100):
        await asyncio.gather(*(put(store, A, b"%d" % i) for i in range(start, start + 100)))
    await put(store, B)
    async with asyncio.timeout(5):
        while store.compacted < 850:  # what compacts in the background ends in commits' own time
            await put(store, B)
    assert store.get(A).data == b"999"


async def test_history_is_compacted_by_age(open_store: Any) -> None:
    """History older than its time to live is dropped, and younger history is kept."""
    clock = VirtualClock()
    store = await open_store(clock=clock, retention=Retention(seconds=300))
    await put(store, A, b"old")
    await clock.advance(200)
    await put(store, A, b"young")
    await clock.advance(60)
    await put(store, B)
    assert store.compacted == 0
    async with asyncio.timeout(10):
        while store.compacted < 1:
            await clock.advance(30)
            await put(store, B)
    assert clock.monotonic() >= 300
    async with asyncio.timeout(10):
        while store.compacted < 2:
            await clock.advance(30)
            await put(store, B)
    assert clock.monotonic() >= 500


async def test_racing_writers_never_lose_an_update(store: Any) -> None:
    """Writers that compare and swap one key, re-reading when refused, count to the exact sum."""
    await put(store, A, b"0")

    async def add(times: int) -> None:
        while times:
            entry = store.get(A)
            try:
                await put(store, A, b"%d" % (int(entry.data) + 1), expected=entry.revision)
                times -= 1
            except RevisionMismatch as refused:
                assert store.get(A).revision >= refused.actual > entry.revision - 1

    await asyncio.gather(*(add(10) for _ in range(8)))
    assert store.get(A).data == b"80"
    assert store.revision == 81


async def test_a_cancelled_writer_does_not_cancel_its_commit(store: Any) -> None:
    """A commit that is queued is made, also when its writer has gone."""
    writer = asyncio.ensure_future(put(store, A, b"1"))
    await asyncio.sleep(0)
    writer.cancel()
    await put(store, B)
    assert store.get(A).data == b"1"


async def test_a_closed_store_refuses_writes(store: Any) -> None:
    """After close a commit fails, and what was queued before has been made."""
    queued = asyncio.ensure_future(put(store, A))
    await asyncio.sleep(0)
    await store.close()
    assert (await queued).revision == 1
    with pytest.raises(StoreUnavailable, match="closed"):
        await put(store, B)
