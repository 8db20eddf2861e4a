"""LIST: entries by reference at one revision, filtered and paged.

Without selectors a list is a slice of the store's own entries: nothing is decoded. A selector that pins a value
is answered from an index where there are many entries. A continue token carries the first page's revision, so
that all pages together are one consistent snapshot.
"""

import asyncio
import base64
import binascii
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from minikube_py.aio.haste import hasten
from minikube_py.errors import BadRequest, Cause, Expired
from minikube_py.meta.kind import Kind
from minikube_py.meta.violations import forbidden, invalid_error, not_supported
from minikube_py.registry import faults
from minikube_py.registry.base import Listing, ListOptions, WatchOptions
from minikube_py.registry.indexes import Indexes
from minikube_py.registry.selection import Selection
from minikube_py.store.base import Compacted, Entry, FutureRevision, Page, Store

TOKEN_VERSION = "meta.k8s.io/v1"
MATCH = "resourceVersionMatch"
MATCHES = ("Exact", "NotOlderThan")
LIST_OPTIONS = Kind("ListOptions", "meta.k8s.io/v1", "listoptions")


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: after a key (relative to the prefix), at a revision (0: now)."""

    revision: int = 0
    after: str = ""

    def token(self) -> str:
        """The opaque continue token."""
        fields = {"v": TOKEN_VERSION, "rv": self.revision, "start": self.after}
        return base64.urlsafe_b64encode(orjson.dumps(fields)).decode().rstrip("=")


def check_list(options: ListOptions) -> None:
    """Refuse options of a list that contradict each other. Errors: Invalid."""
    found = []
    if match := options.match:
        if not options.resource_version:
            told = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            found.append(forbidden(MATCH, told))
        if options.continue_token:
            found.append(forbidden(MATCH, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in MATCHES:
            found.append(not_supported(MATCH, match, (*MATCHES, "")))
        if match == "Exact" and options.resource_version == "0":
            told = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            found.append(forbidden(MATCH, told))
    if options.send_initial_events is not None:
        found.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    _refuse(found)


def check_watch(options: WatchOptions) -> None:
    """Refuse options of a watch that contradict each other. Errors: Invalid."""
    found, match = [], options.match
    if options.send_initial_events is not None and match != "NotOlderThan":
        told = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        found.append(forbidden(MATCH, told))
    if match:
        if options.send_initial_events is None:
            told = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            found.append(forbidden(MATCH, told))
        if match != "NotOlderThan":
            found.append(not_supported(MATCH, match, ("NotOlderThan",)))
        if options.continue_token:
            found.append(forbidden(MATCH, "resourceVersionMatch is forbidden when continue is provided"))
    _refuse(found)


def _refuse(causes: Sequence[Cause]) -> None:
    if causes:
        raise invalid_error(LIST_OPTIONS, "", causes)


def parse_token(token: str) -> Position:
    """The position that a continue token names. Errors: BadRequest."""
    try:
        fields = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        revision, after = fields["rv"], fields["start"]
        valid = fields["v"] == TOKEN_VERSION and type(revision) is int and revision >= 0
        if not valid or not isinstance(after, str):
            raise ValueError("unexpected fields")
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"invalid continue token: continue key is not valid: {error}") from error
    return Position(revision, after)


def parse_revision(text: str) -> int:
    """A resourceVersion as the store's revision; empty is 0. Errors: BadRequest."""
    if not text:
        return 0
    digits = text.isascii() and text.isdigit()
    if digits and len(text) <= 20 and int(text) < 2**64:
        return int(text)
    why = "value out of range" if digits else "invalid syntax"
    raise BadRequest(f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": {why}')


def start_of(options: ListOptions, current: int) -> Position:
    """Where the list begins, by the API's rules for resourceVersion, its match and the continue token.
    Errors: BadRequest, Invalid, Timeout for a revision of the future."""
    check_list(options)
    if options.continue_token:
        if options.resource_version not in ("", "0"):
            raise BadRequest("specifying resource version is not allowed when using continue")
        return parse_token(options.continue_token)
    asked = parse_revision(options.resource_version)
    if asked > current:
        raise faults.too_large(asked, current)
    exact = options.match == "Exact" or (options.limit > 0 and asked > 0 and not options.match)
    return Position(asked if exact else 0)


class Search(NamedTuple):
    """Where a list begins, what it selects, and how many at most (0: all)."""

    start: Position
    selection: Selection
    limit: int


def list_entries(indexes: Indexes, kind: Kind, namespace: str, options: ListOptions) -> Listing:
    """The entries of a kind (of all namespaces where `namespace` is empty) that the options select.
    Errors: BadRequest, Invalid, Expired, Timeout."""
    start = start_of(options, indexes.store.revision)
    selection = Selection.of(kind, options.labels, options.fields)
    steps = _Steps(_steps(Search(start, selection, options.limit), indexes, kind, namespace))
    for _ in steps:
        pass
    return steps.listing


async def list_in_turns(indexes: Indexes, kind: Kind, namespace: str, options: ListOptions) -> Listing:
    """`list_entries`; the loop may turn while many entries are looked at."""
    start = start_of(options, indexes.store.revision)
    selection = await hasten(Selection.of, kind, options.labels, options.fields)
    steps = _Steps(_steps(Search(start, selection, options.limit), indexes, kind, namespace))
    for _ in steps:
        await asyncio.sleep(0)
    return steps.listing


class _Steps:
    """The steps of a search; `listing` stands once they have been gone through."""

    listing: Listing

    def __init__(self, steps: Generator[None, None, Listing]) -> None:
        self._steps = steps

    def __iter__(self) -> Iterator[None]:
        self.listing = yield from self._steps


def _steps(search: Search, indexes: Indexes, kind: Kind, namespace: str) -> Generator[None, None, Listing]:
    """The listing, made in steps where a selector has to look at each entry."""
    start, selection, limit = search
    store = indexes.store
    prefix = kind.prefix(selection.namespace_within(namespace)) if kind.namespaced else kind.prefix()
    after = f"{kind.prefix()}{start.after}" if start.after else ""
    if selection.empty:
        page = _read(store, prefix, after=after, limit=max(limit, 0), start=start)
        return _listing(kind, page.entries, page.revision, page.remaining, counted=True)
    if name := selection.exact_name(kind, namespace):
        return _single(store, kind, name, selection, start)
    if start.revision in (0, store.revision):
        keys = yield from indexes.among(kind, selection.pins)
        if keys is not None and start.revision in (0, store.revision):  # else it changed meanwhile
            return (yield from _selected(kind, _present(store, keys, prefix, after), selection, limit))
    page = _read(store, prefix, after=after, limit=0, start=start)
    return (yield from _selected(kind, page, selection, limit))


def _present(store: Store, keys: Sequence[str], prefix: str, after: str) -> Page:
    """The entries of `keys` under a prefix as they are now, those after a key."""
    chosen = (key for key in keys if key > after and key.startswith(prefix))
    return Page([entry for key in chosen if (entry := store.get(key)) is not None], store.revision)


def _read(store: Store, prefix: str, *, after: str, limit: int, start: Position) -> Page:
    try:
        return store.list(prefix, after=after, limit=limit, revision=start.revision)
    except FutureRevision as error:
        raise faults.too_large(start.revision, store.revision) from error
    except Compacted as error:
        if start.after:
            raise faults.ContinueExpired(Position(0, start.after).token()) from error
        raise Expired("The resourceVersion for the provided list is too old.") from error


def _listing(kind: Kind, entries: Sequence[Entry], revision: int, remaining: int, *, counted: bool) -> Listing:
    if not remaining:
        return Listing(entries, revision)
    token = Position(revision, entries[-1].key.removeprefix(kind.prefix())).token()
    return Listing(entries, revision, token, remaining if counted else 0)


def _single(store: Store, kind: Kind, name: tuple[str, str], selection: Selection, start: Position) -> Listing:
    """The list of at most one object that a metadata.name field selector asks for."""
    key = kind.storage_key(*name)
    page = _read(store, key, after="", limit=1, start=start)
    found = [e for e in page.entries if e.key == key and selection.matches_entry(e)]
    return Listing(found, page.revision)


def _selected(kind: Kind, page: Page, selection: Selection, limit: int) -> Generator[None, None, Listing]:
    """The selected entries of a page that holds all there are, `limit` of them at most (0: all)."""
    found: list[Entry] = []
    step = selection.at_once
    for start in range(0, len(page.entries), step):
        if start:
            yield
        chunk = page.entries[start : start + step]
        if limit <= 0:
            found += selection.choose(chunk)
            continue
        for index, entry in enumerate(chunk, start + 1):
            if not selection.matches_entry(entry):
                continue
            found.append(entry)
            if len(found) == limit:
                return _listing(kind, found, page.revision, len(page.entries) - index, counted=False)
    return Listing(found, page.revision)
