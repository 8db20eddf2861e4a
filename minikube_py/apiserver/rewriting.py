"""Rewriting of what a proxied backend answers, so that its links and redirects lead back through the proxy.

A link to the backend itself, or an absolute path, gets the proxy's path put before it; relative links and those
to other hosts stay. In HTML the attributes that hold one link are rewritten; scripts, styles and comments stay
as they are. Pure. Source: the proxy subresource of Kubernetes' API server.
"""

import html
import posixpath
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

_LINKS = {
    "a": ("href",),
    "applet": ("codebase",),
    "area": ("href",),
    "audio": ("src",),
    "base": ("href",),
    "blockquote": ("cite",),
    "body": ("background",),
    "button": ("formaction",),
    "command": ("icon",),
    "del": ("cite",),
    "embed": ("src",),
    "form": ("action",),
    "frame": ("longdesc", "src"),
    "head": ("profile",),
    "html": ("manifest",),
    "iframe": ("longdesc", "src"),
    "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"),
    "ins": ("cite",),
    "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"),
    "q": ("cite",),
    "script": ("src",),
    "source": ("src",),
    "video": ("poster", "src"),
}
"""The attributes of each element that hold a link."""
_RAW = frozenset(("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript"))
"""Elements whose content is text, whatever it looks like."""
_ATTRIBUTE = r"""[^\s"'<>/=]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'=<>`]+))?"""
_TOKEN = re.compile(
    rf"<!--.*?(?:-->|\Z)|<(?P<tag>[A-Za-z][^\s/>]*)(?P<rest>(?:[\s/]+{_ATTRIBUTE})*[\s/]*)>", re.DOTALL
)
_PAIR = re.compile(
    r"""(?P<name>[^\s"'<>/=]+)(?P<mark>\s*=\s*)(?P<value>"[^"]*"|'[^']*'|[^\s"'=<>`]+)""", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Rewriting:
    """How links are rewritten: `prefix` is the proxy's path, `hosts` (`host:port`) are the backend itself."""

    prefix: str
    hosts: tuple[str, ...]

    def link(self, target: str) -> str:
        """A link as it is through the proxy."""
        try:
            parts = urlsplit(target)
        except ValueError:
            return target
        if (parts.netloc and parts.netloc not in self.hosts) or not parts.path.startswith("/"):
            return target
        path = parts.path
        if not path.startswith(self.prefix):
            joined = posixpath.normpath(f"{self.prefix}/{path}")
            path = joined + "/" if path.endswith("/") else joined
        return urlunsplit(("", "", path, parts.query, parts.fragment))

    def page(self, body: bytes, encoding: str = "") -> bytes:
        """An HTML page with its links rewritten. `encoding` is its Content-Encoding: gzip, deflate or empty.
        Errors: ValueError where it cannot be unpacked."""
        if not encoding:
            return _rewritten(body, self.link)
        bits = 16 + zlib.MAX_WBITS if encoding == "gzip" else -zlib.MAX_WBITS
        try:
            plain = zlib.decompress(body, bits)
        except zlib.error as error:
            raise ValueError(f"the page is not {encoding}: {error}") from error
        packer = zlib.compressobj(6, zlib.DEFLATED, bits)
        return packer.compress(_rewritten(plain, self.link)) + packer.flush()


def _rewritten(body: bytes, link: Callable[[str], str]) -> bytes:
    text = body.decode("utf-8", "surrogateescape")
    pieces: list[str] = []
    position = 0
    while (found := _TOKEN.search(text, position)) is not None:
        pieces.append(text[position : found.start()])
        position = found.end()
        tag = (found["tag"] or "").lower()
        if tag in _LINKS:
            rest = _PAIR.sub(lambda pair, tag=tag: _pair(pair, _LINKS[tag], link), found["rest"])
            pieces.append(f"<{found['tag']}{rest}>")
        else:
            pieces.append(found[0])
        if tag in _RAW:
            end = re.compile(rf"</{tag}[\s/>]", re.IGNORECASE).search(text, position)
            stop = end.start() if end is not None else len(text)
            pieces.append(text[position:stop])
            position = stop
    pieces.append(text[position:])
    return "".join(pieces).encode("utf-8", "surrogateescape")


def _pair(pair: re.Match[str], names: tuple[str, ...], link: Callable[[str], str]) -> str:
    if pair["name"].lower() not in names:
        return pair[0]
    value = pair["value"]
    given = html.unescape(value[1:-1] if value[0] in "\"'" else value)
    made = link(given)
    return pair[0] if made == given else f'{pair["name"]}{pair["mark"]}"{html.escape(made)}"'
