"""BridgeWatch: the service that makes the node's bridge again where somebody took it away or down.

Woken by the kernel's news of interfaces, without polling. Pods' interfaces that lost their bridge are put back,
also those that lost it while nobody watched: the plugins' answers tell which they are. A bridge that a plugin
made meanwhile for a new pod is known by its index to be another one, and is completed likewise. The bridge
keeps its hardware address, so pods find their gateway at once. Limits: an address that is taken off the bridge
comes back when the bridge is made again.
"""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

from minikube_py.aio.netlink import KernelNews, Subject
from minikube_py.cluster.leftovers import RESULTS, network_results
from minikube_py.cluster.network import NET, Bridge

log = logging.getLogger(__name__)

LINKS = Subject(socket.NETLINK_ROUTE, groups=0x1)  # RTMGRP_LINK of rtnetlink(7)
PAUSE = 0.2  # seconds for which news is gathered: an interface is told of several times


class BridgeWatch:
    """Keeps `bridge` with the interfaces of the sandboxes in containerd's `state` on it, a Service."""

    name = "bridge"

    def __init__(self, bridge: Bridge, state: Path, results: Path = RESULTS) -> None:
        self._bridge, self._state, self._results = bridge, state, results
        self._known: int | None = None  # the index of the bridge that is complete

    async def run(self, ready: asyncio.Event) -> None:
        """Keep it until cancelled. Errors: NetworkFailed."""
        news, name = asyncio.Event(), self._bridge.name.encode() + b"\0"

        def heard(message: bytes) -> None:
            if name in message:  # every pod's interfaces are told of, too
                news.set()

        kernel = KernelNews(LINKS, heard, news.set)
        kernel.open()
        try:
            self._known = self._bridge.index()  # the start has completed it
            await self.mend()
            ready.set()
            while True:
                await news.wait()
                await asyncio.sleep(PAUSE)
                news.clear()
                if self._is_lost():
                    await self.mend()
        finally:
            kernel.close()

    def _is_lost(self) -> bool:
        """Whether the bridge is missing, down, or another than the one that was completed."""
        return not self._bridge.is_up() or self._bridge.index() != self._known

    async def mend(self) -> list[str]:
        """Make or complete the bridge where it is lost, and put back the interfaces that are on none; their
        names. Errors: NetworkFailed."""
        if not self._bridge.is_up():
            log.warning("the bridge %s is made again", self._bridge.name)
        if self._is_lost():
            await self._bridge.ensure()
            self._known = self._bridge.index()
        lost = await asyncio.to_thread(lambda: [name for name in self._interfaces() if _is_free(name)])
        if lost:
            await self._bridge.attach(lost)
            log.warning("put %d pods' interfaces back on the bridge %s", len(lost), self._bridge.name)
        return lost

    def _interfaces(self) -> Iterator[str]:
        """The node's ends of the pods' interfaces."""
        for path, _ in network_results(self._state, self._results):
            with contextlib.suppress(OSError, ValueError):
                answer = json.loads(path.read_bytes())["result"]
                if [address for address in answer.get("ips") or () if address.get("interface") is not None]:
                    names = (face["name"] for face in answer.get("interfaces", ()) if not face.get("sandbox"))
                    yield from (name for name in names if name != self._bridge.name)


def _is_free(name: str) -> bool:
    """Whether there is an interface of this name, and it is on no bridge."""
    return (NET / name).exists() and not (NET / name / "master").exists()
