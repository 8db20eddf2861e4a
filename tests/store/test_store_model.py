"""A random life of a store against a plain model: commits, refusals, compaction, paging, watches, restarts."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from minikube_py.store.base import Compacted, Delete, Event, Op, Put, RevisionMismatch, Watch
from minikube_py.store.memory import MemoryStore
from minikube_py.store.sqlite import Durability, SqliteStore

KEYS = [f"/registry/{resource}/{name}" for resource in ("pods", "nodes") for name in ("a", "b", "c", "d")]
Snapshot = dict[str, tuple[bytes, int, int]]  # key: data, revision, create revision

writes = st.lists(
    st.tuples(
        st.sampled_from(KEYS), st.none() | st.binary(max_size=8), st.sampled_from(["any", "right", "wrong"])
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda write: write[0],
)


class MemoryLife(RuleBasedStateMachine):
    """The memory store beside the model: `past[r]` is the snapshot at revision r."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.past: list[Snapshot] = [{}]
        self.compacted = 0
        self.watches: list[tuple[Watch, str, Snapshot]] = []
        self.store: MemoryStore | SqliteStore = self.open()

    def open(self) -> MemoryStore | SqliteStore:
        return MemoryStore()

    def ops(self, plan: list[tuple[str, bytes | None, str]]) -> list[Op]:
        now = self.past[-1]
        made: list[Op] = []
        for key, data, guess in plan:
            actual = now[key][1] if key in now else 0
            expected = {"any": None, "right": actual, "wrong": actual + 1}[guess]
            made.append(Delete(key, expected) if data is None else Put(key, data, expected))
        return made

    def model(self, ops: list[Op]) -> bool:
        """Apply `ops` to the model; whether they are accepted."""
        now = dict(self.past[-1])
        if any(op.expected not in (None, now[op.key][1] if op.key in now else 0) for op in ops):
            return False
        revision = len(self.past)
        for op in ops:
            if isinstance(op, Put):
                created = now[op.key][2] if op.key in now else revision
                now[op.key] = (op.value, revision, created)  # type: ignore[assignment]
            else:
                now.pop(op.key, None)
        if any(isinstance(op, Put) or op.key in self.past[-1] for op in ops):
            self.past.append(now)
        return True

    @rule(plan=writes)
    def commit(self, plan: list[tuple[str, bytes | None, str]]) -> None:
        ops = self.ops(plan)
        self.check(ops, self.run(ops)[0])

    @rule(plans=st.lists(writes, min_size=2, max_size=6))
    def commit_together(self, plans: list[list[tuple[str, bytes | None, str]]]) -> None:
        """Concurrent commits of any expectation are applied in the order of the calls."""
        groups = [[op for op in self.ops(plan) if op.expected is None] for plan in plans]
        for ops, end in zip(groups, self.run(*groups), strict=True):
            self.check(ops, end)

    def run(self, *groups: list[Op]) -> list[object]:
        async def together() -> list[object]:
            return await asyncio.gather(*(self.store.commit(ops) for ops in groups), return_exceptions=True)

        return self.runner.run(together())

    def check(self, ops: list[Op], end: object) -> None:
        if self.model(ops):
            assert isinstance(end, list | tuple) and len(end) == len(ops)
        else:
            assert isinstance(end, RevisionMismatch)

    @precondition(lambda self: len(self.past) > 1)
    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        revision = data.draw(st.integers(0, len(self.past) - 1))
        self.runner.run(self.store.compact(revision))
        self.compacted = max(self.compacted, revision)

    @rule(data=st.data(), prefix=st.sampled_from(["", "/registry/pods/", "/registry/nodes/a"]))
    def watch(self, data: st.DataObject, prefix: str) -> None:
        """Begin a watch anywhere in the history; it is judged when the life ends or the store restarts."""
        after = data.draw(st.integers(0, len(self.past) - 1))
        try:
            watch = self.store.watch(prefix, after=after)
        except Compacted:
            assert after < self.compacted
            return
        assert after >= self.compacted
        self.watches.append((watch, prefix, self.past[after]))

    @rule(data=st.data(), limit=st.integers(1, 3))
    def page_through(self, data: st.DataObject, limit: int) -> None:
        """Pages of any revision that is kept, put together, are the model's snapshot."""
        revision = data.draw(st.integers(self.compacted, len(self.past) - 1))
        found, after, remaining = {}, "", 1
        while remaining:
            page = self.store.list("", after=after, limit=limit, revision=revision)
            found |= {e.key: (e.data, e.revision, e.create_revision) for e in page.entries}
            remaining, after = page.remaining, page.entries[-1].key if page.entries else ""
        assert list(found.items()) == sorted((self.past[revision] if revision else self.past[-1]).items())

    def judge_watches(self) -> None:
        """Each watch's events, played upon the snapshot it began at, give the present, and skip nothing."""
        for watch, prefix, base in self.watches:
            state, last = {k: v for k, v in base.items() if k.startswith(prefix)}, 0
            watch_end = self.runner.run(_collect(watch))
            for event in watch_end:
                key = event.entry.key
                assert event.revision >= last and key.startswith(prefix)
                assert (event.previous and event.previous.revision) == (state[key][1] if key in state else None)
                last = event.revision
                state.pop(key, None)
                if not event.deleted:
                    state[key] = (event.entry.data, event.revision, event.entry.create_revision)
            assert state == {k: v for k, v in self.past[-1].items() if k.startswith(prefix)}
        self.watches.clear()

    @invariant()
    def current(self) -> None:
        listed = {e.key: (e.data, e.revision, e.create_revision) for e in self.store.list("").entries}
        assert list(listed.items()) == sorted(self.past[-1].items())
        assert (self.store.revision, self.store.compacted) == (len(self.past) - 1, self.compacted)

    def teardown(self) -> None:
        self.judge_watches()
        self.runner.run(self.store.close())
        self.runner.close()


async def _collect(watch: Watch) -> list[Event]:
    events: list[Event] = []
    try:
        while True:
            events += await asyncio.wait_for(anext(watch), 0.001)
    except TimeoutError:
        watch.close()
        return events


class SqliteLife(MemoryLife):
    """The same life with restarts."""

    def open(self) -> SqliteStore:
        if not hasattr(self, "folder"):
            self.folder = Path(tempfile.mkdtemp())
        return self.runner.run(SqliteStore.open(self.folder / "state.db", durability=Durability.NORMAL))

    @rule()
    def restart(self) -> None:
        self.judge_watches()
        self.runner.run(self.store.close())
        self.store = self.open()

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


profile = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
TestMemoryLife = MemoryLife.TestCase
TestMemoryLife.settings = profile
TestSqliteLife = SqliteLife.TestCase
TestSqliteLife.settings = profile
