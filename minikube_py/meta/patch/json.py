"""JSON patch (RFC 6902) with the API server's limits.

As Kubernetes' library does, array indices may be negative or have leading zeros, and a `test` of a missing
member against null passes. At most 10,000 operations, and 3 MiB made by copies.
"""

import re
from typing import Any

import orjson

from minikube_py.errors import BadRequest, Invalid, RequestEntityTooLarge
from minikube_py.meta.patch.merge import identical

MAX_OPERATIONS = 10_000
MAX_COPIED = 3 * 1024 * 1024  # bytes
_INDEX = re.compile(r"[+-]?[0-9]+", re.ASCII)
_MISSING = object()


class _Refused(Exception):
    """An operation that does not apply; the text says why."""


def apply_json_patch(document: Any, patch: Any) -> Any:
    """`document` with the operations applied in order; neither argument is changed.

    Errors: BadRequest (malformed patch), RequestEntityTooLarge (too many operations), Invalid (an operation
    does not apply; as in Kubernetes the message does not say why, the cause does).
    """
    _check(patch)
    try:
        return _Document(document).run(patch)
    except _Refused as error:
        raise Invalid("the server rejected our request due to an error in our request") from error
    except RecursionError:
        raise BadRequest("error decoding patch: exceeded max depth") from None


def _check(patch: Any) -> None:
    if not isinstance(patch, list):
        raise BadRequest(
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        )
    if len(patch) > MAX_OPERATIONS:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
        )
    for operation in patch:
        if not isinstance(operation, dict):
            raise BadRequest("error decoding patch: an operation of a JSON patch must be an object")
        for name in ("op", "path", "from"):
            if not isinstance(operation.get(name, ""), str):
                raise BadRequest(f"error decoding patch: {name} must be a string")


def _steps(pointer: str) -> list[str]:
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise _Refused(f"doc is missing path: {pointer!r}: a JSON pointer begins with a slash")
    steps = pointer[1:].split("/")
    return [one.replace("~1", "/").replace("~0", "~") for one in steps] if "~" in pointer else steps


class _Document:
    """A copy-on-write document: containers are copied when they are first changed on their path."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.owned: dict[int, Any] = {}  # containers made here, by id (and kept alive, so that ids stay theirs)
        self.copied = 0

    def run(self, patch: list[dict[str, Any]]) -> Any:
        for operation in patch:
            op, path = operation.get("op", ""), operation.get("path", "")
            if op in ("add", "replace", "test"):
                if "value" not in operation and op != "test":
                    raise _Refused(f"{op} operation at {path!r} has no value")
                getattr(self, op)(path, operation.get("value"))
            elif op == "remove":
                self.remove(path)
            elif op in ("move", "copy"):
                if "from" not in operation:
                    raise _Refused(f"{op} operation at {path!r} has no from")
                getattr(self, op)(path, operation["from"])
            else:
                raise _Refused(f"Unexpected kind: {op}")
        return self.root

    def add(self, path: str, value: Any) -> None:
        container, key = self._place(path, "add")
        if container is None:
            self.root = value
        elif isinstance(container, dict):
            container[key] = value
        else:
            container.insert(_index(container, key, "add", end=len(container) + 1), value)

    def replace(self, path: str, value: Any) -> None:
        container, key = self._place(path, "replace")
        if container is None:
            self.root = value
        elif isinstance(container, dict):
            if key not in container:
                raise _Refused(f"replace operation does not apply: doc is missing key: {path}: missing value")
            container[key] = value
        else:
            container[_index(container, key, "replace")] = value

    def remove(self, path: str) -> Any:
        container, key = self._place(path, "remove")
        if container is None:
            raise _Refused("remove operation does not apply: the whole document cannot be removed")
        if isinstance(container, dict):
            if key not in container:
                raise _Refused(f"remove operation does not apply: Unable to remove nonexistent key: {key}")
            return container.pop(key)
        return container.pop(_index(container, key, "remove"))

    def move(self, path: str, source: str) -> None:
        if path.startswith(source + "/"):
            raise _Refused(f"move operation does not apply: {source} cannot move into itself")
        value = self._get(source)
        if value is _MISSING:
            raise _Refused(f"move operation does not apply: doc is missing from path: {source}: missing value")
        if path != source:
            self.remove(source)
            self.add(path, value)

    def copy(self, path: str, source: str) -> None:
        value = self._get(source)
        if value is _MISSING:
            raise _Refused(f"copy operation does not apply: doc is missing from path: {source}: missing value")
        encoded = orjson.dumps(value)
        self.copied += len(encoded)
        if self.copied > MAX_COPIED:
            raise _Refused(f"Unable to complete the copy, the accumulated size increase is {self.copied}")
        self.add(path, orjson.loads(encoded))

    def test(self, path: str, value: Any) -> None:
        found = self._get(path)
        if not identical(None if found is _MISSING else found, value):
            raise _Refused(f"testing value {path} failed: test failed")

    def _get(self, path: str) -> Any:
        """The value at `path`, or _MISSING."""
        node = self.root
        for step in _steps(path):
            if isinstance(node, dict):
                node = node.get(step, _MISSING)
            elif isinstance(node, list) and _INDEX.fullmatch(step) and -len(node) <= int(step) < len(node):
                node = node[int(step)]
            else:
                return _MISSING
            if node is _MISSING:
                return _MISSING
        return node

    def _place(self, path: str, op: str) -> tuple[Any, str]:
        """The container of the last step of `path`, made our own, and that step; (None, "") for the root."""
        steps = _steps(path)
        if not steps:
            return None, ""
        node = self.root = self._own(self.root, path, op)
        for step in steps[:-1]:
            if isinstance(node, dict):
                key: Any = step
                if step not in node:
                    raise _Refused(f"{op} operation does not apply: doc is missing path: {path}: missing value")
            else:
                key = _index(node, step, op)
            node[key] = self._own(node[key], path, op)
            node = node[key]
        return node, steps[-1]

    def _own(self, node: Any, path: str, op: str) -> Any:
        if id(node) in self.owned:
            return node
        if not isinstance(node, dict | list):
            raise _Refused(f"{op} operation does not apply: doc is missing path: {path}: missing value")
        made = node.copy()
        self.owned[id(made)] = made
        return made


def _index(items: list[Any], step: str, op: str, end: int | None = None) -> int:
    """The index that a step names; `-` is the end, where `end` (the new length, for add) allows it."""
    if step == "-" and end is not None:
        return len(items)
    limit = len(items) if end is None else end
    if not _INDEX.fullmatch(step) or len(step) > 10 or not -limit <= int(step) < limit:
        raise _Refused(f"{op} operation does not apply: Unable to access invalid index: {step}")
    index = int(step)
    return index + limit if index < 0 else index
