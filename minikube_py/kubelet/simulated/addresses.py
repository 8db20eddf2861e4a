"""Addresses of simulated nodes and pods: each holder one of its own, as long as it lives."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network


class Addresses:
    """Hands out addresses of a range, the first and the last of it never."""

    def __init__(self, network: IPv4Network) -> None:
        self._network = network
        self._holders: dict[int, str] = {}
        self._held: dict[str, int] = {}
        self._next = self._numbers()

    def _numbers(self) -> Iterator[int]:
        first, last = int(self._network.network_address) + 1, int(self._network.broadcast_address)
        while True:
            yield from range(first, last)

    def of(self, holder: str) -> str:
        """The address of `holder`, a free one where it has none; empty where none is free."""
        held = self._held.get(holder)
        if held is not None:
            return str(IPv4Address(held))
        if len(self._holders) >= self._network.num_addresses - 2:
            return ""
        number = next(number for number in self._next if number not in self._holders)
        self._take(holder, number)
        return str(IPv4Address(number))

    def claim(self, holder: str, address: str) -> None:
        """`holder` has `address` from an earlier time; one outside of the range is nobody's business."""
        if not address or holder in self._held:
            return
        found = IPv4Address(address) if address.count(".") == 3 else None
        if found is not None and found in self._network and int(found) not in self._holders:
            self._take(holder, int(found))

    def _take(self, holder: str, number: int) -> None:
        self._holders[number] = holder
        self._held[holder] = number

    def release(self, holder: str) -> None:
        """What `holder` has is free again."""
        number = self._held.pop(holder, None)
        if number is not None:
            del self._holders[number]
