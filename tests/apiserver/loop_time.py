"""How long the callbacks of an event loop take, and clients that do not run in it: what the tests share."""

import asyncio
import gc
import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api_cluster import Client

LONGEST = 0.05
"""Seconds of CPU that one callback may take."""


@contextmanager
def measured() -> Iterator[list[float]]:
    """The longest callback of this thread's loop, in seconds of CPU without the collection of garbage; set it
    to 0.0 to begin again."""
    longest, collecting, thread = [0.0], [0.0], threading.get_ident()
    run = asyncio.Handle._run  # type: ignore[attr-defined]

    def collection(phase: str, _: dict[str, int]) -> None:
        if threading.get_ident() == thread:
            collecting[0] += time.thread_time() * (1 if phase == "stop" else -1)

    def timed(handle: Any) -> Any:
        if threading.get_ident() != thread:
            return run(handle)
        begin = time.thread_time() - collecting[0]
        result = run(handle)
        longest[0] = max(longest[0], time.thread_time() - collecting[0] - begin)
        return result

    asyncio.Handle._run = timed  # type: ignore[attr-defined]
    gc.callbacks.append(collection)
    try:
        yield longest
    finally:
        gc.callbacks.remove(collection)
        asyncio.Handle._run = run  # type: ignore[attr-defined]


def fetched(
    client: Client, path: str, headers: dict[str, str], method: str = "GET", body: Any = None
) -> tuple[int, int]:
    """The code of an answer and the bytes of its body, by a client that blocks its own thread. `body` is sent
    as JSON, unless it is None."""
    connection = http.client.HTTPSConnection(client.server.removeprefix("https://"), context=client.tls)
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    size = 0
    while piece := response.read(1 << 20):
        size += len(piece)
    connection.close()
    return response.status, size
