"""Validation of paths below a volume or a folder of the node: they may not leave it."""

from collections.abc import Iterable

from minikube_py.meta.kind import Violation
from minikube_py.meta.violations import invalid


def validate_no_backsteps(text: str, path: str) -> Iterable[Violation]:
    """A violation where a step is `..`."""
    if ".." in text and ".." in text.split("/"):
        yield invalid(path, text, "must not contain '..'")


def validate_descending_path(text: str, path: str) -> Iterable[Violation]:
    """The refusals of a path that must be relative and go down."""
    if text.startswith("/"):
        yield invalid(path, text, "must be a relative path")
    yield from validate_no_backsteps(text, path)


def validate_relative_path(text: str, path: str) -> Iterable[Violation]:
    """The refusals of a file's path below a volume, where names that begin with `..` are the kubelet's own."""
    yield from validate_descending_path(text, path)
    if text.startswith("..") and not text.startswith("../"):
        yield invalid(path, text, "must not start with '..'")
