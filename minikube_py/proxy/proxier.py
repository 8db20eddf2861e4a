"""kube-proxy: keeps the kernel's forwarding in step with Services, EndpointSlices and this node's hostPorts.

A change marks its Service (or pod) as dirty; one task computes the elements of what is dirty and hands the
difference to the kernel in one transaction. While it works, changes gather for the next one. Rules outlive
the process: after a crash traffic goes on as it was, and the next start replaces the table in one step. So
does the news that somebody else has deleted the table or a part of it.
"""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable

from minikube_py.aio.clock import Clock
from minikube_py.client.base import Change, Client
from minikube_py.kinds.core.node import ZONE, Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import EndpointSlice, service_of_slice
from minikube_py.meta.objects import Key, Obj, dig, key_of, labels_of
from minikube_py.proxy.flows import forget_stale, touches_udp
from minikube_py.proxy.healthchecks import Health, HealthChecks, health_of
from minikube_py.proxy.nftables import Nftables
from minikube_py.proxy.nodehealth import (
    HEALTH_PORT,
    MODE_PORT,
    Answer,
    NodeHealth,
    is_eligible,
    mode,
    node_health,
)
from minikube_py.proxy.rules import Place, ProxyConfig, Where, pod_elements, service_elements
from minikube_py.proxy.tablewatch import TableWatch

log = logging.getLogger(__name__)

Source = tuple[str, Key]
"""What elements come from: ("service" or "pod", its key)."""

RETRY_SECONDS = 1.0


class KubeProxy:
    """Forwards Services until cancelled."""

    name = "kube-proxy"

    def __init__(self, client: Client, clock: Clock, config: ProxyConfig) -> None:
        self._cache = client.cache
        self._clock = clock
        self._config = config
        self._lost = False
        self._where = Where(config.node)
        self._watch = TableWatch(config.table, self._note_lost)
        self._nft = Nftables(config, self._watch)
        self._elements: dict[Source, dict[Place, str]] = {}
        self._uses: Counter[Place] = Counter()
        self._dirty: dict[Source, None] = {}
        self._checks = HealthChecks()
        self._health: dict[Key, Health | None] = {}
        self._changed = asyncio.Event()
        self._marks: dict[Key, int] = {}
        self._free_marks: list[int] = []
        self._next_mark = itertools.count(1, 256)
        self.syncs = self.losses = 0
        self.synced = asyncio.Condition()

    async def run(self, ready: asyncio.Event) -> None:
        """Load the table, then follow changes. Errors: CommandFailed where nft does not work at all."""
        await self._cache.file(EndpointSlice, "service", service_of_slice)
        self._elements.clear()
        self._uses.clear()
        stops: list[Callable[[], None]] = []
        try:
            stops.append(
                await self._cache.follow(Service, lambda change: self._mark("service", key_of(change.object)))
            )
            stops.append(await self._cache.follow(EndpointSlice, self._slice_changed))
            stops.append(await self._cache.follow(Pod, self._pod_changed))
            stops.append(await self._cache.follow(Node, self._node_changed))
            with self._watch:
                async with self._checks, NodeHealth(self._told()):
                    await self._follow(ready)
        finally:
            for stop in stops:
                stop()

    def _told(self) -> dict[tuple[str, int], Callable[[str], Answer]]:
        """What the proxy says of itself, by address and port."""
        if not self._config.tells:
            return {}
        return {("0.0.0.0", HEALTH_PORT): self._health_at, ("127.0.0.1", MODE_PORT): mode}

    def _health_at(self, path: str) -> Answer:
        node = self._cache.get(Node, Key("", self._config.node))
        return node_health(path, self._clock.now(), is_eligible(node))

    async def _follow(self, ready: asyncio.Event) -> None:
        first = {p: data for p, data in self._collect().items() if data is not None}
        await self._nft.replace(first)
        await self._forget_flows(first)
        await self._show_health()
        self._lost = False
        ready.set()
        while True:
            await self._changed.wait()
            await self._sync()

    async def remove(self) -> None:
        """Take everything out of the kernel (the cluster is being stopped)."""
        await self._nft.remove()

    def _note_lost(self) -> None:
        self._lost = True
        self.losses += 1
        self._changed.set()

    def _mark(self, kind: str, key: Key) -> None:
        self._dirty[kind, key] = None
        self._changed.set()

    def _slice_changed(self, change: Change) -> None:
        for obj in (change.object, change.old):
            for value in service_of_slice(obj) if obj else ():
                namespace, _, name = value.partition("/")
                self._mark("service", Key(namespace, name))

    def _node_changed(self, change: Change) -> None:
        """The zone of this node decides who is near."""
        node = change.object
        where = Where(self._config.node, labels_of(node).get(ZONE, ""))
        if node["metadata"]["name"] == self._config.node and where != self._where:
            self._where = where
            for service in self._cache.list(Service):
                self._mark("service", key_of(service))

    def _pod_changed(self, change: Change) -> None:
        pod = change.object
        if dig(pod, "spec.nodeName") != self._config.node:
            return
        has_ports = any(
            p.get("hostPort") for c in dig(pod, "spec.containers", []) for p in c.get("ports") or ()
        )
        if has_ports:
            self._mark("pod", key_of(pod))

    async def _sync(self) -> None:
        changes = self._collect()
        try:
            freed = self._freed_endpoints(changes)
            if self._lost:
                self._lost = False
                await self._nft.replace(self._all())
            else:
                await self._nft.update(changes)
            if freed:
                await self._nft.forget_affinity(freed)
            await self._forget_flows(changes)
        except Exception:
            log.exception("nft refused a change; the whole table is loaded again in %g s", RETRY_SECONDS)
            await self._clock.sleep(RETRY_SECONDS)
            await self._nft.replace(self._all())
        await self._show_health()
        self.syncs += 1
        async with self.synced:
            self.synced.notify_all()

    async def _show_health(self) -> None:
        """Tell load balancers of the Services that were dirty."""
        computed, self._health = self._health, {}
        for key, health in computed.items():
            await self._checks.show(key, health)

    async def _forget_flows(self, changed: Iterable[Place]) -> None:
        """UDP clients that keep their port follow a change, too."""
        if not touches_udp(changed):
            return
        try:
            await asyncio.to_thread(forget_stale, self._nft.elements)
        except OSError as error:
            log.warning("UDP flows stay as they are: the kernel tells nothing of them: %s", error)

    def _collect(self) -> dict[Place, str | None]:
        """What changes for the dirty sources; an element used by several goes with the last."""
        self._changed.clear()
        dirty, self._dirty = self._dirty, {}
        changes: dict[Place, str | None] = {}
        for source in dirty:
            new = self._compute(*source)
            old = self._elements.pop(source, {})
            if new:
                self._elements[source] = new
            self._uses.update(new.keys())
            for place in old:
                self._uses[place] -= 1
                if not self._uses[place]:
                    del self._uses[place]
                    changes[place] = None
            changes.update(new)
        return changes

    def _compute(self, kind: str, key: Key) -> dict[Place, str]:
        if kind == "pod":
            pod = self._cache.get(Pod, key)
            return pod_elements(pod) if pod else {}
        service = self._cache.get(Service, key)
        if service is None:
            if key in self._marks:
                self._free_marks.append(self._marks.pop(key))
            self._health[key] = None
            return {}
        slices = self._cache.indexed(EndpointSlice, "service", f"{key.namespace}/{key.name}")
        self._health[key] = health_of(service, slices, self._config.node)
        return service_elements(service, slices, self._where, self._mark_of(key, service))

    def _mark_of(self, key: Key, service: Obj) -> int:
        if dig(service, "spec.sessionAffinity") != "ClientIP":
            return 0
        if key not in self._marks:
            self._marks[key] = self._free_marks.pop() if self._free_marks else next(self._next_mark)
        return self._marks[key]

    def _freed_endpoints(self, changes: dict[Place, str | None]) -> set[str]:
        """Endpoints that vanish while a service has affinity: nobody may stay bound to them."""
        if not self._marks:
            return set()
        before = self._nft.endpoints()
        gone = {before[p] for p, data in changes.items() if p in before and before[p] != data}
        return gone - {data for data in changes.values() if data}

    def _all(self) -> dict[Place, str]:
        return {place: data for elements in self._elements.values() for place, data in elements.items()}
