"""OpenAPI v2, which tells of all kinds in one document, joined from what each kind and each schema adds to it.

What a kind adds is encoded once, and again only when the kind is another one: a new definition of a custom
resource costs its own schema, not those of a hundred others. Pieces of kinds that are served no longer are
forgotten with the next document. Called from one thread at a time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

import minikube_py
from minikube_py.apiserver import openapi_wire
from minikube_py.apiserver.openapi_names import built_in, custom_schemas
from minikube_py.apiserver.openapi_paths import paths
from minikube_py.meta.facts import descriptions, referenced
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj

INFO = {"title": "Kubernetes", "version": minikube_py.KUBERNETES_VERSION}
Items = Mapping[str, Mapping[str, bytes]]
"""The encoded members of each path."""


class Form(NamedTuple):
    """An encoding: of one member of a path, of a schema, and of the whole."""

    member: Callable[[str, Any], bytes]
    schema: Callable[[Obj], bytes]
    join: Callable[[Items, Mapping[str, bytes]], bytes]


class Schema(NamedTuple):
    """An encoded schema, and the names of those that it refers to."""

    data: bytes
    refers: frozenset[str]


class Piece(NamedTuple):
    """What a kind adds: its paths, the schemas that they refer to, and its own schemas."""

    items: Items
    refers: frozenset[str]
    schemas: Mapping[str, Schema]


class Pieces:
    """The pieces of the document in one form."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._pieces: dict[Kind, Piece] = {}
        self._built_in: dict[str, Schema] = {}
        self._texts: Mapping[str, Any] | None = None

    def document(self, kinds: Sequence[Kind]) -> bytes:
        """The document that tells of `kinds`."""
        known = self._pieces
        self._pieces = {kind: known.get(kind) or self._piece(kind) for kind in kinds}
        items: dict[str, dict[str, bytes]] = {}
        for piece in self._pieces.values():
            for path, members in piece.items.items():
                items.setdefault(path, {}).update(members)
        found = self._schemas(self._pieces.values())
        self._texts = None
        return self._form.join(items, {name: found[name].data for name in sorted(found)})

    def _piece(self, kind: Kind) -> Piece:
        found = paths((kind,), 2)
        items = {
            path: {name: self._form.member(name, member) for name, member in item.items()}
            for path, item in found.items()
        }
        own = {name: self._encoded(schema) for name, schema in custom_schemas(kind, 2)}
        return Piece(items, frozenset(referenced(found)), own)

    def _encoded(self, schema: Obj) -> Schema:
        return Schema(self._form.schema(schema), frozenset(referenced(schema)))

    def _schemas(self, pieces: Iterable[Piece]) -> dict[str, Schema]:
        """The schemas that the pieces refer to, directly or not."""
        custom: dict[str, Schema] = {}
        waiting: list[str] = []
        for piece in pieces:
            custom |= piece.schemas
            waiting += piece.refers
        found: dict[str, Schema] = {}
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = schema = custom.get(name) or self._of_kubernetes(name)
                waiting += schema.refers
        return found

    def _of_kubernetes(self, name: str) -> Schema:
        known = self._built_in.get(name)
        if known is None:
            if self._texts is None:
                self._texts = descriptions()
            known = self._built_in[name] = self._encoded(built_in(name, 2, self._texts))
        return known


def _json(items: Items, definitions: Mapping[str, bytes]) -> bytes:
    joined: dict[str, Any] = {
        path: {name: orjson.Fragment(data) for name, data in members.items()} for path, members in items.items()
    }
    named = {name: orjson.Fragment(data) for name, data in definitions.items()}
    return orjson.dumps({"swagger": "2.0", "info": INFO, "paths": joined, "definitions": named})


def _protobuf(items: Items, definitions: Mapping[str, bytes]) -> bytes:
    joined = {path: b"".join(members.values()) for path, members in items.items()}
    return openapi_wire.document({"swagger": "2.0", "info": INFO}, joined, definitions)


JSON = Form(lambda name, member: orjson.dumps(member), orjson.dumps, _json)
PROTOBUF = Form(openapi_wire.member, openapi_wire.schema, _protobuf)
