"""Writes to the store given as argument until it is killed, telling each acknowledged commit on stdout.

Every writer counts up in its own key, and in the same commit in a second one; a line is
`<writer> <count> <revision>`, written at once and whole.
"""

import asyncio
import os
import sys
from pathlib import Path

from minikube_py.store.base import Put
from minikube_py.store.sqlite import SqliteStore

WRITERS = 32


async def write(store: SqliteStore, writer: int) -> None:
    """Count up for ever."""
    own, twin = f"/registry/own/{writer:02}", f"/registry/twin/{writer:02}"
    entry = store.get(own)
    count, revision = (int(entry.data.split()[0]), entry.revision) if entry else (0, 0)
    while True:
        count += 1
        data = b"%d %s" % (count, b"x" * 500)
        stored, _ = await store.commit((Put(own, data, expected=revision), Put(twin, data, expected=revision)))
        assert stored is not None
        revision = stored.revision
        os.write(1, b"%d %d %d\n" % (writer, count, revision))


async def main() -> None:
    """Open the store and run the writers; compaction runs beside them."""
    os.write(1, b"opening\n")
    store = await SqliteStore.open(Path(sys.argv[1]))
    async with asyncio.TaskGroup() as group:
        for writer in range(WRITERS):
            group.create_task(write(store, writer))
        while True:
            await asyncio.sleep(0.02)
            await store.compact(max(0, store.revision - 200))


if __name__ == "__main__":
    asyncio.run(main())
