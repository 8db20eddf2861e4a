"""Finds Kinds, Controllers, Plugins and Commands in a folder: adding one is one new file, and no other edit."""

import importlib
import inspect
import pkgutil
from typing import Any, TypeVar

T = TypeVar("T")


def modules(package: str) -> list[Any]:
    """Every module below `package`, imported, in the order of their names."""
    root = importlib.import_module(package)
    names = sorted(found.name for found in pkgutil.walk_packages(root.__path__, f"{package}."))
    return [importlib.import_module(name) for name in names]


def values(package: str, of: type[T]) -> list[T]:
    """The module-level values of type `of` below `package`, each once; two of one name are an error."""
    found: dict[str, T] = {}
    for module in modules(package):
        for name, value in vars(module).items():
            if not isinstance(value, of) or name.startswith("_"):
                continue
            if found.setdefault(name, value) is not value:
                raise ValueError(f"{package}: two different values are named {name}")
    return list(found.values())


def classes(package: str, of: type[T]) -> list[type[T]]:
    """The concrete subclasses of `of` defined below `package`, by module and name; base classes are skipped."""
    found: list[type[T]] = []
    for module in modules(package):
        for value in vars(module).values():
            if not inspect.isclass(value) or value is of or not issubclass(value, of):
                continue
            if value.__module__ == module.__name__ and not inspect.isabstract(value):
                found.append(value)
    names = [cls.__name__ for cls in found]
    if clashes := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{package}: several classes are named {', '.join(sorted(clashes))}")
    return found
