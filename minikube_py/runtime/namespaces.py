"""Sockets in a sandbox's network namespace: what is connected by one reaches the pod's own loopback.

A socket belongs for good to the namespace of the thread that made it (network_namespaces(7)), so that thread is
one of its own, and ends with its work; everything else happens on the loop.
"""

import asyncio
import ctypes
import os
import socket
from concurrent.futures import ThreadPoolExecutor

CLONE_NEWNET = 0x40000000
ADDRESSES = ((socket.AF_INET, "127.0.0.1", "tcp4"), (socket.AF_INET6, "::1", "tcp6"))
CONNECTED = 30.0  # seconds that a connection may take


async def connect_in(namespace: str, port: int) -> socket.socket:
    """A connection to `port` of localhost in the namespace at this path ('': the node's own). Errors: OSError,
    with what went wrong with each address."""
    faults = []
    for family, host, name in ADDRESSES:
        connection = None
        try:
            connection = await _socket_in(namespace, family)
            async with asyncio.timeout(CONNECTED):
                await asyncio.get_running_loop().sock_connect(connection, (host, port))
            return connection
        except (OSError, TimeoutError) as error:
            why = "i/o timeout" if isinstance(error, TimeoutError) else f"connect: {_words(error)}"
            faults.append(f"dial {name} {f'[{host}]' if ':' in host else host}:{port}: {why}")
            if connection is not None:
                connection.close()
        except BaseException:
            if connection is not None:
                connection.close()
            raise
    raise OSError(f"IPv4: {faults[0]} IPv6: {faults[1]}")


def _words(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)


async def _socket_in(namespace: str, family: int) -> socket.socket:
    if not namespace:
        return _unblocked(family)
    pool = ThreadPoolExecutor(1, "namespace")
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, _made_in, namespace, family)
    finally:
        pool.shutdown(wait=False)


def _made_in(namespace: str, family: int) -> socket.socket:
    """Make a socket in a namespace; the thread is in that namespace afterwards."""
    place = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(place, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), namespace)
    finally:
        os.close(place)
    return _unblocked(family)


def _unblocked(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    return made
