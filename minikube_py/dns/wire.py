"""The DNS wire format (RFC 1035, 2782, 6891): what a cluster's name server reads and writes, and no more.

`parse` never raises anything but `Malformed`; compression is written for the names that repeat in an answer,
the question's and each record's owner.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5

_HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")
_MAX_JUMPS = 32
PLAIN_UDP = 512
EDNS_UDP = 1232
"""Answers over UDP stay below this, whatever a client offers: larger ones would be fragmented."""


class Malformed(ValueError):
    """A message that is not DNS."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `name` is lower case without the final dot; `question` its bytes as they came, so that the
    answer echoes the letters' case (clients check it)."""

    id: int
    flags: int
    name: str
    type: int
    question: bytes
    udp_size: int = PLAIN_UDP
    edns: bool = False

    @property
    def opcode(self) -> int:
        return (self.flags >> 11) & 15


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record; `data` is its rdata in wire form."""

    name: str
    type: int
    ttl: int
    data: bytes


def encode_name(name: str) -> bytes:
    """A name as length-prefixed labels, uncompressed. Errors: ValueError for a label over 63 bytes."""
    if not name:
        return b"\0"
    parts = [label.encode() for label in name.split(".")]
    if any(not 0 < len(part) < 64 for part in parts):
        raise ValueError(f"{name} is no DNS name")
    return b"".join(bytes((len(part),)) + part for part in parts) + b"\0"


def a(name: str, address: str, ttl: int) -> Record:
    """The address record of an IPv4 or IPv6 address."""
    if ":" in address:
        return Record(name, AAAA, ttl, IPv6Address(address).packed)
    return Record(name, A, ttl, IPv4Address(address).packed)


def cname(name: str, target: str, ttl: int) -> Record:
    return Record(name, CNAME, ttl, encode_name(target))


def ptr(name: str, target: str, ttl: int) -> Record:
    return Record(name, PTR, ttl, encode_name(target))


def txt(name: str, text: str, ttl: int) -> Record:
    data = text.encode()
    return Record(name, TXT, ttl, bytes((len(data),)) + data)


def srv(name: str, port: int, target: str, ttl: int) -> Record:
    return Record(name, SRV, ttl, struct.pack("!HHH", 0, 100, port) + encode_name(target))


def soa(zone: str, serial: int, ttl: int) -> Record:
    """The start of authority, whose last field bounds how long a "no" may be cached."""
    names = encode_name(f"ns.dns.{zone}") + encode_name(f"hostmaster.{zone}")
    return Record(zone, SOA, ttl, names + struct.pack("!IIIII", serial, 7200, 1800, 86400, ttl))


def parse(message: bytes) -> Query:
    """The question of a message. Errors: Malformed."""
    if len(message) < _HEADER.size:
        raise Malformed("shorter than a header")
    id, flags, questions, answers, authorities, extras = _HEADER.unpack_from(message)
    if flags & 0x8000 or questions != 1:
        raise Malformed("not a query with one question")
    name, offset = read_name(message, _HEADER.size)
    if offset + 4 > len(message):
        raise Malformed("the question is cut off")
    type = int.from_bytes(message[offset : offset + 2], "big")
    end = offset + 4
    query = Query(id, flags, name, type, message[_HEADER.size : end])
    if extras and not answers and not authorities:
        return _with_edns(query, message, end, extras)
    return query


def _with_edns(query: Query, message: bytes, offset: int, extras: int) -> Query:
    for _ in range(min(extras, 4)):
        _, offset = read_name(message, offset)
        if offset + _FIXED.size > len(message):
            raise Malformed("a record is cut off")
        type, size, _, length = _FIXED.unpack_from(message, offset)
        offset += _FIXED.size + length
        if type == OPT:
            limit = max(PLAIN_UDP, min(size, EDNS_UDP))
            return Query(query.id, query.flags, query.name, query.type, query.question, limit, True)
    return query


def read_name(message: bytes, offset: int) -> tuple[str, int]:
    """The name at `offset` (lower case, no final dot) and the offset behind it. Errors: Malformed."""
    labels: list[str] = []
    after, jumps, size = 0, 0, 0
    while True:
        if offset >= len(message):
            raise Malformed("a name is cut off")
        length = message[offset]
        if length >= 0xC0:
            jumps += 1
            if jumps > _MAX_JUMPS or offset + 1 >= len(message):
                raise Malformed("a name points in circles")
            after = after or offset + 2
            offset = (length & 0x3F) << 8 | message[offset + 1]
            continue
        if length > 63:
            raise Malformed("a label of an unknown type")
        offset += 1
        if not length:
            return ".".join(labels).lower(), after or offset
        label = message[offset : offset + length]
        size += length + 1
        if len(label) < length or size > 255:
            raise Malformed("a name is cut off or too long")
        labels.append(label.decode("latin-1"))
        offset += length


def answer(
    query: Query,
    records: Sequence[Record],
    *,
    code: int = NOERROR,
    authority: Sequence[Record] = (),
    authoritative: bool = True,
    limit: int = 65535,
) -> bytes:
    """The response; beyond `limit` bytes it is emptied and marked truncated, so that the client asks by TCP."""
    flags = 0x8080 | (query.flags & 0x7900) | (0x0400 if authoritative else 0) | code
    names = {query.name: 0xC00C}
    body = bytearray(query.question)
    for record in (*records, *authority):
        _write(body, record, names)
    extras = 0
    if query.edns:
        extras = 1
        body += b"\0" + _FIXED.pack(OPT, EDNS_UDP, 0, 0)
    if _HEADER.size + len(body) > limit:
        head = _HEADER.pack(query.id, flags | 0x0200, 1, 0, 0, 0)
        return head + query.question
    return _HEADER.pack(query.id, flags, 1, len(records), len(authority), extras) + bytes(body)


def _write(body: bytearray, record: Record, names: dict[str, int]) -> None:
    pointer = names.get(record.name)
    if pointer is None:
        if _HEADER.size + len(body) < 0x4000:
            names[record.name] = 0xC000 | (_HEADER.size + len(body))
        body += encode_name(record.name)
    else:
        body += pointer.to_bytes(2, "big")
    body += _FIXED.pack(record.type, 1, record.ttl, len(record.data))
    body += record.data
