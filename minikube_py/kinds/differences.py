"""Tells which places of an object a forbidden change touches."""

from collections.abc import Iterator
from typing import Any

from minikube_py.meta.violations import shown

_SHOWN = 10


def told_differences(new: Any, old: Any, path: str) -> str:
    """A line for each of the first places where two JSON values differ: `\\n  spec.x: before -> after`."""
    found = list(differences(new, old, path))[:_SHOWN]
    return "".join(f"\n  {place}: {shown(before)} -> {shown(after)}" for place, before, after in found)


def differences(new: Any, old: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Each place where two JSON values differ: path, old value, new value."""
    if isinstance(new, dict) and isinstance(old, dict):
        for key in sorted(new.keys() | old.keys()):
            yield from differences(new.get(key), old.get(key), f"{path}.{key}")
    elif isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        for index, (after, before) in enumerate(zip(new, old, strict=True)):
            yield from differences(after, before, f"{path}[{index}]")
    elif new != old:
        yield path, old, new
