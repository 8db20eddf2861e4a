"""Between stored bytes and objects: each entry is decoded at most once, each object encoded exactly once."""

import orjson

from minikube_py.meta.objects import Obj
from minikube_py.registry.sharing import Parts
from minikube_py.store.base import Encode, Entry, Value

PARTS = Parts()
"""Equal parts of all decoded objects of the process; it holds nothing but values."""


def decoded(entry: Entry) -> Obj:
    """The entry's object, shared and read-only; decoded at the first call."""
    if entry.decoded is None:
        entry.decoded = PARTS.share(orjson.loads(entry.data))
    found: Obj = entry.decoded
    return found


def exact(encoded: bytes) -> bytes:
    """The same bytes without the room that the encoder leaves behind them (as much again), for what is kept."""
    return bytes(memoryview(encoded))


def encoding(obj: Obj, before: Obj | None = None) -> Encode:
    """Encodes `obj` once the commit's revision is known, which becomes its resourceVersion. Takes `obj` over:
    nobody may change it afterwards. `before` is the decoded object whose place it takes."""

    def encode(revision: int) -> Value:
        obj["metadata"]["resourceVersion"] = str(revision)
        return Value(exact(orjson.dumps(obj)), PARTS.share(obj, before))

    return encode


def imagined(key: str, obj: Obj, revision: int = 0) -> Entry:
    """An entry for an object that is not stored as such: a dry run's result, a Scale."""
    return Entry(key, orjson.dumps(obj), revision, revision, obj)
