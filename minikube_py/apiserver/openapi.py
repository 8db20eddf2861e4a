"""OpenAPI: the served types and paths, as kubectl reads them to validate, apply and explain.

    openapi = OpenApi(catalogue, virtual)                   # the same Kinds that Discovery gets
    document = await openapi.get(path, accept, gzip=True)   # Document or None (404)

`path` is `/openapi/v2`, `/openapi/v3`, `/openapi/v3/api/v1` or `/openapi/v3/apis/<group>/<version>`, without
its query (the `hash` parameter only names the version of a document).
With gzip=True (the client's Accept-Encoding has it) the body comes compressed and `encoding` says so.

Each document is built on first use in a thread, one at a time, and kept compressed until a kind that it tells
of changes: that of a group version stays when another one gets kinds, and version 2 is joined from pieces that
stay with their kinds. Descriptions are there where the package
kubernetes-validate is installed.
"""

import asyncio
import gzip as gz
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from operator import is_
from typing import Any, NamedTuple

import orjson

import minikube_py
from minikube_py.apiserver.document import Document, Kinds, media_types
from minikube_py.apiserver.openapi_names import schemas
from minikube_py.apiserver.openapi_paths import paths
from minikube_py.apiserver.openapi_pieces import INFO, JSON, PROTOBUF, Pieces
from minikube_py.errors import NotAcceptable
from minikube_py.meta.facts import descriptions, referenced
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj

_JSON = frozenset(("application/json", "application/*", "*/*"))
_V2_PROTOBUF = frozenset(
    (
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    )
)
_V2_PROTOBUF_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_COMPRESSION = 4


class Made(NamedTuple):
    """A document, the kinds it tells of, and the catalogue's generation at which they were looked at."""

    kinds: tuple[Kind, ...]
    generation: int
    document: Document


class OpenApi:
    """Builds each document on first use, off the loop, and keeps it compressed until the kinds change."""

    def __init__(self, catalogue: Kinds, virtual: Sequence[Kind] = ()) -> None:
        self._catalogue = catalogue
        self._virtual = tuple(virtual)
        self._kept: dict[tuple[str, bool], Made] = {}
        self._digests: dict[str, tuple[tuple[Kind, ...], str]] = {}
        self._pieces = {False: Pieces(JSON), True: Pieces(PROTOBUF)}
        self._building = asyncio.Lock()

    async def get(self, path: str, accept: str = "", *, gzip: bool = False) -> Document | None:
        """The document at `path`, or None where nothing is served there. Errors: NotAcceptable."""
        path = path.rstrip("/")
        protobuf = _wants_protobuf(path, accept)
        async with self._building:
            document = await self._made(path, protobuf)
        if document is None or gzip:
            return document
        return await decompressed(document)

    async def _made(self, path: str, protobuf: bool) -> Document | None:
        generation, known = self._catalogue.generation, self._kept.get((path, protobuf))
        if known is not None and known.generation == generation:
            return known.document
        kinds = self._kinds(path)
        if known is None or not _same(known.kinds, kinds):
            self._kept.pop((path, protobuf), None)
            document = await asyncio.to_thread(self._build, path, kinds, protobuf)
            if document is None:
                return None
        else:
            document = known.document
        self._kept[(path, protobuf)] = Made(kinds, generation, document)
        return document

    def _kinds(self, path: str) -> tuple[Kind, ...]:
        """The kinds that a document tells of."""
        kinds = (*self._catalogue.all(), *self._virtual)
        if path in ("/openapi/v2", "/openapi/v3"):
            return kinds
        return tuple(kind for kind in kinds if f"/openapi/v3/{_root(kind)}" == path)

    def _build(self, path: str, kinds: Sequence[Kind], protobuf: bool) -> Document | None:
        if path == "/openapi/v2":
            data = self._pieces[protobuf].document(kinds)
        elif (body := self._index(kinds) if path == "/openapi/v3" else _document_v3(kinds)) is not None:
            data = orjson.dumps(body)
        else:
            return None
        content_type = _V2_PROTOBUF_TYPE if protobuf else "application/json"
        etag = hashlib.sha512(data).hexdigest().upper()
        return Document(gz.compress(data, _COMPRESSION, mtime=0), etag, content_type, "gzip")

    def _index(self, kinds: Iterable[Kind]) -> Obj:
        """Where the document of each group version is; its hash changes with the kinds and our own version."""
        by_root: dict[str, list[Kind]] = {}
        for kind in kinds:
            by_root.setdefault(_root(kind), []).append(kind)
        known, self._digests = self._digests, {}
        for root, found in sorted(by_root.items()):
            made = known.get(root)
            if made is None or not _same(made[0], found):
                made = tuple(found), _hash(found)
            self._digests[root] = made
        entries = {
            root: {"serverRelativeURL": f"/openapi/v3/{root}?hash={digest}"}
            for root, (_, digest) in self._digests.items()
        }
        return {"paths": entries}


async def decompressed(document: Document) -> Document:
    """The document for a client that takes no compressed one."""
    return document._replace(body=await asyncio.to_thread(gz.decompress, document.body), encoding="")


def _same(known: Sequence[Kind], found: Sequence[Kind]) -> bool:
    """Whether they are the very same values."""
    return len(known) == len(found) and all(map(is_, known, found))


def _wants_protobuf(path: str, accept: str) -> bool:
    """Whether the preferred form that is served is protobuf, not JSON. Errors: NotAcceptable."""
    offered = _V2_PROTOBUF if path == "/openapi/v2" else frozenset[str]()
    for name, _ in media_types(accept or "*/*"):
        if name in _JSON or name in offered:
            return name in offered
    raise NotAcceptable(
        f"only the following media types are accepted: {', '.join(('application/json', *offered))}"
    )


def _root(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"


def _hash(kinds: Sequence[Kind]) -> str:
    facts = [[k.kind, k.api_version, k.plural, k.namespaced, k.verbs, k.subresources, k.schema] for k in kinds]
    text = orjson.dumps([minikube_py.__version__, facts], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha512(text).hexdigest().upper()


def _document_v3(kinds: Sequence[Kind]) -> Obj | None:
    if not kinds:
        return None
    found = paths(kinds, 3)
    components = {"schemas": schemas(kinds, _roots(found), 3, descriptions())}
    return {"openapi": "3.0.0", "info": INFO, "paths": found, "components": components}


def _roots(found: Any) -> Iterator[str]:
    """The schemas that paths refer to."""
    return iter(dict.fromkeys(referenced(found)))
