"""Ranges that numbers are taken from: node ports, and the addresses of every ServiceCIDR.

Of each range a lower band is left to those who ask for a number; others are given the upper band first
(KEP-3070, KEP-3668). ServiceCIDRs extend the cluster's own range, and are taken from while they are ready and
not on their way out (KEP-1880); what was taken before stays taken.
"""

import ipaddress
import random
from collections import Counter

from minikube_py.kinds.networking.servicecidr import ServiceCIDR, is_available
from minikube_py.meta.objects import dig
from minikube_py.registry.entries import decoded
from minikube_py.store.base import Event, Store


class RangeFull(Exception):
    """Every number of a range is taken."""


class Holders:
    """Who holds which numbers: how many hold each."""

    def __init__(self, held: Counter[int] | None = None) -> None:
        self._held: Counter[int] = Counter() if held is None else held

    def hold(self, number: int) -> None:
        """Count one more holder."""
        self._held[number] += 1

    def release(self, number: int) -> None:
        """Count one holder less; the last one's leaving frees the number."""
        self._held[number] -= 1
        if self._held[number] <= 0:
            del self._held[number]


class Pool(Holders):
    """The numbers of a range, each free or held. `held` may be shared with other pools."""

    def __init__(self, low: int, high: int, static: int, held: Counter[int] | None = None) -> None:
        super().__init__(held)
        self.low, self.high = low, high
        self._dynamic = min(low + static, high)

    def __contains__(self, number: int) -> bool:
        return self.low <= number <= self.high

    def is_free(self, number: int) -> bool:
        """Whether nobody holds `number`."""
        return not self._held[number]

    def pick(self) -> int:
        """A free number, not yet held: of the upper band while there is one. Errors: RangeFull."""
        for low, high in ((self._dynamic, self.high), (self.low, self._dynamic - 1)):
            size = high - low + 1
            start = random.randrange(size) if size > 0 else 0
            for step in range(size):
                number = low + (start + step) % size
                if not self._held.get(number):
                    return number
        raise RangeFull("range is full")


def address_pool(cidr: str, held: Counter[int] | None = None) -> Pool:
    """The addresses of a service range, but for the network's own and the broadcast's."""
    network = ipaddress.ip_network(cidr)
    size = network.num_addresses - 2
    first = int(network.network_address) + 1
    return Pool(first, first + size - 1, min(max(16, size // 16), 256) if size > 16 else 0, held)


def port_pool(low: int, high: int) -> Pool:
    """The node ports of a range."""
    size = high - low + 1
    return Pool(low, high, min(max(16, size // 32), 128) if size > 16 else 0)


class ServiceRanges(Holders):
    """The ranges of the stored ServiceCIDRs that are of the family of `own`, the cluster's own range, which
    counts until a ServiceCIDR says the same. Which addresses are held is counted here once for all of them."""

    def __init__(self, store: Store, own: str) -> None:
        super().__init__()
        self._own = own
        self.version = ipaddress.ip_network(own).version
        self._store = store
        self._pools: dict[str, Pool] = {}
        self.close = store.subscribe(ServiceCIDR.prefix(), self._follow)
        """Follow the store no longer."""
        self._read()

    def _follow(self, event: Event) -> None:
        self._read()

    def _read(self) -> None:
        """Look at every ServiceCIDR: there are few, and they seldom change."""
        states: dict[str, bool] = {}
        for entry in self._store.list(ServiceCIDR.prefix()).entries:
            cidr = decoded(entry)
            for text in dig(cidr, "spec.cidrs", ()):
                states[text] = states.get(text, False) or is_available(cidr)
        available = [text for text, usable in ({self._own: True} | states).items() if usable]
        mine = [text for text in available if ipaddress.ip_network(text).version == self.version]
        self._pools = {text: self._pools.get(text) or address_pool(text, self._held) for text in mine}

    def find(self, number: int) -> tuple[str, Pool | None] | None:
        """The range that an address lies in, and its pool unless the address is the network's own or the
        broadcast's; None where no range has it."""
        for text, pool in self._pools.items():
            if number in pool:
                return text, pool
        for text in self._pools:
            network = ipaddress.ip_network(text)
            if int(network.network_address) <= number <= int(network.broadcast_address):
                return text, None
        return None

    def pick(self) -> tuple[Pool, int]:
        """A free address of the first range that has one. Errors: RangeFull."""
        for pool in self._pools.values():
            try:
                return pool, pool.pick()
            except RangeFull:
                continue
        raise RangeFull("range is full")
