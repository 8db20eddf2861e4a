"""HTTP/2 frames and compressed headers (RFC 9113, RFC 7541): as much as one short call to a server takes.

Pure. Limits: headers are sent without compression; a table of received headers that would have to drop its
oldest entries (beyond 4 KB of headers on one connection) is not followed.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = struct.Struct("!HBBBI")  # size (high and low part), type, flags, stream
FRAME_LIMIT = 1 << 14  # bytes of a frame's payload that a server may send unasked

_STATIC = (
    ":authority;:method=GET;:method=POST;:path=/;:path=/index.html;:scheme=http;:scheme=https;:status=200;"
    ":status=204;:status=206;:status=304;:status=400;:status=404;:status=500;accept-charset;"
    "accept-encoding=gzip, deflate;accept-language;accept-ranges;accept;access-control-allow-origin;age;allow;"
    "authorization;cache-control;content-disposition;content-encoding;content-language;content-length;"
    "content-location;content-range;content-type;cookie;date;etag;expect;expires;from;host;if-match;"
    "if-modified-since;if-none-match;if-range;if-unmodified-since;last-modified;link;location;max-forwards;"
    "proxy-authenticate;proxy-authorization;range;referer;refresh;retry-after;server;set-cookie;"
    "strict-transport-security;transfer-encoding;user-agent;vary;via;www-authenticate"
)
"""RFC 7541, appendix A: name or name=value, from index 1 on."""
_LENGTHS = (
    "isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhfibccccccccccccccccccccccdcdioijbkabababbbacc"
    "bbbabcbaabccccckgjixprpprrrsrssssststtrstssssqrsrsstrqprrssqsrrtqrssqqrqsrssprrrsrrsvvporsruvvvwwvtuoqvwwvwt"
    "qqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwvz"
)
"""RFC 7541, appendix B: the bits of each byte's code, 5 (a) to 30 (z); the codes follow, being canonical."""


class Malformed(ValueError):
    """What the peer sent is not HTTP/2."""


class Frame(NamedTuple):
    """One frame: its type, flags, stream and payload."""

    type: int
    flags: int
    stream: int
    payload: bytes

    def content(self) -> bytes:
        """The payload without its padding and priority. Errors: Malformed."""
        if not self.flags & (PADDED | PRIORITY):
            return self.payload
        start, end = 0, len(self.payload)
        if self.flags & PADDED:
            if not self.payload or self.payload[0] >= end:
                raise Malformed("padding longer than its frame")
            start, end = 1, end - self.payload[0]
        if self.type == HEADERS and self.flags & PRIORITY:
            start += 5
        return self.payload[start:end]


def frame(type: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame as it is sent."""
    return len(payload).to_bytes(3, "big") + bytes((type, flags)) + stream.to_bytes(4, "big") + payload


def take_frames(buffer: bytearray) -> list[Frame]:
    """The whole frames at the beginning of `buffer`, which they leave. Errors: Malformed."""
    found, place, end = [], 0, len(buffer)
    while end - place >= 9:
        high, low, type, flags, stream = _HEAD.unpack_from(buffer, place)
        size = high << 8 | low
        if size > FRAME_LIMIT:
            raise Malformed("a frame of more than 16 KB")
        if end - place < 9 + size:
            break
        place += 9
        found.append(Frame(type, flags, stream & 0x7FFFFFFF, bytes(buffer[place : place + size])))
        place += size
    del buffer[:place]
    return found


def encode_headers(headers: Sequence[tuple[str, str]]) -> bytes:
    """A header block of literals that no table keeps; values in ASCII."""
    parts = []
    for name, value in headers:
        raw, text = name.encode(), value.encode("ascii", "replace")
        parts += [b"\0", _integer(len(raw)), raw, _integer(len(text)), text]
    return b"".join(parts)


def _integer(value: int) -> bytes:
    """RFC 7541, 5.1, with a prefix of 7 bits whose first bit is 0."""
    if value < 127:
        return bytes((value,))
    found, value = bytearray((127,)), value - 127
    while value >= 128:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


Fields = tuple[tuple[str, str], ...]


class HeaderTable:
    """Decodes the header blocks of one connection, in their order."""

    def __init__(self) -> None:
        self._kept: Fields = ()

    def decode(self, block: bytes) -> Fields:
        """The fields of a block. Errors: Malformed."""
        found, self._kept = _decode(block, self._kept)
        return found


@lru_cache(256)
def _decode(block: bytes, kept: Fields) -> tuple[Fields, Fields]:
    """The fields of a block, and the table after it. The blocks of one server are mostly the same."""
    found: list[tuple[str, str]] = []
    place = 0
    try:
        while place < len(block):
            first = block[place]
            if first & 0x80:
                index, place = _take_integer(block, place, 7)
                found.append(_at(index, kept))
            elif first & 0xE0 == 0x20:
                size, place = _take_integer(block, place, 5)
                kept = kept if size else ()
            else:
                entry, place = _literal(block, place, 6 if first & 0x40 else 4, kept)
                found.append(entry)
                kept = (entry, *kept) if first & 0x40 else kept
    except IndexError as error:
        raise Malformed("a header block that ends too early, or names what is not in the table") from error
    return tuple(found), kept


def _literal(block: bytes, place: int, bits: int, kept: Fields) -> tuple[tuple[str, str], int]:
    index, place = _take_integer(block, place, bits)
    if index:
        name = _at(index, kept)[0]
    else:
        name, place = _take_string(block, place)
    value, place = _take_string(block, place)
    return (name, value), place


def _at(index: int, kept: Fields) -> tuple[str, str]:
    table = _static()
    if not index:
        raise IndexError
    return table[index - 1] if index <= len(table) else kept[index - len(table) - 1]


def _take_integer(block: bytes, place: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    value, place, shift = block[place] & most, place + 1, 0
    if value < most:
        return value, place
    while shift <= 28:
        more = block[place]
        value, place, shift = value + ((more & 127) << shift), place + 1, shift + 7
        if more < 128:
            return value, place
    raise Malformed("a number without end")


def _take_string(block: bytes, place: int) -> tuple[str, int]:
    packed = block[place] & 0x80
    size, place = _take_integer(block, place, 7)
    raw = block[place : place + size]
    if len(raw) < size:
        raise IndexError
    return unpack(raw) if packed else raw.decode("latin-1"), place + size


@lru_cache(1)
def _static() -> Fields:
    entries = (entry.partition("=") for entry in _STATIC.split(";"))
    return tuple((name, value) for name, _, value in entries)


@lru_cache(1)
def _codes() -> dict[tuple[int, int], int]:
    """(length, code) > byte, 256 being the end."""
    lengths = [ord(letter) - ord("a") + 5 for letter in _LENGTHS]
    found, code, last = {}, 0, 0
    for symbol in sorted(range(257), key=lambda symbol: (lengths[symbol], symbol)):
        code <<= lengths[symbol] - last
        last = lengths[symbol]
        found[last, code] = symbol
        code += 1
    return found


def unpack(raw: bytes) -> str:
    """A string in the Huffman code. Errors: Malformed."""
    codes, found = _codes(), bytearray()
    code = length = 0
    for byte in raw:
        for shift in range(7, -1, -1):
            code, length = code << 1 | byte >> shift & 1, length + 1
            symbol = codes.get((length, code))
            if symbol is not None:
                if symbol == 256:
                    raise Malformed("the end of a string within it")
                found.append(symbol)
                code = length = 0
    if length > 7 or code != (1 << length) - 1:
        raise Malformed("a string that ends within a code")
    return found.decode("latin-1")
