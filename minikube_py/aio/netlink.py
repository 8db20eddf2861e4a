"""KernelNews: what the kernel tells of one netlink family (netlink(7)), handed on as it comes.

A socket that is not read in time loses news, which the kernel tells by an error on it. libuv, below uvloop,
ends its watch of a file with an error and tells nobody; so the watch is begun anew after each. Guarantees: who
listens hears of every loss, and of what comes after it.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass

READ_SIZE = 1 << 18
_RCVBUFFORCE = 33  # socket(7); Python has no name for it


@dataclass(frozen=True, slots=True)
class Subject:
    """What is listened to: a netlink family, and a mask of its multicast groups. `buffer` are the bytes of news
    that may wait, beyond the system's limit; 0 means the usual."""

    family: int
    groups: int
    buffer: int = 0


class KernelNews:
    """Calls `heard` with each piece of news of `subject`, and `missed` where some was lost, from `open` until
    `close`."""

    def __init__(self, subject: Subject, heard: Callable[[bytes], None], missed: Callable[[], None]) -> None:
        self._subject, self._heard, self._missed = subject, heard, missed
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Listen, on the running loop. Errors: OSError."""
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, self._subject.family)
        if self._subject.buffer:
            with contextlib.suppress(OSError):  # else the usual size will have to do
                self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, self._subject.buffer)
        self._socket.bind((0, self._subject.groups))
        asyncio.get_running_loop().add_reader(self._socket, self.read)

    def close(self) -> None:
        """Listen no more; fine where it does not."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def read(self) -> None:
        """Hand on all the news there is now."""
        while self._socket is not None:
            try:
                data = self._socket.recv(READ_SIZE)
            except BlockingIOError:
                return
            except OSError:
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._socket)
                loop.add_reader(self._socket, self.read)
                self._missed()
            else:
                self._heard(data)
