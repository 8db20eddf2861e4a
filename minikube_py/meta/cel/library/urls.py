"""URLs: Kubernetes' `url` library, which parses as Go's url.ParseRequestURI."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qs, quote, unquote

from minikube_py.meta.cel import costs
from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import function, overload
from minikube_py.meta.cel.types import URL

_PARTS: Final = re.compile(r"(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(?://([^/?]*))?([^?]*)(?:\?(.*))?", re.DOTALL)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Url:
    """A URL, taken apart."""

    TYPE = URL.name
    __slots__ = ("host", "path", "query", "scheme", "text")

    def __init__(self, text: str, parts: tuple[str, str, str, str]) -> None:
        self.text = text
        self.scheme, self.host, self.path, self.query = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


@lru_cache(maxsize=1024)
def parse_url(text: str) -> Url:
    """A URL that is absolute or an absolute path. Errors: EvaluationError."""

    def refuse(why: str) -> EvaluationError:
        return EvaluationError(f'URL parse error during conversion from string: parse "{text}": {why}')

    if not text:
        raise refuse("empty url")
    if _CONTROL.search(text):
        raise refuse("net/url: invalid control character in URL")
    match = _PARTS.fullmatch(text)
    scheme, authority, path, query = match.groups("") if match else ("", "", "", "")
    if not scheme and not text.startswith("/"):
        first = text.split("/")[0]
        raise refuse(
            "first path segment in URL cannot contain colon" if ":" in first else "invalid URI for request"
        )
    if scheme and not authority and not path.startswith("/") and "//" not in text:
        raise refuse("invalid URI for request")
    for part in (authority, path):
        escape = _BAD_ESCAPE.search(part)
        if escape:
            raise refuse(f'invalid URL escape "{escape.group()}"')
    host = authority.rpartition("@")[2] if scheme or text.startswith("//") else ""
    fault = _host_fault(host)
    if fault:
        raise refuse(fault)
    return Url(text, (scheme.lower(), unquote(host), path, query))


def _host_fault(host: str) -> str:
    if host.startswith("["):
        end = host.rfind("]")
        if end < 0:
            return "missing ']' in host"
        rest = host[end + 1 :]
    else:
        rest = host[host.find(":") :] if ":" in host else ""
        if " " in host or "<" in host or '"' in host:
            letter = next(letter for letter in host if letter in ' <"')
            return f'invalid character "{letter}" in host name'
    if rest and (rest[0] != ":" or not (rest[1:].isdigit() or rest == ":")):
        return f'invalid port "{rest}" after host'
    return ""


def _is_url(text: str) -> bool:
    try:
        parse_url(text)
    except EvaluationError:
        return False
    return True


def _hostname(url: Url) -> str:
    host = url.host
    if host.startswith("["):
        return host[1 : host.rfind("]")]
    return host.partition(":")[0]


def _port(url: Url) -> str:
    rest = url.host[url.host.rfind("]") + 1 :]
    return rest.partition(":")[2]


def _escaped_path(url: Url) -> str:
    return quote(url.path, safe="/%:@!$&'()*+,;=~[]")


def _query(url: Url) -> dict[str, list[str]]:
    return parse_qs(url.query, keep_blank_values=True)


OVERLOADS: Final = (
    function("url(string): url", parse_url, costs.text()),
    function("isURL(string): bool", _is_url, costs.text()),
    overload("url.getScheme(): string", lambda url: url.scheme),
    overload("url.getHost(): string", lambda url: url.host),
    overload("url.getHostname(): string", _hostname),
    overload("url.getPort(): string", _port),
    overload("url.getEscapedPath(): string", _escaped_path),
    overload("url.getQuery(): map<string, list<string>>", _query),
)
