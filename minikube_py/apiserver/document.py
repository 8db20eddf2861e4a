"""A rendered answer that is the same for everyone until the kinds change: discovery and OpenAPI documents."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from minikube_py.meta.kind import Kind


class Document(NamedTuple):
    """Bytes to send. `etag` is given without quotes; `encoding` is `gzip` or empty (Content-Encoding)."""

    body: bytes
    etag: str
    content_type: str
    encoding: str = ""


class Kinds(Protocol):
    """What documents need of the catalogue."""

    @property
    def generation(self) -> int:
        """Rises whenever a kind comes or goes."""

    def all(self) -> Iterable[Kind]:
        """Every kind served now."""


def media_types(accept: str) -> list[tuple[str, dict[str, str]]]:
    """The media ranges of an Accept header in the order of preference, each with its parameters."""
    ranges: list[tuple[float, int, str, dict[str, str]]] = []
    for position, text in enumerate(accept.split(",")):
        name, *pieces = (piece.strip() for piece in text.split(";"))
        if not name:
            continue
        pairs = (piece.partition("=") for piece in pieces)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        ranges.append((-_quality(parameters.pop("q", "1")), position, name.lower(), parameters))
    return [(name, parameters) for _, _, name, parameters in sorted(ranges, key=lambda found: found[:2])]


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
