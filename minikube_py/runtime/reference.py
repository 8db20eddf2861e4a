"""Image references in full: `web` means docker.io/library/web:latest (the rules of distribution/reference)."""

import re
from dataclasses import dataclass

DEFAULT_DOMAIN = "docker.io"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class BadReference(ValueError):
    """A text that is no image reference; the message says why."""


@dataclass(frozen=True, slots=True)
class Reference:
    """domain/path[:tag][@digest]."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.domain}/{self.path}{tag}{digest}"


def parse(text: str) -> Reference:
    """The full reference that `text` stands for. Errors: BadReference."""
    rest, _, digest = text.partition("@")
    if digest and not DIGEST.fullmatch(digest):
        raise BadReference(f'invalid reference "{text}": bad digest')
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, ""
    if colon and tag == "" and rest.endswith(":"):
        raise BadReference(f'invalid reference "{text}": empty tag')
    first, slash, path = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        first, path = DEFAULT_DOMAIN, name
    if first == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    if not _DOMAIN.fullmatch(first) or not _PATH.fullmatch(path) or (tag and not _TAG.fullmatch(tag)):
        raise BadReference(f'invalid reference "{text}": invalid reference format')
    return Reference(first, path, tag if tag or digest else "latest", digest)
