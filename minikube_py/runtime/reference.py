"""Image references in full: `web` means docker.io/library/web:latest (the rules of distribution/reference)."""

import re
from dataclasses import dataclass

DEFAULT_DOMAIN = "docker.io"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_DIGEST_FORM = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_DIGEST_SIZES = {"sha256": 64, "sha384": 96, "sha512": 128}
MALFORMED = "invalid reference format"
LONGEST = 255
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
    """The full reference that `text` stands for. Errors: BadReference, in other clients' words."""
    rest, at, digest = text.partition("@")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, colon, tag = rest, "", ""
    first, slash, path = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        first, path = DEFAULT_DOMAIN, name
    if first == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    if path != path.lower():
        raise BadReference(f"{MALFORMED}: repository name ({path}) must be lowercase")
    if not _DOMAIN.fullmatch(first) or not _PATH.fullmatch(path) or (colon and not _TAG.fullmatch(tag)):
        raise BadReference(MALFORMED)
    if len(path) > LONGEST:
        raise BadReference(f"repository name must not be more than {LONGEST} characters")
    if at and not DIGEST.fullmatch(digest):
        raise BadReference(_fault_of(digest))
    return Reference(first, path, tag if tag or digest else "latest", digest)


def _fault_of(digest: str) -> str:
    """Why a digest is none."""
    algorithm, _, value = digest.partition(":")
    if not _DIGEST_FORM.fullmatch(digest):
        return MALFORMED
    if algorithm not in _DIGEST_SIZES:
        return "unsupported digest algorithm"
    return "invalid checksum digest length" if len(value) != _DIGEST_SIZES[algorithm] else MALFORMED
