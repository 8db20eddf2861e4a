"""Sharing: equal parts of decoded objects are one value in memory.

The pods of a ReplicaSet differ in names and status; their containers, volumes and managedFields are alike.
Decoded objects are read-only once they are stored, so such parts are kept once: ten thousand pods take a third
of the memory. Parts are told apart by their encoding, so that nothing changes but identity; only the parts met
last are known. A part that is new costs its encoding at each level, one that is known costs one.
"""

from collections.abc import Mapping
from operator import is_
from types import MappingProxyType
from typing import Any

import orjson

from minikube_py.meta.objects import Obj

REMEMBERED = 4096
"""Parts of one generation; two generations are known."""
WHOLE = 160
"""Bytes of an encoding below which a part is kept as a whole."""
_LARGE = 1 << 16
"""Bytes of a part that is not looked at: data of ConfigMaps, say."""


class Parts:
    """The parts met last, by their encoding."""

    def __init__(self) -> None:
        self._young: dict[bytes, Any] = {}
        self._old: dict[bytes, Any] = {}

    def share(self, obj: Obj, before: Obj | None = None) -> Obj:
        """`obj` itself, its equal parts replaced, in place, by those of objects met before. What it has in
        common with `before`, an object that came from here, stays as it is."""
        for key, part in obj.items():
            if part.__class__ is not dict:
                continue
            known = None if before is None else before.get(key)
            if known.__class__ is not dict:
                self._below(part)
            elif _same(part, known):
                obj[key] = known
            else:
                self._below(part, known)
        return obj

    def _below(self, part: dict[str, Any], known: Mapping[str, Any] = MappingProxyType({})) -> None:
        for name, value in part.items():
            if (value.__class__ is dict or value.__class__ is list) and value is not known.get(name):
                part[name] = self._shared(value)

    def _shared(self, value: Any) -> Any:
        if not value:
            return value
        encoded = orjson.dumps(value)
        known = self._young.get(encoded)
        if known is not None:
            return known
        known = self._old.get(encoded)
        if known is None:
            known = value
            if WHOLE < len(encoded) < _LARGE:
                self._children(value)
        if len(self._young) >= REMEMBERED:
            self._old, self._young = self._young, {}
        self._young[bytes(memoryview(encoded))] = known  # exact: the encoder leaves room behind its bytes
        return known

    def _children(self, value: Any) -> None:
        if value.__class__ is dict:
            self._below(value)
            return
        for at, item in enumerate(value):
            if item.__class__ is dict or item.__class__ is list:
                value[at] = self._shared(item)


def _same(part: dict[str, Any], known: dict[str, Any]) -> bool:
    """Whether a part was copied from `known` and has not changed."""
    return list(part) == list(known) and all(map(is_, part.values(), known.values()))
