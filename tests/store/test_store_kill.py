"""kill -9 in the midst of writing: what was acknowledged is there, and revisions never repeat."""

import asyncio
import random
import sys
from pathlib import Path

import pytest

from minikube_py.store.base import Entry
from minikube_py.store.sqlite import SqliteStore

CYCLES = 50
CHILD = Path(__file__).with_name("kill_child.py")


async def kill_after(path: Path, delay: float) -> list[tuple[int, int, int]]:
    """What a child acknowledged that began to open the store `delay` seconds before it was killed."""
    child = await asyncio.create_subprocess_exec(sys.executable, CHILD, path, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    assert await child.stdout.readline() == b"opening\n"
    reading = asyncio.ensure_future(child.stdout.read())
    await asyncio.sleep(delay)
    child.kill()
    lines = (await reading).decode().splitlines()
    await child.wait()
    return [(int(writer), int(count), int(revision)) for writer, count, revision in map(str.split, lines)]


def count_of(entry: Entry | None) -> int:
    return int(entry.data.split()[0]) if entry else 0


@pytest.mark.timeout(180)
async def test_kill_9_loses_no_acknowledged_write(tmp_path: Path) -> None:
    """After each of 50 kills the store holds every acknowledged count, whole commits only, and all revisions
    that were acknowledged since are higher than any that was seen before."""
    rng = random.Random(20)
    path = tmp_path / "state.db"
    acknowledged = dict.fromkeys(range(32), 0)
    highest = commits = 0
    for _ in range(CYCLES):
        told = await kill_after(path, rng.uniform(0, 0.3))
        revisions = [revision for _, _, revision in told]
        assert len(set(revisions)) == len(revisions)
        assert min(revisions, default=highest + 1) > highest
        for writer, count, _ in told:
            assert count == acknowledged[writer] + 1
            acknowledged[writer] = count
        commits += len(told)
        store = await SqliteStore.open(path)
        try:
            for writer, count in acknowledged.items():
                own, twin = store.get(f"/registry/own/{writer:02}"), store.get(f"/registry/twin/{writer:02}")
                stored = count_of(own)
                assert stored in (count, count + 1)  # one more may have been on its way
                assert (count_of(twin), twin and twin.revision) == (stored, own and own.revision)
                acknowledged[writer] = stored
            assert store.revision >= max(revisions, default=highest)
            highest = store.revision
            base = (
                {e.key: e for e in store.list("", revision=store.compacted).entries} if store.revision else {}
            )
            watch = store.watch("", after=store.compacted)
            if store.revision > store.compacted:
                base |= {event.entry.key: event.entry for event in await anext(watch)}
            assert sorted(base.items()) == [(entry.key, entry) for entry in store.list("").entries]
        finally:
            await store.close()
    assert commits > 1000
