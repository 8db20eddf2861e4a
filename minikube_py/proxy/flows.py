"""UDP flows that the kernel remembers: those that no longer lead where a Service leads are forgotten.

The kernel rewrites only the first packet's address by rule, and the rest of a flow as it did the first. A UDP
client that keeps its port is one flow for ever: it would stay with an endpoint that is gone, or with none where
it was there before the first endpoint. TCP needs none of this: its connections end.

`stale` decides, `forget_stale` speaks ctnetlink (Linux' nfnetlink_conntrack.h) with the kernel: IPv4 only; it
blocks, and belongs into a thread.
"""

import errno
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from minikube_py.proxy.netlink import GENERAL, NETLINK_NETFILTER, attribute, attributes, message, messages
from minikube_py.proxy.rules import Elements, Place

_PATIENCE = 10.0  # seconds, for an answer of the kernel
_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_ORIGINAL, _REPLY = 1, 2
_ADDRESSES, _PROTOCOL = 1, 2
_SOURCE, _DESTINATION = 1, 2  # of the addresses
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_NESTED = 0x8000

End = tuple[str, int]
"""An address and a port."""


class Flow(NamedTuple):
    """A UDP flow: whom the client calls, who answers, and its original tuple as the kernel writes it."""

    called: End
    answers: End
    tuple: bytes


def touches_udp(places: Iterable[Place]) -> bool:
    """Whether a change of these places may make UDP flows stale."""
    return any("udp" in place.key.split(" . ") for place in places)


def stale(flows: Iterable[Flow], elements: Elements, is_local: Callable[[str], bool]) -> Iterator[Flow]:
    """The flows to a UDP port of a Service or pod that are answered by none of its endpoints. Ports of the node
    are called at one of its own addresses."""
    targets = _targets(elements)
    for flow in flows:
        address, port = flow.called
        own = targets.get((address, port))
        if own is None:
            own = targets.get(("", port))
            if own is None or not is_local(address):
                continue
        if flow.answers not in own:
            yield flow


def _targets(elements: Elements) -> Mapping[End, set[End]]:
    """Where UDP leads to, by address and port; a port of the node has no address."""
    found: dict[End, set[End]] = {}
    for place, data in elements.items():
        parts = place.key.split(" . ")
        if place.map not in ("endpoints", "node-endpoints", "hostports", "hostports-at") or "udp" not in parts:
            continue
        at = parts.index("udp")
        target, port = data.split(" . ")
        found.setdefault((parts[0] if at else "", int(parts[at + 1])), set()).add((target, int(port)))
    return found


def forget_stale(elements: Elements) -> int:
    """Let the kernel forget the flows that `elements` have made stale; how many. Errors: OSError where the
    kernel tells nothing of its flows."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
        kernel.settimeout(_PATIENCE)
        gone = list(stale(_flows(kernel), elements, _is_local))
        for flow in gone:
            kernel.send(message(_DELETE, _REQUEST | _ACK, flow.tuple))
            for _ in _answers(kernel):
                pass
    return len(gone)


def _is_local(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _flows(kernel: socket.socket) -> list[Flow]:
    kernel.send(message(_GET, _REQUEST | _DUMP, b""))
    return [flow for body in _answers(kernel) if (flow := _flow(body)) is not None]


def _answers(kernel: socket.socket) -> Iterator[bytes]:
    """The attributes of each message of one answer. Errors: OSError, but for a flow that has gone meanwhile."""
    while True:
        for type, body in messages(kernel.recv(1 << 18)):
            if type == _ERROR:
                code = -int(struct.unpack_from("=i", body)[0])
                if code not in (0, errno.ENOENT):
                    raise OSError(code, errno.errorcode.get(code, str(code)))
                return
            if type == _DONE:
                return
            yield body[GENERAL:]


def _flow(body: bytes) -> Flow | None:
    """A message as a flow; None where it is not UDP over IPv4."""
    known = attributes(body)
    original, reply = known.get(_ORIGINAL, b""), known.get(_REPLY, b"")
    called, answers = _end(original, _DESTINATION, _DESTINATION_PORT), _end(reply, _SOURCE, _SOURCE_PORT)
    if called is None or answers is None:
        return None
    return Flow(called, answers, attribute(_ORIGINAL | _NESTED, original))


def _end(tuple: bytes, address: int, port: int) -> End | None:
    parts = attributes(tuple)
    addresses, protocol = attributes(parts.get(_ADDRESSES, b"")), attributes(parts.get(_PROTOCOL, b""))
    if protocol.get(_NUMBER) != bytes([socket.IPPROTO_UDP]) or len(addresses.get(address, b"")) != 4:
        return None
    return socket.inet_ntoa(addresses[address]), int.from_bytes(protocol[port])
