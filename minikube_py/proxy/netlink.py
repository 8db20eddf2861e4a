"""Messages of netfilter's netlink family (Linux' nfnetlink.h), taken apart: no I/O."""

import socket
import struct
from collections.abc import Iterator

NETLINK_NETFILTER = 12
HEADER = struct.Struct("=IHHII")
GENERAL = 4  # bytes of family, version and resource before the attributes

_ATTRIBUTE = struct.Struct("=HH")
_TYPE = 0x3FFF  # of an attribute, without its flags
_FAMILY = struct.pack("=BBH", socket.AF_INET, 0, 0)


def message(type: int, flags: int, attributes: bytes) -> bytes:
    """A message about IPv4."""
    body = _FAMILY + attributes
    return HEADER.pack(HEADER.size + len(body), type, flags, 1, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of each message that was read."""
    at = 0
    while at + HEADER.size <= len(data):
        length, type, *_ = HEADER.unpack_from(data, at)
        yield type, data[at + HEADER.size : at + length]
        at += max(length, HEADER.size) + 3 & ~3


def attribute(type: int, value: bytes) -> bytes:
    """An attribute that may be nested."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), type) + value


def attributes(data: bytes) -> dict[int, bytes]:
    """The values by type."""
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, type = _ATTRIBUTE.unpack_from(data)
        found[type & _TYPE] = data[_ATTRIBUTE.size : length]
        data = data[max(length, _ATTRIBUTE.size) + 3 & ~3 :]
    return found
