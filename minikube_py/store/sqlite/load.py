"""Load: rebuild the state from the log, refusing a log that has lost rows.

Rows up to the compacted revision make the first state; those after it are history, and their revisions
must follow each other without a gap.
"""

from minikube_py.store.base import Entry, Event
from minikube_py.store.sqlite.database import PLACE_BITS, Database, Row, damaged
from minikube_py.store.state import State

Places = dict[tuple[int, str], int]

_PLACE = (1 << PLACE_BITS) - 1


async def load(database: Database, state: State) -> tuple[Places, list[int]]:
    """Fill the empty `state`; the places of rows that are not the first of their commit, and the ids of rows
    that compaction left behind. Errors: StoreDamaged."""
    loading = _Loading(database, state, await database.compacted())
    async for rows in database.rows():
        for row in rows:
            loading.take(row)
    loading.end_commit()
    return loading.places, loading.garbage


class _Loading:
    def __init__(self, database: Database, state: State, compacted: int) -> None:
        self._database = database
        self._state = state
        self._commit: list[Event] = []
        state.revision = state.compacted = compacted
        self.places: Places = {}
        self.garbage: list[int] = []

    def take(self, row: Row) -> None:
        """The next row, in the order of the ids."""
        row_id, key, created, _, value = row
        revision, place = row_id >> PLACE_BITS, row_id & _PLACE
        if self._commit and self._commit[0].revision != revision:
            self.end_commit()
        previous = self._state.get(key)
        entry = Entry(key, value, revision, created or (previous.create_revision if previous else 0))
        if place:
            self.places[revision, key] = place
        if revision <= self._state.compacted:
            self._base(row_id, entry, previous, deleted=not created)
        else:
            self._history(place, Event(entry, previous, deleted=not created))

    def _base(self, row_id: int, entry: Entry, previous: Entry | None, deleted: bool) -> None:
        bucket = self._state.bucket(entry.key)
        if previous:
            place = self.places.pop((previous.revision, previous.key), 0)
            self.garbage.append(previous.revision << PLACE_BITS | place)
        if deleted:
            self.places.pop((entry.revision, entry.key), None)
            self.garbage.append(row_id)
            bucket.remove(entry.key)
        else:
            bucket.put(entry)

    def _history(self, place: int, event: Event) -> None:
        entry = event.entry
        expected = self._state.revision + 1
        created = event.previous.create_revision if event.previous else entry.revision
        if entry.revision != expected or place != len(self._commit) or entry.create_revision != created:
            raise damaged(
                self._database.path, f"changes between revisions {expected} and {entry.revision} are lost"
            )
        self._commit.append(event)

    def end_commit(self) -> None:
        """All rows of a commit are there: make it part of the state."""
        if self._commit:
            self._state.record(self._commit)
            self._commit = []
